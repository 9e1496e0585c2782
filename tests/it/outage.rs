//! Upstreams that are gone, slow, or change their mind, and come back.

use std::{fs, future::pending, net::SocketAddr, time::Duration};

use oidc_mirror::{config::settings::Credentials, upstream::connect};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use url::Url;

use crate::support::{ApiServer, DISCOVERY, JWKS, Reply, connect_to, files_of, mirror_of, p256};

fn started() -> ApiServer {
    let server = ApiServer::start();
    server.set_keys(&[p256()]);
    server
}

#[tokio::test]
async fn an_upstream_that_comes_back_is_read_again() {
    let mut server = started();
    let mut upstream = connect_to(&server).await;
    upstream.fetch().await.unwrap();
    server.stop().await;
    let error = upstream.fetch().await.unwrap_err();
    assert_eq!(error.reason(), "connect");
    assert!(error.to_string().contains("refused"), "{error}");
    server.restart();
    upstream.fetch().await.unwrap();
}

#[tokio::test]
async fn an_answer_must_be_complete_before_the_deadline() {
    let server = started();
    let credentials = Credentials::Files(files_of(&server));
    let mut mirror = mirror_of(&[server.url()], credentials);
    mirror.timeout = Duration::from_millis(300);
    let mut upstream = connect(&mirror).await.unwrap().remove(0);
    server.script(JWKS, [Reply::late(Duration::from_secs(60))]);
    let error = upstream.fetch().await.unwrap_err();
    assert_eq!(error.reason(), "timeout");
    assert!(error.to_string().contains("300ms"), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_used() {
    let server = started();
    let mut upstream = connect_to(&server).await;
    for reply in [Reply::CutOff, Reply::Close] {
        server.always(JWKS, reply);
        assert_eq!(upstream.fetch().await.unwrap_err().reason(), "broken");
    }
    server.behave();
    upstream.fetch().await.unwrap();
}

#[tokio::test]
async fn a_token_that_is_refused_is_read_again_by_the_next_round() {
    let server = started();
    let mut upstream = connect_to(&server).await;
    upstream.fetch().await.unwrap();
    server.set_token("token-2");
    let error = upstream.fetch().await.unwrap_err();
    assert_eq!(error.reason(), "unauthorized");
    server.write_token();
    upstream.fetch().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_no_failure() {
    let mut server = started();
    let mut upstream = connect_to(&server).await;
    upstream.fetch().await.unwrap();
    server.stop().await;
    server.restart();
    upstream.fetch().await.unwrap();
}

#[tokio::test]
async fn a_token_that_changes_during_the_round_is_used_at_once() {
    let server = started();
    let mut upstream = connect_to(&server).await;
    server.set_token("token-2");
    let refused = Reply::status(401, "");
    server.script(
        DISCOVERY,
        [Reply::Delay(Duration::from_millis(300), Box::new(refused))],
    );
    let write = async {
        while server.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.write_token();
    };
    let (answer, ()) = tokio::join!(upstream.fetch(), write);
    answer.unwrap();
    let last = server.requests().pop().unwrap();
    assert_eq!(last.headers["authorization"], "Bearer token-2");
}

#[tokio::test]
async fn a_file_that_is_half_written_leaves_the_old_one_in_use() {
    let server = started();
    let mut upstream = connect_to(&server).await;
    let ca = fs::read(server.ca_file()).unwrap();
    for half in [&ca[..ca.len() / 2], b""] {
        fs::write(server.ca_file(), half).unwrap();
        fs::write(server.token_file(), "").unwrap();
        upstream.fetch().await.unwrap();
    }
    // Only when the old ones no longer do, the files are what is wrong.
    server.set_token("token-2");
    let error = upstream.fetch().await.unwrap_err();
    assert_eq!(error.reason(), "credentials");
    fs::write(server.ca_file(), ca).unwrap();
    server.write_token();
    upstream.fetch().await.unwrap();
}

#[tokio::test]
async fn a_cluster_with_a_new_ca_is_read_once_the_file_has_it() {
    let (old, new) = (started(), started());
    let mut files = files_of(&new);
    files.ca_file = Some(old.ca_file());
    let mirror = mirror_of(&[new.url()], Credentials::Files(files));
    let mut upstream = connect(&mirror).await.unwrap().remove(0);
    assert_eq!(upstream.fetch().await.unwrap_err().reason(), "tls");
    fs::copy(new.ca_file(), old.ca_file()).unwrap();
    upstream.fetch().await.unwrap();
}

#[tokio::test]
async fn each_address_is_an_upstream_of_its_own() {
    let (one, other) = (started(), started());
    let mut files = files_of(&one);
    files.ca_file = Some(one.ca_file());
    let mirror = mirror_of(&[one.url(), other.url()], Credentials::Files(files));
    let mut upstreams = connect(&mirror).await.unwrap();
    let urls: Vec<_> = upstreams
        .iter()
        .map(|upstream| upstream.url().clone())
        .collect();
    assert_eq!(urls, [one.url(), other.url()]);
    upstreams[0].fetch().await.unwrap();
    assert!(other.requests().is_empty());
    // The other is of another CA.
    assert_eq!(upstreams[1].fetch().await.unwrap_err().reason(), "tls");
}

#[tokio::test]
async fn a_connection_that_went_silent_is_not_used_again() {
    let server = started();
    let (address, silence) = relay_to(server.address()).await;
    let url = Url::parse(&format!("https://{address}")).unwrap();
    let mut mirror = mirror_of(&[url], Credentials::Files(files_of(&server)));
    mirror.timeout = Duration::from_secs(2);
    let mut upstream = connect(&mirror).await.unwrap().remove(0);
    upstream.fetch().await.unwrap();
    silence.send_replace(());
    assert_eq!(upstream.fetch().await.unwrap_err().reason(), "timeout");
    upstream.fetch().await.unwrap();
}

/// Relays connections to `server`; those open when the sender sends carry nothing any more.
async fn relay_to(server: SocketAddr) -> (SocketAddr, watch::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, _) = watch::channel(());
    let silence = sender.clone();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut silenced = silence.subscribe();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    _ = silenced.changed() => pending().await,
                }
            });
        }
    });
    (address, sender)
}
