//! HTTPS to the ACME server: bounded in time and size, verified always.

use std::{future::Future, path::Path, pin::Pin, time::Duration};

use bytes::Bytes;
use http::{
    Request, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use http_body_util::{BodyExt as _, Limited};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use reqwest::{Certificate, redirect::Policy};
use rustls::crypto::aws_lc_rs;
use thiserror::Error;

use super::{disk, error::AcmeError};

/// A client that trusts the CAs in a file, or those of the system.
pub(super) struct Client(reqwest::Client);

impl Client {
    /// Reads the file again each time, since CAs are renewed, too.
    pub(super) async fn open(ca_file: Option<&Path>) -> Result<Self, AcmeError> {
        // reqwest takes the provider of the process; an error says that there is one already.
        let _ = aws_lc_rs::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .https_only(true)
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!(
                env!("CARGO_PKG_NAME"),
                "/",
                env!("CARGO_PKG_VERSION")
            ));
        if let Some(path) = ca_file {
            let bundle = read_bundle(path).await?;
            builder = builder.tls_certs_only(bundle);
        }
        builder.build().map(Self).map_err(AcmeError::Client)
    }
}

async fn read_bundle(path: &Path) -> Result<Vec<Certificate>, AcmeError> {
    let pem = disk::read_required(path).await?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(bundle) if !bundle.is_empty() => Ok(bundle),
        Ok(_) | Err(_) => Err(AcmeError::CaFile {
            path: path.to_owned(),
        }),
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let answer = fetch(client, request).await;
            answer.map_err(|error| instant_acme::Error::Other(Box::new(error)))
        })
    }
}

async fn fetch(
    client: reqwest::Client,
    request: Request<BodyWrapper<Bytes>>,
) -> Result<BytesResponse, FetchError> {
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    let request = reqwest::Request::try_from(Request::from_parts(parts, body))?;
    let response = http::Response::from(client.execute(request).await?);
    let (parts, body) = response.into_parts();
    let kind = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_problem = kind.is_some_and(|kind| kind.starts_with(b"application/problem+json"));
    // RFC 8555 section 6.7: an error of the server itself, not of a proxy in front, is a problem.
    if !parts.status.is_success() && !is_problem {
        return Err(FetchError::Status(parts.status));
    }
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|_| FetchError::Body)?.to_bytes();
    Ok(BytesResponse {
        parts,
        body: Box::new(body),
    })
}

/// Why there is no answer of the ACME server.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(super) enum FetchError {
    #[error("its answer is cut off, or longer than {MAX_ANSWER_BYTES} bytes")]
    Body,
    #[error("it gave no answer")]
    Send(#[source] reqwest::Error),
    #[error("it answers {0}, and not as an ACME server does")]
    Status(StatusCode),
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        // The directory is named already; other URLs are the server's own.
        Self::Send(error.without_url())
    }
}

/// One request and its answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Far more than a chain of certificates.
const MAX_ANSWER_BYTES: usize = 1 << 20;
