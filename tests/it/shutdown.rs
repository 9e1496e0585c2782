//! How the real binary starts and ends, as a service manager sees it.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::support::{
    ApiServer, JWKS, Reply, p256,
    process::Process,
    service::{Plan, asked, eventually},
};

const ISSUER: &str = "https://oidc.example.com";

fn started() -> ApiServer {
    let server = ApiServer::start();
    server.set_keys(&[p256()]);
    server
}

async fn request(stream: &mut (impl AsyncWriteExt + Unpin), part: &str) {
    stream.write_all(part.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

/// The whole of one answer on a connection that stays open.
async fn read_answer(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}]}") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
    }
    String::from_utf8(answer).unwrap()
}

/// Waits until the other end has read all that was sent to it, by what the kernel has queued.
async fn is_read_by_peer(stream: &TcpStream) {
    let [peer, own] = [stream.peer_addr(), stream.local_addr()].map(|it| it.unwrap().port());
    let ends = [format!(":{peer:04X}"), format!(":{own:04X}")];
    eventually("the request is read", async || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let queue = table.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let matches = fields.get(1)?.ends_with(&ends[0]) && fields.get(2)?.ends_with(&ends[1]);
            matches.then(|| fields[4].ends_with(":00000000"))
        });
        queue.unwrap().then_some(())
    })
    .await;
}

#[tokio::test]
async fn it_is_ready_with_its_first_documents_and_says_when_it_stops() {
    let server = started();
    server.always(JWKS, Reply::status(503, ""));
    let plan = Plan::new().mirror(ISSUER, &[&server]);
    let mut process = Process::run(&plan).await;
    let first = process.notification().await;
    assert!(first.starts_with("STATUS=waiting for"), "{first}");
    eventually("it has asked more than once", async || {
        (asked(&server) > 1).then_some(())
    })
    .await;
    let early = process.notifications.try_recv(&mut [0; 4096]);
    assert_eq!(early.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    server.behave();
    process.notified("READY=1").await;
    let client = plan.client(process.address).build().unwrap();
    let answer = client.get(format!("{ISSUER}{JWKS}")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    process.signal("TERM").await;
    process.notified("STOPPING=1").await;
    assert!(process.ended().await.success());
}

#[tokio::test]
async fn it_ends_at_once_although_clients_stay_connected() {
    let server = started();
    let plan = Plan::new().mirror(ISSUER, &[&server]);
    let mut process = Process::run(&plan).await;
    process.notified("READY=1").await;
    // Accepted before the other, which is answered: its handshake has begun.
    let _silent = TcpStream::connect(process.address).await.unwrap();
    let mut kept_alive = plan.connect(process.address).await;
    let get = format!("GET {JWKS} HTTP/1.1\r\nhost: oidc.example.com\r\n\r\n");
    request(&mut kept_alive, &get).await;
    read_answer(&mut kept_alive).await;
    let start = Instant::now();
    process.signal("TERM").await;
    assert!(process.ended().await.success());
    // The grace period and the idle timeout are longer.
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_end() {
    let server = started();
    let plan = Plan::new().mirror(ISSUER, &[&server]);
    let mut process = Process::run(&plan).await;
    process.notified("READY=1").await;
    let mut stream = plan.connect(process.address).await;
    request(&mut stream, &format!("GET {JWKS} HTTP/1.1\r\nhost: ")).await;
    is_read_by_peer(stream.get_ref().0).await;
    process.signal("TERM").await;
    eventually("no connection is accepted any more", async || {
        TcpStream::connect(process.address).await.err()
    })
    .await;
    request(&mut stream, "oidc.example.com\r\n\r\n").await;
    let mut answer = String::new();
    _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("}]}"), "{answer}");
    assert!(process.ended().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_it_without_waiting_for_clients() {
    let server = started();
    let plan = Plan::new().mirror(ISSUER, &[&server]);
    let mut process = Process::run(&plan).await;
    process.notified("READY=1").await;
    let mut stream = plan.connect(process.address).await;
    request(&mut stream, "GET / HTTP/1.1\r\n").await;
    is_read_by_peer(stream.get_ref().0).await;
    process.signal("TERM").await;
    process.notified("STOPPING=1").await;
    let start = Instant::now();
    process.signal("TERM").await;
    assert_eq!(process.ended().await.code(), Some(1));
    assert!(start.elapsed() < Duration::from_secs(5));
}
