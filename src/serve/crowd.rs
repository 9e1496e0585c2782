//! How many connections there are, in all and from each address, and what that means for them.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, watch};

use crate::config::settings::Limits;

/// The open connections of all listeners that have the same limits, from one configuration to the
/// next.
#[derive(Debug)]
pub(super) struct Crowd {
    max_connections: usize,
    /// 0 for any number.
    max_per_address: usize,
    permits: Arc<Semaphore>,
    open: Mutex<HashMap<IpAddr, usize>>,
    mood: watch::Sender<Mood>,
}

/// How crowded it is, as every connection has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Calm,
    /// There is no room for further connections: idle ones make room.
    Crowded,
    /// The process ends: requests in flight are finished.
    Ending,
}

impl Crowd {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            max_connections: limits.max_connections,
            max_per_address: limits.max_connections_per_address,
            permits: Arc::new(Semaphore::new(limits.max_connections)),
            open: Mutex::default(),
            mood: watch::Sender::new(Mood::Calm),
        }
    }

    /// Whether these are its limits.
    pub(super) fn has(&self, limits: &Limits) -> bool {
        self.max_connections == limits.max_connections
            && self.max_per_address == limits.max_connections_per_address
    }

    pub(super) fn mood(&self) -> watch::Receiver<Mood> {
        self.mood.subscribe()
    }

    /// Tells every connection that the process ends.
    pub(super) fn end(&self) {
        self.feel(Mood::Ending);
    }

    /// Waits for room for a connection: at the limit one waits here and the others in the kernel.
    pub(super) async fn permit(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        let permits = Arc::clone(&self.permits);
        let Ok(permit) = permits.try_acquire_owned() else {
            self.feel(Mood::Crowded);
            return Arc::clone(&self.permits).acquire_owned().await;
        };
        if self.permits.available_permits() >= self.max_connections.div_ceil(SPACIOUS_SHARE) {
            self.feel(Mood::Calm);
        }
        Ok(permit)
    }

    fn feel(&self, mood: Mood) {
        self.mood.send_if_modified(|present| {
            let is_news = *present != mood && *present != Mood::Ending;
            if is_news {
                *present = mood;
            }
            is_news
        });
    }

    /// A place for a connection from `client`; `None` when it has too many already.
    pub(super) fn admit(self: &Arc<Self>, client: Option<IpAddr>) -> Option<Place> {
        let Some(client) = client.filter(|_| self.max_per_address > 0) else {
            return Some(Place(None));
        };
        let client = network(client);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_default();
        if *count == self.max_per_address {
            return None;
        }
        *count += 1;
        Some(Place(Some((Arc::clone(self), client))))
    }

    fn leave(&self, client: IpAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&client);
            }
        }
    }
}

/// The place of one connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Option<(Arc<Crowd>, IpAddr)>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((crowd, client)) = self.0.take() {
            crowd.leave(client);
        }
    }
}

/// What counts as one address: whoever has an IPv6 address has all of its network of 64 bits.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(client) => {
            let [a, b, c, d, ..] = client.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
    }
}

/// The part of all places that has to be free before idle connections may stay again.
const SPACIOUS_SHARE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(max_connections_per_address: usize) -> Arc<Crowd> {
        Arc::new(Crowd::new(&Limits {
            max_connections_per_address,
            ..Limits::default()
        }))
    }

    fn admit(crowd: &Arc<Crowd>, client: &str) -> Option<Place> {
        crowd.admit(Some(client.parse().unwrap()))
    }

    #[test]
    fn each_address_has_its_places_and_gives_them_back() {
        let crowd = crowd(2);
        let places = [admit(&crowd, "192.0.2.1"), admit(&crowd, "192.0.2.1")];
        assert!(places.iter().all(Option::is_some));
        assert!(admit(&crowd, "192.0.2.1").is_none());
        assert!(admit(&crowd, "192.0.2.2").is_some());
        drop(places);
        assert!(admit(&crowd, "192.0.2.1").is_some());
        assert!(crowd.open.lock().unwrap().is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let crowd = crowd(1);
        let place = admit(&crowd, "2001:db8::1");
        assert!(place.is_some() && admit(&crowd, "2001:db8::ffff:2").is_none());
        assert!(admit(&crowd, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn without_a_limit_or_an_address_there_is_always_a_place() {
        let (none, one) = (crowd(0), crowd(1));
        let places: Vec<_> = (0..9).map(|_| admit(&none, "192.0.2.1")).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(one.admit(None).is_some() && one.admit(None).is_some());
    }
}
