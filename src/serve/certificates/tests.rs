use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use proptest::prelude::*;
use rcgen::CertificateParams;
use tempfile::TempDir;

use super::{
    files::{Files, look},
    pair::{Pair, PairError},
    slot::{Slot, Standing, Statuses},
};
use crate::{
    clock,
    config::settings::KeyPairFiles,
    demo::{Authority, Certificate},
    oidc::Time,
};

/// Two files in a directory, and what is made of them.
struct Scene {
    authority: Authority,
    _directory: TempDir,
    paths: KeyPairFiles,
    statuses: Statuses,
    files: Files,
}

impl Scene {
    async fn new() -> Self {
        let authority = Authority::new("test").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        let paths = KeyPairFiles {
            cert_file: path("tls.crt"),
            key_file: path("tls.key"),
        };
        let first = authority.issue(&[HOST]).unwrap();
        first.write(&paths.cert_file, &paths.key_file).unwrap();
        let statuses = Statuses::default();
        Self {
            files: Files::open(&paths, &statuses).await.unwrap(),
            authority,
            _directory: directory,
            paths,
            statuses,
        }
    }

    fn issue(&self) -> Certificate {
        self.authority.issue(&[HOST]).unwrap()
    }

    fn elsewhere(&self) -> PathBuf {
        self.paths.cert_file.with_extension("elsewhere")
    }

    fn write_certificate(&self, certificate: &Certificate) {
        let (path, key) = (&self.paths.cert_file, self.elsewhere());
        certificate.write(path, &key).unwrap();
    }

    fn write_key(&self, certificate: &Certificate) {
        let (path, key) = (self.elsewhere(), &self.paths.key_file);
        certificate.write(&path, key).unwrap();
    }

    fn write(&self, certificate: &Certificate) {
        self.write_certificate(certificate);
        self.write_key(certificate);
    }

    /// What is served after one more look.
    fn look(&mut self) -> Vec<u8> {
        let found = look(&self.paths, &self.files.taken);
        self.files.see(found, clock::now());
        let pair = self.files.slot.pair().unwrap();
        pair.key.cert[0].to_vec()
    }

    fn failing(&self) -> Option<&'static str> {
        let statuses = self.statuses.borrow();
        let [status] = statuses.as_slice() else {
            panic!("{statuses:?}")
        };
        assert_eq!(status.reason.is_some(), status.failure.is_some());
        assert_eq!(status.hosts, [HOST]);
        status.reason
    }
}

#[tokio::test]
async fn a_pair_that_is_half_written_is_waited_for() {
    let mut scene = Scene::new().await;
    let before = scene.look();
    let new = scene.issue();
    scene.write_certificate(&new);
    assert_eq!(scene.look(), before);
    assert_eq!(scene.failing(), None);
    scene.write_key(&new);
    assert_eq!(scene.look(), new.der().to_vec());
    assert_eq!(scene.failing(), None);
}

#[tokio::test]
async fn a_pair_that_stays_bad_is_reported_and_the_old_one_stays_until_it_is_mended() {
    let mut scene = Scene::new().await;
    let before = scene.look();
    let new = scene.issue();
    for (break_it, reason) in [
        (
            (|scene: &Scene| scene.write_certificate(&scene.issue())) as fn(&Scene),
            "pair",
        ),
        (
            |scene| fs::write(&scene.paths.cert_file, "garbage").unwrap(),
            "pair",
        ),
        (
            |scene| fs::write(&scene.paths.key_file, "garbage").unwrap(),
            "pair",
        ),
        (
            |scene| fs::write(&scene.paths.key_file, vec![b'x'; 2 << 20]).unwrap(),
            "read",
        ),
        (
            |scene| fs::remove_file(&scene.paths.key_file).unwrap(),
            "read",
        ),
    ] {
        break_it(&scene);
        for _ in 0..3 {
            assert_eq!(scene.look(), before);
        }
        assert_eq!(scene.failing(), Some(reason));
    }
    scene.write(&new);
    assert_eq!(scene.look(), new.der().to_vec());
    assert_eq!(scene.failing(), None);
}

#[tokio::test]
async fn when_the_old_pair_is_put_back_all_is_well_again() {
    let mut scene = Scene::new().await;
    let old = [&scene.paths.cert_file, &scene.paths.key_file].map(|path| fs::read(path).unwrap());
    fs::remove_file(&scene.paths.cert_file).unwrap();
    scene.look();
    scene.look();
    assert_eq!(scene.failing(), Some("read"));
    fs::write(&scene.paths.cert_file, &old[0]).unwrap();
    fs::write(&scene.paths.key_file, &old[1]).unwrap();
    scene.look();
    assert_eq!(scene.failing(), None);
}

