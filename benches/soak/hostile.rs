//! What hostile peers do to a listener, one connection each, and never for longer than they are
//! told. For loopback addresses only; `tests/it` can do the same.

use std::{
    io,
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

/// What became of an attack.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// All that the server said, decrypted.
    pub(crate) received: Vec<u8>,
    /// Whether the server ended the connection; otherwise it was open when patience ended.
    pub(crate) is_ended: bool,
}

impl Outcome {
    /// The status of the first answer of HTTP/1.1, if there is any.
    pub(crate) fn status(&self) -> Option<&str> {
        let answer = self.received.strip_prefix(b"HTTP/1.1 ")?;
        str::from_utf8(answer.get(..3)?).ok()
    }
}

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
    /// HTTP/2: pings, and nobody reads the answers.
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
            Self::Continuation => target.http2(endless_head).await,
            Self::Garbage => target.plain(garbage()).await,
            Self::HalfHandshake => target.plain(target.half_hello()?).await,
            Self::HpackBomb => target.http2(bomb).await,
            Self::MadeYouReset => target.http2(made_you_reset).await,
            Self::OversizedHead => target.http1(oversized_head()).await,
            Self::PingFlood => target.http2(|_| frame(PING, 0, 0, &[0; 8])).await,
            Self::Pipelining => target.answered(Reading::Never).await,
            Self::PlainHttp => target.plain(REQUEST.into()).await,
            Self::RapidReset => target.http2(rapid_reset).await,
            Self::Scan => target.connect().await.map(|_| Outcome::default()),
            Self::SettingsFlood => target.http2(|_| frame(SETTINGS, 0, 0, &[])).await,
            Self::SlowHead => target.slow_head().await,
            Self::SlowReader => target.answered(Reading::Slowly).await,
            Self::Smuggling => target.http1(smuggling()).await,
        }
    }
}

impl Target {
    /// A server with a certificate for `name`, which `tls` trusts.
    pub(crate) fn new(
        address: SocketAddr,
        tls: ClientConfig,
        name: &'static str,
    ) -> Result<Self, InvalidDnsNameError> {
        Ok(Self {
            address,
            from: Ipv4Addr::LOCALHOST,
            tls: Arc::new(tls),
            name: name.try_into()?,
            patience: PATIENCE,
        })
    }

