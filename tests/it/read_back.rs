//! Reading the documents back through the public issuer, over real TLS.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use oidc_mirror::{
    config::settings::{self, Credentials},
    demo::SigningKey,
    oidc::{Issuer, KeySet, Kid, Ledger, Snapshot},
    verify::{ReadBack, ReadBackStatus, RelyingParty},
};
use tokio::{sync::watch, task::JoinHandle};

use crate::support::{
    ApiServer, DISCOVERY, JWKS, Reply, Tls, files_of, jwks, mirror_of, p256, service::Plan,
};

/// What stands at the public issuer: two documents on a server of its own.
struct Stage {
    public: ApiServer,
    issuer: Issuer,
}

impl Stage {
    fn set() -> Self {
        Self::set_with(Tls::Right)
    }

    fn set_with(tls: Tls) -> Self {
        let public = ApiServer::start_with(tls);
        public.allow_anonymous();
        let issuer = Issuer::parse(&format!("https://{}", public.address())).unwrap();
        let stage = Self { public, issuer };
        stage.show(&stage.snapshot(&[]));
        stage
    }

    fn snapshot(&self, keys: &[&SigningKey]) -> Arc<Snapshot> {
        let keys: Vec<_> = keys.iter().copied().cloned().collect();
        let keys = KeySet::parse(jwks(&keys).as_bytes()).map_or_else(
            |_| KeySet::default(),
            |(keys, left_out)| {
                assert!(left_out.is_empty());
                keys
            },
        );
        Arc::new(Snapshot::render(&self.issuer, keys, &[], Ledger::default()))
    }

    fn show(&self, snapshot: &Snapshot) {
        self.public
            .always(DISCOVERY, Reply::body(snapshot.discovery.body.clone()));
        self.public
            .always(JWKS, Reply::body(snapshot.jwks.body.clone()));
    }

    fn read_back(&self, given_out: &[&watch::Sender<Option<Arc<Snapshot>>>]) -> Reading {
        let pem = fs::read(self.public.ca_file()).unwrap();
        let relying_party = RelyingParty::new(self.issuer.clone(), Some(&pem)).unwrap();
        read_back(&self.settings(), relying_party, given_out)
    }

    fn settings(&self) -> settings::Mirror {
        let credentials = Credentials::Files(files_of(&self.public));
        let mut settings = mirror_of(&[], credentials);
        settings.issuer = self.issuer.clone();
        settings.upkeep.reconcile_interval = Duration::from_millis(50);
        settings
    }
}

fn read_back(
    settings: &settings::Mirror,
    relying_party: RelyingParty,
    given_out: &[&watch::Sender<Option<Arc<Snapshot>>>],
) -> Reading {
    let public = watch::Sender::default();
    let given_out = given_out.iter().map(|it| it.subscribe()).collect();
    let read_back = ReadBack::new(settings, given_out, public.clone());
    Reading {
        statuses: read_back.statuses(),
        public,
        task: tokio::spawn(read_back.run(relying_party)),
    }
}

/// A running read-back.
struct Reading {
    statuses: watch::Receiver<Arc<ReadBackStatus>>,
    public: watch::Sender<BTreeSet<Kid>>,
    task: JoinHandle<()>,
}

impl Reading {
    async fn until(&mut self, what: impl FnMut(&Arc<ReadBackStatus>) -> bool) -> ReadBackStatus {
        let status = tokio::time::timeout(Duration::from_secs(20), self.statuses.wait_for(what));
        ReadBackStatus::clone(&status.await.unwrap().unwrap())
    }

