//! `oidc-mirror keys` as the operator calls it: beside a running mirror, and on what it left.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Output,
    slice,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use oidc_mirror::{
    config::settings::Keys,
    demo::SigningKey,
    mirror::Store,
    oidc::{Issuer, KeySet, Kid, Ledger, Listing, Time},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{
    ApiServer, DISCOVERY, JWKS, Reply, jwks, p256,
    s3::{ACCESS_KEY, Denied, REGION, S3Server, SECRET_KEY},
    service::{Plan, Running, eventually},
};

const ISSUER: &str = "https://oidc.example.com/prod";

fn lists(keys: &[&SigningKey]) -> ApiServer {
    ApiServer::listing(ISSUER, keys)
}

/// A running mirror of `servers` that remembers in `directory`.
fn plan(servers: &[&ApiServer], directory: &TempDir) -> Plan {
    Plan::new()
        .mirror(ISSUER, servers)
        .set("mirror.read-back=false")
        .set(&format!("state-dir={}", directory.path().display()))
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oidc-mirror"));
    command.args(arguments).env_clear();
    command.env("HOME", "/nonexistent");
    command
}

async fn run(arguments: &[&str]) -> Output {
    command(arguments).output().await.unwrap()
}

/// `oidc-mirror keys` with these arguments and the settings of `service`.
/// Runs `keys` with these arguments, of which the last ones may be names of keys.
async fn keys(service: &Running, arguments: &[&str]) -> Output {
    let settings = service.plan().arguments();
    let words = match arguments {
        ["revoke", "--undo", ..] => 2,
        ["approve" | "revoke", ..] => 1,
        options => options.len(),
    };
    let (words, names) = arguments.split_at(words);
    // One kid in 64 begins as an option does.
    let names = ["--"].iter().filter(|_| !names.is_empty()).chain(names);
    let arguments: Vec<_> = ["keys"]
        .iter()
        .chain(words)
        .copied()
        .chain(settings.iter().map(String::as_str))
        .chain(names.copied())
        .collect();
    run(&arguments).await
}

#[track_caller]
fn text(output: &Output, code: i32) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    format!("{out}{err}")
}

#[track_caller]
fn rows(output: &Output) -> Vec<Value> {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["mirrors"][0]["keys"].as_array().unwrap().clone()
}

fn row<'a>(rows: &'a [Value], kid: &str) -> Option<&'a Value> {
    rows.iter().find(|row| row["kid"] == kid)
}

/// What is known of `kid` as soon as it stands in `state`.
async fn until(service: &Running, kid: &str, state: &str) -> Value {
    eventually(&format!("{kid} is {state}"), async || {
        let rows = rows(&keys(service, &["--json", "--offline"]).await);
        row(&rows, kid).filter(|row| row["state"] == state).cloned()
    })
    .await
}

#[tokio::test]
async fn a_rotation_is_followed_beside_the_running_mirror() {
    let (old, new) = (p256(), p256());
    let servers = [lists(&[&old]), lists(&[&old])];
    let directory = tempfile::tempdir().unwrap();
    let service = plan(&[&servers[0], &servers[1]], &directory).start().await;
    service.documents_with(ISSUER, &[old.kid()]).await;
    servers[0].set_keys(&[&old, &new]);

    let row = until(&service, new.kid(), "active").await;
    assert_eq!(row["next"]["advice"], "not-public");
    assert_eq!(row["type"], "P-256");
    let url = servers[1].url();
    assert_eq!(row["missing-on"][0]["source"], url.as_str());
    assert_eq!(row["missing-on"].as_array().unwrap().len(), 1);

    servers[0].set_keys(&[&new]);
    servers[1].set_keys(&[&new]);
    let row = until(&service, old.kid(), "retiring").await;
    assert_eq!(row["next"]["advice"], "retires");
    assert!(row["next"]["retires-in-seconds"].as_u64().unwrap() > 86_300);

    // The same for people: the public issuer does not answer here, which is no failure.
    let shown = text(&keys(&service, &[]).await, 0);
    for part in [
        ISSUER,
        "KID",
        "NEXT",
        "retires in 24h",
        "note: it is not known what is public now",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "colours belong on a terminal");
}

