//! Everything that certificates from an ACME server need, ready to start.

use std::sync::Arc;

use futures_util::future::{join, join_all};
use tokio::sync::Semaphore;
use tracing::error;

use super::{
    super::{
        resolver::Resolver,
        slot::{Slot, Statuses},
    },
    challenges::Challenges,
    disk::{self, Disk},
    http01,
    keeper::{Keeper, Server},
};
use crate::{
    Report,
    config::settings::{self, Challenge},
    serve::{Activated, ServeError, socket::Sockets},
};

/// One certificate for each domain, kept fresh by orders to one server.
#[derive(Clone)]
pub(in crate::serve::certificates) struct Acme {
    settings: settings::Acme,
    slots: Vec<Slot>,
    challenges: Challenges,
    /// Where http-01 is answered.
    sockets: Sockets,
}

impl Acme {
    /// Reads the certificates that are there, which need nobody to be served, and binds what a CA
    /// asks on, sharing the sockets of `present`.
    ///
    /// # Errors
    ///
    /// [`ServeError`] when an address is not to be had.
    pub(in crate::serve::certificates) async fn open(
        settings: &settings::Acme,
        activated: &Activated,
        present: Option<&Self>,
        statuses: &Statuses,
    ) -> Result<Self, ServeError> {
        let listen = match &settings.challenge {
            Challenge::Http01 { listen } => listen.as_slice(),
            Challenge::TlsAlpn01 => &[],
        };
        let present = present.map(|present| &present.sockets);
        let sockets = Sockets::open(listen, "serve.acme.http-listen", activated, present)?;
        let disk = Disk::new(settings);
        let mut slots = Vec::with_capacity(settings.domains.len());
        for domain in &settings.domains {
            slots.push(load(&disk, domain, statuses).await);
        }
        Ok(Self {
            settings: settings.clone(),
            slots,
            challenges: Challenges::default(),
            sockets,
        })
    }

    pub(in crate::serve::certificates) fn resolver(&self) -> Resolver {
        Resolver::new(&self.slots, &self.settings.domains, self.challenges.clone())
    }

    /// Orders what is missing or due and answers the CA, for ever.
    pub(in crate::serve::certificates) async fn keep(self) {
        let server = Arc::new(Server {
            disk: Disk::new(&self.settings),
            settings: self.settings,
            challenges: self.challenges.clone(),
            turns: Semaphore::new(ORDERS_AT_ONCE),
            account: tokio::sync::Mutex::default(),
        });
        let domains = server.settings.domains.clone().into_iter();
        let keepers = domains
            .zip(self.slots)
            .map(|(domain, slot)| Keeper::new(domain, slot, Arc::clone(&server)).keep());
        let listeners = self
            .sockets
            .iter()
            .map(|(_, socket)| http01::answer(socket, &self.challenges));
        join(join_all(keepers), join_all(listeners)).await;
    }
}

/// The certificate of `domain` that is on disk, if there is one of use.
async fn load(disk: &Disk, domain: &str, statuses: &Statuses) -> Slot {
    let path = disk.certificate(domain);
    let why = match disk::read_pair(&path).await {
        Ok(None) => return Slot::new(domain, None, statuses),
        Ok(Some(Ok(pair))) => return Slot::new(domain, Some(pair), statuses),
        Ok(Some(Err(error))) => Report(&error).to_string(),
        Err(error) => error.to_string(),
    };
    error!(
        domain, path = %path.display(), error = why,
        "a saved certificate cannot be used; a new one is ordered"
    );
    Slot::new(domain, None, statuses)
}

/// A CA is not to be overrun when hundreds of certificates are due.
const ORDERS_AT_ONCE: usize = 4;
