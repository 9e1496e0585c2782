//! Publishing to a bucket and to a directory.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, error::CredentialsError, future},
};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use oidc_mirror::{
    Report,
    config::{
        Override,
        settings::{Encryption, Mirror, S3Target, Settings, Target},
    },
    oidc::{KeySet, Ledger, Listing, MAX_DOCUMENT_BYTES, Snapshot, Time},
    publish::{Change, Name, PublishError, Publisher, SharedCredentialsProvider, Standing},
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::support::s3::{
    ACCESS_KEY, BUCKET, Denied, Fault, REGION, Recorded, S3Server, SECRET_KEY, Stored, WrongRegion,
};

const JWKS: &str = "openid/v1/jwks";
const DISCOVERY: &str = ".well-known/openid-configuration";
const STATE: &str = ".oidc-mirror/state.json";

// What a publisher is made of, and what it publishes.

/// A mirror whose documents are published under this issuer.
fn mirror() -> Mirror {
    let settings = Settings::load(
        None,
        &[
            Override::flag("", "mirror.issuer", "https://oidc.example.com/prod"),
            Override::flag("", "mirror.jwks-content-type", "application/jwk-set+json"),
        ],
    );
    settings.unwrap().mirrors.remove(0)
}

fn target(server: &S3Server) -> S3Target {
    S3Target {
        bucket: BUCKET.to_owned(),
        prefix: "prod".to_owned(),
        region: Some(REGION.to_owned()),
        endpoint: Some(server.url().clone()),
        ca_file: None,
        path_style: false,
        profile: None,
        encryption: Encryption::Aes256,
    }
}

fn credentials(secret: &str) -> Credentials {
    Credentials::new(ACCESS_KEY, secret, None, None, "test")
}

async fn open(target: S3Target) -> Publisher {
    open_as(target, credentials(SECRET_KEY)).await
}

async fn open_as(target: S3Target, who: impl ProvideCredentials + 'static) -> Publisher {
    let who = Some(SharedCredentialsProvider::new(who));
    let target = Target::S3(target);
    Publisher::open_with(&target, &mirror(), "one", who)
        .await
        .unwrap()
}

/// A publisher that looks at the target so often.
async fn open_every(interval: Duration, server: &S3Server) -> Publisher {
    let mut mirror = mirror();
    mirror.upkeep.reconcile_interval = interval;
    let who = Some(SharedCredentialsProvider::new(credentials(SECRET_KEY)));
    let target = Target::S3(target(server));
    Publisher::open_with(&target, &mirror, "one", who)
        .await
        .unwrap()
}

async fn directory(root: &Path) -> Publisher {
    let target = Target::Directory(root.to_owned());
    Publisher::open(&target, &mirror(), "one").await.unwrap()
}

/// Publishes, and says which documents that changed.
async fn publish(
    publisher: &mut Publisher,
    snapshot: &Arc<Snapshot>,
) -> Result<Vec<Change>, PublishError> {
    let mut outcome = publisher.publish(snapshot).await?;
    outcome.changes.retain(|change| change.name != Name::State);
    Ok(outcome.changes)
}

fn snapshot(kids: &[&str], complete: bool) -> Arc<Snapshot> {
    // The seconds since 1970: each snapshot is later than the one before.
    static CLOCK: AtomicU64 = AtomicU64::new(1);
    static JWK: LazyLock<Value> = LazyLock::new(|| {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "x": x, "y": y})
    });
    let jwks: Vec<_> = kids
        .iter()
        .map(|kid| {
            let mut jwk = JWK.clone();
            jwk["kid"] = json!(kid);
            jwk
        })
        .collect();
    let (keys, _) = KeySet::parse(json!({ "keys": jwks }).to_string().as_bytes()).unwrap();
    let mirror = mirror();
    let listing = |source: &str, answers: bool| Listing {
        source: source.to_owned(),
        is_file: false,
        keys: answers.then(|| keys.clone()),
    };
    let round = [
        listing("https://10.0.0.1/", true),
        listing("https://10.0.0.2/", complete),
    ];
    let now = Time::after_epoch(Duration::from_secs(CLOCK.fetch_add(1, Relaxed)));
    let stepped = Ledger::default().step(&round, &mirror.keys.policy, now);
    let (ledger, _) = stepped.unwrap();
    Arc::new(Snapshot::render(&mirror.issuer, keys, &[], ledger))
}

