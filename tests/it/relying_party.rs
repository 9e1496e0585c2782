//! What a relying party accepts and refuses, over real TLS.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::header::CONTENT_TYPE;
use oidc_mirror::{
    Report,
    demo::SigningKey,
    oidc::Issuer,
    verify::{RelyingParty, Verified, VerifyError},
};

use crate::support::{ApiServer, DISCOVERY, JWKS, Reply, Tls, claims, jwks, p256, rsa};

/// An issuer that publishes `keys` itself, and what relies on it.
fn publish(keys: &[SigningKey]) -> (ApiServer, RelyingParty) {
    let server = ApiServer::start();
    server.allow_anonymous();
    server.set_issuer(&issuer(&server));
    server.set_keys(keys);
    let relying_party = rely_on(&server);
    (server, relying_party)
}

fn rely_on(server: &ApiServer) -> RelyingParty {
    let pem = fs::read(server.ca_file()).unwrap();
    RelyingParty::new(Issuer::parse(&issuer(server)).unwrap(), Some(&pem)).unwrap()
}

fn issuer(server: &ApiServer) -> String {
    format!("https://{}", server.address())
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn token(server: &ApiServer, key: &SigningKey) -> String {
    key.sign(&claims(&issuer(server), "sts.amazonaws.com", now()))
        .unwrap()
}

async fn verify(relying_party: &RelyingParty, token: &str) -> Result<Verified, VerifyError> {
    relying_party
        .verify(token, "sts.amazonaws.com", now())
        .await
}

/// Why the relying party refuses a token that nothing is wrong with.
async fn refusal(server: &ApiServer, relying_party: &RelyingParty, key: &SigningKey) -> String {
    let token = token(server, key);
    let error = verify(relying_party, &token).await.unwrap_err();
    Report(&error).to_string()
}

#[tokio::test]
async fn tokens_of_every_listed_key_verify() {
    let keys = [rsa(), p256()];
    let (server, relying_party) = publish(&keys);
    for (key, algorithm) in keys.iter().zip(["RS256", "ES256"]) {
        let verified = verify(&relying_party, &token(&server, key)).await.unwrap();
        assert_eq!(verified.issuer, issuer(&server));
        assert_eq!(verified.subject, "system:serviceaccount:default:workload");
        assert_eq!(verified.kid, key.kid());
        assert_eq!(verified.algorithm, algorithm);
    }
    let requests = server.requests();
    let paths: Vec<_> = requests
        .iter()
        .map(|request| request.path.as_str())
        .collect();
    assert_eq!(paths, [DISCOVERY, JWKS, DISCOVERY, JWKS]);
    for request in requests {
        assert_eq!(request.method, "GET");
        assert_eq!(request.host, server.address().to_string());
        assert!(!request.headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn tokens_that_are_not_for_here_and_now_are_refused() {
    let key = p256();
    let (server, relying_party) = publish(std::slice::from_ref(&key));
    let (here, audience) = (issuer(&server), "sts.amazonaws.com");
    let day = Duration::from_hours(24);
    for (claims, expected) in [
        (claims(&here, audience, now() - day), "expired 23h ago"),
        (claims(&here, audience, now() + day), "valid only in 1day"),
        (claims(&here, "vault", now()), "another audience"),
        (
            claims("https://oidc.example.com", audience, now()),
            "iss is \"https://oidc.example.com\"",
        ),
    ] {
        let token = key.sign(&claims).unwrap();
        let error = verify(&relying_party, &token).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_published_is_named() {
    let (server, relying_party) = publish(&[rsa()]);
    let stranger = p256();
    let message = refusal(&server, &relying_party, &stranger).await;
    assert!(
        message.contains(stranger.kid()) && message.contains("the 1 published keys"),
        "{message}"
    );
}

#[tokio::test]
async fn a_bad_signature_is_refused() {
    let (key, other) = (p256(), p256());
    let (server, relying_party) = publish(std::slice::from_ref(&key));
    let right = token(&server, &key);
    let wrong = token(&server, &other);
    let forged = format!(
        "{}.{}",
        right.rsplit_once('.').unwrap().0,
        wrong.rsplit_once('.').unwrap().1
    );
    let error = verify(&relying_party, &forged).await.unwrap_err();
    assert_eq!(error.to_string(), "the signature is wrong");
}

#[tokio::test]
async fn another_issuers_documents_are_refused() {
    let key = p256();
    let (server, relying_party) = publish(std::slice::from_ref(&key));
    server.set_issuer(&format!("{}/", issuer(&server)));
    let message = refusal(&server, &relying_party, &key).await;
    assert!(message.contains("not the one asked for"), "{message}");
}

#[tokio::test]
async fn a_jwks_uri_is_https() {
    let key = p256();
    let (server, relying_party) = publish(std::slice::from_ref(&key));
    server.set_jwks_uri(&format!("http://{}{JWKS}", server.address()));
    let message = refusal(&server, &relying_party, &key).await;
    assert!(message.contains("is not an https URL"), "{message}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let key = p256();
    let (server, relying_party) = publish(std::slice::from_ref(&key));
    let (elsewhere, _) = publish(std::slice::from_ref(&key));
    for path in [DISCOVERY, JWKS] {
        server.behave();
        let target = format!("{}{path}", issuer(&elsewhere));
        server.always(path, Reply::redirect(&target));
        let message = refusal(&server, &relying_party, &key).await;
        assert!(message.contains("302"), "{message}");
    }
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn documents_that_do_not_end_or_never_began_are_refused() {
    let key = p256();
    let (server, relying_party) = publish(std::slice::from_ref(&key));
    for (reply, expected) in [
        (Reply::Oversize, "longer than"),
        (Reply::OversizeDeclared, "longer than"),
        (Reply::CutOff, "could not fetch"),
        (Reply::Close, "could not fetch"),
        (Reply::status(503, "busy"), "503"),
        (Reply::body("<html>"), "line 1, column 1"),
        (Reply::body("{}"), "does not hold"),
        (Reply::body(r#"{"keys":"secret","issuer":7}"#), "column"),
        (Reply::gzip_bomb(), "does not hold"),
    ] {
        for path in [DISCOVERY, JWKS] {
            server.behave();
            server.always(path, reply.clone());
            let message = refusal(&server, &relying_party, &key).await;
            assert!(message.contains(expected), "{path} {reply:?}: {message}");
            assert!(message.contains(path), "{path} {reply:?}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
    server.behave();
    verify(&relying_party, &token(&server, &key)).await.unwrap();
}

#[tokio::test]
async fn scripted_replies_are_used_up_in_order() {
    let key = p256();
    let (server, relying_party) = publish(std::slice::from_ref(&key));
    let moved = jwks(&[p256()]);
    server.script(
        JWKS,
        [
            Reply::status(404, "").header(CONTENT_TYPE, "text/plain"),
            Reply::body(moved),
            Reply::late(Duration::from_millis(10)),
        ],
    );
    let first = refusal(&server, &relying_party, &key).await;
    assert!(first.contains("404"), "{first}");
    let second = refusal(&server, &relying_party, &key).await;
    assert!(second.contains("published keys"), "{second}");
    verify(&relying_party, &token(&server, &key)).await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_verified() {
    for (kind, expected) in [
        (Tls::ClientCertificate, "could not fetch"),
        (Tls::Expired, "expired"),
        (Tls::WrongAuthority, "BadSignature"),
        (Tls::WrongName, "not valid for name"),
    ] {
        let server = ApiServer::start_with(kind);
        let message = refusal(&server, &rely_on(&server), &p256()).await;
        assert!(message.contains(expected), "{kind:?}: {message}");
        assert_eq!(server.requests().len(), 0);
    }
}

#[tokio::test]
async fn an_issuer_that_is_down_is_unreachable_until_it_is_back() {
    let key = p256();
    let (mut server, relying_party) = publish(std::slice::from_ref(&key));
    verify(&relying_party, &token(&server, &key)).await.unwrap();
    server.stop().await;
    let message = refusal(&server, &relying_party, &key).await;
    assert!(message.contains("refused"), "{message}");
    server.restart();
    verify(&relying_party, &token(&server, &key)).await.unwrap();
}
