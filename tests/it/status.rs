//! How a running mirror stands, for people: the status page, and `oidc-mirror status`.

use std::process::Output;

use http::{
    StatusCode,
    header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS},
};
use oidc_mirror::{
    admin::{Standing, Verdict},
    demo::SigningKey,
};
use tokio::process::Command;

use crate::support::{
    ApiServer, JWKS, Reply, jwks, p256,
    service::{Answer, Plan, Running, answer, eventually},
};

const ISSUER: &str = "https://oidc.example.com";

fn lists(keys: &[&SigningKey]) -> ApiServer {
    ApiServer::listing(ISSUER, keys)
}

fn plan(servers: &[&ApiServer]) -> Plan {
    Plan::new()
        .mirror(ISSUER, servers)
        .set("admin.listen=127.0.0.1:0")
}

async fn get(service: &Running, path: &str) -> Answer {
    let client = service.plan().client(service.admin()).build().unwrap();
    answer(client.get(format!("http://{}{path}", service.admin()))).await
}

async fn page(service: &Running) -> String {
    String::from_utf8(get(service, "/").await.body.to_vec()).unwrap()
}

async fn standing(service: &Running) -> Standing {
    let answer = get(service, "/status").await;
    serde_json::from_slice(&answer.body).unwrap()
}

/// The page as soon as it has all these `parts`.
async fn page_with(service: &Running, parts: &[&str]) -> String {
    eventually(&format!("the page has {parts:?}"), async || {
        let page = page(service).await;
        parts.iter().all(|it| page.contains(it)).then_some(page)
    })
    .await
}

async fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oidc-mirror"));
    command.args(arguments).env_clear();
    command.output().await.unwrap()
}

/// `oidc-mirror status` of a running service, and its exit code.
async fn status(service: &Running, arguments: &[&str]) -> (Option<i32>, String) {
    let from = service.admin().to_string();
    let arguments: Vec<_> = ["status", "--from", &from]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    shown(&run(&arguments).await)
}

fn shown(output: &Output) -> (Option<i32>, String) {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    (output.status.code(), format!("{out}{err}"))
}

