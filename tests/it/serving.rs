//! What a relying party sees: protocols, paths, headers, limits, and other clients' misbehaviour.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Method, StatusCode, Version,
    header::{
        ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
        HOST, IF_NONE_MATCH,
    },
};
use oidc_mirror::demo::SigningKey;
use rustls::{
    ProtocolVersion,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::support::{
    ApiServer, DISCOVERY, JWKS, p256,
    service::{Plan, Running, STRANGER, answer, eventually},
};

const ISSUER: &str = "https://oidc.example.com";

fn lists(key: &SigningKey) -> ApiServer {
    let server = ApiServer::start();
    server.set_keys(std::slice::from_ref(key));
    server
}

/// A service with the documents of one cluster, and its API server.
async fn serving(plan: Plan) -> (Running, ApiServer) {
    let server = lists(&p256());
    let service = plan.mirror(ISSUER, &[&server]).start().await;
    service.documents(ISSUER).await;
    (service, server)
}

fn url(path: &str) -> String {
    format!("{ISSUER}{path}")
}

#[tokio::test]
async fn both_documents_are_served_over_every_version_of_tls_and_http() {
    let (service, _server) = serving(Plan::new()).await;
    let documents = service.documents(ISSUER).await;
    for (tls, version) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        for (protocol, http) in [("h2", Version::HTTP_2), ("http/1.1", Version::HTTP_11)] {
            let config = service.plan().tls(tls, &[protocol]);
            let stream = TcpStream::connect(service.address()).await.unwrap();
            let name = ServerName::try_from(STRANGER).unwrap();
            let connector = TlsConnector::from(Arc::new(config.clone()));
            let stream = connector.connect(name, stream).await.unwrap();
            let (_, session) = stream.get_ref();
            assert_eq!(session.protocol_version(), Some(version));
            assert_eq!(session.alpn_protocol(), Some(protocol.as_bytes()));

            let client = service.plan().client(service.address());
            let client = client.tls_backend_preconfigured(config).build().unwrap();
            for (path, expected) in [(DISCOVERY, &documents.discovery), (JWKS, &documents.jwks)] {
                let response = client.get(url(path)).send().await.unwrap();
                assert_eq!(response.version(), http);
                assert_eq!(response.status(), StatusCode::OK);
                assert_eq!(response.headers()[ETAG], expected.headers[ETAG]);
                assert_eq!(response.bytes().await.unwrap(), expected.body);
            }
        }
    }
}

