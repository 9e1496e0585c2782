//! The certificates of a listener, from wherever they come.

use std::{fmt, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::Ticketer,
    server::{NoServerSessionStorage, ProducesTickets},
};
use tokio::sync::watch;

use super::{
    CertificateStatus,
    acme::{Acme, Challenges},
    files::Files,
    resolver::{ACME_TLS, Resolver},
    slot::Statuses,
};
use crate::{
    config::settings,
    serve::{Activated, ServeError},
};

/// What a listener needs for TLS, and what keeps it fresh.
#[derive(Clone)]
pub(in crate::serve) struct Certificates {
    config: Arc<ServerConfig>,
    statuses: Statuses,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Acme(Acme),
    Files(Files),
}

impl Certificates {
    /// Reads the certificates that are there and binds what a CA asks on, sharing sockets and
    /// ticket keys with those of `present`.
    ///
    /// # Errors
    ///
    /// [`ServeError`] when files cannot be used or an address is not to be had.
    pub(in crate::serve) async fn open(
        settings: &settings::Tls,
        activated: &Activated,
        present: Option<&Self>,
    ) -> Result<Self, ServeError> {
        let statuses = Statuses::default();
        let source = match settings {
            settings::Tls::Acme(settings) => {
                let present = present.and_then(|present| present.source.acme());
                Source::Acme(Acme::open(settings, activated, present, &statuses).await?)
            }
            settings::Tls::Files(files) => Source::Files(Files::open(files, &statuses).await?),
        };
        let tickets = present.map(|present| Arc::clone(&present.config.ticketer));
        Ok(Self {
            config: Arc::new(source.config(tickets)),
            statuses,
            source,
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
        match self.source {
            Source::Acme(acme) => acme.keep().await,
            Source::Files(files) => match files.keep().await {},
        }
    }
}

impl Source {
    fn acme(&self) -> Option<&Acme> {
        match self {
            Self::Acme(acme) => Some(acme),
            Self::Files(_) => None,
        }
    }

    /// TLS 1.2 and 1.3 (AWS falls back to thumbprints where 1.3 is required), HTTP/1.1 and HTTP/2.
    fn config(&self, tickets: Option<Arc<dyn ProducesTickets>>) -> ServerConfig {
        let mut protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let resolver = match self {
            Self::Acme(acme) => {
                protocols.push(ACME_TLS.to_vec());
                acme.resolver()
            }
            Self::Files(files) => Resolver::new(
                std::slice::from_ref(&files.slot),
                &[],
                Challenges::default(),
            ),
        };
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = protocols;
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
}

/// Without keys.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("statuses", &self.statuses.borrow())
            .finish_non_exhaustive()
    }
}
