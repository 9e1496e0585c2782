//! Certificates in files, which somebody else renews while the service runs.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    sync::Arc,
    time::{Duration, SystemTime},
};

use oidc_mirror::demo::Certificate;
use rcgen::CertificateParams;
use rustls::{HandshakeKind, pki_types::CertificateDer, version::TLS13};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::support::{
    ApiServer, p256,
    process::Process,
    service::{Plan, STRANGER, certificate_of, eventually},
};

const ISSUER: &str = "https://oidc.example.com";
const HOST: &str = "oidc.example.com";

/// Waits until this is what is served.
async fn is_served(plan: &Plan, address: SocketAddr, certificate: &CertificateDer<'static>) {
    eventually("the new certificate is served", async || {
        (plan.served(address, HOST).await == *certificate).then_some(())
    })
    .await;
}

fn issue(plan: &Plan) -> Certificate {
    plan.authority().issue(&[HOST, STRANGER]).unwrap()
}

fn write(plan: &Plan, certificate: &Certificate) {
    let [cert_file, key_file] = plan.tls_files();
    certificate.write(&cert_file, &key_file).unwrap();
}

/// Asks for something that is not there, and reads the answer.
async fn exchange(stream: &mut TlsStream<TcpStream>) -> String {
    let request = b"GET / HTTP/1.1\r\nhost: oidc.example.com\r\n\r\n";
    stream.write_all(request).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_open_connections_go_on() {
    let server = ApiServer::listing(ISSUER, &[p256()]);
    let service = Plan::new().mirror(ISSUER, &[&server]).start().await;
    let (plan, address) = (service.plan(), service.address());
    let mut open = plan.connect(address).await;
    assert!(exchange(&mut open).await.starts_with("HTTP/1.1 404"));
    let new = issue(plan);
    write(plan, &new);
    is_served(plan, address, &new.der()).await;
    assert!(exchange(&mut open).await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_session_is_resumed_across_a_change_of_certificates() {
    let server = ApiServer::listing(ISSUER, &[p256()]);
    let service = Plan::new().mirror(ISSUER, &[&server]).start().await;
    let (plan, address) = (service.plan(), service.address());
    let client = Arc::new(plan.tls(&TLS13, &["http/1.1"]));
    let connect = async || {
        let stream = Plan::connect_for(address, HOST, Arc::clone(&client)).await;
        let mut stream = stream.unwrap();
        // With the answer comes the ticket.
        exchange(&mut stream).await;
        stream.get_ref().1.handshake_kind().unwrap()
    };
    assert_ne!(connect().await, HandshakeKind::Resumed);
    assert_eq!(connect().await, HandshakeKind::Resumed);
    let new = issue(plan);
    write(plan, &new);
    is_served(plan, address, &new.der()).await;
    assert_eq!(connect().await, HandshakeKind::Resumed);
}

#[tokio::test]
async fn a_swap_of_links_as_kubernetes_does_it_is_seen() {
    let plan = Plan::new();
    let volume = plan.directory().join("volume");
    let put = |generation: &str, certificate: &Certificate| {
        let directory = volume.join(generation);
        fs::create_dir_all(&directory).unwrap();
        let [cert_file, key_file] = ["tls.crt", "tls.key"].map(|name| directory.join(name));
        certificate.write(&cert_file, &key_file).unwrap();
        symlink(generation, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    };
    put("..1", &issue(&plan));
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), volume.join(name)).unwrap();
    }
    let path = |name| volume.join(name).display().to_string();
    let server = ApiServer::listing(ISSUER, &[p256()]);
    let plan = plan
        .set(&format!("serve.tls.cert-file={}", path("tls.crt")))
        .set(&format!("serve.tls.key-file={}", path("tls.key")));
    let service = plan.mirror(ISSUER, &[&server]).start().await;
    let new = issue(service.plan());
    put("..2", &new);
    is_served(service.plan(), service.address(), &new.der()).await;
}

#[tokio::test]
async fn a_bad_pair_is_reported_once_and_the_old_one_stays_until_it_is_mended() {
    let server = ApiServer::listing(ISSUER, &[p256()]);
    let plan = Plan::new().mirror(ISSUER, &[&server]);
    let process = Process::run(&plan).await;
    let before = plan.served(process.address, HOST).await;
    let [cert_file, key_file] = plan.tls_files();
    fs::write(&cert_file, issue_pem(&plan)).unwrap();
    let line = process.logged("the present one stays").await;
    assert!(line.contains("do not go together"), "{line}");
    assert!(line.contains(&cert_file.display().to_string()), "{line}");
    assert!(line.contains(&key_file.display().to_string()), "{line}");
    assert_eq!(plan.served(process.address, HOST).await, before);
    fs::write(&cert_file, "garbage").unwrap();
    process.logged("there is no certificate in PEM").await;
    assert_eq!(plan.served(process.address, HOST).await, before);
    let new = issue(&plan);
    write(&plan, &new);
    let line = process.logged("a new certificate is in use").await;
    assert!(line.contains(HOST), "{line}");
    is_served(&plan, process.address, &new.der()).await;
    let refused = |line: &&String| line.contains("the present one stays");
    assert_eq!(process.log().iter().filter(refused).count(), 2);
}

/// A certificate without its key.
fn issue_pem(plan: &Plan) -> String {
    let [cert_file, key_file] = ["other.crt", "other.key"].map(|name| plan.directory().join(name));
    issue(plan).write(&cert_file, &key_file).unwrap();
    fs::read_to_string(cert_file).unwrap()
}

#[tokio::test]
async fn a_hang_up_takes_a_good_certificate_at_once_and_refuses_a_bad_one() {
    let server = ApiServer::listing(ISSUER, &[p256()]);
    let plan = Plan::new().mirror(ISSUER, &[&server]);
    let process = Process::run(&plan).await;
    let new = issue(&plan);
    write(&plan, &new);
    process.signal("HUP").await;
    process.logged("the new configuration is in use").await;
    assert_eq!(plan.served(process.address, HOST).await, new.der());
    let [cert_file, _] = plan.tls_files();
    fs::write(cert_file, "garbage").unwrap();
    process.signal("HUP").await;
    let line = process.logged("the new configuration is refused").await;
    assert!(line.contains("there is no certificate in PEM"), "{line}");
    assert_eq!(plan.served(process.address, HOST).await, new.der());
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the service compares with the real time"
)]
async fn a_certificate_that_expires_soon_is_a_warning() {
    let server = ApiServer::listing(ISSUER, &[p256()]);
    let plan = Plan::new().mirror(ISSUER, &[&server]);
    let process = Process::run(&plan).await;
    let mut params = CertificateParams::new([HOST.to_owned()]).unwrap();
    let now = SystemTime::now();
    params.not_before = (now - 80 * DAY).into();
    params.not_after = (now + 10 * DAY).into();
    let soon = plan.authority().sign(&params).unwrap();
    write(&plan, &soon);
    let line = process.logged("the certificate expires soon").await;
    assert!(line.contains("WARN") && line.contains("expires="), "{line}");
    let stream = Plan::connect_for(process.address, HOST, plan.tls(&TLS13, &[]));
    assert_eq!(certificate_of(&stream.await.unwrap()), soon.der());
}

const DAY: Duration = Duration::from_hours(24);
