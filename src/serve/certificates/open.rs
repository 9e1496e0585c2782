//! The certificates of a listener, from wherever they come.

use std::{fmt, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::Ticketer,
    server::{NoServerSessionStorage, ProducesTickets},
};
use tokio::sync::watch;

use super::{CertificateStatus, TlsError, files::Files, resolver::Resolver, slot::Statuses};
use crate::config::settings::KeyPairFiles;

/// What a listener needs for TLS, and what keeps it fresh.
#[derive(Clone)]
pub(in crate::serve) struct Certificates {
    config: Arc<ServerConfig>,
    statuses: Statuses,
    files: Files,
}

impl Certificates {
    /// Reads the certificate, sharing ticket keys with those of `present`.
    ///
    /// # Errors
    ///
    /// [`TlsError`] when the files cannot be used.
    pub(in crate::serve) async fn open(
        settings: &KeyPairFiles,
        present: Option<&Self>,
    ) -> Result<Self, TlsError> {
        let statuses = Statuses::default();
        let files = Files::open(settings, &statuses).await?;
        let tickets = present.map(|present| Arc::clone(&present.config.ticketer));
        Ok(Self {
            config: Arc::new(config(Resolver::new(&files.slot), tickets)),
            statuses,
            files,
        })
    }

    /// The TLS of every connection, now and later: what changes is looked up by each handshake.
    pub(in crate::serve) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// How the certificates are.
    pub(in crate::serve) fn statuses(&self) -> watch::Receiver<Arc<Vec<CertificateStatus>>> {
        self.statuses.subscribe()
    }

    /// Keeps the certificates fresh, for ever; may be cut at any moment.
    pub(in crate::serve) async fn keep(self) {
        match self.files.keep().await {}
    }
}

/// TLS 1.2 and 1.3 (AWS falls back to thumbprints where 1.3 is required), HTTP/1.1 and HTTP/2.
fn config(resolver: Resolver, tickets: Option<Arc<dyn ProducesTickets>>) -> ServerConfig {
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Nothing is kept for a peer that may come again: the ticket that it holds says it all.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Without keys for tickets every handshake is a whole one, and nothing worse.
    if let Some(tickets) = tickets.or_else(|| Ticketer::new().ok()) {
        config.ticketer = tickets;
    }
    // A relying party comes back on one connection, and gets the next ticket there.
    config.send_tls13_tickets = 1;
    config
}

/// Without keys.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("statuses", &self.statuses.borrow())
            .finish_non_exhaustive()
    }
}
