//! Upstreams that answer what must not be published, or more than can be read.

use std::{fs, time::Duration};

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use oidc_mirror::{
    Report,
    config::settings::{CredentialFiles, Credentials},
    upstream::{FetchError, Upstream},
};

use crate::support::{
    ApiServer, DISCOVERY, JWKS, Reply, Tls, connect_to, connect_with, files_of, jwks, p256,
};

fn started() -> ApiServer {
    let server = ApiServer::start();
    server.set_keys(&[p256()]);
    server
}

/// What reading a server gives whose answer for `path` is `reply`.
async fn error_of(path: &str, reply: Reply) -> FetchError {
    let server = started();
    server.always(path, reply);
    connect_to(&server).await.fetch().await.unwrap_err()
}

#[tokio::test]
async fn an_answer_is_issuer_and_keys_in_two_requests() {
    let server = started();
    let key = p256();
    server.set_keys(std::slice::from_ref(&key));
    let answer = connect_to(&server).await.fetch().await.unwrap();
    assert_eq!(answer.issuer, "https://oidc.example.com");
    let kids: Vec<_> = answer
        .keys
        .keys()
        .iter()
        .map(|key| key.kid().as_str())
        .collect();
    assert_eq!(kids, [key.kid()]);
    assert!(answer.left_out.is_empty());

    let mut requests = server.requests();
    requests.sort_by(|a, b| a.path.cmp(&b.path));
    let paths: Vec<_> = requests.iter().map(|request| &*request.path).collect();
    assert_eq!(paths, [DISCOVERY, JWKS]);
    for request in requests {
        assert_eq!(request.method, "GET");
        assert_eq!(request.headers["authorization"], "Bearer token-1");
        assert!(
            request.headers["accept"]
                .to_str()
                .unwrap()
                .starts_with("application/jwk-set+json,")
        );
        assert!(!request.headers.contains_key("accept-encoding"));
    }
}

/// Reads `server` with a CA file that `elsewhere` is trusted by as well, so that nothing but the
/// client itself keeps requests from going there.
async fn connect_trusting(server: &ApiServer, elsewhere: &ApiServer) -> Upstream {
    let ca_file = server.ca_file().with_file_name("both.crt");
    let authorities = [server, elsewhere].map(|server| fs::read(server.ca_file()).unwrap());
    fs::write(&ca_file, authorities.concat()).unwrap();
    let files = CredentialFiles {
        ca_file: Some(ca_file),
        ..files_of(server)
    };
    connect_with(server, Credentials::Files(files))
        .await
        .unwrap()
}