#[tokio::test]
async fn a_revoked_key_is_gone_within_seconds_without_a_restart_and_can_come_back() {
    let (leaked, sound) = (p256(), p256());
    let server = lists(&[&leaked, &sound]);
    let directory = tempfile::tempdir().unwrap();
    let service = plan(&[&server], &directory).start().await;
    service
        .documents_with(ISSUER, &[leaked.kid(), sound.kid()])
        .await;
    let row = until(&service, leaked.kid(), "active").await;

    let thumbprint = row["thumbprint"].as_str().unwrap();
    let told = text(&keys(&service, &["revoke", thumbprint]).await, 0);
    for part in [
        "revoked ",
        leaked.kid(),
        "One active key is left",
        "up to 15m",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    service.documents_with(ISSUER, &[sound.kid()]).await;
    until(&service, leaked.kid(), "revoked").await;

    let told = text(&keys(&service, &["revoke", sound.kid()]).await, 0);
    assert!(told.contains("No active key is left"), "{told}");
    service.documents_with(ISSUER, &[]).await;

    let undo = ["revoke", "--undo", thumbprint, sound.kid()];
    text(&keys(&service, &undo).await, 0);
    service
        .documents_with(ISSUER, &[leaked.kid(), sound.kid()])
        .await;
}

#[tokio::test]
async fn a_held_key_is_published_once_it_is_approved() {
    let (old, new) = (p256(), p256());
    let server = lists(&[&old]);
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(&[&server], &directory).set("mirror.admission=hold");
    let service = plan.start().await;
    service.documents_with(ISSUER, &[old.kid()]).await;
    server.set_keys(&[&old, &new]);
    let row = until(&service, new.kid(), "held").await;
    assert_eq!(row["next"]["advice"], "approve");
    assert_eq!(row["published-since"], Value::Null);
    let name = row["thumbprint"].as_str().unwrap();
    let told = text(&keys(&service, &["approve", name]).await, 0);
    assert!(told.contains("approved "), "{told}");
    service
        .documents_with(ISSUER, &[old.kid(), new.kid()])
        .await;
}

#[tokio::test]
async fn what_nobody_knows_is_revoked_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().display().to_string();
    let issuer = ["--issuer", ISSUER, "--state-dir", &root];
    let told = text(
        &run(&[&["keys", "revoke", "unseen"], &issuer[..]].concat()).await,
        0,
    );
    assert!(told.contains("no key of this name is known"), "{told}");
    let decisions = directory.path().join("decisions/default.json");
    assert!(fs::read_to_string(&decisions).unwrap().contains("unseen"));
    // The mirror has a user of its own.
    assert_eq!(
        fs::metadata(&decisions).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let told = text(
        &run(&[&["keys", "approve", "unseen"], &issuer[..]].concat()).await,
        0,
    );
    assert!(
        told.contains("counts more") && told.contains("no effect"),
        "{told}"
    );
}

#[tokio::test]
async fn a_running_mirror_is_asked_without_any_settings() {
    let key = p256();
    let server = lists(&[&key]);
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(&[&server], &directory).set("admin.listen=127.0.0.1:0");
    let service = plan.start().await;
    service.documents_with(ISSUER, &[key.kid()]).await;
    let from = format!("http://{}", service.admin());
    let rows = rows(&run(&["keys", "--offline", "--json", "--from", &from]).await);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["kid"], key.kid());
    assert_eq!(rows[0]["state"], "active");

    // Somebody else answers there.
    let from = format!("http://{}", service.address());
    let told = text(&run(&["keys", "--from", &from]).await, 1);
    assert!(told.contains("could not ask"), "{told}");
}

