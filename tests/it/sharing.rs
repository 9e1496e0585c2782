//! Several publishers to one bucket: the real binary, over sockets, while the store misbehaves.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use futures_util::future::join_all;
use oidc_mirror::{demo::SigningKey, oidc::parse_stored};
use serde_json::Value;
use tokio::process::Command;

use crate::support::{
    ApiServer, p256,
    s3::{ACCESS_KEY, BUCKET, Conditions, Fault, REGION, S3Server, SECRET_KEY},
};

const ISSUER: &str = "https://oidc.example.com/prod";
const JWKS: &str = "prod/openid/v1/jwks";
const DISCOVERY: &str = "prod/.well-known/openid-configuration";
const STATE: &str = "prod/.oidc-mirror/state.json";

/// A control-plane node: its API server, and the publisher beside it.
struct Node {
    name: String,
    server: ApiServer,
    listed: Vec<SigningKey>,
}

impl Node {
    fn new(name: &str) -> Self {
        let mut node = Self {
            name: name.to_owned(),
            server: ApiServer::start(),
            listed: Vec::new(),
        };
        node.server.set_issuer(ISSUER);
        node.list(vec![p256()]);
        node
    }

    fn list(&mut self, keys: Vec<SigningKey>) {
        self.server.set_keys(&keys);
        self.listed = keys;
    }

    fn kids(&self) -> BTreeSet<String> {
        self.listed.iter().map(|key| key.kid().to_owned()).collect()
    }

