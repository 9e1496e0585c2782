//! Those who change things while the mirror serves: keys, certificates, the configuration.

use std::{net::SocketAddr, process::Command, sync::Arc, time::Duration};

use oidc_mirror::demo::{KeyKind, SigningKey};
use rustls::{ClientConfig, client::Resumption, version::TLS13};
use tokio::time::{Instant, sleep};

use crate::{
    support::{Failure, Http1, Site, connect, trusting},
    tally::{Tally, kids},
};

/// Whoever runs the cluster and the mirror.
pub(crate) struct Operator {
    site: Site,
    /// The process of the mirror, and where it serves.
    mirror: u32,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    tally: Arc<Tally>,
}

impl Operator {
    pub(crate) fn new(
        site: Site,
        mirror: u32,
        address: SocketAddr,
        tally: &Arc<Tally>,
    ) -> Result<Self, Failure> {
        let mut tls = trusting(&site.authority, &TLS13, "http/1.1")?;
        // A session that is resumed shows the certificate of before.
        tls.resumption = Resumption::disabled();
        Ok(Self {
            site,
            mirror,
            address,
            tls: Arc::new(tls),
            tally: Arc::clone(tally),
        })
    }

    /// Waits until the first key is published.
    pub(crate) async fn begin(&self) -> Result<(), Failure> {
        let first = self.site.cluster.signing_key(0).kid().to_owned();
        self.tally.lock().known.insert(first.clone());
        if !within_patience(async || self.publishes(&first).await.unwrap_or_default()).await {
            return Err("the mirror does not come up".into());
        }
        self.tally.lock().required.insert(first);
        Ok(())
    }

    /// Goes on until `end`.
    pub(crate) async fn run(&mut self, end: Instant) -> Result<(), Failure> {
        while Instant::now() < end {
            self.rotate().await?;
            self.renew().await?;
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Rotates the key as an operator should: the next one signs once it is published.
    async fn rotate(&mut self) -> Result<(), Failure> {
        let present = self.site.cluster.signing_key(0).clone();
        let next = SigningKey::generate(KeyKind::P256)?;
        let kid = next.kid().to_owned();
        self.tally.lock().known.insert(kid.clone());
        self.restart(&[&present, &next], &present).await?;
        if !within_patience(async || self.publishes(&kid).await.unwrap_or_default()).await {
            self.tally
                .violated("a new key was not published in time".to_owned());
        }
        self.tally.rotated(kid);
        self.restart(&[&next], &next).await
    }

    async fn restart(&mut self, keys: &[&SigningKey], signing: &SigningKey) -> Result<(), Failure> {
        for server in 0..self.site.cluster.addresses().len() {
            let keys = keys.iter().copied().cloned().collect();
            self.site
                .cluster
                .restart(server, keys, signing.clone())
                .await?;
        }
        Ok(())
    }

    /// Renews the certificate and, every other time, has the configuration read again.
    async fn renew(&self) -> Result<(), Failure> {
        let certificate = self.site.renew()?;
        if self.tally.renewed() % 2 == 1 {
            return Ok(());
        }
        Command::new("kill")
            .args(["-HUP", &self.mirror.to_string()])
            .status()?;
        let is_served = async || {
            let stream = connect(self.address, &self.tls).await?;
            let chain = stream.get_ref().1.peer_certificates();
            Ok::<_, Failure>(chain.is_some_and(|chain| chain.first() == Some(&certificate)))
        };
        if !within_patience(async || is_served().await.unwrap_or_default()).await {
            self.tally
                .violated("a new certificate was not served in time".to_owned());
        }
        Ok(())
    }

    async fn publishes(&self, kid: &str) -> Result<bool, Failure> {
        let mut connection = Http1::new(connect(self.address, &self.tls).await?);
        let published = kids(connection.get().await?)?;
        connection.close().await?;
        Ok(published.contains(kid))
    }
}

async fn within_patience(holds: impl AsyncFn() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if holds().await {
            return true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}

/// Far longer than anything that goes well takes.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_secs(1);
