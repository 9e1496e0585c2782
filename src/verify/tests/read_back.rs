//! When is looked again, and what is worth a line: no socket, no waiting.

use std::sync::LazyLock;

use super::*;
use crate::{
    demo::{KeyKind, SigningKey},
    oidc::{Issuer, KeySet, Ledger},
    verify::VerifyError,
};

const MINUTE: Duration = Duration::from_secs(60);

fn snapshot(keys: &[&SigningKey]) -> Arc<Snapshot> {
    let keys: Vec<_> = keys.iter().map(|it| it.jwk()).collect();
    let jwks = serde_json::json!({ "keys": keys }).to_string();
    let (keys, _) = KeySet::parse(jwks.as_bytes()).unwrap();
    let issuer = Issuer::parse("https://oidc.example.com").unwrap();
    Arc::new(Snapshot::render(&issuer, keys, &[], Ledger::default()))
}

fn keys() -> &'static [SigningKey; 2] {
    static KEYS: LazyLock<[SigningKey; 2]> =
        LazyLock::new(|| [(); 2].map(|()| SigningKey::generate(KeyKind::P256).unwrap()));
    &KEYS
}

fn mirror() -> settings::Mirror {
    let issuer = "mirror.issuer=https://oidc.example.com";
    let issuer = crate::config::Override::parse(issuer).unwrap();
    let mut settings = settings::Settings::load(None, &[issuer]).unwrap();
    settings.mirrors.remove(0)
}

fn unreadable() -> NotPublic {
    NotPublic::Unreadable(VerifyError::TooLarge {
        url: "https://oidc.example.com/openid/v1/jwks".to_owned(),
    })
}

/// A course that waits for a change since the moment given back.
fn awaiting() -> (Course, Instant) {
    let start = Instant::now();
    let mut course = Course::default();
    course.expect(&[snapshot(&[&keys()[0]])], start);
    (course, start)
}

#[test]
fn a_change_that_is_read_is_told_once_with_its_time() {
    let (mut course, start) = awaiting();
    let took = Duration::from_secs(3);
    let now = start + took;
    assert_eq!(course.note(None, MINUTE, now), Some(News::Public { took }));
    assert_eq!(course.note(None, MINUTE, now + MINUTE), None);
    // Neither another ledger nor white space behind the documents is a change.
    let same = Snapshot::clone(&snapshot(&[&keys()[0]]));
    course.expect(&[Arc::new(same.marked(7))], now);
    assert_eq!(course.note(None, MINUTE, now + MINUTE), None);
    assert_eq!(course.took, Some(took));
    course.expect(&[snapshot(&[&keys()[1]])], now);
    let took = Duration::ZERO;
    assert_eq!(course.note(None, MINUTE, now), Some(News::Public { took }));
}

#[test]
fn an_older_copy_is_a_trouble_only_after_its_time() {
    let (mut course, start) = awaiting();
    let old = NotPublic::Discovery;
    assert_eq!(course.note(Some(&old), MINUTE, start), None);
    let almost = start + MINUTE - Duration::from_millis(1);
    assert_eq!(course.note(Some(&old), MINUTE, almost), None);
    let due = start + MINUTE;
    assert_eq!(course.note(Some(&old), MINUTE, due), Some(News::Trouble));
    assert_eq!(course.note(Some(&old), MINUTE, due + MINUTE), None);
    assert_eq!(course.note(None, MINUTE, due + MINUTE), Some(News::Over));
    assert_eq!(course.took, Some(2 * MINUTE));
    // Somebody else changes what is public, and takes it back.
    let again = due + 2 * MINUTE;
    assert_eq!(course.note(Some(&old), MINUTE, again), None);
    let news = course.note(Some(&old), MINUTE, again + MINUTE);
    assert_eq!(news, Some(News::Trouble));
    assert_eq!(course.note(None, MINUTE, again + MINUTE), Some(News::Over));
}

#[test]
fn a_new_change_has_all_the_time_again() {
    let (mut course, start) = awaiting();
    let old = NotPublic::Discovery;
    assert_eq!(course.note(Some(&old), MINUTE, start), None);
    let change = start + Duration::from_secs(59);
    course.expect(&[snapshot(&[&keys()[1]])], change);
    assert_eq!(course.note(Some(&old), MINUTE, change), None);
    let almost = change + Duration::from_secs(59);
    assert_eq!(course.note(Some(&old), MINUTE, almost), None);
}

#[test]
fn what_cannot_be_read_is_a_trouble_soon_whatever_caches_may_do() {
    let (mut course, start) = awaiting();
    let failure = unreadable();
    assert_eq!(course.note(Some(&failure), MINUTE, start), None);
    let due = start + FAILURE_PATIENCE;
    let news = course.note(Some(&failure), MINUTE, due);
    assert_eq!(news, Some(News::Trouble));
    // It goes on in another way: the same trouble.
    let old = NotPublic::Discovery;
    assert_eq!(course.note(Some(&old), MINUTE, due), None);
    let later = due + 10 * MINUTE;
    assert_eq!(course.note(Some(&old), MINUTE, later), None);
    assert_eq!(course.note(None, MINUTE, later), Some(News::Over));
}

#[test]
fn looks_are_far_apart_while_all_is_well_and_never_stop() {
    let (mut course, start) = awaiting();
    let interval = 5 * MINUTE;
    assert_eq!(course.pause(interval, 0.5), interval);
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        course.note(Some(&unreadable()), MINUTE, start);
        assert_eq!(course.pause(interval, 0.5), Duration::from_secs(seconds));
    }
    course.note(None, MINUTE, start);
    assert_eq!(course.pause(interval, 0.5), interval);
}

#[test]
fn other_publishers_have_until_the_next_comparison() {
    let mut mirror = mirror();
    assert_eq!(patience(&mirror), 2 * MINUTE);
    mirror.targets = vec![settings::Target::Directory("/srv".into())];
    assert_eq!(patience(&mirror), 7 * MINUTE);
}

#[tokio::test]
async fn a_place_that_is_gone_is_waited_for_no_more() {
    let (gone, there) = (watch::Sender::new(None), watch::Sender::new(None));
    let mut places = vec![gone.subscribe(), there.subscribe()];
    drop(gone);
    there.send_replace(Some(snapshot(&[&keys()[0]])));
    any_changed(&mut places).await;
    assert_eq!(places.len(), 1);
}
