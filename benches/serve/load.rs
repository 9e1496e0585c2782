//! The generator of load: clients that cost less than the servers do.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme,
    SupportedProtocolVersion,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    servers::{Scene, Server, cpu_time},
    support::{Failure, Http1, Http2, connect, trusting},
};

/// What is asked of a server.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: Connections,
    pub(crate) version: &'static SupportedProtocolVersion,
}

/// What clients do with their connections.
#[derive(Clone, Copy)]
pub(crate) enum Connections {
    /// One request after the other on one that stays, HTTP/1.1.
    Kept,
    /// Several requests at a time on one that stays, HTTP/2.
    Multiplexed,
    /// A new one for each request, with a full handshake.
    New,
    /// A new one for each request, which resumes the session of the one before.
    Resumed,
}

/// What came of a load.
pub(crate) struct Outcome {
    /// Answers in a second.
    pub(crate) rate: f64,
    /// Answers in a second of the server's time on its core.
    pub(crate) efficiency: f64,
    /// The share of its core that the server took.
    pub(crate) busy: f64,
    /// The same of the generator.
    pub(crate) generator_busy: f64,
}

impl Load {
    /// Asks for the JWKS for as long as `length`, as fast as the server answers.
    pub(crate) async fn measure(
        self,
        server: &Server,
        scene: &Scene,
        length: Duration,
    ) -> Result<Outcome, Failure> {
        let answers = Arc::default();
        let mut clients = JoinSet::new();
        for _ in 0..self.connections.clients() {
            let client = Client::new(self, server, scene, &answers).await?;
            clients.spawn(client.run(self.connections));
        }
        tokio::select! {
            Some(ended) = clients.join_next() => match ended? {
                Ok(never) => match never {},
                Err(error) => Err(error),
            },
            outcome = watch(server, &answers, length) => outcome,
        }
    }
}

/// Counts what is answered within `length`, once everything is warm.
async fn watch(server: &Server, answers: &AtomicU64, length: Duration) -> Result<Outcome, Failure> {
    let read = || -> Result<_, Failure> {
        let answers = u32::try_from(answers.load(Ordering::Relaxed))?;
        let own = cpu_time(std::process::id())?;
        Ok((Instant::now(), answers, server.cpu_time()?, own))
    };
    sleep(WARM_UP).await;
    let before = read()?;
    sleep(length).await;
    let after = read()?;
    let time = (after.0 - before.0).as_secs_f64();
    let answers = f64::from(after.1 - before.1);
    let cpu = (after.2 - before.2).as_secs_f64();
    Ok(Outcome {
        rate: answers / time,
        efficiency: answers / cpu,
        busy: cpu / time,
        generator_busy: (after.3 - before.3).as_secs_f64() / time,
    })
}

impl Connections {
    /// Enough to keep a core busy; the answers of one wait while the others ask.
    fn clients(self) -> usize {
        match self {
            Self::Kept => 32,
            Self::Multiplexed => 8,
            Self::New | Self::Resumed => 16,
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            Self::Multiplexed => "h2",
            Self::Kept | Self::New | Self::Resumed => "http/1.1",
        }
    }
}

/// One client, which takes nothing but the expected body for an answer.
pub(crate) struct Client {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    body: Arc<[u8]>,
    answers: Arc<AtomicU64>,
}

impl Client {
    /// A client of `server`, which has proved that it is the right one.
    pub(crate) async fn new(
        load: Load,
        server: &Server,
        scene: &Scene,
        answers: &Arc<AtomicU64>,
    ) -> Result<Self, Failure> {
        let mut config = trusting(
            &scene.site.authority,
            load.version,
            load.connections.protocol(),
        )?;
        drop(connect(server.address, &Arc::new(config.clone())).await?);
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(Unverified));
        config.resumption = match load.connections {
            Connections::Resumed => Resumption::in_memory_sessions(8),
            _ => Resumption::disabled(),
        };
        Ok(Self {
            address: server.address,
            config: Arc::new(config),
            body: Arc::clone(&scene.body),
            answers: Arc::clone(answers),
        })
    }

    async fn run(self, connections: Connections) -> Result<Infallible, Failure> {
        match connections {
            Connections::Kept => self.kept().await,
            Connections::Multiplexed => self.multiplexed().await,
            Connections::New => self.anew(HandshakeKind::Full).await,
            Connections::Resumed => {
                self.once(HandshakeKind::Full).await?;
                self.anew(HandshakeKind::Resumed).await
            }
        }
    }

    async fn kept(self) -> Result<Infallible, Failure> {
        let mut connection = self.http1().await?;
        loop {
            self.count(connection.get().await?)?;
        }
    }

    async fn multiplexed(self) -> Result<Infallible, Failure> {
        let mut connection = self.http2().await?;
        for _ in 0..STREAMS {
            connection.ask();
        }
        loop {
            self.count(connection.answer().await?)?;
            connection.ask();
        }
    }

    async fn anew(self, kind: HandshakeKind) -> Result<Infallible, Failure> {
        loop {
            self.once(kind).await?;
        }
    }

    async fn once(&self, kind: HandshakeKind) -> Result<(), Failure> {
        let stream = connect(self.address, &self.config).await?;
        let found = stream.get_ref().1.handshake_kind();
        if found != Some(kind) {
            return Err(format!("a handshake should be {kind:?} and was {found:?}").into());
        }
        let mut connection = Http1::new(stream);
        self.count(connection.get().await?)?;
        connection.close().await
    }

    pub(crate) async fn http1(&self) -> Result<Http1, Failure> {
        Ok(Http1::new(connect(self.address, &self.config).await?))
    }

    pub(crate) async fn http2(&self) -> Result<Http2, Failure> {
        Ok(Http2::new(connect(self.address, &self.config).await?))
    }

    /// Takes an answer, if it is the right one.
    pub(crate) fn count(&self, body: &[u8]) -> Result<(), Failure> {
        if *body != *self.body {
            return Err("an answer is not the JWKS".into());
        }
        self.answers.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Believes every signature: to verify one costs several times as much as to make it, so a client
/// that does would be busier than the server that is to be measured.
#[derive(Debug)]
struct Unverified;

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Requests at a time on one connection of HTTP/2.
const STREAMS: usize = 8;
const WARM_UP: Duration = Duration::from_millis(500);
