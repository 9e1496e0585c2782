//! What the tests share: fake servers and keys.

mod apiserver;
mod keys;
pub(crate) mod pebble;
pub(crate) mod process;
pub(crate) mod s3;
pub(crate) mod service;
mod upstream;

pub(crate) use apiserver::{ApiServer, DISCOVERY, JWKS, Reply, Tls};
pub(crate) use keys::{claims, jwks, p256, rsa};
pub(crate) use upstream::{connect_to, connect_with, files_of, mirror_of, write_script};