    fn kids(&self) -> Vec<String> {
        let kids = self.public.borrow();
        kids.iter().map(|kid| kid.as_str().to_owned()).collect()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn given_out(snapshot: Arc<Snapshot>) -> watch::Sender<Option<Arc<Snapshot>>> {
    watch::Sender::new(Some(snapshot))
}

/// The words for the trouble that there is, for this reason.
#[track_caller]
fn trouble(status: &ReadBackStatus, reason: &str) -> String {
    let trouble = status.failure.as_ref().unwrap();
    assert_eq!(trouble.reason, reason, "{trouble:?}");
    trouble.message.clone()
}

#[tokio::test]
async fn what_is_public_is_told_with_its_keys_and_read_without_credentials() {
    let stage = Stage::set();
    let key = p256();
    let snapshot = stage.snapshot(&[&key]);
    stage.show(&snapshot);
    let mut reading = stage.read_back(&[&given_out(snapshot)]);
    let status = reading.until(|status| status.is_public).await;
    assert!(status.last_success.is_some() && status.took.is_some());
    assert_eq!(status.failure, None);
    assert_eq!(reading.kids(), [key.kid()]);
    for request in stage.public.requests() {
        assert_eq!(request.method, "GET");
        assert!([DISCOVERY, JWKS].contains(&request.path.as_str()));
        assert!(!request.headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn nothing_is_asked_while_nothing_is_given_out() {
    let stage = Stage::set();
    let key = p256();
    let snapshot = stage.snapshot(&[&key]);
    stage.show(&snapshot);
    let place = watch::Sender::new(None);
    let mut reading = stage.read_back(&[&place]);
    tokio::task::yield_now().await;
    assert_eq!(stage.public.requests().len(), 0);
    place.send_replace(Some(snapshot));
    reading.until(|status| status.is_public).await;
}

#[tokio::test]
async fn an_older_copy_is_named_and_looked_at_until_it_is_gone() {
    let stage = Stage::set();
    let (old, new) = (p256(), p256());
    let (before, after) = (stage.snapshot(&[&old]), stage.snapshot(&[&new]));
    stage.show(&before);
    let place = given_out(Arc::clone(&before));
    let mut reading = stage.read_back(&[&place]);
    let first = reading.until(|status| status.is_public).await;
    place.send_replace(Some(Arc::clone(&after)));
    let status = reading.until(|status| status.failure.is_some()).await;
    assert_eq!(reading.kids(), [old.kid()]);
    let advice = trouble(&status, "other-keys");
    for part in [
        format!("without {}", new.kid()),
        format!("foreign {}", old.kid()),
        "cache".to_owned(),
    ] {
        assert!(advice.contains(&part), "{advice}");
    }
    assert_eq!(status.took, first.took);
    stage.show(&after);
    reading.until(|status| status.is_public).await;
    assert_eq!(reading.kids(), [new.kid()]);
}

#[tokio::test]
async fn a_foreign_change_is_noticed_without_any_change_here() {
    let stage = Stage::set();
    let (ours, theirs) = (p256(), p256());
    let snapshot = stage.snapshot(&[&ours]);
    stage.show(&snapshot);
    let place = given_out(Arc::clone(&snapshot));
    let mut reading = stage.read_back(&[&place]);
    reading.until(|status| status.is_public).await;
    let hostile = jwks(&[ours, theirs.clone()]).replace(theirs.kid(), r"evil\nkid\u001b[31m\u202e");
    stage.public.always(JWKS, Reply::body(hostile));
    let status = reading.until(|status| !status.is_public).await;
    let advice = trouble(&status, "other-keys");
    assert!(advice.contains(r"evil\nkid\u{1b}[31m"), "{advice}");
    assert!(!advice.contains(['\n', '\u{1b}', '\u{202e}']), "{advice:?}");
}

#[tokio::test]
async fn any_of_the_places_may_be_the_public_one() {
    let stage = Stage::set();
    let (served, published) = (stage.snapshot(&[&p256()]), stage.snapshot(&[&p256()]));
    // Whoever published last left a mark.
    stage.show(&Snapshot::clone(&published).marked(7));
    let places = [given_out(served), given_out(published)];
    let mut reading = stage.read_back(&[&places[0], &places[1]]);
    reading.until(|status| status.is_public).await;
}

#[tokio::test]
async fn a_discovery_document_that_leads_elsewhere_makes_no_key_public() {
    let stage = Stage::set();
    let snapshot = stage.snapshot(&[&p256()]);
    stage.show(&snapshot);
    let place = given_out(Arc::clone(&snapshot));
    let mut reading = stage.read_back(&[&place]);
    reading.until(|status| status.is_public).await;
    assert_eq!(reading.kids().len(), 1);
    let text = String::from_utf8(snapshot.discovery.body.to_vec()).unwrap();
    for (before, after) in [
        ("/openid/v1/jwks", "/elsewhere"),
        ("\"issuer\":\"https", "\"issuer\":\"http"),
    ] {
        let other = text.replace(before, after);
        assert_ne!(other, text);
        stage.public.always(DISCOVERY, Reply::body(other));
        let status = reading
            .until(|it| {
                it.failure
                    .as_ref()
                    .is_some_and(|it| it.reason == "other-discovery")
            })
            .await;
        assert!(!status.is_public);
        assert!(reading.kids().is_empty());
        stage.show(&snapshot);
        reading.until(|status| status.is_public).await;
    }
}

#[tokio::test]
async fn each_failure_has_its_reason_and_says_what_to_do() {
    let stage = Stage::set();
    let snapshot = stage.snapshot(&[&p256()]);
    for (reply, reason, advice) in [
        (Reply::status(403, "no"), "forbidden", "bucket policy"),
        (Reply::status(404, "no"), "not-found", "prefix"),
        (
            Reply::redirect("https://other.example"),
            "redirect",
            "this very URL",
        ),
        (Reply::status(500, "no"), "status", "500"),
        (Reply::body("<html>secret</html>"), "document", "prefix"),
        (Reply::Oversize, "too-large", "longer than"),
        (Reply::CutOff, "broken", "could not fetch"),
    ] {
        stage.show(&snapshot);
        stage.public.always(JWKS, reply.clone());
        let mut reading = stage.read_back(&[&given_out(Arc::clone(&snapshot))]);
        let status = reading.until(|status| status.failure.is_some()).await;
        let text = trouble(&status, reason);
        assert!(text.contains(advice) && !text.contains("secret"), "{text}");
        assert!(reading.kids().is_empty());
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_told_apart_from_a_closed_port() {
    for tls in [Tls::WrongAuthority, Tls::WrongName, Tls::Expired] {
        let stage = Stage::set_with(tls);
        let mut reading = stage.read_back(&[&given_out(stage.snapshot(&[&p256()]))]);
        let status = reading.until(|status| status.failure.is_some()).await;
        trouble(&status, "tls");
    }
    let mut stage = Stage::set();
    stage.public.stop().await;
    let mut reading = stage.read_back(&[&given_out(stage.snapshot(&[&p256()]))]);
    let status = reading.until(|status| status.failure.is_some()).await;
    trouble(&status, "connect");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told() {
    let stage = Stage::set();
    let mut settings = stage.settings();
    settings.issuer = Issuer::parse("https://nowhere.invalid").unwrap();
    let relying_party = RelyingParty::new(settings.issuer.clone(), None).unwrap();
    let place = given_out(stage.snapshot(&[&p256()]));
    let mut reading = read_back(&settings, relying_party, &[&place]);
    let status = reading.until(|status| status.failure.is_some()).await;
    let advice = trouble(&status, "dns");
    assert!(advice.contains("read-back = false"), "{advice}");
    assert!(!advice.contains("error sending request"), "{advice}");
}

// The job, as a timer runs it: its exit code says whether it published, whoever can read that.

fn publish(stage: &Stage, server: &ApiServer, directory: &Path) -> Output {
    let setting = |key: &str, value: &str| ["--set".to_owned(), format!("mirror.{key}={value}")];
    Command::new(env!("CARGO_BIN_EXE_oidc-mirror"))
        .args(["publish", "--issuer", stage.issuer.as_str()])
        .args(["--upstream", server.url().as_str()])
        .args(["--to", &format!("file://{}", directory.display())])
        .args(setting("ca-file", &server.ca_file().display().to_string()))
        .args(setting(
            "token-file",
            &server.token_file().display().to_string(),
        ))
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("SSL_CERT_FILE", stage.public.ca_file())
        .output()
        .unwrap()
}

fn state(directory: &Path) -> String {
    fs::read_to_string(directory.join(".oidc-mirror/state.json")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_says_whether_what_it_published_is_public() {
    let stage = Stage::set();
    let server = ApiServer::start();
    server.set_issuer(stage.issuer.as_str());
    server.set_keys(&[p256()]);
    let directories = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| directories.path().join(name));

    stage.public.always(JWKS, Reply::status(403, "no"));
    let output = publish(&stage, &server, &first);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("bucket policy"), "{log}");
    assert!(!state(&first).contains("public-since"));

    for (path, name) in [(DISCOVERY, DISCOVERY), (JWKS, JWKS)] {
        let document = fs::read(first.join(name.trim_start_matches('/'))).unwrap();
        stage.public.always(path, Reply::body(document));
    }
    let output = publish(&stage, &server, &second);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("public") && !log.contains("WARN"), "{log}");
    // It has learnt that the key is public before it published.
    assert!(state(&second).contains("public-since"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_changes_nothing_waits_for_nobody() {
    let stage = Stage::set();
    let server = ApiServer::start();
    server.set_issuer(stage.issuer.as_str());
    server.set_keys(&[p256()]);
    let directory = tempfile::tempdir().unwrap();
    stage.public.always(JWKS, Reply::status(403, "no"));
    publish(&stage, &server, directory.path());
    let output = publish(&stage, &server, directory.path());
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("already equal"), "{log}");
    assert!(!log.contains("relying parties"), "{log}");
}

#[tokio::test]
async fn a_service_that_is_not_public_still_serves() {
    const ISSUER: &str = "https://nowhere.invalid";
    let server = ApiServer::start();
    server.set_issuer(ISSUER);
    server.set_keys(&[p256()]);
    let service = Plan::new()
        .mirror(ISSUER, &[&server])
        .set("mirror.read-back=true")
        .start()
        .await;
    service.documents(ISSUER).await;
    service.stop().await;
}