#[tokio::test]
async fn an_expired_certificate_replaces_only_an_expired_one() {
    let mut scene = Scene::new().await;
    let before = scene.look();
    let mut params = CertificateParams::new([HOST.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    let expired = scene.authority.sign(&params).unwrap();
    scene.write(&expired);
    scene.look();
    assert_eq!(scene.look(), before);
    assert_eq!(scene.failing(), Some("expired"));
    let mut scene = Scene {
        files: Files::open(&scene.paths, &Statuses::default())
            .await
            .unwrap(),
        ..scene
    };
    let expired = scene.authority.sign(&params).unwrap();
    scene.write(&expired);
    assert_eq!(scene.look(), expired.der().to_vec());
}

#[test]
fn a_warning_comes_two_weeks_ahead_or_in_the_last_quarter() {
    let day = Duration::from_hours(24);
    let start = Time::after_epoch(10_000 * day);
    let standing = |lifetime: u32, age: Duration| {
        let pair = pair_from(start, start + lifetime * day);
        Standing::of(&pair, start + age)
    };
    assert_eq!(standing(90, 75 * day), Standing::Good);
    assert_eq!(standing(90, 76 * day), Standing::Expiring);
    assert_eq!(standing(90, 90 * day), Standing::Expiring);
    assert_eq!(standing(90, 91 * day), Standing::Expired);
    assert_eq!(standing(8, 5 * day), Standing::Good);
    assert_eq!(standing(8, 6 * day), Standing::Expiring);
}

#[test]
fn a_wildcard_covers_one_label() {
    let mut pair = pair_from(Time::default(), Time::default());
    pair.hosts = vec!["a.example.com".into(), "*.example.net".into()];
    for (host, is_covered) in [
        ("a.example.com", true),
        ("b.example.com", false),
        ("b.example.net", true),
        ("b.c.example.net", false),
        ("example.net", false),
    ] {
        assert_eq!(pair.covers(host), is_covered, "{host}");
    }
}

#[test]
fn names_and_times_are_read_off_the_leaf() {
    let authority = Authority::new("test").unwrap();
    let mut params = CertificateParams::new([HOST.to_owned(), "*.Example.NET".into()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2060, 1, 1);
    let pair = parsed(&authority.sign(&params).unwrap());
    assert_eq!(pair.hosts, [HOST, "*.example.net"]);
    assert_eq!(pair.not_before.to_string(), "2026-01-01T00:00:00.000Z");
    assert_eq!(pair.not_after.to_string(), "2060-01-01T00:00:00.000Z");
}

#[test]
fn nothing_that_is_printed_shows_the_key() {
    let pair = parsed(&Authority::new("test").unwrap().issue(&[HOST]).unwrap());
    let slot = Slot::new(HOST, Some(pair), &Statuses::default());
    let shown = format!("{slot:?}");
    assert!(shown.contains("hosts") && !shown.contains("key"), "{shown}");
}

#[test]
fn several_slots_tell_each_their_own() {
    let statuses = Statuses::default();
    let mut slots = ["a", "b"].map(|name| Slot::new(name, None, &statuses));
    slots[1].fail("pair", "why".to_owned());
    let told = Arc::clone(&statuses.borrow());
    assert_eq!(told[0].failure, None);
    assert_eq!(told[1].failure.as_deref(), Some("why"));
    assert_eq!((told[1].name.as_str(), told[1].not_after), ("b", None));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(chain in any::<Vec<u8>>(), key in any::<Vec<u8>>()) {
        let pem = |bytes| pem::encode(&pem::Pem::new("CERTIFICATE", bytes));
        let parsed = Pair::parse(pem(chain).as_bytes(), &key);
        prop_assert!(matches!(parsed, Err(PairError::Leaf(_) | PairError::Chain(_) | PairError::NoCertificate)));
    }
}

fn parsed(certificate: &Certificate) -> Pair {
    let directory = tempfile::tempdir().unwrap();
    let [chain, key] = ["tls.crt", "tls.key"].map(|name| directory.path().join(name));
    certificate.write(&chain, &key).unwrap();
    Pair::parse(&fs::read(chain).unwrap(), &fs::read(key).unwrap()).unwrap()
}

fn pair_from(not_before: Time, not_after: Time) -> Pair {
    let pair = parsed(&Authority::new("test").unwrap().issue(&[HOST]).unwrap());
    Pair {
        not_before,
        not_after,
        ..pair
    }
}

const HOST: &str = "oidc.example.com";
