//! Fetches the documents as a relying party does, and verifies a token with them.
//!
//! OpenID Connect Discovery 1.0 section 4: over https, without credentials; the issuer in the
//! document equal to the one asked for, byte for byte. Redirects are refused, as AWS does.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use jsonwebtoken::jwk::JwkSet;
use reqwest::{Certificate, Client, redirect::Policy};
use rustls::crypto::aws_lc_rs;
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::time::Instant;
use url::Url;

use super::{Refusal, Token, ask::body_within, token::shown};
use crate::oidc::{Issuer, MAX_DOCUMENT_BYTES};

/// A relying party that trusts one issuer.
#[derive(Clone, Debug)]
pub struct RelyingParty {
    issuer: Issuer,
    client: Client,
}

impl RelyingParty {
    /// A relying party that trusts `issuer`, whose server certificate is signed by a CA of
    /// `ca_pem`, or of the system's when that is `None`.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Client`] when a CA certificate cannot be read.
    pub fn new(issuer: Issuer, ca_pem: Option<&[u8]>) -> Result<Self, VerifyError> {
        // reqwest takes the provider of the process; an error says that there is one already.
        let _ = aws_lc_rs::default_provider().install_default();
        let mut builder = Client::builder()
            .https_only(true)
            .no_proxy()
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!(
                env!("CARGO_PKG_NAME"),
                "/",
                env!("CARGO_PKG_VERSION")
            ));
        if let Some(pem) = ca_pem {
            let bundle = Certificate::from_pem_bundle(pem).map_err(VerifyError::Client)?;
            builder = builder.tls_certs_only(bundle);
        }
        let client = builder.build().map_err(VerifyError::Client)?;
        Ok(Self { issuer, client })
    }

    /// The same relying party, trusting another issuer.
    #[must_use]
    pub fn trusting(&self, issuer: Issuer) -> Self {
        Self {
            issuer,
            client: self.client.clone(),
        }
    }

    pub(super) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Verifies that `token` was signed by the issuer, for `audience`, and is valid at `now`.
    ///
    /// # Errors
    ///
    /// [`VerifyError`], the first thing that makes a relying party refuse.
    pub async fn verify(
        &self,
        token: &str,
        audience: &str,
        now: SystemTime,
    ) -> Result<Verified, VerifyError> {
        let token = Token::parse(token)?;
        let url = self.issuer.discovery_url();
        let (discovery, discovery_time) = self.read::<Discovery>(&url).await?;
        if discovery.issuer != self.issuer.as_str() {
            return Err(VerifyError::Issuer {
                url,
                found: shown(&discovery.issuer),
            });
        }
        let Some(jwks_url) = discovery.jwks_url() else {
            return Err(VerifyError::JwksUri {
                url,
                found: shown(&discovery.jwks_uri),
            });
        };
        let (keys, jwks_time) = self.read::<JwkSet>(&jwks_url).await?;
        token.check_signature(&keys)?;
        token.check_claims(self.issuer.as_str(), audience, now)?;
        Ok(Verified {
            issuer: self.issuer.as_str().to_owned(),
            subject: token.subject().to_owned(),
            kid: token.kid().unwrap_or_default().to_owned(),
            algorithm: token.algorithm().to_owned(),
            discovery_time,
            jwks_time,
        })
    }

    /// Fetches and parses one document, and says how long the fetching took.
    async fn read<T: DeserializeOwned>(&self, url: &str) -> Result<(T, Duration), VerifyError> {
        let start = Instant::now();
        let body = self.fetch(url).await?;
        Ok((parse(url, &body)?, start.elapsed()))
    }

    pub(super) async fn fetch(&self, url: &str) -> Result<Vec<u8>, VerifyError> {
        let failed = |source: reqwest::Error| VerifyError::Fetch {
            url: url.to_owned(),
            source: source.without_url(),
        };
        let response = self.client.get(url).send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            status => {
                return Err(VerifyError::Status {
                    url: url.to_owned(),
                    status,
                });
            }
        }
        let body = body_within(response, MAX_DOCUMENT_BYTES).await;
        body.map_err(failed)?.ok_or_else(|| VerifyError::TooLarge {
            url: url.to_owned(),
        })
    }
}

/// Parses the document that was read at `url`.
pub(super) fn parse<T: DeserializeOwned>(url: &str, body: &[u8]) -> Result<T, VerifyError> {
    // Not the source error: it would quote the document.
    serde_json::from_slice(body).map_err(|error| VerifyError::Document {
        url: url.to_owned(),
        line: error.line(),
        column: error.column(),
    })
}

/// What is read of a discovery document.
#[derive(Deserialize)]
pub(super) struct Discovery {
    pub(super) issuer: String,
    pub(super) jwks_uri: String,
}

impl Discovery {
    /// The `jwks_uri` as a client reads it, so that it is fit for messages too.
    fn jwks_url(&self) -> Option<String> {
        let url = Url::parse(&self.jwks_uri).ok()?;
        let usable = url.scheme() == "https" && self.jwks_uri.len() <= MAX_URL_BYTES;
        usable.then(|| url.into())
    }
}

/// A token that verified, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The issuer.
    pub issuer: String,
    /// Whom the token speaks of.
    pub subject: String,
    /// The key that signed it.
    pub kid: String,
    /// The signature algorithm.
    pub algorithm: String,
    /// How long reading the discovery document took.
    pub discovery_time: Duration,
    /// How long reading the JWKS took.
    pub jwks_time: Duration,
}

/// Why a relying party refuses.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// No client can be made with these CA certificates.
    #[error("could not read the CA certificates to trust")]
    Client(#[source] reqwest::Error),
    /// A document is not what it should be.
    #[error(
        "{url} does not hold the JSON it should; the first fault is in line {line}, column {column}"
    )]
    Document {
        /// The URL.
        url: String,
        /// The line of the first fault, from 1 on.
        line: usize,
        /// Its column.
        column: usize,
    },
    /// A document could not be fetched.
    #[error("could not fetch {url}")]
    Fetch {
        /// The URL.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The discovery document is another issuer's.
    #[error("{url} names the issuer {found}, which is not the one asked for, byte for byte")]
    Issuer {
        /// The URL.
        url: String,
        /// The issuer in it, quoted and cut.
        found: String,
    },
    /// The discovery document names a JWKS that is not served over https.
    #[error(
        "{url} names the jwks_uri {found}, which is not an https URL of at most {MAX_URL_BYTES} bytes"
    )]
    JwksUri {
        /// The URL.
        url: String,
        /// The `jwks_uri` in it, quoted and cut.
        found: String,
    },
    /// The documents are fine, the token is not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A document is answered with another status than 200; redirects are not followed.
    #[error("{url} answers {status}; relying parties demand 200 and follow no redirect")]
    Status {
        /// The URL.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// A document is too long.
    #[error("{url} is longer than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge {
        /// The URL.
        url: String,
    },
}

/// Deadline of one read, as short as that of the more impatient relying parties.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest `jwks_uri` that is followed.
const MAX_URL_BYTES: usize = 2048;
