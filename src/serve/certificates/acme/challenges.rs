//! What a CA is shown that looks whether a domain is ours.

use std::{collections::HashMap, sync::Arc};

use instant_acme::KeyAuthorization;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{crypto::aws_lc_rs, pki_types::PrivatePkcs8KeyDer, sign::CertifiedKey};
use tokio::sync::watch;

use super::error::AcmeError;

/// The challenges that wait for a CA to look; all clones are one.
#[derive(Clone, Debug, Default)]
pub(in crate::serve::certificates) struct Challenges {
    /// By domain (RFC 8737).
    handshakes: watch::Sender<HashMap<String, Arc<CertifiedKey>>>,
    /// By token (RFC 8555 section 8.3).
    files: watch::Sender<HashMap<String, String>>,
}

impl Challenges {
    /// What a CA is shown that connects for `domain`.
    pub(in crate::serve::certificates) fn handshake(
        &self,
        domain: &str,
    ) -> Option<Arc<CertifiedKey>> {
        self.handshakes.borrow().get(domain).cloned()
    }

    /// What a CA is shown that fetches `token`.
    pub(super) fn file(&self, token: &str) -> Option<String> {
        self.files.borrow().get(token).cloned()
    }

    /// Shows it in handshakes, until what is returned is dropped.
    pub(super) fn show_in_handshakes(
        &self,
        domain: &str,
        authorization: &KeyAuthorization,
    ) -> Result<Shown, AcmeError> {
        let key = challenge_certificate(domain, authorization.digest().as_ref())?;
        self.handshakes
            .send_modify(|all| _ = all.insert(domain.to_owned(), key));
        Ok(Shown {
            challenges: self.clone(),
            name: domain.to_owned(),
        })
    }

    /// Shows it as a file, until what is returned is dropped.
    pub(super) fn show_as_file(&self, token: &str, authorization: &KeyAuthorization) -> Shown {
        let content = authorization.as_str().to_owned();
        self.files
            .send_modify(|all| _ = all.insert(token.to_owned(), content));
        Shown {
            challenges: self.clone(),
            name: token.to_owned(),
        }
    }
}

/// A challenge that is shown for as long as this lives.
pub(super) struct Shown {
    challenges: Challenges,
    /// The domain or the token: neither can be taken for the other.
    name: String,
}

impl Drop for Shown {
    fn drop(&mut self) {
        let Challenges { handshakes, files } = &self.challenges;
        handshakes.send_modify(|all| _ = all.remove(&self.name));
        files.send_modify(|all| _ = all.remove(&self.name));
    }
}

/// RFC 8737 section 3: self-signed, for this one name, with the digest in `acmeIdentifier`.
fn challenge_certificate(domain: &str, digest: &[u8]) -> Result<Arc<CertifiedKey>, AcmeError> {
    let mut params = CertificateParams::new([domain.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let key = aws_lc_rs::sign::any_ecdsa_type(&key).expect("rcgen makes P-256 keys");
    // Not checked against each other: the extension is critical and rustls does not know it.
    let chain = vec![certificate.der().clone()];
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

#[cfg(test)]
mod tests {
    use x509_cert::{Certificate, der::Decode as _, ext::pkix::SubjectAltName};

    use super::*;

    #[test]
    fn a_challenge_certificate_is_as_rfc_8737_has_it() {
        let digest = [7; 32];
        let key = challenge_certificate("oidc.example.com", &digest).unwrap();
        let certificate = Certificate::from_der(&key.cert[0]).unwrap();
        let content = certificate.tbs_certificate();
        let (_, names) = content.get_extension::<SubjectAltName>().unwrap().unwrap();
        assert_eq!(names.0.len(), 1);
        let extensions = content.extensions().unwrap();
        let identifier = extensions
            .iter()
            .find(|it| it.extn_id.to_string() == "1.3.6.1.5.5.7.1.31")
            .unwrap();
        assert!(identifier.critical);
        // An OCTET STRING in the OCTET STRING.
        let expected = [&[4, 32], &digest[..]].concat();
        assert_eq!(identifier.extn_value.as_bytes(), expected);
    }
}