#[tokio::test]
async fn the_jwks_uri_of_the_upstream_is_not_followed() {
    let (server, elsewhere) = (started(), started());
    server.set_jwks_uri(elsewhere.url().join(JWKS).unwrap().as_str());
    let mut upstream = connect_trusting(&server, &elsewhere).await;
    upstream.fetch().await.unwrap();
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn the_bearer_token_goes_to_the_configured_host_only() {
    for path in [DISCOVERY, JWKS] {
        let (server, elsewhere) = (started(), started());
        let location = elsewhere.url().join(path).unwrap();
        server.always(path, Reply::redirect(location.as_str()));
        let mut upstream = connect_trusting(&server, &elsewhere).await;
        let error = upstream.fetch().await.unwrap_err();
        assert_eq!(error.reason(), "redirect");
        assert!(!error.to_string().contains(location.as_str()));
        assert!(elsewhere.requests().is_empty());
    }
}

#[tokio::test]
async fn documents_that_must_not_be_published_are_refused() {
    let (one, other) = (p256(), p256());
    let private = jwks(std::slice::from_ref(&one)).replace(r#""kty""#, r#""d":"c2VjcmV0","kty""#);
    let conflict = jwks(&[one.clone(), other.clone()]).replace(other.kid(), one.kid());
    for (body, reason, needs_a_human) in [
        (private, "private", true),
        (conflict, "kid-conflict", true),
        (r#"{"keys":[]}"#.to_owned(), "empty", false),
        (r#"{"paths":["/livez"]}"#.to_owned(), "not-a-key-set", false),
        ("<html>".to_owned(), "json", false),
        (String::new(), "json", false),
    ] {
        let error = error_of(JWKS, Reply::body(body)).await;
        assert_eq!(error.reason(), reason);
        assert_eq!(error.needs_a_human(), needs_a_human, "{reason}");
        let report = Report(&error).to_string();
        assert!(report.contains(JWKS), "{report}");
        assert!(!report.contains("c2VjcmV0"), "{report}");
    }
    let error = error_of(DISCOVERY, Reply::body("{}")).await;
    assert_eq!(error.reason(), "no-issuer");
}

#[tokio::test]
async fn more_than_the_cap_is_not_read() {
    for reply in [Reply::Oversize, Reply::OversizeDeclared] {
        for path in [DISCOVERY, JWKS] {
            assert_eq!(error_of(path, reply.clone()).await.reason(), "too-large");
        }
    }
}

#[tokio::test]
async fn what_would_have_to_be_unpacked_is_refused() {
    assert_eq!(
        error_of(JWKS, Reply::gzip_bomb()).await.reason(),
        "encoding"
    );
}

#[tokio::test]
async fn a_page_is_not_a_document() {
    let page = Reply::status(200, "<html>sign in</html>").header(CONTENT_TYPE, "text/html");
    let error = error_of(JWKS, page).await;
    assert_eq!(error.reason(), "content-type");
    assert!(!error.to_string().contains("sign in"));
}

#[tokio::test]
async fn each_status_says_what_to_do_and_repeats_nothing_of_the_body() {
    for (status, reason, advice) in [
        (403, "forbidden", "system:service-account-issuer-discovery"),
        (404, "not-found", "--service-account-issuer"),
        (406, "not-acceptable", "Accept"),
        (429, "throttled", "429"),
        (503, "status", "503"),
    ] {
        let reply = Reply::status(status, r#"{"message":"remote words"}"#);
        let error = error_of(JWKS, reply).await;
        assert_eq!(error.reason(), reason);
        let report = Report(&error).to_string();
        assert!(report.contains(advice), "{report}");
        assert!(!report.contains("remote words"), "{report}");
        assert_eq!(error.retry_after(), None);
    }
}

#[tokio::test]
async fn an_issuer_that_is_not_https_leaves_no_documents() {
    let server = started();
    server.set_issuer("kubernetes/serviceaccount");
    let error = connect_to(&server).await.fetch().await.unwrap_err();
    assert_eq!(error.reason(), "not-found");
}

#[tokio::test]
async fn a_throttled_client_learns_for_how_long() {
    let reply = Reply::status(429, "").header(RETRY_AFTER, "7");
    let error = error_of(JWKS, reply).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_verified_ends_it_before_any_request() {
    for (tls, advice) in [
        (Tls::WrongAuthority, "another CA than the CA of"),
        (Tls::WrongName, "`server-name`"),
        (Tls::Expired, "expired"),
    ] {
        let server = ApiServer::start_with(tls);
        server.set_keys(&[p256()]);
        let error = connect_to(&server).await.fetch().await.unwrap_err();
        let report = Report(&error).to_string();
        assert_eq!(error.reason(), "tls", "{report}");
        assert!(report.contains(advice), "{report}");
        assert!(server.requests().is_empty());
    }
}

#[tokio::test]
async fn without_a_ca_file_the_system_decides_and_does_not_know_the_cluster() {
    let server = started();
    let files = CredentialFiles {
        ca_file: None,
        ..files_of(&server)
    };
    // Where the system has no CAs at all, connecting says so.
    if let Ok(mut upstream) = connect_with(&server, Credentials::Files(files)).await {
        let error = upstream.fetch().await.unwrap_err();
        assert!(
            Report(&error)
                .to_string()
                .contains("the CAs this system trusts")
        );
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn the_name_to_expect_may_differ_from_the_address() {
    let server = ApiServer::start_with(Tls::WrongName);
    server.set_keys(&[p256()]);
    let files = CredentialFiles {
        server_name: Some("api.example.com".to_owned()),
        ..files_of(&server)
    };
    let mut upstream = connect_with(&server, Credentials::Files(files))
        .await
        .unwrap();
    upstream.fetch().await.unwrap();
    // Messages keep to the address that was configured.
    server.always(JWKS, Reply::status(403, ""));
    let error = upstream.fetch().await.unwrap_err().to_string();
    assert!(
        error.contains(server.url().join(JWKS).unwrap().as_str()),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_that_can_be_printed_shows_the_token() {
    let server = started();
    let upstream = connect_to(&server).await;
    let debug = format!("{upstream:?}");
    assert!(!debug.contains("token-1"), "{debug}");
}