#[tokio::test]
async fn a_hostile_kid_is_escaped_for_people_and_whole_for_machines() {
    let (key, sound) = (p256(), p256());
    let server = lists(&[&sound]);
    let hostile = "evil\n\u{1b}[31mactive <script>\u{202e}";
    let (own, kept) = (format!("\"{}\"", key.kid()), sound.kid().to_owned());
    let document = jwks(&[key, sound]).replace(&own, &serde_json::to_string(hostile).unwrap());
    server.always(JWKS, Reply::body(document));
    let directory = tempfile::tempdir().unwrap();
    let service = plan(&[&server], &directory).start().await;
    service.documents_with(ISSUER, &[hostile, &kept]).await;
    until(&service, hostile, "active").await;
    let shown = text(&keys(&service, &["--offline"]).await, 0);
    assert_eq!(shown.lines().count(), 4, "{shown}");
    let is_plain = |it: char| it == '\n' || (!it.is_control() && it != '\u{202e}');
    assert!(shown.chars().all(is_plain), "{shown:?}");
    assert!(shown.contains(r"evil\n\u{1b}[31m"), "{shown}");
}

#[tokio::test]
async fn where_nothing_is_to_be_read_the_next_step_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().display().to_string();
    let target = format!("file://{root}/published");
    let issuer = ["keys", "--offline", "--issuer", ISSUER];
    for (arguments, code, part) in [
        (&[][..], 78, "--state-dir or a target (--to)"),
        (&["--state-dir", &root], 1, "--from http://127.0.0.1:9443"),
        (&["--to", &target], 1, "nobody has published to file://"),
        (&["--from", "target"], 78, "has no target"),
        (&["--to", &target, "--from", "s3://other"], 78, &*target),
        (&["--from", "http://127.0.0.1:1"], 1, "[admin] listen"),
        (&["--from", "gs://x"], 2, "the URL of a target"),
    ] {
        let told = text(&run(&[&issuer[..], arguments].concat()).await, code);
        assert!(told.contains(part), "{arguments:?}\n{told}");
    }
    for (arguments, part) in [
        (
            &["keys", "revoke", "a", "--issuer", ISSUER][..],
            "revoked-keys",
        ),
        (&["keys", "approve", "a", "--issuer", ISSUER], "pinned-keys"),
        (
            &[
                "keys",
                "revoke",
                "a",
                "--mirror",
                "b",
                "--issuer",
                ISSUER,
                "--state-dir",
                &root,
            ],
            "no mirror is named \"b\"; there are: default",
        ),
    ] {
        let told = text(&run(arguments).await, 78);
        assert!(told.contains(part), "{arguments:?}\n{told}");
    }
}

/// Runs the binary for the target in `s3`, with credentials.
async fn run_at(s3: &S3Server, arguments: &[&str]) -> Output {
    let endpoint = format!("mirror.target.endpoint={}", s3.url());
    let region = format!("mirror.target.region={REGION}");
    let place = ["--issuer", ISSUER, "--to", "s3://example-oidc/prod"];
    let settings = [&*endpoint, &region, "mirror.read-back=false"];
    let settings = settings.into_iter().flat_map(|it| ["--set", it]);
    command(arguments)
        .args(place)
        .args(settings)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .output()
        .await
        .unwrap()
}

async fn publish(s3: &S3Server, publisher: &str, server: &ApiServer) {
    let url = server.url();
    let ca_file = format!("mirror.ca-file={}", server.ca_file().display());
    let token_file = format!("mirror.token-file={}", server.token_file().display());
    let who = [
        "publish",
        "--publisher",
        publisher,
        "--upstream",
        url.as_str(),
    ];
    let files = ["--set", &ca_file, "--set", &token_file];
    text(&run_at(s3, &[&who[..], &files].concat()).await, 0);
}

