//! One connection to the server that is attacked: what is said on it, and how its answers are read.

use std::{
    io, iter,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection,
    pki_types::{InvalidDnsNameError, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use super::bytes;

/// Whom to attack, as whom, and for how long at most.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    /// Where to come from.
    from: Ipv4Addr,
    tls: Arc<ClientConfig>,
    name: ServerName<'static>,
    patience: Duration,
}

impl Target {
    /// A server with a certificate for `name`, which `tls` trusts.
    pub(crate) fn new(
        address: SocketAddr,
        tls: ClientConfig,
        name: &'static str,
        patience: Duration,
    ) -> Result<Self, InvalidDnsNameError> {
        Ok(Self {
            address,
            from: Ipv4Addr::LOCALHOST,
            tls: Arc::new(tls),
            name: name.try_into()?,
            patience,
        })
    }

    /// The same, attacked from another loopback address.
    pub(crate) fn from(&self, from: Ipv4Addr) -> Self {
        Self {
            from,
            ..self.clone()
        }
    }

    pub(super) async fn connect(&self, reading: Reading) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        if let Reading::Never | Reading::Slowly = reading {
            // So that little is on its way.
            socket.set_recv_buffer_size(4096)?;
        }
        socket.connect(self.address).await
    }

    /// The first half of the first message of a handshake.
    pub(super) fn half_hello(&self) -> io::Result<Vec<u8>> {
        let client = ClientConnection::new(Arc::clone(&self.tls), self.name.clone());
        let mut hello = Vec::new();
        client.map_err(io::Error::other)?.write_tls(&mut hello)?;
        hello.truncate(hello.len() / 2);
        Ok(hello)
    }

    /// Sends bytes without TLS, and waits.
    pub(crate) async fn plain(&self, bytes: Vec<u8>) -> io::Result<Outcome> {
        let stream = self.connect(Reading::AtOnce).await?;
        let script = Script::new([bytes], Reading::AtOnce);
        Ok(script.play(stream, self.patience).await)
    }

    /// Sends bytes in HTTP/1.1's place, and waits.
    pub(crate) async fn http1(&self, bytes: Vec<u8>) -> io::Result<Outcome> {
        let script = Script::new([bytes], Reading::AtOnce);
        self.within_tls("http/1.1", script).await
    }

    /// Begins HTTP/2 and sends what `frames` gives for one stream after the other.
    pub(crate) async fn http2(&self, frames: fn(u32) -> Vec<u8>) -> io::Result<Outcome> {
        let streams = (0..TIMES).map(|number| 2 * number + 1);
        let chunks = iter::once(bytes::preface()).chain(streams.map(frames));
        self.within_tls("h2", Script::new(chunks, Reading::AtOnce))
            .await
    }

    /// Sends good requests without end, whose answers are read in a bad way.
    pub(super) async fn answered(&self, reading: Reading) -> io::Result<Outcome> {
        let chunks = iter::repeat_with(|| bytes::REQUEST.into());
        self.within_tls("http/1.1", Script::new(chunks, reading))
            .await
    }

    pub(super) async fn slow_head(&self) -> io::Result<Outcome> {
        let chunks = bytes::long_head().into_iter().map(|byte| vec![byte]);
        let script = Script {
            pause: SLOWLY,
            ..Script::new(chunks, Reading::AtOnce)
        };
        self.within_tls("http/1.1", script).await
    }

    async fn within_tls(
        &self,
        protocol: &str,
        script: Script<impl Iterator<Item = Vec<u8>>>,
    ) -> io::Result<Outcome> {
        let stream = self.connect(script.reading).await?;
        let mut config = (*self.tls).clone();
        config.alpn_protocols = vec![protocol.into()];
        let handshake = TlsConnector::from(Arc::new(config)).connect(self.name.clone(), stream);
        match timeout(self.patience, handshake).await {
            Ok(Ok(stream)) => Ok(script.play(stream, self.patience).await),
            Ok(Err(_)) => Ok(Outcome {
                is_ended: true,
                ..Outcome::default()
            }),
            Err(_) => Ok(Outcome::default()),
        }
    }
}

/// What became of an attack.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// All that the server said, decrypted.
    pub(crate) received: Vec<u8>,
    /// Whether the connection has ended; otherwise it was open when patience ended.
    pub(crate) is_ended: bool,
}

impl Outcome {
    /// The status of the first answer of HTTP/1.1, if there is any.
    pub(crate) fn status(&self) -> Option<&str> {
        let answer = self.received.strip_prefix(b"HTTP/1.1 ")?;
        str::from_utf8(answer.get(..3)?).ok()
    }
}

/// What one side says, and how it listens.
struct Script<C> {
    chunks: C,
    /// Between two chunks.
    pause: Duration,
    reading: Reading,
}

#[derive(Clone, Copy)]
pub(super) enum Reading {
    AtOnce,
    Never,
    Slowly,
}

impl<C: Iterator<Item = Vec<u8>>> Script<C> {
    fn new(chunks: impl IntoIterator<IntoIter = C>, reading: Reading) -> Self {
        Self {
            chunks: chunks.into_iter(),
            pause: Duration::ZERO,
            reading,
        }
    }

    async fn play<S>(self, stream: S, patience: Duration) -> Outcome
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (from, mut to) = split(stream);
        let Self {
            chunks,
            pause,
            reading,
        } = self;
        let speaking = async {
            for chunk in chunks {
                to.write_all(&chunk).await?;
                to.flush().await?;
                if !pause.is_zero() {
                    sleep(pause).await;
                }
            }
            io::Result::Ok(())
        };
        let refused = async {
            match (speaking.await, reading) {
                (Err(_), Reading::Never | Reading::Slowly) => {}
                // The last words are still to be heard, or there is nothing more to say.
                (Err(_), Reading::AtOnce) | (Ok(()), _) => std::future::pending().await,
            }
        };
        let mut received = Vec::new();
        let ended = async {
            tokio::select! {
                () = refused => {}
                () = listen(from, reading, &mut received) => {}
            }
        };
        let is_ended = timeout(patience, ended).await.is_ok();
        Outcome { received, is_ended }
    }
}

/// Reads until the other side ends; for ever where nothing is read.
async fn listen(mut from: impl AsyncRead + Unpin, reading: Reading, received: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    let size = match reading {
        Reading::AtOnce => buffer.len(),
        Reading::Never => return std::future::pending().await,
        Reading::Slowly => 1,
    };
    while let Ok(read @ 1..) = from.read(&mut buffer[..size]).await {
        if received.len() < ENOUGH {
            received.extend_from_slice(&buffer[..read]);
        }
        if let Reading::Slowly = reading {
            sleep(SLOWLY).await;
        }
    }
}

/// How often the same is sent: more than any server should take.
const TIMES: u32 = 10_000;
/// How much of what the server said is kept.
const ENOUGH: usize = 64 * 1024;
const SLOWLY: Duration = Duration::from_millis(100);
