//! The least that can serve a document: a loop of rustls on each socket, that knows one answer.
//!
//! It reads no head, has no limit and no deadline, and counts nothing: what the mirror needs beyond
//! it is the price of HTTP and of being on the Internet.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::Ticketer,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::support::{Failure, JWKS};

/// Serves the files of a scene until the process is killed.
pub(crate) async fn serve(address: SocketAddr, directory: &Path) -> Result<(), Failure> {
    let chain = CertificateDer::pem_file_iter(directory.join("tls/tls.crt"))?;
    let key = PrivateKeyDer::from_pem_file(directory.join("tls/tls.key"))?;
    let mut tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain.collect::<Result<_, _>>()?, key)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    tls.ticketer = Ticketer::new()?;
    tls.send_tls13_tickets = 1;
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let body = fs::read(directory.join(format!("www{JWKS}")))?;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer: Arc<[u8]> = [head.as_bytes(), &body].concat().into();
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(converse(stream, acceptor.clone(), Arc::clone(&answer)));
    }
}

/// Answers whatever comes.
async fn converse(stream: TcpStream, acceptor: TlsAcceptor, answer: Arc<[u8]>) {
    // A client that goes away is no news.
    _ = stream.set_nodelay(true);
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut request = [0; 1024];
    while let Ok(1..) = stream.read(&mut request).await {
        if stream.write_all(&answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
