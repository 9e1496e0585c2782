//! What the measurements of the listener share: a mirror with all it needs, and cheap clients.

mod http1;
mod http2;
mod process;
mod site;
mod tls;

pub(crate) use http1::Http1;
pub(crate) use http2::Http2;
pub(crate) use process::{Running, field};
pub(crate) use site::{HOST, JWKS, Site, free_address};
pub(crate) use tls::{Stream, connect, trusting};

/// Why a measurement could not be made, or cannot be believed.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