#[tokio::test]
async fn the_page_shows_a_mirror_that_does_well_and_may_do_nothing() {
    let key = p256();
    let server = lists(&[&key]);
    let directory = tempfile::tempdir().unwrap();
    let target = format!(
        "mirror.target=[{{url=\"file://{}\"}}]",
        directory.path().display()
    );
    let service = plan(&[&server]).set(&target).start().await;
    let page = page_with(&service, &["<title>✓ All well", "last found or made right"]).await;
    for part in [
        ISSUER,
        key.kid(),
        server.url().as_str(),
        "mirror-0",
        "P-256",
        "1 key is given out",
        "issuer matches",
        "<meta name=\"viewport\"",
        "<meta http-equiv=\"refresh\"",
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(
        !page.contains("<script") && !page.contains("src="),
        "{page}"
    );
    let headers = get(&service, "/").await.headers;
    let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert_eq!(headers[REFERRER_POLICY], "no-referrer");
    assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(headers[X_FRAME_OPTIONS], "DENY");
}

#[tokio::test]
async fn a_kid_cannot_be_markup_on_the_page_or_move_the_cursor_of_a_terminal() {
    const HOSTILE: &str = "\"><script>alert(1)</script>\u{202e}\r\n\u{1b}[31m&";
    let key = p256();
    let server = lists(&[&key]);
    let kid = serde_json::to_string(HOSTILE).unwrap();
    let own = format!("\"{}\"", key.kid());
    server.always(JWKS, Reply::body(jwks(&[key]).replace(&own, &kid)));
    let service = plan(&[&server]).start().await;
    let page = page_with(&service, &["alert(1)"]).await;
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&lt;script&gt;"), "{page}");
    let (code, text) = status(&service, &[]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("<script>"), "{text}");
    for shown in [page, text] {
        assert!(!shown.contains(['\u{202e}', '\u{1b}', '\r']), "{shown:?}");
    }
    // For machines it stays what it is.
    let (_, json) = status(&service, &["--json"]).await;
    let standing: Standing = serde_json::from_str(&json).unwrap();
    assert_eq!(standing.mirrors[0].keys[0].kid, HOSTILE);
}

/// A mirror that has four things to say: an API server is down, tokens of the other one carry
/// another issuer, a key is held, and a target cannot be written.
async fn troubled(servers: &mut [ApiServer; 2], key: &SigningKey) -> Running {
    let (directory, other) = (tempfile::tempdir().unwrap(), p256());
    let target = directory.path().join("target");
    std::fs::write(&target, "a file").unwrap();
    let target = format!(r#"mirror.target=[{{url="file://{}"}}]"#, target.display());
    let service = plan(&[&servers[0], &servers[1]])
        .set("mirror.admission=hold")
        .set(&format!("state-dir={}", directory.path().display()))
        .set(&target)
        .start()
        .await;
    service.documents_with(ISSUER, &[key.kid()]).await;
    page_with(&service, &[" directory, not yet"]).await;
    servers[0].set_issuer("https://kubernetes.default.svc");
    servers[0].set_keys(&[key, &other]);
    servers[1].stop().await;
    page_with(&service, &["connect for", "another issuer", "1 key held"]).await;
    service
}

#[tokio::test]
async fn what_needs_attention_is_said_once_with_what_to_do() {
    let key = p256();
    let mut servers = [lists(&[&key]), lists(&[&key])];
    let service = troubled(&mut servers, &key).await;
    let page = page(&service).await;
    let standing = standing(&service).await;
    assert_eq!(standing.verdict, Verdict::Attention);
    let mirror = &standing.mirrors[0];
    let failed = mirror.checks.iter().filter(|it| !it.is_well());
    let failed: Vec<_> = failed.map(|it| &*it.name).collect();
    assert_eq!(failed, ["upstreams", "issuer", "keys", "publish"]);
    for check in &mirror.checks {
        let advice = check.advice.as_deref().unwrap_or("1 key is given out");
        // Which document of an API server fails first is chance.
        let (_, lasting) = advice.rsplit_once("; ").unwrap_or(("", advice));
        assert_eq!(page.matches(lasting).count(), 1, "{lasting}\n{page}");
    }
    let trouble = mirror.upstreams[1].failure.as_ref().unwrap();
    assert_eq!(trouble.reason, "connect");
    assert!(mirror.upstreams[1].last_answer.unwrap() <= trouble.since);

    let (code, text) = status(&service, &[]).await;
    assert_eq!(code, Some(1), "{text}");
    for part in [
        "needs attention  1 mirror, as of ",
        "! keys: 1 key held until approved\n  → compare",
        "; see that this API server runs",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert_eq!(get(&service, "/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_mirror_without_documents_is_not_ready_and_scripts_know() {
    let server = lists(&[&p256()]);
    server.always(JWKS, Reply::status(500, "no"));
    let service = plan(&[&server]).start().await;
    page_with(&service, &["<title>✕ Nothing is given out", "status for"]).await;
    let (code, text) = status(&service, &[]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("not ready"), "{text}");
    let (code, json) = status(&service, &["--json"]).await;
    assert_eq!(code, Some(1), "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["verdict"], "unready");
    assert_eq!(
        json["mirrors"][0]["upstreams"][0]["failure"]["reason"],
        "status"
    );
    server.behave();
    page_with(&service, &["<title>✓ All well"]).await;
    assert_eq!(status(&service, &[]).await.0, Some(0));
}

#[tokio::test]
async fn who_cannot_be_asked_is_named_with_what_to_set() {
    let (code, text) = shown(&run(&["status", "--issuer", ISSUER]).await);
    assert_eq!(code, Some(78), "{text}");
    assert!(
        text.contains("[admin]") && text.contains("--from"),
        "{text}"
    );

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let (code, text) = shown(&run(&["status", "--from", &address]).await);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(&address) && text.contains("[admin] listen"),
        "{text}"
    );
    // The settings name it as well.
    let listen = format!("admin.listen={address}");
    let settings = ["status", "--issuer", ISSUER, "--set", &listen];
    let (code, text) = shown(&run(&settings).await);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&address), "{text}");

    let (code, text) = shown(&run(&["status", "--from", "https://10.0.0.11:6443"]).await);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("127.0.0.1:9443"), "{text}");
}
