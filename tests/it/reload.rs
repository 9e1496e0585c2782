//! SIGHUP: a changed configuration is applied to the running mirror, a bad one is refused.

use std::{fs, path::PathBuf, time::Duration};

use http::StatusCode;
use oidc_mirror::demo::SigningKey;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, time::sleep};

use crate::support::{
    ApiServer, p256,
    process::Process,
    service::{Plan, eventually},
};

const ISSUER: &str = "https://oidc.example.com/prod";
const OTHER: &str = "https://oidc.example.com/other";

/// A mirror whose configuration is a file.
struct Scene {
    server: ApiServer,
    directory: TempDir,
    plan: Plan,
}

impl Scene {
    fn new(keys: &[SigningKey]) -> Self {
        let server = ApiServer::listing(ISSUER, keys);
        let scene = Self {
            server,
            directory: tempfile::tempdir().unwrap(),
            plan: Plan::new().mirror(ISSUER, &[]),
        };
        scene.write("");
        let file = scene.file();
        Self {
            plan: scene.plan.configured_by(&file),
            ..scene
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("mirror.toml")
    }

    /// Writes the configuration with these settings of the mirror.
    fn write(&self, more: &str) {
        let [ca, token] = [self.server.ca_file(), self.server.token_file()];
        let text = format!(
            "[[mirror]]\nname = 'prod'\nissuer = '{ISSUER}'\nupstreams = ['{}']\nca-file = '{}'\n\
             token-file = '{}'\npoll-interval = '1s'\nread-back = false\n{more}\n",
            self.server.url(),
            ca.display(),
            token.display(),
        );
        fs::write(self.file(), text).unwrap();
    }

    async fn kids(&self, process: &Process) -> Vec<String> {
        let jwks = process
            .get(&self.plan, &format!("{ISSUER}/openid/v1/jwks"))
            .await;
        assert_eq!(jwks.status, StatusCode::OK);
        let jwks: serde_json::Value = serde_json::from_slice(&jwks.body).unwrap();
        let keys = jwks["keys"].as_array().unwrap();
        keys.iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test]
async fn a_changed_configuration_is_applied_without_an_answer_being_missed() {
    let (gone, present) = (p256(), p256());
    let scene = Scene::new(&[gone.clone(), present.clone()]);
    let process = Process::run(&scene.plan).await;
    process.notified("READY=1").await;
    // A key that only memory knows: nothing is kept on disk here.
    scene.server.set_keys(std::slice::from_ref(&present));
    process.logged("a key is gone from every API server").await;

    // Somebody asks all the time, each time on a connection of its own.
    let asking = async {
        loop {
            let kids = scene.kids(&process).await;
            assert!(kids.contains(&present.kid().to_owned()));
        }
    };
    let reloading = async {
        let revoked = format!("revoked-keys = ['{}']", gone.kid());
        for (settings, expected) in [
            (
                "cache-control = 'max-age=7'".to_owned(),
                vec![present.kid(), gone.kid()],
            ),
            (revoked, vec![present.kid()]),
            (String::new(), vec![present.kid()]),
        ] {
            scene.write(&settings);
            process.signal("HUP").await;
            process.notified("RELOADING=1").await;
            process.notified("READY=1").await;
            assert_eq!(scene.kids(&process).await, expected, "{settings}");
        }
        sleep(Duration::from_millis(50)).await;
    };
    tokio::select! {
        () = reloading => {}
        () = asking => {}
    }
    let applied = process
        .log()
        .into_iter()
        .filter(|line| line.contains("is in use"));
    assert_eq!(applied.count(), 3);
}

#[tokio::test]
async fn a_bad_configuration_is_refused_with_its_reason_and_the_old_one_stays() {
    let key = p256();
    let scene = Scene::new(std::slice::from_ref(&key));
    let process = Process::run(&scene.plan).await;
    process.notified("READY=1").await;
    let other_mirror = format!(
        "[[mirror]]\nname = 'other'\nissuer = '{OTHER}'\nupstreams = ['https://127.0.0.1:1']\n\
         token-file = '/no/such/token'"
    );
    for (settings, expected) in [
        ("pol-interval = '1s'", "unknown field"),
        ("max-stale = 'soon'", "a duration is written"),
        ("upstreams = ['http://127.0.0.1']", "duplicate key"),
        (&other_mirror, "/no/such/token"),
        ("[admin]\nlisten = '127.0.0.1:0'", "only with a restart"),
    ] {
        scene.write(settings);
        let before = process.log().len();
        process.signal("HUP").await;
        let line = eventually("it is refused", async || {
            let log = process.log();
            let line = log[before..]
                .iter()
                .find(|line| line.contains("is refused"));
            line.cloned()
        })
        .await;
        assert!(line.contains(expected), "{line}");
        assert_eq!(scene.kids(&process).await, [key.kid()]);
    }
}

#[tokio::test]
async fn a_mirror_and_an_address_come_and_go_with_the_configuration() {
    let key = p256();
    let scene = Scene::new(std::slice::from_ref(&key));
    let process = Process::run(&scene.plan).await;
    process.notified("READY=1").await;
    let jwks = format!("{OTHER}/openid/v1/jwks");
    assert_eq!(
        process.get(&scene.plan, &jwks).await.status,
        StatusCode::NOT_FOUND
    );
    let [ca, token] = [scene.server.ca_file(), scene.server.token_file()];
    scene.write(&format!(
        "[[mirror]]\nname = 'other'\nissuer = '{OTHER}'\nupstreams = ['{}']\nca-file = '{}'\n\
         token-file = '{}'\nread-back = false",
        scene.server.url(),
        ca.display(),
        token.display(),
    ));
    process.signal("HUP").await;
    eventually("the other issuer is served", async || {
        let answer = process.get(&scene.plan, &jwks).await;
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    scene.write("");
    process.signal("HUP").await;
    eventually("the other issuer is gone", async || {
        let answer = process.get(&scene.plan, &jwks).await;
        (answer.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_in_flight_outlives_a_reload() {
    let key = p256();
    let scene = Scene::new(std::slice::from_ref(&key));
    let process = Process::run(&scene.plan).await;
    process.notified("READY=1").await;
    let mut stream = scene.plan.connect(process.address).await;
    stream
        .write_all(b"GET /prod/openid/v1/jwks HTTP/1.1\r\nhost: ")
        .await
        .unwrap();
    stream.flush().await.unwrap();
    scene.write("cache-control = 'max-age=7'");
    process.signal("HUP").await;
    process.logged("is in use").await;
    stream
        .write_all(b"oidc.example.com\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    stream.flush().await.unwrap();
    let mut answer = String::new();
    _ = tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}
