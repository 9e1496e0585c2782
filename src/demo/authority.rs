//! A certificate authority of its own, for servers on loopback.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;

/// A certificate authority whose key lives as long as this value.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Makes an authority with this common name.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] when the key or the certificate cannot be made.
    pub fn new(name: &str) -> Result<Self, CertificateError> {
        let mut params = named(Vec::new(), name)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::CrlSign, KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self(issuer))
    }

    /// The authority's certificate, PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// The authority's certificate, DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        self.0.der()
    }

    /// Issues a server certificate for these DNS names and IP addresses.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] when a name is not ASCII or the certificate cannot be made.
    pub fn issue(&self, names: &[&str]) -> Result<Certificate, CertificateError> {
        let names: Vec<_> = names.iter().copied().map(str::to_owned).collect();
        let name = names.first().cloned().unwrap_or_default();
        let mut params = named(names, &name)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    /// Issues whatever certificate `params` describe, with a new key.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] when the key or the certificate cannot be made.
    pub fn sign(&self, params: &CertificateParams) -> Result<Certificate, CertificateError> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Certificate { certificate, key })
    }
}

/// Shows nothing: the value holds the private key.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A certificate and its private key.
pub struct Certificate {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Certificate {
    /// The certificate, DER.
    pub fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// The private key, DER.
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// Writes certificate and key as PEM files, the key for the owner only.
    ///
    /// # Errors
    ///
    /// The first file that cannot be written.
    pub fn write(&self, certificate: &Path, key: &Path) -> io::Result<()> {
        fs::write(certificate, self.certificate.pem())?;
        let mut key_file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(key)?;
        key_file.write_all(self.key.serialize_pem().as_bytes())
    }
}

/// Shows nothing: the value holds the private key.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

fn named(names: Vec<String>, name: &str) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    // Clients that are stricter than rustls, Python's for one, ask for it.
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Why a certificate could not be made.
#[derive(Debug, Error)]
#[error("could not make a certificate")]
pub struct CertificateError(#[from] rcgen::Error);