fn shown(changes: &[Change]) -> Vec<String> {
    changes.iter().map(Change::to_string).collect()
}

/// The reason and the whole message, which must repeat nothing of an answer but codes.
fn failure(error: &PublishError) -> (&'static str, String) {
    let message = Report(error).to_string();
    assert!(!message.contains("SECRET"), "{message}");
    (error.reason(), message)
}

#[track_caller]
fn assert_failure(error: &PublishError, reason: &str, parts: &[&str]) {
    let (actual, message) = failure(error);
    assert_eq!(actual, reason, "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

// A bucket: what is asked of it.

#[tokio::test]
async fn the_state_is_put_before_the_keys_and_those_before_the_discovery_document() {
    let server = S3Server::start().await;
    let mut publisher = open(target(&server)).await;
    let changes = publisher
        .publish(&snapshot(&["a"], true))
        .await
        .unwrap()
        .changes;
    assert_eq!(
        shown(&changes),
        [
            "create .oidc-mirror/state.json",
            "create openid/v1/jwks",
            "create .well-known/openid-configuration"
        ]
    );
    let [state, jwks, discovery] =
        [STATE, JWKS, DISCOVERY].map(|it| format!("/example-oidc/prod/{it}"));
    let put = |path: &str| format!("PUT {path}");
    let get = |path: &str| format!("GET {path}");
    assert_eq!(
        server.take_log(),
        [
            get(&jwks),
            get(&discovery),
            // Last, so that no later state goes with earlier documents.
            get(&state),
            put(&state),
            // Whether the store heeds conditions: as quoted, and as bare tag.
            put(&state),
            put(&state),
            put(&jwks),
            put(&discovery),
        ]
    );
}

#[tokio::test]
async fn what_is_put_carries_its_metadata_and_nothing_that_stores_refuse() {
    let server = S3Server::start().await;
    let snapshot = snapshot(&["a"], true);
    publish(&mut open(target(&server)).await, &snapshot)
        .await
        .unwrap();

    let jwks = server.object("prod/openid/v1/jwks").unwrap();
    assert!(jwks.body.starts_with(&snapshot.jwks.body));
    assert_eq!(jwks.content_type.unwrap(), "application/jwk-set+json");
    assert_eq!(jwks.cache_control.unwrap(), "public, max-age=60");
    let discovery = server
        .object("prod/.well-known/openid-configuration")
        .unwrap();
    assert!(discovery.body.starts_with(&snapshot.discovery.body));
    assert_eq!(discovery.content_type.unwrap(), "application/json");

    let puts: Vec<_> = server
        .log()
        .into_iter()
        .filter(|request| request.method == "PUT")
        .collect();
    assert_eq!(puts.len(), 5);
    for put in puts {
        assert_eq!(put.headers["x-amz-server-side-encryption"], "AES256");
        assert!(put.headers.contains_key("content-length"));
        for header in put.headers.keys() {
            let header = header.as_str();
            let refused = ["x-amz-acl", "x-amz-trailer", "content-encoding"];
            assert!(!refused.contains(&header), "{header}");
            assert!(!header.starts_with("x-amz-grant"), "{header}");
            assert!(!header.starts_with("x-amz-checksum"), "{header}");
            assert!(!header.starts_with("x-amz-sdk-checksum"), "{header}");
        }
    }
}

#[tokio::test]
async fn no_encryption_is_asked_for_when_the_bucket_decides() {
    let server = S3Server::start().await;
    let mut target = target(&server);
    target.encryption = Encryption::BucketDefault;
    let snapshot = snapshot(&["a"], true);
    publish(&mut open(target).await, &snapshot).await.unwrap();
    let asked = |request: &Recorded| request.headers.contains_key("x-amz-server-side-encryption");
    assert!(!server.log().iter().any(asked));
}

#[tokio::test]
async fn nothing_is_written_when_equal() {
    let server = S3Server::start().await;
    let snapshot = snapshot(&["a"], true);
    publish(&mut open(target(&server)).await, &snapshot)
        .await
        .unwrap();
    server.take_log();
    // Another process, which knows nothing of the first.
    let changes = publish(&mut open(target(&server)).await, &snapshot).await;
    assert_eq!(changes.unwrap(), []);
    let log = server.take_log();
    assert_eq!(log.len(), 3, "{log:?}");
    assert!(log.iter().all(|request| request.starts_with("GET")));
}

#[tokio::test]
async fn both_documents_are_rewritten_when_a_key_comes() {
    let server = S3Server::start().await;
    let mut publisher = open(target(&server)).await;
    publish(&mut publisher, &snapshot(&["a"], true))
        .await
        .unwrap();
    let changes = publish(&mut publisher, &snapshot(&["a", "b"], true))
        .await
        .unwrap();
    // The same algorithms, made from another state: the ETag fences off who knows only the old one.
    let [jwks, discovery] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    assert_eq!(discovery.name, Name::Discovery);
    let Standing::Present(before) = &discovery.found else {
        panic!("{discovery:?}")
    };
    assert_eq!(before.body.trim_ascii(), discovery.wanted.body.trim_ascii());
    assert_ne!(before.body, discovery.wanted.body);
    assert_eq!(jwks.name, Name::Jwks);
}

#[tokio::test]
async fn other_metadata_is_rewritten() {
    let server = S3Server::start().await;
    let snapshot = snapshot(&["a"], true);
    let mut publisher = open(target(&server)).await;
    publish(&mut publisher, &snapshot).await.unwrap();
    let key = "prod/openid/v1/jwks";
    let mut object = server.object(key).unwrap();
    object.content_type = Some("binary/octet-stream".to_owned());
    server.store(key, object);
    let changes = publish(&mut publisher, &snapshot).await.unwrap();
    assert_eq!(shown(&changes), ["replace openid/v1/jwks"]);
    let content_type = server.object(key).unwrap().content_type;
    assert_eq!(content_type.as_deref(), Some("application/jwk-set+json"));
}

#[tokio::test]
async fn comparing_writes_nothing() {
    let server = S3Server::start().await;
    let publisher = open(target(&server)).await;
    let changes = publisher.compare(&snapshot(&["a"], true)).await.unwrap();
    assert_eq!(changes.len(), 3);
    assert!(server.log().iter().all(|request| request.method == "GET"));
}

#[tokio::test]
async fn without_prefix_the_documents_stand_at_the_root_of_the_bucket() {
    let server = S3Server::start().await;
    let mut target = target(&server);
    target.prefix = String::new();
    let mut publisher = open(target).await;
    assert_eq!(publisher.to_string(), "s3://example-oidc");
    publish(&mut publisher, &snapshot(&["a"], true))
        .await
        .unwrap();
    assert!(server.object(JWKS).is_some());
    assert!(server.object(DISCOVERY).is_some());
}

#[tokio::test]
async fn path_style_puts_the_bucket_into_the_path() {
    let server = S3Server::start().await;
    let mut target = target(&server);
    // For an address the SDK does so anyway.
    let mut endpoint = server.url().clone();
    endpoint.set_host(Some("localhost")).unwrap();
    target.endpoint = Some(endpoint);
    target.path_style = true;
    let mut publisher = open(target).await;
    publish(&mut publisher, &snapshot(&["a"], true))
        .await
        .unwrap();
    assert!(server.object("prod/openid/v1/jwks").is_some());
}

#[tokio::test]
async fn a_key_that_is_gone_stays_published_while_tokens_may_need_it() {
    let server = S3Server::start().await;
    let old = snapshot(&["a"], true);
    publish(&mut open(target(&server)).await, &old)
        .await
        .unwrap();
    // Another run, which has never seen the key.
    for complete in [false, true] {
        let new = snapshot(&["b"], complete);
        let outcome = open(target(&server)).await.publish(&new).await.unwrap();
        assert_eq!(outcome.published.keys.len(), 2);
    }
    let published = server.object("prod/openid/v1/jwks").unwrap().body;
    let both = snapshot(&["b", "a"], true);
    assert!(published.starts_with(&both.jwks.body));
}

#[tokio::test]
async fn anyone_can_read_what_was_published() {
    let server = S3Server::start().await;
    let snapshot = snapshot(&["a"], true);
    publish(&mut open(target(&server)).await, &snapshot)
        .await
        .unwrap();
    let url = format!("{}{BUCKET}/prod/{JWKS}", server.url());
    // Several tests may do so; the first wins.
    _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let response = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap()
        .get(url)
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["cache-control"], "public, max-age=60");
    let body = response.bytes().await.unwrap();
    assert!(body.starts_with(&snapshot.jwks.body));
}

// A bucket: what goes wrong.

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_named() {
    let server = S3Server::start().await;
    let mut target = target(&server);
    target.bucket = "nowhere".to_owned();
    let error = publish(&mut open(target).await, &snapshot(&["a"], true)).await;
    let parts = [r#"bucket "nowhere" does not exist"#, "http://127.0.0.1"];
    assert_failure(&error.unwrap_err(), "bucket-missing", &parts);
}

#[tokio::test]
async fn a_denied_write_names_the_object_and_the_policy() {
    let server = S3Server::start().await;
    server.deny(Denied::Put);
    let mut publisher = open(target(&server)).await;
    let error = publish(&mut publisher, &snapshot(&["a"], true)).await;
    let parts = [
        "write s3://example-oidc/prod/.oidc-mirror/state.json",
        "s3:GetObject and s3:PutObject",
    ];
    assert_failure(&error.unwrap_err(), "access-denied", &parts);
    assert!(server.object("prod/openid/v1/jwks").is_none());
}

#[tokio::test]
async fn a_missing_key_that_looks_denied_is_written() {
    let server = S3Server::start().await;
    server.deny(Denied::List);
    let mut publisher = open(target(&server)).await;
    let snapshot = snapshot(&["a"], true);
    publish(&mut publisher, &snapshot).await.unwrap();
    assert_eq!(publish(&mut publisher, &snapshot).await.unwrap(), []);
}

#[tokio::test]
async fn what_may_not_be_read_is_not_overwritten() {
    let server = S3Server::start().await;
    let one = snapshot(&["a"], true);
    publish(&mut open(target(&server)).await, &one)
        .await
        .unwrap();
    let before = server.object("prod/.oidc-mirror/state.json").unwrap().body;
    server.deny(Denied::Get);
    let error = publish(&mut open(target(&server)).await, &snapshot(&["b"], true)).await;
    let parts = [
        ".oidc-mirror/state.json is there",
        "allow reading it (s3:GetObject)",
    ];
    assert_failure(&error.unwrap_err(), "refused", &parts);
    assert_eq!(
        server.object("prod/.oidc-mirror/state.json").unwrap().body,
        before
    );
    let error = publish(&mut open(target(&server)).await, &snapshot(&["a"], false)).await;
    assert_failure(&error.unwrap_err(), "refused", &["s3:ListBucket"]);
}

#[tokio::test]
async fn who_may_write_and_not_read_is_told_so() {
    let server = S3Server::start().await;
    server.deny(Denied::Get);
    let error = publish(&mut open(target(&server)).await, &snapshot(&["a"], true)).await;
    assert_failure(&error.unwrap_err(), "refused", &["s3:GetObject"]);
}

#[tokio::test]
async fn the_right_region_is_named_when_the_store_says_it() {
    let server = S3Server::start().await;
    let mut target = target(&server);
    target.region = Some("us-west-2".to_owned());
    let mut publisher = open(target).await;
    for how in [WrongRegion::Malformed, WrongRegion::Redirect] {
        server.answer_other_regions(how);
        let error = publish(&mut publisher, &snapshot(&["a"], true)).await;
        let parts = [
            "s3://example-oidc/prod is not in region us-west-2",
            r#"set `region = "eu-central-1"`"#,
        ];
        assert_failure(&error.unwrap_err(), "region-wrong", &parts);
    }
}

#[tokio::test]
async fn without_credentials_the_places_looked_at_are_named() {
    #[derive(Debug)]
    struct Nothing;
    impl ProvideCredentials for Nothing {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("nothing")))
        }
    }
    let server = S3Server::start().await;
    let mut publisher = open_as(target(&server), Nothing).await;
    let error = publish(&mut publisher, &snapshot(&["a"], true)).await;
    let parts = [
        "AWS_ACCESS_KEY_ID",
        "~/.aws/credentials",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "instance metadata",
    ];
    assert_failure(&error.unwrap_err(), "credentials-missing", &parts);
    assert_eq!(server.take_log(), [""; 0]);
}

