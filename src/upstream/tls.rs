//! The TLS side: whom to trust, with which certificate to appear, and what went wrong.
//!
//! There is no way to build a configuration that skips verification.

use std::{
    error::Error,
    io,
    sync::{Arc, LazyLock},
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::{
    credentials::{Identity, Trust},
    error::CredentialError,
};

/// TLS 1.2 and 1.3, verified against `trust`, for HTTP/1.1.
///
/// # Errors
///
/// [`CredentialError`] when there is nobody to trust, or key and certificate do not match.
pub(super) fn client_config(
    trust: &Trust,
    identity: Option<&Identity>,
) -> Result<ClientConfig, CredentialError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
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
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A connection is kept, or too old for that: what would be remembered for the next one takes
    // more room than the connection.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Of all connections: there is nothing of a mirror's in it.
static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// The TLS error in a chain. An `io::Error` hides what it wraps from `source()`.
pub(super) fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// What a TLS error probably means, and what to do.
pub(super) fn advice(error: &rustls::Error, trust: &Trust) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            // The CAs of all kubeadm clusters have one name: the wrong one shows by its signature.
            CertificateError::BadSignature | CertificateError::UnknownIssuer => format!(
                "its certificate is signed by another CA than {trust}; check that the CA is of this \
                 cluster"
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for other names; set `server-name` (in a kubeconfig, \
                 tls-server-name) to one of them"
                    .to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired; renew it, or correct the clock of this machine"
                    .to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet; correct the clock of this machine".to_owned()
            }
            _ => "its certificate cannot be verified".to_owned(),
        },
        rustls::Error::AlertReceived(alert) if is_about_the_client(*alert) => {
            "it does not accept the client certificate, or wants one".to_owned()
        }
        rustls::Error::InvalidMessage(_) => {
            "what answers there does not speak TLS; check the port".to_owned()
        }
        _ => "the handshake failed".to_owned(),
    }
}

fn is_about_the_client(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_tls_is_found_behind_an_io_error() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let io = io::Error::other(io::Error::other(tls.clone()));
        assert_eq!(find(&io), Some(&tls));
        assert_eq!(find(&io::Error::other("no")), None);
    }
}
