//! Certificates from a real ACME server.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::{HeaderName, header::CONTENT_TYPE};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::json;

use crate::support::{
    ApiServer, Reply, p256,
    pebble::Pebble,
    process::Process,
    service::{Plan, Running, certificate_of, eventually},
};

const ISSUER: &str = "https://oidc.example.com";
const HOST: &str = "oidc.example.com";
const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// An API server, and a plan to serve its documents.
fn plan() -> (ApiServer, Plan) {
    let server = ApiServer::listing(ISSUER, &[p256()]);
    let plan = Plan::plain().mirror(ISSUER, &[&server]);
    let state = plan.directory().join("state");
    let plan = plan.set(&format!("state-dir={}", state.display()));
    (server, plan)
}

/// TLS that trusts only certificates of this CA.
fn trusting(root: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(root.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The certificate for `host`, if it is one of this CA and good now.
async fn served(
    address: SocketAddr,
    host: &str,
    root: &str,
) -> io::Result<CertificateDer<'static>> {
    let stream = Plan::connect_for(address, host, trusting(root)).await?;
    Ok(certificate_of(&stream))
}

/// Waits until there is a certificate that clients of the CA accept.
async fn is_issued(address: SocketAddr, pebble: &Pebble) -> CertificateDer<'static> {
    let root = pebble.root().await;
    eventually("there is a certificate", async || {
        served(address, HOST, &root).await.ok()
    })
    .await
}

/// Everything below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|it| it.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn state(service: &Running) -> PathBuf {
    service.plan().directory().join("state/acme")
}

#[tokio::test]
async fn a_certificate_is_had_by_tls_alpn_01_and_kept_for_the_owner_only() {
    let mut pebble = Pebble::new(&[]).await;
    pebble.start().await;
    let (_server, plan) = plan();
    let contact = r#"serve.acme.contact=["mailto:ops@example.com"]"#;
    let service = pebble.serve(plan).set(contact).start().await;
    is_issued(service.address(), &pebble).await;
    let kept = files(&state(&service));
    assert_eq!(kept.len(), 2, "{kept:?}");
    for path in &kept {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path), 0o600, "{path:?}");
        assert_eq!(mode(path.parent().unwrap()), 0o700, "{path:?}");
    }
}

