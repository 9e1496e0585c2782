//! What a mirror remembers: over restarts, kills, full disks and damaged files.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use http::StatusCode;
use oidc_mirror::{
    demo::SigningKey,
    mirror::Store,
    oidc::{Issuer, Ledger},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{process::Command, time::sleep};

use crate::support::{
    ApiServer, JWKS, Reply, p256,
    process::Process,
    s3::{ACCESS_KEY, BUCKET, REGION, S3Server, SECRET_KEY},
    service::{Documents, Plan, eventually},
};

const ISSUER: &str = "https://oidc.example.com";

/// A mirror of one API server that polls every second and remembers what it sees.
struct Scene {
    server: ApiServer,
    directory: TempDir,
    plan: Plan,
}

impl Scene {
    fn new(keys: &[SigningKey]) -> Self {
        let server = ApiServer::listing(ISSUER, keys);
        let directory = tempfile::tempdir().unwrap();
        let state_dir = directory.path().join("state");
        let plan = Plan::new()
            .mirror(ISSUER, &[&server])
            .set("mirror.poll-interval=1s")
            .set("mirror.timeout=1s")
            .set("mirror.read-back=false")
            .set(&format!("state-dir={}", state_dir.display()));
        Self {
            server,
            directory,
            plan,
        }
    }

    fn set(mut self, setting: &str) -> Self {
        self.plan = self.plan.set(setting);
        self
    }

    fn state_dir(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn file(&self) -> PathBuf {
        self.state_dir().join("mirror-0.json")
    }

    fn saved(&self) -> Option<Ledger> {
        let issuer = Issuer::parse(ISSUER).unwrap();
        Store::new(&self.state_dir(), "mirror-0", &issuer)
            .load()
            .unwrap()
    }

    fn saved_kids(&self) -> BTreeSet<String> {
        let ledger = self.saved().unwrap_or_default();
        let published = ledger.keys().iter().filter(|record| record.is_published());
        published
            .map(|record| record.key.kid().as_str().to_owned())
            .collect()
    }

    async fn run(&self) -> Process {
        Process::run(&self.plan).await
    }

    async fn documents(&self, process: &Process) -> Documents {
        eventually("the documents are there", async || {
            self.present(process).await
        })
        .await
    }

    async fn present(&self, process: &Process) -> Option<Documents> {
        let issuer = Issuer::parse(ISSUER).unwrap();
        let discovery = process.get(&self.plan, &issuer.discovery_url()).await;
        let jwks = process.get(&self.plan, &issuer.jwks_url()).await;
        let found = [&discovery, &jwks].map(|answer| answer.status == StatusCode::OK);
        (found == [true; 2]).then_some(Documents { discovery, jwks })
    }

    /// The API server answers nothing from now on.
    fn fall_silent(&self) {
        self.server.always(JWKS, Reply::status(500, ""));
    }
}

fn files(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn after_a_restart_with_every_upstream_down_the_last_documents_are_there_at_once() {
    let (gone, present) = (p256(), p256());
    let scene = Scene::new(&[gone.clone(), present.clone()]);
    let mut process = scene.run().await;
    scene.documents(&process).await;
    // One key is already on its way out when the process ends.
    scene.server.set_keys(std::slice::from_ref(&present));
    process.logged("a key is gone from every API server").await;
    let before = eventually("it is last", async || {
        let documents = scene.documents(&process).await;
        (documents.kids() == [present.kid(), gone.kid()]).then_some(documents)
    })
    .await;
    process.signal("TERM").await;
    assert!(process.ended().await.success());

    scene.fall_silent();
    let process = scene.run().await;
    // The first question of the first client, without waiting for anything.
    let after = scene
        .present(&process)
        .await
        .expect("the documents are there at once");
    assert!(after == before);
    process.notified("READY=1").await;
}

#[tokio::test]
async fn a_key_that_retires_stays_as_long_as_it_was_watched_and_goes_then() {
    let (gone, present) = (p256(), p256());
    let scene = Scene::new(&[gone.clone(), present.clone()]).set("mirror.retain-keys=3s");
    let process = scene.run().await;
    scene.documents(&process).await;
    scene.server.set_keys(std::slice::from_ref(&present));
    process.logged("a key is retired").await;
    // What the log says is on disk before it is served.
    eventually("the key is not served any more", async || {
        let documents = scene.documents(&process).await;
        (documents.kids() == [present.kid()]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn documents_that_are_too_old_are_withheld_where_that_is_wanted() {
    let scene = Scene::new(&[p256()]).set("mirror.max-stale=2s");
    let process = scene.run().await;
    scene.documents(&process).await;
    scene.fall_silent();
    process.logged("the documents are withheld").await;
    let answer = process
        .get(&scene.plan, &format!("{ISSUER}/openid/v1/jwks"))
        .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    scene.server.behave();
    process.logged("the documents are fresh again").await;
    scene.documents(&process).await;
}

#[tokio::test]
async fn two_processes_do_not_share_a_state_directory() {
    let scene = Scene::new(&[p256()]);
    let first = scene.run().await;
    let second = Command::new(env!("CARGO_BIN_EXE_oidc-mirror"))
        .arg("run")
        .args(scene.plan.arguments())
        .env_clear()
        .output()
        .await
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(
        said.contains("another process uses the state directory"),
        "{said}"
    );
    scene.documents(&first).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_kept_aside_and_stops_nothing() {
    let key = p256();
    let scene = Scene::new(std::slice::from_ref(&key));
    let mut process = scene.run().await;
    scene.documents(&process).await;
    process.signal("TERM").await;
    process.ended().await;
    let good: Value = serde_json::from_slice(&fs::read(scene.file()).unwrap()).unwrap();
    let text = good.to_string();
    let changed = |pointer: &str, value: Value| {
        let mut saved = good.clone();
        *saved.pointer_mut(pointer).unwrap() = value;
        saved.to_string()
    };
    let mut leaked = good.clone();
    leaked["ledger"]["keys"][0]["jwk"]["d"] = json!("SECRET");
    for (content, expected) in [
        (String::new(), "is damaged"),
        (text.split_at(text.len() / 2).0.to_owned(), "is damaged"),
        ("\0".repeat(4096), "is damaged"),
        (
            text.replace("\"version\":1", "\"version\":1,\"version\":1"),
            "is damaged",
        ),
        (leaked.to_string(), "is damaged"),
        (changed("/ledger/keys/0/jwk/x", json!("AAAA")), "is damaged"),
        (changed("/version", json!(2)), "has the format 2"),
        (
            changed("/issuer", json!("https://other")),
            "is of the issuer https://other",
        ),
    ] {
        fs::write(scene.file(), &content).unwrap();
        let mut process = scene.run().await;
        let documents = scene.documents(&process).await;
        assert_eq!(documents.kids(), [key.kid()]);
        let line = process.logged("the saved state cannot be used").await;
        assert!(
            line.contains(expected) && !line.contains("SECRET"),
            "{line}"
        );
        let (_, kept) = line.split_once("kept=").unwrap();
        let kept = kept.split(' ').next().unwrap().trim_matches('"');
        assert_eq!(fs::read_to_string(kept).unwrap(), content);
        fs::remove_file(kept).unwrap();
        process.signal("TERM").await;
        assert!(process.ended().await.success());
        assert_eq!(scene.saved_kids(), [key.kid().to_owned()].into());
    }
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_is_said_and_stops_nothing() {
    let scene = Scene::new(&[p256()]);
    fs::write(scene.state_dir(), "a file in the way").unwrap();
    let process = scene.run().await;
    scene.documents(&process).await;
    process.logged("the state is not saved").await;
    fs::remove_file(scene.state_dir()).unwrap();
    process.logged("the state can be saved again").await;
    assert_eq!(scene.saved_kids().len(), 1);
}

#[tokio::test]
async fn a_full_disk_is_said_and_stops_nothing() {
    let scene = Scene::new(&[p256()]);
    // No file may grow: to a process that is what a full disk is.
    let mut shell = Command::new("sh");
    let script = r#"trap '' XFSZ; ulimit -S -f 0; exec "$0" "$@""#;
    shell.args(["-c", script, env!("CARGO_BIN_EXE_oidc-mirror")]);
    let process = Process::run_with(shell, &scene.plan).await;
    scene.documents(&process).await;
    let line = process.logged("the state is not saved").await;
    assert!(line.contains("mirror-0.json"), "{line}");
    assert_eq!(scene.saved(), None);
    let left: Vec<_> = files(&scene.state_dir())
        .into_iter()
        .filter(|it| it.starts_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let id = process.id().to_string();
    let freed = Command::new("prlimit")
        .args(["--pid", &id, "--fsize=unlimited"])
        .status()
        .await;
    assert!(freed.unwrap().success());
    process.logged("the state can be saved again").await;
    assert_eq!(scene.saved_kids().len(), 1);
}

#[tokio::test]
async fn a_job_that_reaches_no_api_server_fails_although_it_remembers() {
    let scene = Scene::new(&[p256()]);
    let root = scene.directory.path().join("published");
    let publish = async || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oidc-mirror"));
        command.arg("publish").args(scene.plan.arguments());
        command.args(["--to", &format!("file://{}", root.display())]);
        command.env_clear().output().await.unwrap()
    };
    assert!(publish().await.status.success());
    let published = fs::read(root.join("openid/v1/jwks")).unwrap();
    scene.fall_silent();
    let failed = publish().await;
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8(failed.stderr).unwrap();
    assert!(said.contains("no API server"), "{said}");
    assert_eq!(fs::read(root.join("openid/v1/jwks")).unwrap(), published);
}

#[tokio::test]
async fn no_key_is_lost_in_three_hundred_kills() {
    let mut rng = fastrand::Rng::with_seed(9);
    let store = S3Server::start().await;
    let mut keys = vec![p256()];
    let scene = Scene::new(&keys)
        .set(&format!("mirror.target.url=s3://{BUCKET}"))
        .set(&format!("mirror.target.endpoint={}", store.url()))
        .set(&format!("mirror.target.region={REGION}"));
    let (mut saved, mut published, mut as_of) = (BTreeSet::new(), BTreeSet::new(), None);
    let (mut saves, mut publishes) = (0, 0);
    for kill in 0..KILLS {
        if rng.u8(..4) == 0 && saved.len() < 90 {
            keys = vec![keys[keys.len() - 1].clone(), p256()];
            scene.server.set_keys(&keys);
        }
        let mut process = Command::new(env!("CARGO_BIN_EXE_oidc-mirror"))
            .arg("run")
            .args(scene.plan.arguments())
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // A random moment: while starting, while saving, while publishing, or at rest.
        sleep(Duration::from_millis(rng.u64(..250))).await;
        process.kill().await.unwrap();
        let before = (saved, published);
        // It loads, or was not yet written.
        (saved, published) = (scene.saved_kids(), store.kids("openid/v1/jwks"));
        let lost: Vec<_> = before.0.difference(&saved).collect();
        assert!(lost.is_empty(), "kill {kill}: the state lost {lost:?}");
        let lost: Vec<_> = before.1.difference(&published).collect();
        assert!(lost.is_empty(), "kill {kill}: the bucket lost {lost:?}");
        let unknown: Vec<_> = published.difference(&saved).collect();
        assert!(
            unknown.is_empty(),
            "kill {kill}: published before saved: {unknown:?}"
        );
        let now = scene.saved().map(|ledger| ledger.as_of);
        saves += u32::from(now != as_of);
        as_of = now;
        publishes += u32::from(published != before.1);
    }
    assert!(saves > KILLS / 10, "only {saves} lives saved anything");
    assert!(
        publishes > 5,
        "only {publishes} lives published anything new"
    );
}

const KILLS: u32 = 300;