#[tokio::test]
async fn a_bucket_tells_of_the_keys_of_all_its_publishers() {
    let (shared, own) = (p256(), p256());
    let s3 = S3Server::start().await;
    publish(&s3, "node-1", &lists(&[&shared])).await;
    publish(&s3, "node-2", &lists(&[&shared, &own])).await;
    for from in [
        &[][..],
        &["--from", "target"],
        &["--from", "s3://example-oidc/prod"],
    ] {
        let output = run_at(&s3, &[&["keys", "--offline", "--json"], from].concat()).await;
        let rows = rows(&output);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let publishers = &answer["mirrors"][0]["publishers"];
        assert_eq!(publishers[0]["name"], "node-1");
        assert_eq!(publishers[1]["name"], "node-2");
        let seen_by = |kid: &str| row(&rows, kid).unwrap()["seen-by"].clone();
        assert_eq!(seen_by(shared.kid()).as_array().unwrap().len(), 2);
        assert_eq!(seen_by(own.kid()).as_array().unwrap().len(), 1);
        assert_eq!(seen_by(own.kid())[0]["publisher"], "node-2");
    }
    let shown = text(&run_at(&s3, &["keys", "--offline"]).await, 0);
    assert!(shown.contains("published by node-1 ("), "{shown}");
    s3.deny(Denied::Get);
    let told = text(&run_at(&s3, &["keys", "--offline"]).await, 1);
    assert!(told.contains("could not read what is known"), "{told}");
}

#[tokio::test]
async fn a_state_that_may_not_be_read_names_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().display().to_string();
    remember(directory.path(), ISSUER, &p256(), 0).await;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o000)).unwrap();
    let arguments = [
        "keys",
        "--offline",
        "--issuer",
        ISSUER,
        "--state-dir",
        &root,
    ];
    let mut command = command(&arguments);
    // Root may read everything.
    if fs::read_dir(directory.path()).is_ok() {
        command.uid(NOBODY);
    }
    let told = text(&command.output().await.unwrap(), 1);
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(
        told.contains("as root or as the user of the service"),
        "{told}"
    );
    assert!(told.contains("Permission denied"), "{told}");
}

#[tokio::test]
async fn what_relying_parties_see_now_decides_whether_a_key_is_safe() {
    let key = p256();
    let public = ApiServer::start();
    public.allow_anonymous();
    let issuer = format!("https://{}", public.address());
    let discovery =
        serde_json::json!({"issuer": issuer, "jwks_uri": format!("{issuer}/openid/v1/jwks")});
    public.always(DISCOVERY, Reply::body(discovery.to_string()));
    public.always(JWKS, Reply::body(jwks(slice::from_ref(&key))));
    let directory = tempfile::tempdir().unwrap();
    remember(directory.path(), &issuer, &key, 3600).await;
    let ask = async || {
        let mut command = command(&["keys", "--json"]);
        command.env("OIDC_MIRROR_ISSUER", &issuer);
        command.env("OIDC_MIRROR_STATE_DIR", directory.path());
        command.env("SSL_CERT_FILE", public.ca_file());
        rows(&command.output().await.unwrap()).remove(0)
    };
    let row = ask().await;
    assert_eq!(
        (&row["next"]["advice"], &row["public-now"]),
        (&"safe".into(), &true.into())
    );
    public.always(JWKS, Reply::body(jwks(&[p256()])));
    let row = ask().await;
    assert_eq!(
        (&row["next"]["advice"], &row["public-now"]),
        (&"not-public".into(), &false.into())
    );
    public.always(JWKS, Reply::late(Duration::from_secs(60)));
    let row = ask().await;
    assert_eq!(
        (&row["next"]["advice"], &row["public-now"]),
        (&"safe".into(), &Value::Null)
    );
}

/// Leaves the state of a mirror that saw `key` in public so many seconds ago.
#[expect(clippy::disallowed_methods, reason = "the binary has no other clock")]
async fn remember(root: &Path, issuer: &str, key: &SigningKey, seconds: u64) {
    let now = Time::after_epoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
    let (keys, _) = KeySet::parse(jwks(slice::from_ref(key)).as_bytes()).unwrap();
    let round = [Listing {
        source: "https://10.0.0.11:6443/".to_owned(),
        is_file: false,
        keys: Some(keys),
    }];
    let policy = Keys::default().policy;
    let (ledger, _) = Ledger::default().step(&round, &policy, now).unwrap();
    let kids = [Kid::parse(key.kid()).unwrap()].into();
    let ledger = ledger.seen_in_public(&kids, now - Duration::from_secs(seconds));
    let issuer = Issuer::parse(issuer).unwrap();
    let mut store = Store::new(root, "default", &issuer);
    store.save(ledger).await.unwrap();
}

/// A user who owns nothing.
const NOBODY: u32 = 65534;
