//! What the listeners count, for the operator: always there, and cheap enough for every request.
//!
//! No label holds anything that a client chooses.

use std::{io, time::Duration};

use http::StatusCode;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::routes::Page;

/// What all listeners of a process have counted.
#[derive(Clone, Debug)]
pub struct Counters {
    connections: Family<Labels, Counter>,
    open: Family<Labels, Gauge>,
    refused: Family<Labels, Counter>,
    handshakes: Family<Labels, Histogram>,
    handshake_failures: Family<Labels, Counter>,
    requests: Family<Labels, Counter>,
    latency: Family<Labels, Histogram>,
}

type Labels = Vec<(&'static str, String)>;

impl Default for Counters {
    fn default() -> Self {
        Self {
            connections: Family::default(),
            open: Family::default(),
            refused: Family::default(),
            handshakes: Family::new_with_constructor(|| Histogram::new(HANDSHAKE_SECONDS)),
            handshake_failures: Family::default(),
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
        }
    }
}

impl Counters {
    /// Adds all of them to what is rendered.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "connections",
            "The connections that were accepted.",
            self.connections.clone(),
        );
        registry.register(
            "connections_open",
            "The connections that are open now.",
            self.open.clone(),
        );
        registry.register(
            "connections_refused",
            "The connections that were closed at once, and why.",
            self.refused.clone(),
        );
        registry.register_with_unit(
            "handshake",
            "The TLS handshakes that came to a good end, and what they took.",
            Unit::Seconds,
            self.handshakes.clone(),
        );
        registry.register(
            "handshake_failures",
            "The TLS handshakes that did not, and why.",
            self.handshake_failures.clone(),
        );
        registry.register(
            "requests",
            "The requests by what was asked for and how it was answered.",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "request",
            "What it took to answer a request whose head was there.",
            Unit::Seconds,
            self.latency.clone(),
        );
    }

    /// Those of one listener, all of them there from the start.
    pub(super) fn of(&self, listener: &str) -> Tally {
        let only = || vec![("listener", listener.to_owned())];
        let with = |name, value: &str| [only(), vec![(name, value.to_owned())]].concat();
        let refused = |reason| self.refused.get_or_create_owned(&with("reason", reason));
        let failed = |failure: Failure| {
            let labels = with("reason", failure.as_str());
            self.handshake_failures.get_or_create_owned(&labels)
        };
        let requests = |route: &str| {
            STATUSES.map(|status| {
                let status = ("status", status.as_u16().to_string());
                let labels = [with("route", route), vec![status]].concat();
                self.requests.get_or_create_owned(&labels)
            })
        };
        Tally {
            connections: self.connections.get_or_create_owned(&only()),
            open: self.open.get_or_create_owned(&only()),
            crowded_out: refused("address-limit"),
            not_proxied: refused("proxy-protocol"),
            handshakes: self.handshakes.get_or_create_owned(&only()),
            failures: Failure::ALL.map(failed),
            requests: ["discovery", "jwks", "other"].map(requests),
            latency: self.latency.get_or_create_owned(&only()),
        }
    }
}

/// What one listener counts.
#[derive(Debug)]
pub(super) struct Tally {
    connections: Counter,
    open: Gauge,
    /// Connections beyond those that one address may have.
    pub(super) crowded_out: Counter,
    /// Connections that do not begin with a header of the PROXY protocol, as they should.
    pub(super) not_proxied: Counter,
    handshakes: Histogram,
    failures: [Counter; Failure::ALL.len()],
    requests: [[Counter; STATUSES.len()]; 3],
    latency: Histogram,
}

impl Tally {
    /// Counts a connection, until what it gives back is dropped.
    pub(super) fn connected(&self) -> Open {
        self.connections.inc();
        self.open.inc();
        Open(self.open.clone())
    }

    pub(super) fn shook_hands(&self, took: Duration) {
        self.handshakes.observe(took.as_secs_f64());
    }

    pub(super) fn failed(&self, failure: Failure) {
        let counter = Failure::ALL.iter().zip(&self.failures);
        let counter = counter.filter(|(it, _)| **it == failure).map(|(_, it)| it);
        counter.for_each(|counter| _ = counter.inc());
    }

    /// Counts an answer, and what it took where hyper did not give it itself.
    pub(super) fn answered(&self, page: Option<Page>, status: StatusCode, took: Option<Duration>) {
        if let Some(took) = took {
            self.latency.observe(took.as_secs_f64());
        }
        let [discovery, jwks, other] = &self.requests;
        let route = match page {
            Some(Page::Discovery) => discovery,
            Some(Page::Jwks) => jwks,
            None => other,
        };
        let counter = STATUSES.iter().zip(route).find(|(it, _)| **it == status);
        if let Some((_, counter)) = counter {
            counter.inc();
        }
    }
}

/// An open connection, as long as it is not dropped.
#[derive(Debug)]
pub(super) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Why a TLS handshake came to no good end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The client ended it with an alert: it does not trust the certificate, perhaps.
    Alert,
    /// The client went away.
    Closed,
    /// There is no version, cipher or protocol that both sides know.
    Incompatible,
    /// There is no certificate for the name that the client asks for.
    NoCertificate,
    /// What the client says is not TLS.
    NotTls,
    /// It took too long.
    Timeout,
}

impl Failure {
    const ALL: [Self; 6] = [
        Self::Alert,
        Self::Closed,
        Self::Incompatible,
        Self::NoCertificate,
        Self::NotTls,
        Self::Timeout,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Closed => "closed",
            Self::Incompatible => "incompatible",
            Self::NoCertificate => "no-certificate",
            Self::NotTls => "not-tls",
            Self::Timeout => "timeout",
        }
    }
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        let source = error.get_ref();
        match source.and_then(|it| it.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(_)) => Self::Alert,
            Some(rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol) => {
                Self::Incompatible
            }
            Some(rustls::Error::General(_)) => Self::NoCertificate,
            Some(_) => Self::NotTls,
            None => Self::Closed,
        }
    }
}

/// How a request can be answered: by this program, or by hyper when its head is no head.
const STATUSES: [StatusCode; 8] = [
    StatusCode::OK,
    StatusCode::NOT_MODIFIED,
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    StatusCode::SERVICE_UNAVAILABLE,
];
/// Up to the deadline that is the default.
const HANDSHAKE_SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 10.0];
const REQUEST_SECONDS: [f64; 8] = [0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.01, 0.1, 1.0];
