//! A real ACME server, pebble, and a DNS server that says where all domains are.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::Stdio,
};

use oidc_mirror::demo::Authority;
use reqwest::Certificate;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    net::UdpSocket,
    process::{Child, Command},
    task::JoinHandle,
};

use super::service::{Plan, eventually};

/// How an ACME server is set up, and where it looks for its challenges.
pub(crate) struct Pebble {
    authority: Authority,
    directory: TempDir,
    acme: u16,
    management: u16,
    /// Where it looks for tls-alpn-01.
    pub(crate) tls_port: u16,
    /// Where it looks for http-01.
    pub(crate) http_port: u16,
    dns: SocketAddr,
    _answering: JoinHandle<()>,
    config: serde_json::Value,
    child: Option<Child>,
}

impl Pebble {
    /// One that is not started yet; it finds every domain here but `lost`.
    pub(crate) async fn new(lost: &[&str]) -> Self {
        let [acme, management, tls_port, http_port] = free_ports();
        let authority = Authority::new("pebble").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let [cert, key] = ["pebble.crt", "pebble.key"].map(|name| directory.path().join(name));
        let certificate = authority.issue(&["127.0.0.1"]).unwrap();
        certificate.write(&cert, &key).unwrap();
        let pebble = json!({
            "listenAddress": format!("127.0.0.1:{acme}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": cert,
            "privateKey": key,
            "httpPort": http_port,
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        });
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let lost = lost.iter().map(|&name| name.to_owned()).collect();
        let pebble = Self {
            authority,
            directory,
            acme,
            management,
            tls_port,
            http_port,
            dns: socket.local_addr().unwrap(),
            _answering: tokio::spawn(answer(socket, lost)),
            config: pebble,
            child: None,
        };
        fs::write(pebble.ca_file(), pebble.authority.pem()).unwrap();
        pebble
    }

    /// Sets a member of its configuration.
    pub(crate) fn set(mut self, name: &str, value: serde_json::Value) -> Self {
        self.config[name] = value;
        self
    }

    /// Starts it, as one that has forgotten everything.
    pub(crate) async fn start(&mut self) {
        let config = self.directory.path().join("pebble.json");
        fs::write(&config, json!({ "pebble": self.config }).to_string()).unwrap();
        let child = Command::new("pebble")
            .arg("-config")
            .arg(config)
            .args(["-dnsserver", &self.dns.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self.child = Some(child.expect("pebble is installed: apt-get install pebble"));
        let client = self.client();
        let directory = self.directory_url();
        eventually("pebble answers", async || {
            client.get(&directory).send().await.ok()
        })
        .await;
    }

    /// Ends it.
    pub(crate) async fn stop(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// Its directory.
    pub(crate) fn directory_url(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.acme)
    }

    /// The CA that signs its own certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    /// Lets `plan` have its certificates from here.
    pub(crate) fn serve(&self, plan: Plan) -> Plan {
        plan.set(&format!(r#"serve.listen=["127.0.0.1:{}"]"#, self.tls_port))
            .set(&format!("serve.acme.directory={}", self.directory_url()))
            .set(&format!("serve.acme.ca-file={}", self.ca_file().display()))
            .set("serve.acme.terms-of-service-agreed=true")
    }

    /// The root of the certificates that it issues, PEM.
    pub(crate) async fn root(&self) -> String {
        let url = format!("https://127.0.0.1:{}/roots/0", self.management);
        let response = self.client().get(url).send().await.unwrap();
        response.text().await.unwrap()
    }

    fn client(&self) -> reqwest::Client {
        _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let ca = Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        let builder = reqwest::Client::builder().no_proxy().tls_certs_only([ca]);
        builder.build().unwrap()
    }
}

/// Ports that nobody has, outside the range from which the kernel gives others theirs.
fn free_ports<const N: usize>() -> [u16; N] {
    let mut taken = Vec::new();
    [(); N].map(|()| {
        let free = std::iter::repeat_with(|| fastrand::u16(10_000..32_000))
            .find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
            .unwrap();
        let port = free.local_addr().unwrap().port();
        taken.push(free);
        port
    })
}

/// Answers A queries with 127.0.0.1, and with nothing for the names in `lost` (RFC 1035 section 4).
async fn answer(socket: UdpSocket, lost: BTreeSet<String>) {
    let mut packet = [0; 512];
    while let Ok((_, peer)) = socket.recv_from(&mut packet).await {
        let mut end = 12;
        let mut labels = Vec::new();
        while packet[end] != 0 {
            let label = &packet[end + 1..=end + usize::from(packet[end])];
            labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
            end += 1 + label.len();
        }
        let question = &packet[12..end + 5];
        let is_address = packet[end + 2] == 1;
        let is_found = is_address && !lost.contains(&labels.join("."));
        let mut reply = packet[..2].to_vec();
        reply.extend([0x81, 0x80, 0, 1, 0, u8::from(is_found), 0, 0, 0, 0]);
        reply.extend(question);
        if is_found {
            // The name of the question, type A, class IN, one second, four bytes.
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
        }
        socket.send_to(&reply, peer).await.unwrap();
    }
}
