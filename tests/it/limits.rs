//! What clients may take: each limit, and what hostile ones do to others.

#[path = "../../benches/soak/hostile/mod.rs"]
mod hostile;

use std::{net::Ipv4Addr, time::Duration};

use http::StatusCode;
use rustls::version::TLS13;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    time::{Instant, timeout},
};

use self::hostile::{Attack, Target, bytes, flood};
use crate::support::{
    ApiServer, JWKS, p256,
    process::Process,
    service::{Plan, Running, answer, eventually},
};

const ISSUER: &str = "https://oidc.example.com";

fn plan(server: &ApiServer) -> Plan {
    Plan::new().mirror(ISSUER, &[server])
}

/// A service with documents, its API server, and the service as hostile peers see it.
async fn serving(settings: &[&str]) -> (Running, ApiServer, Target) {
    let server = ApiServer::listing(ISSUER, &[p256()]);
    let plan = settings.iter().fold(plan(&server), |plan, it| plan.set(it));
    let service = plan.start().await;
    service.documents(ISSUER).await;
    let target = target(&service.plan().tls(&TLS13, &[]), service.address(), LONG);
    (service, server, target)
}

fn target(tls: &rustls::ClientConfig, address: std::net::SocketAddr, patience: Duration) -> Target {
    Target::new(address, tls.clone(), "oidc.example.com", patience).unwrap()
}

fn url() -> String {
    format!("{ISSUER}{JWKS}")
}

#[tokio::test]
async fn no_attack_keeps_a_good_client_waiting_or_writes_a_line_into_the_log() {
    let server = ApiServer::listing(ISSUER, &[p256()]);
    let plan = plan(&server)
        .set("serve.handshake-timeout=1s")
        .set("serve.header-timeout=1s")
        .set("serve.idle-timeout=1s");
    let process = Process::run(&plan).await;
    process.logged("every mirror has its documents").await;
    let before = process.log().len();
    let target = target(&plan.tls(&TLS13, &[]), process.address, LONG);
    for attack in Attack::ALL {
        let mut attacks =
            std::pin::pin!(async { tokio::join!(attack.once(&target), attack.once(&target)) });
        let outcome = loop {
            let asking = async {
                let asked = Instant::now();
                let found = process.get(&plan, &url()).await;
                assert_eq!(found.status, StatusCode::OK, "{attack:?}");
                assert!(asked.elapsed() < SOON, "{attack:?}: {:?}", asked.elapsed());
            };
            tokio::select! {
                outcome = &mut attacks => break outcome,
                () = asking => {}
            }
        };
        let is_over = outcome.0.unwrap().is_ended && outcome.1.unwrap().is_ended;
        assert!(is_over, "{attack:?} was not ended");
    }
    assert_eq!(process.get(&plan, &url()).await.status, StatusCode::OK);
    let after = process.log();
    assert_eq!(after.len(), before, "{:#?}", after.get(before..));
}

#[tokio::test]
async fn a_request_that_could_be_two_is_answered_once() {
    let (_service, _server, target) = serving(&["serve.idle-timeout=1s"]).await;
    for fields in bytes::AMBIGUOUS {
        let outcome = target.http1(bytes::smuggling(fields)).await.unwrap();
        let text = String::from_utf8_lossy(&outcome.received);
        assert!(outcome.is_ended, "{fields:?}: {text}");
        let is_answer = matches!(outcome.status(), Some("200" | "400"));
        assert!(is_answer, "{fields:?}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{fields:?}: {text}");
    }
}

#[tokio::test]
async fn one_address_has_its_share_of_connections_and_takes_nobody_elses() {
    let (service, _server, target) = serving(&[
        "serve.max-connections-per-address=8",
        "serve.max-connections=64",
    ])
    .await;
    let greedy = target.from(Ipv4Addr::new(127, 0, 0, 3));
    let (held, ()) = tokio::join!(flood(&greedy, 20), async {
        assert_eq!(service.get(&url()).await.status, StatusCode::OK);
    });
    assert_eq!(held.unwrap(), 8);
    // They have gone, and so has what was counted of them.
    eventually("it may connect again", async || {
        (flood(&greedy, 1).await.unwrap() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn idle_connections_make_room_when_there_is_none() {
    let (service, _server, _) = serving(&["serve.max-connections=2"]).await;
    let mut idle = Vec::new();
    for _ in 0..2 {
        let mut stream = service.plan().connect(service.address()).await;
        stream.write_all(bytes::REQUEST.as_bytes()).await.unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        idle.push(stream);
    }
    // They could stay for a minute.
    let found = timeout(SOON, service.get(&url())).await.unwrap();
    assert_eq!(found.status, StatusCode::OK);
}

#[tokio::test]
async fn a_head_may_be_as_long_as_the_limit() {
    let (service, _server, _) = serving(&["serve.max-header-bytes=16384"]).await;
    let client = service.plan().client(service.address());
    let client = client.http1_only().build().unwrap();
    for (length, expected) in [
        (12_000, StatusCode::OK),
        (20_000, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
    ] {
        let request = client.get(url()).header("x-long", "a".repeat(length));
        assert_eq!(answer(request).await.status, expected, "{length}");
    }
}

#[tokio::test]
async fn a_client_notices_nothing_when_its_connection_has_had_its_requests() {
    let (service, _server, _) = serving(&["serve.max-requests-per-connection=3"]).await;
    let builder = || service.plan().client(service.address());
    for client in [builder(), builder().http1_only()] {
        let client = client.build().unwrap();
        for number in 0..20 {
            let found = answer(client.get(url())).await;
            assert_eq!(found.status, StatusCode::OK, "{number}");
        }
    }
}

#[tokio::test]
async fn http2_says_how_many_requests_at_one_time_it_takes() {
    let (_service, _server, target) =
        serving(&["serve.max-streams=7", "serve.idle-timeout=1s"]).await;
    let outcome = target.http2(bytes::settings).await.unwrap();
    // The first frame of a server: its settings (RFC 9113 section 6.5), six bytes each.
    let (head, rest) = outcome.received.split_at_checked(9).unwrap();
    let length = usize::from(head[2]);
    assert_eq!(head, [0, 0, head[2], 4, 0, 0, 0, 0, 0]);
    let settings = rest[..length].chunks(6);
    let found = settings.filter(|it| it.starts_with(&[0, 3]));
    assert_eq!(found.collect::<Vec<_>>(), [[0, 3, 0, 0, 0, 7]]);
}

#[tokio::test]
async fn out_of_descriptors_it_waits_and_goes_on() {
    let server = ApiServer::listing(ISSUER, &[p256()]);
    let plan = plan(&server).set("serve.max-connections-per-address=0");
    let mut command = Command::new("sh");
    let script = "ulimit -n 48; exec \"$@\"";
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_oidc-mirror")]);
    let process = Process::run_with(command, &plan).await;
    process.logged("every mirror has its documents").await;
    let target = target(&plan.tls(&TLS13, &[]), process.address, LONG);
    let before = process.log().len();
    flood(&target, 100).await.unwrap();
    process.logged("raise the limit of open files").await;
    // Its own descriptors are enough for all that went before, and those of the flood come back.
    assert_eq!(process.get(&plan, &url()).await.status, StatusCode::OK);
    let lines = process.log();
    let lines = lines.get(before..).unwrap();
    let refused = lines.iter().filter(|it| it.contains("open files")).count();
    assert!(refused <= 5, "a line a second at most: {lines:#?}");
}

/// Shorter than every deadline of the server that is not set otherwise.
const SOON: Duration = Duration::from_secs(5);
/// Longer than any of them that is.
const LONG: Duration = Duration::from_secs(15);
