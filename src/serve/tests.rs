//! Responses as values, and time-outs over an in-memory pipe with a paused clock.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Body as _;
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    Counters, Routes,
    connection::{Peer, Shared},
    crowd::Mood,
    respond::respond,
};
use crate::{
    config::settings::{Limits, Metadata, Serve},
    oidc::{Issuer, KeySet, Ledger, Snapshot},
};

type Sender = watch::Sender<Option<Arc<Snapshot>>>;

fn metadata() -> Metadata {
    Metadata {
        cache_control: HeaderValue::from_static("public, max-age=60"),
        jwks_content_type: HeaderValue::from_static("application/json"),
    }
}

fn snapshot(issuer: &Issuer) -> Arc<Snapshot> {
    Arc::new(Snapshot::render(
        issuer,
        KeySet::default(),
        &[],
        Ledger::default(),
    ))
}

/// Routes of the given issuers, each with a snapshot.
fn routes(issuers: &[&str]) -> (Routes, Vec<Sender>) {
    let mut routes = Routes::default();
    let senders = issuers.iter().map(|text| {
        let issuer = Issuer::parse(text).unwrap();
        let sender = watch::Sender::new(Some(snapshot(&issuer)));
        routes.add(&issuer, &metadata(), sender.subscribe());
        sender
    });
    let senders = senders.collect();
    (routes, senders)
}

fn get(routes: &Routes, host: &str, path: &str) -> Response<Full<Bytes>> {
    send(routes, Request::get(path).header(header::HOST, host))
}

fn send(routes: &Routes, request: http::request::Builder) -> Response<Full<Bytes>> {
    respond(routes, &request.body(()).unwrap()).1
}

const ISSUER: &str = "https://oidc.example.com/prod";
const HOST: &str = "oidc.example.com";
const DISCOVERY: &str = "/prod/.well-known/openid-configuration";
const JWKS: &str = "/prod/openid/v1/jwks";

#[test]
fn each_mirror_answers_at_its_own_host_and_path() {
    let issuers = [
        "https://a.example",
        "https://a.example/x",
        "https://B.example:8443/",
        "https://[2001:db8::1]/v6",
    ];
    let (routes, senders) = routes(&issuers);
    for (mirror, host, path) in [
        (0, "a.example", "/.well-known/openid-configuration"),
        (0, "A.Example:443", "/.well-known/openid-configuration"),
        (1, "a.example", "/x/.well-known/openid-configuration"),
        (2, "b.example:8443", "/.well-known/openid-configuration"),
        (2, "b.example", "/.well-known/openid-configuration"),
        (3, "[2001:db8::1]", "/v6/.well-known/openid-configuration"),
        (
            3,
            "[2001:db8::1]:443",
            "/v6/.well-known/openid-configuration",
        ),
    ] {
        let response = get(&routes, host, path);
        let etag = &senders[mirror]
            .borrow()
            .as_ref()
            .unwrap()
            .discovery
            .etag
            .clone();
        assert_eq!(response.status(), StatusCode::OK, "{host}{path}");
        assert_eq!(&response.headers()[header::ETAG], etag, "{host}{path}");
    }
    for (host, path, status) in [
        (
            "other.example",
            "/.well-known/openid-configuration",
            StatusCode::MISDIRECTED_REQUEST,
        ),
        (
            "",
            "/.well-known/openid-configuration",
            StatusCode::MISDIRECTED_REQUEST,
        ),
        (
            "a.example.evil.example",
            "/",
            StatusCode::MISDIRECTED_REQUEST,
        ),
        ("a.example", "/", StatusCode::NOT_FOUND),
        ("a.example", "/openid/v1/jwks/", StatusCode::NOT_FOUND),
        ("a.example", "/y/openid/v1/jwks", StatusCode::NOT_FOUND),
        ("b.example", "/x/openid/v1/jwks", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(get(&routes, host, path).status(), status, "{host}{path}");
    }
}

#[test]
fn the_authority_of_the_target_counts_before_the_host_header() {
    let (routes, _senders) = routes(&[ISSUER]);
    let absolute =
        Request::get(format!("https://{HOST}{JWKS}")).header(header::HOST, "other.example");
    assert_eq!(send(&routes, absolute).status(), StatusCode::OK);
}

#[test]
fn documents_carry_the_headers_that_relying_parties_need() {
    let (routes, _senders) = routes(&[ISSUER]);
    for path in [DISCOVERY, JWKS] {
        let response = get(&routes, HOST, path);
        let headers = response.headers();
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=60");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(headers[header::ETAG].to_str().unwrap().starts_with('"'));
    }
}

#[test]
fn a_known_entity_tag_gets_304_and_no_body() {
    let (routes, _senders) = routes(&[ISSUER]);
    let etag = get(&routes, HOST, JWKS).headers()[header::ETAG]
        .to_str()
        .unwrap()
        .to_owned();
    for (tags, status) in [
        (etag.clone(), StatusCode::NOT_MODIFIED),
        (format!("W/{etag}"), StatusCode::NOT_MODIFIED),
        (format!("\"x\", {etag}"), StatusCode::NOT_MODIFIED),
        ("*".to_owned(), StatusCode::NOT_MODIFIED),
        ("\"x\"".to_owned(), StatusCode::OK),
        (etag.trim_matches('"').to_owned(), StatusCode::OK),
    ] {
        let request = Request::get(JWKS)
            .header(header::HOST, HOST)
            .header(header::IF_NONE_MATCH, &tags);
        let response = send(&routes, request);
        assert_eq!(response.status(), status, "{tags}");
        assert_eq!(
            response.body().size_hint().exact() == Some(0),
            status == StatusCode::NOT_MODIFIED
        );
        assert_eq!(response.headers()[header::ETAG].to_str().unwrap(), etag);
    }
}

#[test]
fn only_get_and_head_are_answered() {
    let (routes, _senders) = routes(&[ISSUER]);
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
    ] {
        let response = send(
            &routes,
            Request::builder()
                .method(method)
                .uri(JWKS)
                .header(header::HOST, HOST),
        );
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[header::ALLOW], "GET, HEAD");
    }
}