    /// One run of `oidc-mirror publish`, as from a timer.
    async fn publish(&self, store: &S3Server, more: &[&str]) -> Output {
        let path = |path: PathBuf| path.display().to_string();
        let settings = [
            format!("publisher={}", self.name),
            format!("mirror.upstreams=[\"{}\"]", self.server.url()),
            format!("mirror.ca-file={}", path(self.server.ca_file())),
            format!("mirror.token-file={}", path(self.server.token_file())),
            "mirror.read-back=false".to_owned(),
            format!("mirror.target.region={REGION}"),
            format!("mirror.target.endpoint={}", store.url()),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_oidc-mirror"));
        command
            .args(["publish", "--issuer", ISSUER, "--to"])
            .arg(format!("s3://{BUCKET}/prod"))
            .args(settings.iter().flat_map(|it| ["--set", it]))
            .args(more)
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command.output().await.unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn published(store: &S3Server) -> BTreeSet<String> {
    store.kids(JWKS)
}

#[tokio::test]
async fn nodes_with_keys_of_their_own_publish_all_of_them() {
    let store = S3Server::start().await;
    let nodes = ["a", "b", "c"].map(Node::new);
    let runs = join_all(nodes.iter().map(|node| node.publish(&store, &[]))).await;
    for run in runs {
        assert!(run.status.success(), "{}", said(&run));
    }
    let all: BTreeSet<_> = nodes.iter().flat_map(Node::kids).collect();
    assert_eq!(published(&store), all);
    store.take_log();
    for node in &nodes {
        let run = node.publish(&store, &[]).await;
        assert!(said(&run).contains("already equal"), "{}", said(&run));
    }
    let log = store.take_log();
    assert!(log.iter().all(|line| line.starts_with("GET")), "{log:?}");
    let state: Value = parse_stored(&store.object(STATE).unwrap().body).unwrap();
    assert_eq!(state["publishers"].as_object().unwrap().len(), 3);
}

/// What goes wrong with a request, in turn.
fn fault(rng: &mut fastrand::Rng) -> Fault {
    match rng.u8(..8) {
        0 => Fault::Status(403, "AccessDenied"),
        1 => Fault::Status(409, "ConditionalRequestConflict"),
        2 => Fault::Status(412, "PreconditionFailed"),
        3 => Fault::Status(500, "InternalError"),
        4 => Fault::Status(503, "SlowDown"),
        5 => Fault::Reset,
        _ => Fault::ResetAfter,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_in_two_hundred_rounds_of_five_publishers_and_a_store_that_misbehaves() {
    let mut rng = fastrand::Rng::with_seed(3);
    let store = S3Server::start().await;
    let mut nodes = ["a", "b", "c", "d", "e"].map(Node::new);
    // Retention is a day, so whatever was once acknowledged has to stay.
    let mut owed = BTreeSet::new();
    let (mut succeeded, mut failed) = (0, 0);
    for round in 0..ROUNDS {
        // One node gets a new key, or drops its oldest.
        let node = &mut nodes[rng.usize(..5)];
        let mut keys = node.listed.clone();
        // No more than a hundred keys of a kind may be published.
        if keys.len() == 1 && owed.len() < 80 {
            keys.push(p256());
        } else if keys.len() > 1 {
            keys.remove(0);
        }
        node.list(keys);
        let mut faults: Vec<_> = (0..rng.usize(..6)).map(|_| fault(&mut rng)).collect();
        if round == ROUNDS / 2 {
            // Longer than the deadline of a request.
            faults.push(Fault::Delay(Duration::from_secs(11)));
        }
        store.script(faults);
        let runs = join_all(nodes.iter().map(|node| node.publish(&store, &[]))).await;
        for (node, run) in nodes.iter().zip(&runs) {
            match run.status.code() {
                Some(0) => {
                    owed.extend(node.kids());
                    succeeded += 1;
                }
                Some(1) => failed += 1,
                other => panic!("{other:?}: {}", said(run)),
            }
        }
        let present = published(&store);
        let lost: Vec<_> = owed.difference(&present).collect();
        assert!(lost.is_empty(), "round {round} lost {lost:?}");
    }
    assert!(
        succeeded > 3 * failed,
        "{succeeded} runs went well, {failed} did not"
    );
    assert!(failed > 0, "no fault was ever fatal to a run");
    // What is left of the faults is used up, and then all agree.
    store.forget_faults();
    for _ in 0..2 {
        for node in &nodes {
            assert!(node.publish(&store, &[]).await.status.success());
        }
    }
    store.take_log();
    for node in &nodes {
        node.publish(&store, &[]).await;
    }
    assert!(store.take_log().iter().all(|line| line.starts_with("GET")));
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_named_and_still_comes_to_hold_all_keys() {
    let store = S3Server::start().await;
    store.treat_conditions(Conditions::Ignored);
    let nodes = ["a", "b", "c"].map(Node::new);
    let runs = join_all(nodes.iter().map(|node| node.publish(&store, &[]))).await;
    for run in &runs {
        assert!(run.status.success(), "{}", said(run));
        assert!(said(run).contains("takes every write"), "{}", said(run));
    }
    for node in &nodes {
        let run = node.publish(&store, &[]).await;
        assert!(run.status.success(), "{}", said(&run));
    }
    let all: BTreeSet<_> = nodes.iter().flat_map(Node::kids).collect();
    assert!(published(&store).is_superset(&all));
}

#[tokio::test]
async fn a_store_that_compares_bare_tags_is_one_that_heeds_conditions() {
    let store = S3Server::start().await;
    store.treat_conditions(Conditions::Bare);
    let mut node = Node::new("a");
    for _ in 0..3 {
        let mut keys = node.listed.clone();
        keys.push(p256());
        node.list(keys);
        let run = node.publish(&store, &[]).await;
        assert!(run.status.success(), "{}", said(&run));
        assert!(!said(&run).contains("takes every write"), "{}", said(&run));
        assert_eq!(published(&store), node.kids());
    }
}

#[tokio::test]
async fn a_revoked_key_is_gone_at_once_whoever_lists_it() {
    let store = S3Server::start().await;
    let mut nodes = ["a", "b"].map(Node::new);
    let leaked = p256();
    for node in &mut nodes {
        let keys = vec![leaked.clone(), node.listed[0].clone()];
        node.list(keys);
        assert!(node.publish(&store, &[]).await.status.success());
    }
    assert!(published(&store).contains(leaked.kid()));
    let revoked = format!("mirror.revoked-keys=[\"{}\"]", leaked.kid());
    let run = nodes[0].publish(&store, &["--set", &revoked]).await;
    assert!(run.status.success(), "{}", said(&run));
    assert!(!published(&store).contains(leaked.kid()));
    // The other one was not told, and lists it still.
    assert!(nodes[1].publish(&store, &[]).await.status.success());
    assert!(!published(&store).contains(leaked.kid()));
}

#[tokio::test]
async fn a_foreign_change_is_an_error_in_the_log_and_is_repaired_or_left() {
    let store = S3Server::start().await;
    let node = Node::new("a");
    assert!(node.publish(&store, &[]).await.status.success());
    let good = store.object(JWKS).unwrap();
    let mut evil = good.clone();
    let intruder = p256();
    let jwks = serde_json::json!({ "keys": [intruder.jwk(), node.listed[0].jwk()] });
    evil.body = jwks.to_string().into();
    store.store(JWKS, evil.clone());

    let left = node
        .publish(&store, &["--set", "mirror.on-drift=report"])
        .await;
    assert_eq!(left.status.code(), Some(1), "{}", said(&left));
    assert!(
        said(&left).contains("somebody else changed"),
        "{}",
        said(&left)
    );
    assert_eq!(store.object(JWKS).unwrap().body, evil.body);

    let repaired = node.publish(&store, &[]).await;
    assert!(repaired.status.success());
    let lines = said(&repaired);
    let line = lines.lines().find(|line| line.contains("ERROR")).unwrap();
    assert!(line.contains("it is repaired"), "{line}");
    assert!(line.contains(intruder.kid()), "{line}");
    assert_eq!(store.object(JWKS).unwrap().body, good.body);
}

#[tokio::test]
async fn a_dry_run_shows_what_would_change_and_keeps_the_state_out_of_it() {
    let store = S3Server::start().await;
    let node = Node::new("a");
    let run = node.publish(&store, &["--dry-run"]).await;
    assert!(run.status.success());
    let shown = String::from_utf8(run.stdout).unwrap();
    assert!(
        shown.contains("would create .oidc-mirror/state.json"),
        "{shown}"
    );
    assert!(
        shown.contains("+++ s3://example-oidc/prod/openid/v1/jwks"),
        "{shown}"
    );
    assert!(!shown.contains("first-seen"), "{shown}");
    assert!(store.object(DISCOVERY).is_none());
    assert!(store.object(STATE).is_none());
}

const ROUNDS: usize = 200;