#[tokio::test]
async fn a_profile_that_does_not_exist_is_named() {
    let server = S3Server::start().await;
    let mut target = target(&server);
    target.profile = Some("no-such-profile".to_owned());
    let publisher = Publisher::open(&Target::S3(target), &mirror(), "one").await;
    let error = publish(&mut publisher.unwrap(), &snapshot(&["a"], true)).await;
    let parts = [r#"profile "no-such-profile""#, "~/.aws/credentials"];
    assert_failure(&error.unwrap_err(), "credentials-missing", &parts);
}

#[tokio::test]
async fn a_wrong_secret_is_not_taken_for_a_denied_key() {
    let server = S3Server::start().await;
    let mut publisher = open_as(target(&server), credentials("wrong")).await;
    let error = publish(&mut publisher, &snapshot(&["a"], true)).await;
    let parts = ["SignatureDoesNotMatch", "secret key"];
    assert_failure(&error.unwrap_err(), "credentials-refused", &parts);
    let log = server.take_log();
    assert!(log.iter().all(|line| line.starts_with("GET")), "{log:?}");
}

#[tokio::test]
async fn a_store_that_is_busy_is_asked_again() {
    for fault in [
        Fault::Status(503, "SlowDown"),
        Fault::Status(500, "InternalError"),
        Fault::Reset,
        Fault::Delay(Duration::from_millis(20)),
    ] {
        let server = S3Server::start().await;
        server.script([fault]);
        let mut publisher = open(target(&server)).await;
        publish(&mut publisher, &snapshot(&["a"], true))
            .await
            .unwrap();
        assert!(server.object(&format!("prod/{DISCOVERY}")).is_some());
    }
}

#[tokio::test]
async fn a_store_that_stays_busy_is_given_up_with_its_code() {
    let server = S3Server::start().await;
    server.script(vec![Fault::Status(503, "SlowDown"); 6]);
    let mut publisher = open(target(&server)).await;
    let error = publish(&mut publisher, &snapshot(&["a"], true)).await;
    let parts = ["could not read s3://example-oidc/prod/", "503 (SlowDown)"];
    assert_failure(&error.unwrap_err(), "status", &parts);
    let requests = server.take_log().len();
    assert!(requests <= 6, "{requests}");
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_named() {
    let server = S3Server::start().await;
    let (target, address) = (target(&server), server.address());
    drop(server);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let error = publish(&mut open(target).await, &snapshot(&["a"], true)).await;
    let address = address.to_string();
    let parts = ["could not reach http://", &address, "refused"];
    assert_failure(&error.unwrap_err(), "connect", &parts);
}

#[tokio::test]
async fn what_is_no_s3_store_is_called_so() {
    let server = S3Server::start().await;
    server.script(vec![Fault::Status(404, "<html>"); 6]);
    let mut publisher = open(target(&server)).await;
    let error = publish(&mut publisher, &snapshot(&["a"], true))
        .await
        .unwrap_err();
    assert_failure(&error, "response", &["http://127.0.0.1", "`endpoint`"]);
}

#[tokio::test]
async fn an_object_that_is_too_large_is_not_read_whole_nor_overwritten() {
    let server = S3Server::start().await;
    let object = Stored {
        body: Bytes::from(vec![b' '; MAX_DOCUMENT_BYTES + 1]),
        content_type: None,
        cache_control: None,
    };
    server.store("prod/openid/v1/jwks", object);
    let mut publisher = open(target(&server)).await;
    let error = publish(&mut publisher, &snapshot(&["a"], true)).await;
    let parts = ["s3://example-oidc/prod/openid/v1/jwks is longer than"];
    assert_failure(&error.unwrap_err(), "too-large", &parts);
    assert!(server.take_log().iter().all(|line| line.starts_with("GET")));
}

#[tokio::test]
async fn the_ca_file_is_what_the_endpoint_is_trusted_by() {
    let server = S3Server::start_tls().await;
    let mut publisher = open(target(&server)).await;
    let published = publish(&mut publisher, &snapshot(&["a"], true)).await;
    let error = published.unwrap_err();
    assert_failure(&error, "tls", &["https://127.0.0.1", "`ca-file`"]);

    let mut target = target(&server);
    target.ca_file = Some(server.ca_file());
    let mut publisher = open(target).await;
    publish(&mut publisher, &snapshot(&["a"], true))
        .await
        .unwrap();
    assert!(server.object("prod/openid/v1/jwks").is_some());
}

#[tokio::test]
async fn a_ca_file_that_is_none_is_refused_at_once() {
    let server = S3Server::start().await;
    let directory = tempfile::tempdir().unwrap();
    let cases = [
        (None, "No such file"),
        (Some(""), "no PEM certificate"),
        (
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "invalid",
        ),
        (Some("-----BEGIN CERTIFICATE-----\n*\n"), ""),
    ];
    for (at, (content, expected)) in cases.into_iter().enumerate() {
        let path = directory.path().join(at.to_string());
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let mut target = target(&server);
        target.ca_file = Some(path.clone());
        let opened = Publisher::open(&Target::S3(target), &mirror(), "one").await;
        let parts = [path.to_str().unwrap(), expected];
        assert_failure(&opened.unwrap_err(), "ca-file", &parts);
    }
}

// A directory.

#[tokio::test]
async fn a_directory_gets_both_files_readable_for_all() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().join("www/oidc");
    let mut publisher = directory(&root).await;
    assert_eq!(publisher.to_string(), format!("file://{}", root.display()));
    let snapshot = snapshot(&["a"], true);
    let changes = publish(&mut publisher, &snapshot).await.unwrap();
    assert_eq!(
        shown(&changes),
        [
            "create openid/v1/jwks",
            "create .well-known/openid-configuration"
        ]
    );
    assert!(
        fs::read(root.join(JWKS))
            .unwrap()
            .starts_with(&snapshot.jwks.body)
    );
    let discovery = fs::read(root.join(DISCOVERY)).unwrap();
    assert!(discovery.starts_with(&snapshot.discovery.body));
    let mode = |path: &str| {
        let metadata = fs::metadata(root.join(path)).unwrap();
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!((mode(JWKS), mode(DISCOVERY)), (0o644, 0o644));
    for directory in ["", "openid", "openid/v1", ".well-known"] {
        assert_eq!(mode(directory), 0o755, "{directory}");
    }
    assert_eq!(mode(".."), 0o755);
    assert_eq!((mode(".oidc-mirror"), mode(STATE)), (0o700, 0o600));
}

#[tokio::test]
async fn an_equal_file_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let mut publisher = directory(root.path()).await;
    let one = snapshot(&["a"], true);
    publish(&mut publisher, &one).await.unwrap();
    let written = || {
        let metadata = fs::metadata(root.path().join(JWKS)).unwrap();
        std::os::unix::fs::MetadataExt::ino(&metadata)
    };
    let before = written();
    assert_eq!(publish(&mut publisher, &one).await.unwrap(), []);
    assert_eq!(written(), before);
    let changes = publish(&mut publisher, &snapshot(&["b"], true))
        .await
        .unwrap();
    assert_eq!(changes.len(), 2);
    assert_ne!(written(), before);
    let left: Vec<_> = fs::read_dir(root.path().join("openid/v1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["jwks"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_never_sees_half_a_file() {
    let root = tempfile::tempdir().unwrap();
    let mut publisher = directory(root.path()).await;
    let both = [snapshot(&["a"], true), snapshot(&["a", "b"], true)];
    publish(&mut publisher, &both[0]).await.unwrap();
    let path = root.path().join(JWKS);
    let (stop, stopped) = watch::channel(false);
    let reader = tokio::task::spawn_blocking(move || {
        let mut reads = 0;
        while !*stopped.borrow() {
            let body = fs::read(&path).unwrap();
            assert!(KeySet::parse(&body).is_ok());
            reads += 1;
        }
        reads
    });
    for at in 0..100 {
        publish(&mut publisher, &both[(at + 1) % 2]).await.unwrap();
    }
    stop.send(true).unwrap();
    assert!(reader.await.unwrap() > 0);
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("openid"), "a file in the way").unwrap();
    let mut publisher = directory(root.path()).await;
    let error = publish(&mut publisher, &snapshot(&["a"], true)).await;
    let path = root.path().join(JWKS);
    let parts = [path.to_str().unwrap(), "Not a directory"];
    assert_failure(&error.unwrap_err(), "directory", &parts);

    // Writing below /proc is denied whoever asks, so also where tests run as root.
    let mut publisher = directory(Path::new("/proc/oidc")).await;
    let error = publish(&mut publisher, &snapshot(&["a"], true)).await;
    let parts = ["could not write /proc/oidc/.oidc-mirror/state.json"];
    assert_failure(&error.unwrap_err(), "directory", &parts);
}

// The loop.

/// A running loop, and the sender of its snapshots.
fn run(publisher: Publisher) -> (watch::Sender<Option<Arc<Snapshot>>>, JoinHandle<()>) {
    let (sender, receiver) = watch::channel(None);
    (sender, tokio::spawn(publisher.run(receiver)))
}

const SOON: Duration = Duration::from_millis(20);
const NEVER: Duration = Duration::from_secs(3600);
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `count` puts of the JWKS came in.
async fn puts(server: &S3Server, count: usize) {
    let enough = server.wait(|log| {
        let put = log
            .iter()
            .filter(|request| request.method == "PUT" && request.path.ends_with(JWKS));
        put.count() >= count
    });
    timeout(DEADLINE, enough).await.unwrap();
}

#[tokio::test]
async fn the_loop_publishes_each_new_snapshot_and_ends_with_the_channel() {
    let server = S3Server::start().await;
    let (sender, task) = run(open_every(NEVER, &server).await);
    sender.send_replace(Some(snapshot(&["a"], true)));
    puts(&server, 1).await;
    sender.send_replace(Some(snapshot(&["a", "b"], true)));
    puts(&server, 2).await;
    drop(sender);
    timeout(DEADLINE, task).await.unwrap().unwrap();
    let published = server.object("prod/openid/v1/jwks").unwrap().body;
    assert!(published.starts_with(&snapshot(&["a", "b"], true).jwks.body));
}

#[tokio::test]
async fn the_loop_repairs_what_others_change() {
    let server = S3Server::start().await;
    let (sender, _task) = run(open_every(SOON, &server).await);
    let snapshot = snapshot(&["a"], true);
    sender.send_replace(Some(Arc::clone(&snapshot)));
    let key = format!("prod/{DISCOVERY}");
    for count in [1, 2] {
        let put = |log: &Vec<Recorded>| {
            let to_key = |it: &&Recorded| it.method == "PUT" && it.path.ends_with(DISCOVERY);
            log.iter().filter(to_key).count() >= count
        };
        timeout(DEADLINE, server.wait(put)).await.unwrap();
        // The put was logged when it came in, so the next turn says that it is done.
        let seen = server.log().len();
        timeout(DEADLINE, server.wait(|log| log.len() >= seen + 3))
            .await
            .unwrap();
        let published = server.object(&key).unwrap().body;
        assert!(published.starts_with(&snapshot.discovery.body));
        server.remove(&key);
    }
}

#[tokio::test]
async fn the_loop_tries_again_after_a_failure() {
    let server = S3Server::start().await;
    server.script(vec![Fault::Status(403, "InvalidAccessKeyId"); 2]);
    let (sender, _task) = run(open_every(NEVER, &server).await);
    sender.send_replace(Some(snapshot(&["a"], true)));
    puts(&server, 1).await;
}

#[tokio::test]
async fn a_new_snapshot_does_not_wait_for_the_next_try() {
    let server = S3Server::start().await;
    let mut publisher = open(target(&server)).await;
    publish(&mut publisher, &snapshot(&["a"], true))
        .await
        .unwrap();
    let (sender, _task) = run(publisher);
    // Refused, because key "a" would go.
    sender.send_replace(Some(snapshot(&["b"], false)));
    timeout(DEADLINE, server.wait(|log| log.len() >= 6))
        .await
        .unwrap();
    sender.send_replace(Some(snapshot(&["b"], true)));
    puts(&server, 2).await;
}
