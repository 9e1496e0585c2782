//! Asks the admin listener of a running process.

use std::time::Duration;

use http::StatusCode;
use reqwest::{Client, Response, redirect::Policy};
use rustls::crypto::aws_lc_rs;
use thiserror::Error;
use url::Url;

/// The bytes that the admin listener at `url` answers with.
///
/// # Errors
///
/// [`AskError`] when it does not.
pub async fn ask(url: &Url) -> Result<Vec<u8>, AskError> {
    // reqwest takes the provider of the process; an error says that there is one already.
    let _ = aws_lc_rs::default_provider().install_default();
    let failed = |source: reqwest::Error| AskError::Fetch {
        url: url.clone(),
        source: source.without_url(),
    };
    let client = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(failed)?;
    let response = client.get(url.clone()).send().await.map_err(failed)?;
    let status = response.status();
    if status != StatusCode::OK {
        let url = url.clone();
        return Err(AskError::Status { url, status });
    }
    let body = body_within(response, MAX_ANSWER_BYTES).await;
    body.map_err(failed)?
        .ok_or_else(|| AskError::TooLarge { url: url.clone() })
}

/// The body of `response`; `None` when it is longer than `limit_bytes`.
pub(super) async fn body_within(
    mut response: Response,
    limit_bytes: usize,
) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit_bytes {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Why the admin listener did not answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody answers there.
    #[error(
        "could not ask {url}; does oidc-mirror run there, with [admin] listen at this address?"
    )]
    Fetch {
        /// The URL.
        url: Url,
        /// Why.
        source: reqwest::Error,
    },
    /// Somebody else does.
    #[error("{url} answers {status}, which the admin listener of oidc-mirror does not")]
    Status {
        /// The URL.
        url: Url,
        /// The status.
        status: StatusCode,
    },
    /// Somebody else does.
    #[error("{url} answers with more than {MAX_ANSWER_BYTES} bytes")]
    TooLarge {
        /// The URL.
        url: Url,
    },
}

const TIMEOUT: Duration = Duration::from_secs(10);
/// What tens of thousands of mirrors have to say.
const MAX_ANSWER_BYTES: usize = 256 << 20;
