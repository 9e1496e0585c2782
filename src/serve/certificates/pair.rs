//! A certificate and its key, as handshakes use them.

use std::{fmt, sync::Arc};

use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    sign::CertifiedKey,
};
use thiserror::Error;
use x509_cert::{
    Certificate,
    der::{self, Decode as _},
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use crate::oidc::Time;

/// A certificate chain with its key, and what the operator wants to know of it.
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    /// The DNS names it is for.
    pub(super) hosts: Vec<String>,
    pub(super) not_before: Time,
    pub(super) not_after: Time,
}

impl Pair {
    /// Reads a chain, leaf first, and the key of the leaf, both PEM.
    pub(super) fn parse(chain: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(PairError::Chain)?;
        let leaf = chain.first().ok_or(PairError::NoCertificate)?;
        let leaf = Certificate::from_der(leaf).map_err(PairError::Leaf)?;
        let leaf = leaf.tbs_certificate();
        let names = leaf.get_extension::<SubjectAltName>();
        let names = names.map_err(PairError::Leaf)?;
        let hosts = names.iter().flat_map(|(_, names)| &names.0);
        let hosts = hosts.filter_map(|name| match name {
            GeneralName::DnsName(host) => Some(host.as_str().to_ascii_lowercase()),
            _ => None,
        });
        let hosts = hosts.collect();
        let validity = leaf.validity();
        let [not_before, not_after] = [validity.not_before, validity.not_after]
            .map(|time| Time::after_epoch(time.to_unix_duration()));
        let key = PrivateKeyDer::from_pem_slice(key).map_err(PairError::Key)?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(PairError::Together)?;
        Ok(Self {
            key: Arc::new(key),
            hosts,
            not_before,
            not_after,
        })
    }

    /// Whether it is for `host`, by its name or by a wildcard.
    pub(super) fn covers(&self, host: &str) -> bool {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.hosts.iter().any(|name| match name.strip_prefix("*.") {
            Some(wild) => parent == Some(wild),
            None => name == host,
        })
    }

    pub(super) fn is_expired(&self, now: Time) -> bool {
        now > self.not_after
    }
}

/// Without the key.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("hosts", &self.hosts)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Why a certificate and a key cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PairError {
    /// What should be the chain is not PEM.
    #[error("the certificate is not PEM")]
    Chain(#[source] pem::Error),
    /// There is no private key.
    #[error("there is no private key in PEM")]
    Key(#[source] pem::Error),
    /// The first certificate is none.
    #[error("the certificate is not X.509")]
    Leaf(#[source] der::Error),
    /// There is no certificate.
    #[error("there is no certificate in PEM")]
    NoCertificate,
    /// The key belongs to another certificate, or TLS has no use for it.
    #[error("the certificate and the private key do not go together")]
    Together(#[source] rustls::Error),
}