#[tokio::test]
async fn both_documents_are_served_over_plain_http_behind_a_proxy() {
    let server = lists(&p256());
    let service = Plan::plain().mirror(ISSUER, &[&server]).start().await;
    let there = ISSUER.replace("https", "http");
    eventually("the documents are there", async || {
        let found = service.get(&format!("{there}{JWKS}")).await;
        (found.status == StatusCode::OK).then_some(())
    })
    .await;
    let client = |http: fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder| {
        http(service.plan().client(service.address()))
            .build()
            .unwrap()
    };
    for (client, version) in [
        (client(reqwest::ClientBuilder::http1_only), Version::HTTP_11),
        (
            client(reqwest::ClientBuilder::http2_prior_knowledge),
            Version::HTTP_2,
        ),
    ] {
        for path in [DISCOVERY, JWKS] {
            let response = client.get(format!("{there}{path}")).send().await.unwrap();
            assert_eq!(response.version(), version);
            assert_eq!(response.status(), StatusCode::OK);
            // The proxy's clients came by https.
            let body = response.text().await.unwrap();
            assert_eq!(body.contains(r#""issuer":"https://"#), path == DISCOVERY);
        }
    }
}

#[tokio::test]
async fn documents_come_with_the_headers_that_were_configured() {
    let plan = Plan::new()
        .set("mirror.cache-control=public, max-age=7")
        .set("mirror.jwks-content-type=application/jwk-set+json");
    let (service, _server) = serving(plan).await;
    let documents = service.documents(ISSUER).await;
    for (document, content_type) in [
        (&documents.discovery, "application/json"),
        (&documents.jwks, "application/jwk-set+json"),
    ] {
        assert_eq!(document.headers[CONTENT_TYPE], content_type);
        assert_eq!(document.headers[CACHE_CONTROL], "public, max-age=7");
        assert_eq!(document.headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let length = document.body.len().to_string();
        assert_eq!(document.headers[CONTENT_LENGTH], length);
    }
}

#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let (service, _server) = serving(Plan::new()).await;
    let builder = || service.plan().client(service.address());
    for client in [builder(), builder().http1_only()] {
        let client = client.build().unwrap();
        for path in [DISCOVERY, JWKS, "/nothing"] {
            let mut get = answer(client.get(url(path))).await;
            let mut head = answer(client.head(url(path))).await;
            for answer in [&mut get, &mut head] {
                answer.headers.remove("date");
            }
            assert!(head.body.is_empty());
            head.body.clone_from(&get.body);
            assert_eq!(head, get);
        }
    }
}

#[tokio::test]
async fn a_client_that_has_the_document_already_gets_304() {
    let (service, _server) = serving(Plan::new()).await;
    let documents = service.documents(ISSUER).await;
    for (path, document, other) in [
        (DISCOVERY, &documents.discovery, &documents.jwks),
        (JWKS, &documents.jwks, &documents.discovery),
    ] {
        let ask = async |known: &http::HeaderValue| {
            let request = service.client().get(url(path));
            answer(request.header(IF_NONE_MATCH, known)).await
        };
        let same = ask(&document.headers[ETAG]).await;
        assert_eq!(same.status, StatusCode::NOT_MODIFIED);
        assert_eq!(same.body, Bytes::new());
        assert_eq!(same.headers[ETAG], document.headers[ETAG]);
        let changed = ask(&other.headers[ETAG]).await;
        assert_eq!(changed.status, StatusCode::OK);
        assert_eq!(changed.body, document.body);
    }
}

#[tokio::test]
async fn other_paths_methods_and_hosts_are_refused_by_the_status_that_says_why() {
    let (service, _server) = serving(Plan::new()).await;
    for path in [
        "/",
        "/openid/v1",
        "/openid/v1/jwks/",
        "/metrics",
        "/prod/openid/v1/jwks",
    ] {
        let found = service.get(&url(path)).await;
        assert_eq!(found.status, StatusCode::NOT_FOUND, "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let request = service.client().request(method.clone(), url(JWKS));
        let found = answer(request.body("x")).await;
        assert_eq!(found.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(found.headers[ALLOW], "GET, HEAD");
    }
    // HTTP/2 has the host in the request's target, HTTP/1.1 in a header.
    let stranger = format!("https://{STRANGER}{JWKS}");
    let found = service.get(&stranger).await;
    assert_eq!(found.status, StatusCode::MISDIRECTED_REQUEST);
    let builder = service.plan().client(service.address());
    let client = builder.http1_only().build().unwrap();
    let found = answer(client.get(url(JWKS)).header(HOST, STRANGER)).await;
    assert_eq!(found.status, StatusCode::MISDIRECTED_REQUEST);
    // The certificate is for that name as well: it is the host of the request that counts.
    let found = answer(client.get(stranger).header(HOST, "oidc.example.com:8443")).await;
    assert_eq!(found.status, StatusCode::OK);
}

#[tokio::test]
async fn mirrors_are_told_apart_by_host_and_by_path() {
    let keys = [p256(), p256(), p256()];
    let issuers = [
        "https://oidc.example.com",
        "https://oidc.example.com/prod",
        "https://oidc.example.org/prod",
    ];
    let servers = keys.each_ref().map(lists);
    let mut plan = Plan::new();
    for (issuer, server) in issuers.iter().zip(&servers) {
        plan = plan.mirror(issuer, &[server]);
    }
    let service = plan.start().await;
    for (issuer, key) in issuers.iter().zip(&keys) {
        let documents = service.documents(issuer).await;
        assert_eq!(documents.kids(), [key.kid()], "{issuer}");
        let discovery = String::from_utf8(documents.discovery.body.to_vec()).unwrap();
        assert!(discovery.contains(&format!(r#""issuer":"{issuer}""#)));
    }
    let nowhere = service.get("https://oidc.example.org/openid/v1/jwks").await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_mirror_without_documents_does_not_keep_another_from_serving() {
    let (key, server) = (p256(), ApiServer::start());
    let well = lists(&key);
    let service = Plan::new()
        .mirror(ISSUER, &[&well])
        .mirror("https://oidc.example.org", &[&server])
        .start()
        .await;
    service.documents_with(ISSUER, &[key.kid()]).await;
    let other = service.get("https://oidc.example.org/openid/v1/jwks").await;
    assert_eq!(other.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn every_address_serves_the_same() {
    let listen = r#"serve.listen=["127.0.0.1:0","127.0.0.1:0","127.0.0.1:0"]"#;
    let (service, _server) = serving(Plan::new().set(listen)).await;
    let documents = service.documents(ISSUER).await;
    assert_eq!(service.addresses.len(), 3);
    for address in &service.addresses {
        let client = service.plan().client(*address).build().unwrap();
        assert_eq!(
            answer(client.get(url(JWKS))).await.body,
            documents.jwks.body
        );
    }
}

/// One request over a connection that stays open.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> String {
    let request = format!("GET {JWKS} HTTP/1.1\r\nhost: oidc.example.com\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}]}") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn clients_that_are_slow_or_talk_nonsense_hold_up_nobody() {
    let (service, _server) = serving(Plan::new()).await;
    let address = service.address();
    let documents = service.documents(ISSUER).await;

    // They stay connected: in silence, within the handshake, within the head of a request.
    let silent = TcpStream::connect(address).await.unwrap();
    let mut halfway = TcpStream::connect(address).await.unwrap();
    // A record that promises 512 bytes of a ClientHello.
    halfway.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let mut trickling = service.plan().connect(address).await;
    trickling.write_all(b"GET / HT").await.unwrap();
    trickling.flush().await.unwrap();
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], &[255; 4096]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        // They are shown the door, be it by a reset; an alert may come first.
        _ = timeout(SOON, stream.read_to_end(&mut Vec::new()))
            .await
            .unwrap();
    }
    // Within TLS, too.
    let mut stream = service.plan().connect(address).await;
    stream
        .write_all(&[b'?'; 64 * 1024])
        .await
        .unwrap_or_default();
    _ = timeout(SOON, stream.read_to_end(&mut Vec::new()))
        .await
        .unwrap();

    let served = timeout(SOON, service.get(&url(JWKS))).await.unwrap();
    assert_eq!(served.body, documents.jwks.body);
    drop((silent, halfway, trickling));
}

#[tokio::test]
async fn at_the_limit_of_connections_the_next_waits_for_one_to_end() {
    let server = lists(&p256());
    let service = Plan::new()
        .mirror(ISSUER, &[&server])
        .set("serve.max-connections=2")
        .start()
        .await;
    service.documents(ISSUER).await;
    let address = service.address();
    let plan = service.plan();
    let [mut first, mut second] = [plan.connect(address).await, plan.connect(address).await];
    exchange(&mut first).await;
    let mut third = std::pin::pin!(async {
        let mut third = plan.connect(address).await;
        exchange(&mut third).await
    });
    let waiting = timeout(Duration::from_millis(300), third.as_mut()).await;
    assert!(waiting.is_err(), "served beyond the limit");
    // Those within the limit are served meanwhile.
    exchange(&mut second).await;
    drop(first);
    let answer = timeout(SOON, third).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    exchange(&mut second).await;
}

/// Shorter than every deadline of the server.
const SOON: Duration = Duration::from_secs(5);
