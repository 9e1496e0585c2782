//! The TLS side of the credentials: whom to trust, and with which certificate to appear.
//!
//! There is no way to build a configuration that skips verification.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::{
    credentials::{Identity, Trust},
    error::CredentialError,
};

/// TLS 1.2 and 1.3, verified against `trust`, offering HTTP/2 and HTTP/1.1.
///
/// # Errors
///
/// [`CredentialError`] when there is nobody to trust, or key and certificate do not match.
pub(super) fn client_config(
    trust: &Trust,
    identity: Option<&Identity>,
) -> Result<ClientConfig, CredentialError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions");
    let builder = match trust {
        Trust::Bundle { roots, from } => {
            let mut store = RootCertStore::empty();
            for root in roots {
                store
                    .add(root.clone())
                    .map_err(|_| CredentialError::Certificates { from: from.clone() })?;
            }
            builder.with_root_certificates(store)
        }
        Trust::System => builder
            .with_platform_verifier()
            .map_err(CredentialError::NoSystemCas)?,
    };
    let mut config = match identity {
        Some(Identity { chain, key, from }) => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|source| CredentialError::Identity {
                from: from.clone(),
                source,
            })?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
