//! The TLS side of the clients.

use std::{net::SocketAddr, sync::Arc};

use oidc_mirror::demo::Authority;
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{
            cipher_suite::{TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS13_AES_128_GCM_SHA256},
            default_provider,
            kx_group::{SECP256R1, X25519},
        },
    },
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Failure, HOST};

/// A connection to a server.
pub(crate) type Stream = TlsStream<TcpStream>;

/// Trusts `authority` and speaks one version and one protocol, with the algorithms that every
/// server of the last ten years has: so all servers do the same work.
pub(crate) fn trusting(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    protocol: &str,
) -> Result<ClientConfig, Failure> {
    let provider = CryptoProvider {
        cipher_suites: vec![
            TLS13_AES_128_GCM_SHA256,
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ],
        // The second one only says that the certificate's curve is understood.
        kx_groups: vec![X25519, SECP256R1],
        ..default_provider()
    };
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    Ok(config)
}

/// Opens a connection, handshake included.
pub(crate) async fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> Result<Stream, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::clone(config));
    Ok(connector.connect(HOST.try_into()?, stream).await?)
}
