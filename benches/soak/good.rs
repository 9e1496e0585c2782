//! Good clients: relying parties that verify the certificate and find every key that signs.

use std::{iter, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ClientConfig, HandshakeKind, version::TLS13};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    support::{Failure, Http1, Http2, Site, connect, trusting},
    tally::Tally,
};

/// A client, which comes again and again.
#[derive(Clone)]
pub(crate) struct Good {
    manner: Manner,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    tally: Arc<Tally>,
}

/// What a client does with a connection.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Keeps it for many requests.
    Keeping,
    /// Keeps it, and asks several times at once: HTTP/2.
    Multiplexing,
    /// Asks once; resumes the session of the last time if it can.
    Once,
}

impl Good {
    /// Several of each manner.
    pub(crate) fn all(
        site: &Site,
        address: SocketAddr,
        tally: &Arc<Tally>,
    ) -> Result<Vec<Self>, Failure> {
        let mut goods = Vec::new();
        for (manner, protocol) in MANNERS {
            let tls = Arc::new(trusting(&site.authority, &TLS13, protocol)?);
            let tally = Arc::clone(tally);
            let good = Self {
                manner,
                address,
                tls,
                tally,
            };
            goods.extend(iter::repeat_n(good, OF_EACH));
        }
        Ok(goods)
    }

    /// Comes until `end`. Whatever goes wrong is a promise that was broken.
    pub(crate) async fn run(self, end: Instant) {
        while Instant::now() < end {
            let wrong = match timeout(DEADLINE, self.visit()).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("took longer than {DEADLINE:?}")),
            };
            if let Some(error) = wrong {
                self.tally
                    .violated(format!("a good client ({:?}): {error}", self.manner));
            }
            sleep(PAUSE).await;
        }
    }

    async fn visit(&self) -> Result<(), Failure> {
        let stream = connect(self.address, &self.tls).await?;
        match self.manner {
            Manner::Keeping => {
                self.ask(Http1::new(stream), "HTTP/1.1, kept", REQUESTS)
                    .await
            }
            Manner::Multiplexing => self.ask_at_once(Http2::new(stream)).await,
            Manner::Once => {
                let kind = match stream.get_ref().1.handshake_kind() {
                    Some(HandshakeKind::Resumed) => "HTTP/1.1, resumed",
                    _ => "HTTP/1.1, new",
                };
                self.ask(Http1::new(stream), kind, 1).await
            }
        }
    }

    async fn ask(
        &self,
        mut connection: Http1,
        kind: &'static str,
        requests: usize,
    ) -> Result<(), Failure> {
        for _ in 0..requests {
            let required = self.tally.required();
            self.tally
                .answered(kind, &required, connection.get().await?)?;
            sleep(PAUSE).await;
        }
        connection.close().await
    }

    async fn ask_at_once(&self, mut connection: Http2) -> Result<(), Failure> {
        for _ in 0..REQUESTS {
            let required = self.tally.required();
            (0..STREAMS).for_each(|_| connection.ask());
            for _ in 0..STREAMS {
                self.tally
                    .answered("HTTP/2", &required, connection.answer().await?)?;
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }
}

const MANNERS: [(Manner, &str); 3] = [
    (Manner::Keeping, "http/1.1"),
    (Manner::Multiplexing, "h2"),
    (Manner::Once, "http/1.1"),
];
const OF_EACH: usize = 4;
/// For one visit, with all its pauses.
const DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);
/// On one connection, each followed by a pause.
const REQUESTS: usize = 200;
const STREAMS: usize = 4;
