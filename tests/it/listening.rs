//! Where the service listens: Unix sockets, sockets that were handed over, load balancers in front.

use std::{
    fs,
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixListener as BlockingUnixListener},
    path::Path,
    process::Stdio,
    sync::Arc,
};

use http::{HeaderValue, header::USER_AGENT};
use oidc_mirror::demo::SigningKey;
use rustls::{pki_types::ServerName, version::TLS13};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    process::Command,
};
use tokio_rustls::TlsConnector;

use crate::support::{
    ApiServer, JWKS, p256,
    process::Process,
    service::{Plan, Running, STRANGER, eventually},
};

const ISSUER: &str = "https://oidc.example.com";

/// One request on a connection that ends with it.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> String {
    let request =
        format!("GET {JWKS} HTTP/1.1\r\nhost: oidc.example.com\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap_or_default();
    answer
}

/// Asks over a Unix socket until the documents are there.
async fn served_at(path: &Path, key: &SigningKey) {
    eventually("the documents are served on the socket", async || {
        let stream = UnixStream::connect(path).await.ok()?;
        ask(stream).await.contains(key.kid()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_unix_socket_serves_anybody_and_goes_with_its_service() {
    let (key, directory) = (p256(), tempfile::tempdir().unwrap());
    let server = ApiServer::listing(ISSUER, std::slice::from_ref(&key));
    let path = directory.path().join("http.sock");
    // What a process left behind that was killed.
    drop(BlockingUnixListener::bind(&path).unwrap());
    let listen = format!(r#"serve.listen=["unix:{}"]"#, path.display());
    let plan = || Plan::plain().mirror(ISSUER, &[&server]).set(&listen);
    let mut process = Process::run(&plan()).await;
    served_at(&path, &key).await;
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o666, "{mode:o}");
    assert!(
        process
            .logged("plain HTTP is spoken")
            .await
            .contains("INFO")
    );

    // The path is taken while it lives, and what is there goes on.
    let arguments = plan().arguments();
    let second = Command::new(env!("CARGO_BIN_EXE_oidc-mirror"))
        .arg("run")
        .args(arguments)
        .output();
    let second = second.await.unwrap();
    let error = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{error}");
    assert!(error.contains("another process has it"), "{error}");
    served_at(&path, &key).await;

    process.signal("TERM").await;
    assert!(process.ended().await.success());
    assert!(!path.exists());
}

/// `oidc-mirror` as a service manager starts it that hands over these sockets by these names.
fn activated(sockets: [OwnedFd; 2], names: &str) -> Command {
    // The process must be the one that the sockets are meant for, so its own shell says so.
    let script = format!(
        "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={names} exec \"$@\" 3<&0 4<&1 </dev/null >&2"
    );
    let [first, second] = sockets;
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_oidc-mirror")])
        .stdin(Stdio::from(first))
        .stdout(Stdio::from(second));
    command
}

#[tokio::test]
async fn sockets_that_are_handed_over_are_found_by_name() {
    let (key, directory) = (p256(), tempfile::tempdir().unwrap());
    let server = ApiServer::listing(ISSUER, std::slice::from_ref(&key));
    let path = directory.path().join("http.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let unix = BlockingUnixListener::bind(&path).unwrap();
    let plan = Plan::plain()
        .mirror(ISSUER, &[&server])
        .set(r#"serve.listen=["systemd:front", "systemd:back"]"#);
    let mut process =
        Process::run_with(activated([tcp.into(), unix.into()], "front:back"), &plan).await;
    assert_eq!(process.address, address);
    process.notified("READY=1").await;
    served_at(&path, &key).await;
    let answer = ask(TcpStream::connect(address).await.unwrap()).await;
    assert!(answer.contains(key.kid()), "{answer}");
    // They are the service manager's, also after a reload and after the end.
    process.signal("HUP").await;
    process.notified("READY=1").await;
    served_at(&path, &key).await;
    process.signal("TERM").await;
    assert!(process.ended().await.success());
    assert!(path.exists());
}

#[tokio::test]
async fn two_sockets_of_one_name_serve_alike() {
    let key = p256();
    let server = ApiServer::listing(ISSUER, std::slice::from_ref(&key));
    let sockets = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = sockets.each_ref().map(|it| it.local_addr().unwrap());
    let plan = Plan::plain()
        .mirror(ISSUER, &[&server])
        .set(r#"serve.listen=["systemd:https"]"#);
    let command = activated(sockets.map(OwnedFd::from), "https:https");
    let process = Process::run_with(command, &plan).await;
    process.notified("READY=1").await;
    for address in addresses {
        let answer = ask(TcpStream::connect(address).await.unwrap()).await;
        assert!(answer.contains(key.kid()), "{answer}");
    }
}

#[tokio::test]
async fn a_socket_that_was_not_handed_over_is_named() {
    let plan = Plan::plain()
        .mirror(ISSUER, &[])
        .set("mirror.0.upstreams=['https://127.0.0.1:1']")
        .set(r#"serve.listen=["systemd:https"]"#);
    let sockets = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap().into());
    let mut none = Command::new(env!("CARGO_BIN_EXE_oidc-mirror"));
    for (command, expected) in [
        (&mut none, "start the socket unit, not the service"),
        (&mut activated(sockets, "web:admin"), "are named web, admin"),
    ] {
        // Nobody answers there, so the token need not be one.
        plan.write_token(0, "token");
        let command = command.arg("run").args(plan.arguments());
        let output = command.stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().await.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.contains("systemd:https") && error.contains(expected),
            "{error}"
        );
        assert_eq!(output.status.code(), Some(1), "{error}");
    }
}

/// A TLS connection behind these bytes.
async fn behind(service: &Running, header: &[u8]) -> std::io::Result<impl AsyncRead + AsyncWrite> {
    let mut stream = TcpStream::connect(service.address()).await?;
    stream.write_all(header).await?;
    let connector = TlsConnector::from(Arc::new(service.plan().tls(&TLS13, &["http/1.1"])));
    let name = ServerName::try_from(STRANGER).unwrap();
    connector.connect(name, stream).await
}

#[tokio::test]
async fn behind_a_load_balancer_each_client_counts_by_its_own_address() {
    let key = p256();
    let server = ApiServer::listing(ISSUER, std::slice::from_ref(&key));
    let service = Plan::new()
        .mirror(ISSUER, &[&server])
        .set("serve.proxy-protocol=true")
        .set("serve.max-connections-per-address=1")
        .set("admin.listen=127.0.0.1:0")
        .start()
        .await;
    let one = b"PROXY TCP4 192.0.2.1 10.0.0.1 1234 443\r\n";
    let other = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x02\x0a\0\0\x01\x04\xd2\x01\xbb";
    let own = b"PROXY UNKNOWN\r\n";
    eventually("the documents are there", async || {
        let stream = behind(&service, other).await.ok()?;
        ask(Box::pin(stream))
            .await
            .contains(key.kid())
            .then_some(())
    })
    .await;
    let first = behind(&service, one).await.unwrap();
    assert!(
        behind(&service, one).await.is_err(),
        "a second connection of one client"
    );
    for header in [&other[..], own, own] {
        let stream = behind(&service, header).await.unwrap();
        assert!(ask(Box::pin(stream)).await.contains(key.kid()));
    }
    drop(first);
    eventually("its place is free again", async || {
        behind(&service, one).await.ok().map(drop)
    })
    .await;

    // Without a header nobody is served.
    assert!(behind(&service, b"").await.is_err());
    assert!(behind(&service, b"PROXY TCP4 nonsense\r\n").await.is_err());
    let url = format!("http://{}/metrics", service.admin());
    let metrics = reqwest::get(url).await.unwrap().text().await.unwrap();
    for expected in [
        r#"oidc_mirror_connections_refused_total{listener="127.0.0.1:0",reason="proxy-protocol"} 2"#,
        r#"oidc_mirror_requests_total{listener="127.0.0.1:0",route="jwks",status="200"}"#,
    ] {
        assert!(metrics.contains(expected), "{metrics}");
    }
}

#[tokio::test]
async fn requests_are_logged_only_where_that_is_wanted() {
    let key = p256();
    let server = ApiServer::listing(ISSUER, std::slice::from_ref(&key));
    for is_wanted in [false, true] {
        let plan = Plan::new()
            .mirror(ISSUER, &[&server])
            .set(&format!("serve.access-log={is_wanted}"));
        let process = Process::run(&plan).await;
        process.logged("every mirror has its documents").await;
        let before = process.log().len();
        let request = process.client(&plan).get(format!("{ISSUER}/x%0Ay"));
        let agent = HeaderValue::from_bytes("a\" status=200 \u{202e}".as_bytes()).unwrap();
        let request = request.header(USER_AGENT, agent);
        assert_eq!(request.send().await.unwrap().status(), 404);
        if !is_wanted {
            assert_eq!(process.log().len(), before, "{:#?}", process.log());
            continue;
        }
        let line = process.logged("access").await;
        for expected in [
            r#"client="127.0.0.1" method="GET" host="oidc.example.com" path="/x%0Ay""#,
            r#"status=404 agent="a\" status=200 \u{202e}""#,
        ] {
            assert!(line.contains(expected), "{line}");
        }
        assert!(line.is_ascii(), "{line}");
    }
}

#[tokio::test]
async fn the_watchdog_hears_that_it_is_alive() {
    let server = ApiServer::listing(ISSUER, &[p256()]);
    let plan = Plan::new().mirror(ISSUER, &[&server]);
    let mut command = Command::new("sh");
    let script = "WATCHDOG_USEC=300000 exec \"$@\"";
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_oidc-mirror")]);
    let process = Process::run_with(command, &plan).await;
    for _ in 0..3 {
        process.notified("WATCHDOG=1").await;
    }
}
