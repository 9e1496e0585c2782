//! Keeps the certificate of one domain fresh.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Semaphore},
    time::{sleep, timeout},
};
use tracing::error;

use super::{
    super::{pair::Pair, slot::Slot},
    account,
    challenges::Challenges,
    disk::{self, Disk},
    error::AcmeError,
    order::order,
    renewal,
};
use crate::{Report, clock, config::settings, oidc::Time};

/// The ACME server, for all domains.
pub(super) struct Server {
    pub(super) settings: settings::Acme,
    pub(super) disk: Disk,
    pub(super) challenges: Challenges,
    /// Orders that may be under way at one time.
    pub(super) turns: Semaphore,
    /// Held while the account is opened, so that only one is ever made.
    pub(super) account: Mutex<()>,
}

/// One domain and its certificate.
pub(super) struct Keeper {
    domain: String,
    slot: Slot,
    server: Arc<Server>,
}

impl Keeper {
    pub(super) fn new(domain: String, slot: Slot, server: Arc<Server>) -> Self {
        Self {
            domain,
            slot,
            server,
        }
    }

    /// Orders a certificate whenever one is due, for ever; a failure is tried again, less and less
    /// often, and the present certificate stays.
    pub(super) async fn keep(mut self) -> Infallible {
        let mut failures = 0_u32;
        let mut next = self.due();
        loop {
            self.wait_until(next).await;
            match self.renew().await {
                Ok(pair) => {
                    failures = 0;
                    let not_after = pair.not_after;
                    self.slot.take(pair);
                    next = renewal::due_again(clock::now(), self.due(), not_after);
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    self.slot.fail(error.reason(), Report(&error).to_string());
                    let pause = renewal::pause(failures, error.was_counted(), fastrand::f64());
                    next = clock::now() + pause;
                }
            }
        }
    }

    /// When the next certificate should be ordered; the past when there is none.
    fn due(&self) -> Time {
        let usable = self.slot.pair().filter(|pair| pair.covers(&self.domain));
        usable.map_or_else(Time::default, |pair| {
            renewal::due(pair.not_before, pair.not_after, fastrand::f64())
        })
    }

    async fn wait_until(&mut self, then: Time) {
        loop {
            let now = clock::now();
            self.slot.look_at_clock(now);
            let left = then.since(now);
            if left.is_zero() {
                return;
            }
            // Not in one go: the clock may be set meanwhile, or the machine sleep.
            sleep(left.min(LOOK_INTERVAL)).await;
        }
    }

    async fn renew(&self) -> Result<Pair, AcmeError> {
        let turn = self.server.turns.acquire().await;
        let _turn = turn.expect("nobody closes the semaphore");
        let ordering = timeout(ORDER_DEADLINE, self.order()).await;
        let pem = ordering.unwrap_or(Err(AcmeError::Deadline))?;
        let pair = Pair::parse(pem.as_bytes(), pem.as_bytes()).map_err(AcmeError::Issued)?;
        if !pair.covers(&self.domain) || pair.is_expired(clock::now()) {
            return Err(AcmeError::IssuedForNow);
        }
        let path = self.server.disk.certificate(&self.domain);
        if let Err(error) = disk::write(&path, pem.into_bytes()).await {
            // It is good all the same, and the CA would count another one.
            error!(
                domain = self.domain, path = %path.display(), %error,
                "a new certificate is in use but not saved; a restart has to order another one"
            );
        }
        Ok(pair)
    }

    async fn order(&self) -> Result<String, AcmeError> {
        let Server {
            settings,
            disk,
            challenges,
            ..
        } = &*self.server;
        let path = disk.account(settings.external_account.as_ref());
        let account = {
            let _alone = self.server.account.lock().await;
            // Opened anew each time: the server may have moved what its directory lists.
            account::open(settings, &path).await?
        };
        let ordered = order(&account, &self.domain, &settings.challenge, challenges).await;
        if ordered.as_ref().is_err_and(AcmeError::is_about_the_account) {
            let _alone = self.server.account.lock().await;
            account::forget(&path, account.id()).await?;
        }
        ordered
    }
}

/// How often the clock is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// From the first request to the chain.
const ORDER_DEADLINE: Duration = Duration::from_mins(5);