#[tokio::test]
async fn a_certificate_is_had_by_http_01_and_nothing_else_is_answered_there() {
    let mut pebble = Pebble::new(&[]).await;
    pebble.start().await;
    let (_server, plan) = plan();
    let address = format!("127.0.0.1:{}", pebble.http_port);
    let service = pebble
        .serve(plan)
        .set("serve.acme.challenge=http-01")
        .set(&format!(r#"serve.acme.http-listen=["{address}"]"#))
        .start()
        .await;
    is_issued(service.address(), &pebble).await;
    for path in [
        "/",
        "/.well-known/acme-challenge/",
        "/.well-known/acme-challenge/x",
    ] {
        let answer = service.plan().client(service.address()).build().unwrap();
        let answer = answer.get(format!("http://{address}{path}")).send().await;
        assert_eq!(answer.unwrap().status(), http::StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn an_external_account_is_bound() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let mut pebble = Pebble::new(&[])
        .await
        .set("externalAccountBindingRequired", json!(true))
        .set("externalAccountMACKeys", json!({ "kid-1": key }));
    pebble.start().await;
    let (_server, plan) = plan();
    let key_file = plan.directory().join("external.key");
    fs::write(&key_file, format!("{key}\n")).unwrap();
    let plan = pebble.serve(plan);
    let mut process = Process::run(&plan).await;
    let line = process.logged("no certificate yet").await;
    assert!(line.contains("set serve.acme.external-account"), "{line}");
    process.signal("TERM").await;
    process.ended().await;
    let service = plan
        .set("serve.acme.external-account.key-id=kid-1")
        .set(&format!(
            "serve.acme.external-account.key-file={}",
            key_file.display()
        ))
        .start()
        .await;
    is_issued(service.address(), &pebble).await;
}

#[tokio::test]
async fn a_certificate_is_renewed_before_it_expires() {
    let mut pebble = Pebble::new(&[])
        .await
        .set("certificateValidityPeriod", json!(6));
    pebble.start().await;
    let (_server, plan) = plan();
    let service = pebble.serve(plan).start().await;
    let first = is_issued(service.address(), &pebble).await;
    let root = pebble.root().await;
    eventually("it is renewed", async || {
        // At every moment there is one that clients accept.
        let present = served(service.address(), HOST, &root).await.unwrap();
        (present != first).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_down_is_tried_until_it_comes_back() {
    let mut pebble = Pebble::new(&[]).await;
    let (_server, plan) = plan();
    let plan = pebble.serve(plan);
    let process = Process::run(&plan).await;
    let line = process.logged("no certificate yet").await;
    assert!(line.contains("could not reach the ACME server"), "{line}");
    pebble.start().await;
    is_issued(process.address, &pebble).await;
    let failed = |line: &&String| line.contains("no certificate yet");
    assert_eq!(process.log().iter().filter(failed).count(), 1);
}

#[tokio::test]
async fn what_a_server_answers_is_said_in_our_words() {
    let acme = ApiServer::start();
    let url = |path: &str| acme.url().join(path).unwrap();
    let directory = json!({
        "newAccount": url("account"), "newNonce": url("nonce"), "newOrder": url("order"),
    });
    let nonce = Reply::status(200, "").header(REPLAY_NONCE, "once");
    acme.always("/nonce", nonce);
    let limited = json!({
        "type": "urn:ietf:params:acme:error:rateLimited", "detail": "come to evil.example",
    });
    let limited = Reply::status(429, limited.to_string());
    let limited = limited.header(CONTENT_TYPE, "application/problem+json; charset=utf-8");
    acme.always("/account", limited);
    // At first there is only the proxy in front of it.
    acme.script("/dir", [Reply::status(502, "<h1>evil</h1>")]);
    acme.always("/dir", Reply::body(directory.to_string()));
    let (_server, plan) = plan();
    let plan = plan
        .set(&format!("serve.acme.directory={}", url("dir")))
        .set(&format!("serve.acme.ca-file={}", acme.ca_file().display()))
        .set("serve.acme.terms-of-service-agreed=true");
    let process = Process::run(&plan).await;
    process
        .logged("it answers 502 Bad Gateway, and not as")
        .await;
    process.logged("refuses: rateLimited").await;
    assert!(!process.log().iter().any(|line| line.contains("evil")));
}

#[tokio::test]
async fn nobody_but_the_ca_is_shown_a_challenge() {
    let mut pebble = Pebble::new(&[]).await;
    pebble.start().await;
    let (_server, plan) = plan();
    let service = pebble.serve(plan).start().await;
    is_issued(service.address(), &pebble).await;
    let root = pebble.root().await;
    let connect = async |protocols: &[&str]| {
        let mut config = trusting(&root);
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        Plan::connect_for(service.address(), HOST, config).await
    };
    connect(&["acme-tls/1"]).await.unwrap_err();
    let stream = connect(&["acme-tls/1", "h2"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn a_restart_serves_what_is_kept_and_asks_nobody() {
    let mut pebble = Pebble::new(&[]).await;
    pebble.start().await;
    let (_server, plan) = plan();
    let plan = pebble.serve(plan);
    let mut process = Process::run(&plan).await;
    let before = is_issued(process.address, &pebble).await;
    let root = pebble.root().await;
    process.signal("TERM").await;
    process.ended().await;
    pebble.stop().await;
    let process = Process::run(&plan).await;
    let after = served(process.address, HOST, &root).await.unwrap();
    assert_eq!(after, before);
    let tried = |line: &String| line.contains("no new certificate");
    assert!(!process.log().iter().any(tried), "{:?}", process.log());
}

#[tokio::test]
async fn a_certificate_stays_while_the_server_fails_and_is_renewed_when_it_has_forgotten_all() {
    let mut pebble = Pebble::new(&[])
        .await
        .set("certificateValidityPeriod", json!(15));
    pebble.start().await;
    let (_server, plan) = plan();
    let plan = pebble.serve(plan);
    let process = Process::run(&plan).await;
    let first = is_issued(process.address, &pebble).await;
    let root = pebble.root().await;
    pebble.stop().await;
    let line = process.logged("no new certificate").await;
    assert!(line.contains("could not reach the ACME server"), "{line}");
    assert_eq!(served(process.address, HOST, &root).await.unwrap(), first);
    pebble.start().await;
    assert_ne!(is_issued(process.address, &pebble).await, first);
}

#[tokio::test]
async fn a_domain_that_fails_holds_up_no_other() {
    let mut pebble = Pebble::new(&["lost.example.com"]).await;
    pebble.start().await;
    let (_server, plan) = plan();
    let plan = pebble
        .serve(plan)
        .set(r#"serve.acme.domains=["lost.example.com", "oidc.example.com"]"#);
    let process = Process::run(&plan).await;
    is_issued(process.address, &pebble).await;
    let line = process.logged("no certificate yet").await;
    assert!(line.contains("lost.example.com"), "{line}");
    assert!(
        line.contains("could not see that the domain is ours"),
        "{line}"
    );
    // There is none for it, and none for another name is shown instead.
    let root = pebble.root().await;
    served(process.address, "lost.example.com", &root)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_hang_up_keeps_the_certificate_that_is_there() {
    let mut pebble = Pebble::new(&[]).await;
    pebble.start().await;
    let (_server, plan) = plan();
    let address = format!("127.0.0.1:{}", pebble.http_port);
    let plan = pebble
        .serve(plan)
        .set("serve.acme.challenge=http-01")
        .set(&format!(r#"serve.acme.http-listen=["{address}"]"#));
    let process = Process::run(&plan).await;
    let before = is_issued(process.address, &pebble).await;
    process.signal("HUP").await;
    process.logged("the new configuration is in use").await;
    assert_eq!(is_issued(process.address, &pebble).await, before);
}
