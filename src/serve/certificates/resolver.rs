//! Which certificate a handshake gets.

use std::{collections::HashMap, fmt, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::sync::watch;

use super::{acme::Challenges, pair::Pair, slot::Slot};

/// Looks up the certificate of a host, as it is at this moment.
pub(super) struct Resolver {
    /// At least one; the first is for whoever names no host, or one that is not known here.
    served: Vec<watch::Receiver<Option<Arc<Pair>>>>,
    by_host: HashMap<String, usize>,
    challenges: Challenges,
}

impl Resolver {
    pub(super) fn new(slots: &[Slot], hosts: &[String], challenges: Challenges) -> Self {
        Self {
            served: slots.iter().map(Slot::served).collect(),
            by_host: hosts.iter().cloned().zip(0..).collect(),
            challenges,
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name();
        // RFC 8737 section 3: the CA that validates offers this protocol and no other.
        if let Some(mut offered) = hello.alpn()
            && offered.next() == Some(ACME_TLS)
            && offered.next().is_none()
        {
            return self.challenges.handshake(host?);
        }
        let known = host.and_then(|host| self.by_host.get(host));
        let served = self.served.get(known.copied().unwrap_or_default())?;
        let pair = served.borrow();
        pair.as_ref().map(|pair| Arc::clone(&pair.key))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// The protocol in which a CA looks whether a domain is ours (RFC 8737 section 3).
pub(in crate::serve) const ACME_TLS: &[u8] = b"acme-tls/1";