#[test]
fn head_has_the_fields_of_get_and_no_content() {
    let (routes, _senders) = routes(&[ISSUER]);
    for path in [DISCOVERY, JWKS, "/nothing"] {
        let head = Request::head(path).header(header::HOST, HOST);
        let (head, get) = (send(&routes, head), get(&routes, HOST, path));
        assert_eq!(head.status(), get.status());
        assert_eq!(head.body().size_hint().exact(), Some(0));
        let length = get.body().size_hint().exact().unwrap().to_string();
        assert_eq!(
            head.headers()[header::CONTENT_LENGTH].to_str().unwrap(),
            length
        );
        assert_eq!(
            head.headers().get(header::ETAG),
            get.headers().get(header::ETAG)
        );
    }
}

#[test]
fn before_the_first_snapshot_clients_are_asked_to_come_back() {
    let (routes, senders) = routes(&[ISSUER]);
    senders[0].send_replace(None);
    let response = get(&routes, HOST, JWKS);
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
}

#[test]
fn a_response_shares_the_body_of_the_snapshot() {
    let (routes, senders) = routes(&[ISSUER]);
    let response = get(&routes, HOST, DISCOVERY);
    let mut body = response.into_body();
    let frame = futures_util::FutureExt::now_or_never(http_body_util::BodyExt::frame(&mut body));
    let served = frame.unwrap().unwrap().unwrap().into_data().unwrap();
    assert_eq!(
        served.as_ptr(),
        senders[0]
            .borrow()
            .as_ref()
            .unwrap()
            .discovery
            .body
            .as_ptr()
    );
}

proptest! {
    #[test]
    fn no_host_or_path_makes_routing_panic(host in any::<String>(), path in any::<String>()) {
        let (routes, _senders) = routes(&[ISSUER]);
        _ = routes.find(&host, &path);
    }
}

