//! What the tests share: fake servers and keys.

mod apiserver;
mod keys;

pub(crate) use apiserver::{ApiServer, DISCOVERY, JWKS, Reply, Tls};
pub(crate) use keys::{claims, jwks, p256, rsa};