    /// The same, attacked from another loopback address.
    pub(crate) fn from(&self, from: Ipv4Addr) -> Self {
        Self {
            from,
            ..self.clone()
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        // So that little is on its way to somebody who does not read.
        socket.set_recv_buffer_size(4096)?;
        socket.connect(self.address).await
    }

    /// The first half of the first message of a handshake.
    fn half_hello(&self) -> io::Result<Vec<u8>> {
        let client = ClientConnection::new(Arc::clone(&self.tls), self.name.clone());
        let mut hello = Vec::new();
        client.map_err(io::Error::other)?.write_tls(&mut hello)?;
        hello.truncate(hello.len() / 2);
        Ok(hello)
    }

    /// Sends bytes without TLS, and waits.
    pub(crate) async fn plain(&self, bytes: Vec<u8>) -> io::Result<Outcome> {
        let stream = self.connect().await?;
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
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let begin = [&preface[..], &frame(SETTINGS, 0, 0, &[])].concat();
        let chunks = [begin]
            .into_iter()
            .chain((0..TIMES).map(|number| frames(2 * number + 1)));
        self.within_tls("h2", Script::new(chunks, Reading::AtOnce))
            .await
    }

    /// Sends many good requests, whose answers are read in a bad way.
    async fn answered(&self, reading: Reading) -> io::Result<Outcome> {
        let chunks = (0..TIMES).map(|_| REQUEST.into());
        self.within_tls("http/1.1", Script::new(chunks, reading))
            .await
    }

    async fn slow_head(&self) -> io::Result<Outcome> {
        let head = [REQUEST_LINE, "X-Slow: ", &"a".repeat(1000)].concat();
        let chunks = head.into_bytes().into_iter().map(|byte| vec![byte]);
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
        let stream = self.connect().await?;
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

/// Opens many connections at once; gives back how many of them the server lets be.
pub(crate) async fn flood(target: &Target, count: usize) -> io::Result<usize> {
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        open.push(target.connect().await?);
    }
    sleep(A_MOMENT).await;
    let is_let_be = |stream: &&TcpStream| {
        let read = stream.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    };
    Ok(open.iter().filter(is_let_be).count())
}

/// What one side says, and how it listens.
struct Script<C> {
    chunks: C,
    /// Between two chunks.
    pause: Duration,
    reading: Reading,
}

#[derive(Clone, Copy)]
enum Reading {
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
        let mut received = Vec::new();
        let speaking = async {
            for chunk in chunks {
                to.write_all(&chunk).await?;
                to.flush().await?;
                sleep(pause).await;
            }
            io::Result::Ok(())
        };
        // Who never reads learns of the end only when writing fails.
        let both = async {
            let (said, is_heard) = tokio::join!(speaking, listen(from, reading, &mut received));
            is_heard || said.is_err()
        };
        let is_ended = timeout(patience, both).await.unwrap_or_default();
        Outcome { received, is_ended }
    }
}

/// Reads until the other side ends, if it reads at all; whether it did.
async fn listen(
    mut from: impl AsyncRead + Unpin,
    reading: Reading,
    received: &mut Vec<u8>,
) -> bool {
    let mut buffer = [0; 4096];
    let (size, pause) = match reading {
        Reading::AtOnce => (buffer.len(), Duration::ZERO),
        Reading::Never => return false,
        Reading::Slowly => (1, SLOWLY),
    };
    while let Ok(read @ 1..) = from.read(&mut buffer[..size]).await {
        if received.len() < ENOUGH {
            received.extend_from_slice(&buffer[..read]);
        }
        sleep(pause).await;
    }
    true
}

fn garbage() -> Vec<u8> {
    std::iter::repeat_with(|| fastrand::u8(..))
        .take(512)
        .collect()
}

fn oversized_head() -> Vec<u8> {
    let line = format!("X-Long: {}\r\n", "a".repeat(1000));
    [REQUEST_LINE, &line.repeat(1000), "\r\n"].concat().into()
}

/// A request with a body, or two requests.
fn smuggling() -> Vec<u8> {
    let fields = fastrand::choice(AMBIGUOUS).unwrap_or_default();
    [REQUEST_LINE, fields, "\r\n\r\n0\r\n\r\n", REQUEST]
        .concat()
        .into()
}

fn rapid_reset(stream: u32) -> Vec<u8> {
    let cancel = [0, 0, 0, 8];
    [request(stream), frame(RST_STREAM, 0, stream, &cancel)].concat()
}

fn made_you_reset(stream: u32) -> Vec<u8> {
    [request(stream), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
}

/// One head that never ends, whatever the number of the stream.
fn endless_head(number: u32) -> Vec<u8> {
    let kind = if number == 1 { HEADERS } else { CONTINUATION };
    frame(kind, 0, 1, &field("x-endless", 1000))
}

/// A field of 4000 bytes that goes to the table of the connection, and then is named 4000 times.
fn bomb(stream: u32) -> Vec<u8> {
    let mut field = field("x-bomb", 4000);
    field[0] = 0x40;
    let block = [&request_fields()[..], &field, &[0xbe; 4000]].concat();
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

/// A GET of the document that everybody asks for.
fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &request_fields())
}

/// GET and https by their indices, path and authority by index and value (RFC 7541).
fn request_fields() -> Vec<u8> {
    let path = b"/openid/v1/jwks";
    let authority = b"oidc.example.com";
    [
        &[0x82, 0x87, 0x04, 15],
        &path[..],
        &[0x01, 16],
        &authority[..],
    ]
    .concat()
}

/// A literal field with a new name, for no table, and a value of this length (RFC 7541 section 5.1).
fn field(name: &str, length: u16) -> Vec<u8> {
    let rest = length - 127;
    let [low, high] = [rest % 128 + 128, rest / 128].map(|it| it.to_le_bytes()[0]);
    let size = u8::try_from(name.len()).unwrap_or(127);
    let value = vec![b'a'; length.into()];
    [&[0, size], name.as_bytes(), &[127, low, high], &value].concat()
}

/// One frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// How often the same is sent: more than any server should take.
const TIMES: u32 = 10_000;
/// How much of what the server said is kept.
const ENOUGH: usize = 64 * 1024;
/// How long an attack goes on at most: longer than any deadline of the server.
const PATIENCE: Duration = Duration::from_secs(4);
/// In which a server closes what it does not want.
const A_MOMENT: Duration = Duration::from_secs(1);
const SLOWLY: Duration = Duration::from_millis(100);
const REQUEST_LINE: &str = "GET /openid/v1/jwks HTTP/1.1\r\nHost: oidc.example.com\r\n";
const REQUEST: &str = "GET /openid/v1/jwks HTTP/1.1\r\nHost: oidc.example.com\r\n\r\n";

/// Fields that leave in doubt where a request ends (RFC 9112 sections 2.2, 5.1, 5.2 and 6).
const AMBIGUOUS: [&str; 10] = [
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Content-Length: 5\r\nContent-Length: 0",
    "Content-Length: 5, 0",
    "Content-Length: +5",
    "Content-Length: 0x5",
    "Content-Length: 18446744073709551621",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding: chunked, identity",
    "X: a\nTransfer-Encoding: chunked",
    "X: a\r\n Content-Length: 5",
];