/// A connection over a pipe, with the time-outs of [`limits`].
fn connect(
    limits: Limits,
) -> (
    DuplexStream,
    JoinHandle<()>,
    watch::Sender<Mood>,
    Vec<Sender>,
) {
    let (routes, senders) = routes(&[ISSUER]);
    let settings = Serve {
        listen: Vec::new(),
        tls: None,
        proxy_protocol: false,
        access_log: false,
        limits,
        shutdown_grace: Duration::from_secs(10),
    };
    let routes = watch::Sender::new(Arc::new(routes));
    let shared = Shared::new(routes.subscribe(), &settings);
    let (client, server) = tokio::io::duplex(64 * 1024);
    let mood = watch::Sender::new(Mood::Calm);
    let peer = Peer {
        address: None,
        mood: mood.subscribe(),
        tally: Arc::new(Counters::default().of("test")),
    };
    let task = tokio::spawn(async move { shared.serve(server, None, peer).await });
    (client, task, mood, senders)
}

fn limits() -> Limits {
    Limits {
        header_timeout: HEADER_TIMEOUT,
        idle_timeout: IDLE_TIMEOUT,
        ..Limits::default()
    }
}

async fn exchange(client: &mut DuplexStream) -> String {
    let request = format!("GET {JWKS} HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut response = vec![0; 4096];
    let length = client.read(&mut response).await.unwrap();
    String::from_utf8_lossy(&response[..length]).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_dropped_after_the_header_timeout() {
    let (_client, mut task, _mood, _senders) = connect(limits());
    let start = Instant::now();
    assert!(timeout(HEADER_TIMEOUT - TICK, &mut task).await.is_err());
    task.await.unwrap();
    assert!(
        start.elapsed() <= HEADER_TIMEOUT + TICK,
        "{:?}",
        start.elapsed()
    );
}

/// Sends a line of a head each second for as long as that is heard.
async fn trickle(client: &mut DuplexStream) {
    let start = Instant::now();
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    while client.write_all(b"x: y\r\n").await.is_ok() && start.elapsed() < 4 * IDLE_TIMEOUT {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_trickles_its_head_is_dropped() {
    for (requests, patience) in [(0, HEADER_TIMEOUT), (1, IDLE_TIMEOUT)] {
        let (mut client, task, _mood, _senders) = connect(limits());
        for _ in 0..requests {
            exchange(&mut client).await;
        }
        let start = Instant::now();
        trickle(&mut client).await;
        task.await.unwrap();
        let took = start.elapsed();
        assert!(
            took <= patience + Duration::from_secs(3),
            "{requests}: {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_no_answer_is_dropped() {
    let (mut client, task, _mood, _senders) = connect(limits());
    let start = Instant::now();
    let request = format!("GET {JWKS} HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    // Until the pipes of both directions are full.
    while timeout(TICK, client.write_all(request.as_bytes()))
        .await
        .is_ok()
    {}
    task.await.unwrap();
    let took = start.elapsed();
    assert!(took <= IDLE_TIMEOUT + Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_the_idle_timeout() {
    let (mut client, mut task, _mood, _senders) = connect(limits());
    assert!(exchange(&mut client).await.starts_with("HTTP/1.1 200 OK"));
    assert!(timeout(IDLE_TIMEOUT - TICK, &mut task).await.is_err());
    assert!(exchange(&mut client).await.starts_with("HTTP/1.1 200 OK"));
    let start = Instant::now();
    task.await.unwrap();
    assert!(start.elapsed() >= IDLE_TIMEOUT - TICK && start.elapsed() <= IDLE_TIMEOUT + TICK);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_makes_room_when_others_wait() {
    let (mut client, task, mood, _senders) = connect(limits());
    exchange(&mut client).await;
    let start = Instant::now();
    mood.send_replace(Mood::Crowded);
    task.await.unwrap();
    assert!(start.elapsed() < IDLE_TIMEOUT / 10, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_an_idle_connection_at_once() {
    let (mut client, task, mood, _senders) = connect(limits());
    exchange(&mut client).await;
    let start = Instant::now();
    mood.send_replace(Mood::Ending);
    task.await.unwrap();
    assert!(start.elapsed() < TICK);
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_in_good_order_after_its_last_request() {
    let (mut client, task, _mood, _senders) = connect(Limits {
        max_requests_per_connection: 3,
        ..limits()
    });
    for is_last in [false, false, true] {
        let answer = exchange(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert_eq!(answer.contains("connection: close"), is_last, "{answer}");
    }
    let start = Instant::now();
    task.await.unwrap();
    assert!(start.elapsed() < TICK);
}

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(10);
