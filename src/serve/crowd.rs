//! How many connections there are, in all and from each address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// The open connections by where they come from.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    limit: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Crowd {
    /// At most `limit` connections from one address; 0 for any number.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Mutex::default(),
        }
    }

    /// A place for a connection from `client`; `None` when it has too many already.
    pub(super) fn admit(self: &Arc<Self>, client: Option<IpAddr>) -> Option<Place> {
        let Some(client) = client.filter(|_| self.limit > 0) else {
            return Some(Place(None));
        };
        let client = network(client);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_default();
        if *count == self.limit {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(crowd: &Arc<Crowd>, client: &str) -> Option<Place> {
        crowd.admit(Some(client.parse().unwrap()))
    }

    #[test]
    fn each_address_has_its_places_and_gives_them_back() {
        let crowd = Arc::new(Crowd::new(2));
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
        let crowd = Arc::new(Crowd::new(1));
        let place = admit(&crowd, "2001:db8::1");
        assert!(place.is_some() && admit(&crowd, "2001:db8::ffff:2").is_none());
        assert!(admit(&crowd, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn without_a_limit_or_an_address_there_is_always_a_place() {
        let (none, one) = (Arc::new(Crowd::new(0)), Arc::new(Crowd::new(1)));
        let places: Vec<_> = (0..9).map(|_| admit(&none, "192.0.2.1")).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(one.admit(None).is_some() && one.admit(None).is_some());
    }
}
