//! Which certificate a handshake gets.

use std::{fmt, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::sync::watch;

use super::{pair::Pair, slot::Slot};

/// Looks up the certificate as it is at this moment.
pub(super) struct Resolver {
    served: watch::Receiver<Option<Arc<Pair>>>,
}

impl Resolver {
    pub(super) fn new(slot: &Slot) -> Self {
        Self {
            served: slot.served(),
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pair = self.served.borrow();
        pair.as_ref().map(|pair| Arc::clone(&pair.key))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}
