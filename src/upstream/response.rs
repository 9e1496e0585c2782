//! What an answer must look like before its body reaches a parser.

use bytes::Bytes;
use http::{
    HeaderMap, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, DATE, RETRY_AFTER},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::Duration;

use super::{credentials::Trust, error::FetchError};
use crate::{cache_control, oidc::MAX_DOCUMENT_BYTES};

/// A document of an upstream, unchecked.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) body: Bytes,
    /// How long the upstream lets others use it.
    pub(super) max_age: Option<Duration>,
}

/// Checks status and headers, then reads the body as far as the cap.
///
/// # Errors
///
/// [`FetchError`]; what the server wrote is never part of it.
pub(super) async fn read(
    response: Response<Incoming>,
    url: &str,
    trust: &Trust,
) -> Result<Document, FetchError> {
    check(response.status(), response.headers(), url)?;
    let max_age = response
        .headers()
        .get(CACHE_CONTROL)
        .and_then(|value| cache_control::max_age(value.to_str().ok()?));
    let body = Limited::new(response.into_body(), MAX_DOCUMENT_BYTES);
    let body = body.collect().await.map_err(|error| {
        let url = url.to_owned();
        if error.is::<LengthLimitError>() {
            FetchError::TooLarge { url }
        } else {
            FetchError::of_transport(url, trust, &*error)
        }
    })?;
    Ok(Document {
        body: body.to_bytes(),
        max_age,
    })
}

fn check(status: StatusCode, headers: &HeaderMap, url: &str) -> Result<(), FetchError> {
    let url = || url.to_owned();
    match status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => return Err(FetchError::Unauthorized { url: url() }),
        StatusCode::FORBIDDEN => return Err(FetchError::Forbidden { url: url() }),
        StatusCode::NOT_FOUND => return Err(FetchError::NotFound { url: url() }),
        StatusCode::NOT_ACCEPTABLE => return Err(FetchError::NotAcceptable { url: url() }),
        StatusCode::TOO_MANY_REQUESTS => {
            return Err(FetchError::Throttled {
                url: url(),
                retry_after: retry_after(headers),
            });
        }
        status if status.is_redirection() => {
            return Err(FetchError::Redirect { url: url(), status });
        }
        status => {
            return Err(FetchError::Status {
                url: url(),
                status,
                retry_after: retry_after(headers),
            });
        }
    }
    // Nothing was asked for but the document as it is; what would have to be unpacked has no cap.
    if headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(FetchError::Encoding { url: url() });
    }
    if !is_json(headers) {
        return Err(FetchError::ContentType { url: url() });
    }
    Ok(())
}

/// Whether it says it is one of the two types that kube-apiserver writes; parameters do not matter.
fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| {
            let essence = essence.trim();
            TYPES
                .iter()
                .any(|expected| essence.eq_ignore_ascii_case(expected))
        })
}

/// Seconds or a date (RFC 9110 section 10.2.3). A date counts from the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let value = text(RETRY_AFTER)?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(httpdate::parse_http_date(text(DATE)?).ok()?)
            .unwrap_or(Duration::ZERO),
    };
    Some(wait.min(RETRY_AFTER_CAP))
}

const TYPES: [&str; 2] = ["application/json", "application/jwk-set+json"];
/// No server can keep the mirror from a new key for longer.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(list: &[(HeaderName, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_delay_asked_for_is_seconds_or_a_date_and_capped() {
        const NOON: &str = "Mon, 23 Nov 2026 12:00:00 GMT";
        for (value, date, seconds) in [
            ("1", None, Some(1)),
            ("0", None, Some(0)),
            ("86400", None, Some(300)),
            ("18446744073709551615", None, Some(300)),
            ("-1", None, None),
            ("soon", Some(NOON), None),
            ("Mon, 23 Nov 2026 12:00:20 GMT", Some(NOON), Some(20)),
            ("Mon, 23 Nov 2026 11:00:00 GMT", Some(NOON), Some(0)),
            ("Tue, 24 Nov 2026 12:00:00 GMT", Some(NOON), Some(300)),
            ("Mon, 23 Nov 2026 12:00:20 GMT", None, None),
        ] {
            let mut list = vec![(RETRY_AFTER, value)];
            list.extend(date.map(|date| (DATE, date)));
            assert_eq!(
                retry_after(&headers(&list)),
                seconds.map(Duration::from_secs),
                "{value}"
            );
        }
    }

    #[test]
    fn only_json_as_it_is_reaches_the_parser() {
        for (list, reason) in [
            (vec![(CONTENT_TYPE, "application/json")], None),
            (
                vec![(CONTENT_TYPE, "Application/JSON; charset=utf-8")],
                None,
            ),
            (vec![(CONTENT_TYPE, "application/jwk-set+json")], None),
            (
                vec![
                    (CONTENT_TYPE, "application/json"),
                    (CONTENT_ENCODING, "identity"),
                ],
                None,
            ),
            (vec![], Some("content-type")),
            (vec![(CONTENT_TYPE, "text/html")], Some("content-type")),
            (
                vec![(CONTENT_TYPE, "application/json-seq")],
                Some("content-type"),
            ),
            (
                vec![
                    (CONTENT_TYPE, "application/json"),
                    (CONTENT_ENCODING, "gzip"),
                ],
                Some("encoding"),
            ),
        ] {
            let outcome = check(StatusCode::OK, &headers(&list), "https://a/");
            assert_eq!(
                outcome.err().map(|error| error.reason()),
                reason,
                "{list:?}"
            );
        }
    }

    #[test]
    fn each_status_has_its_own_error() {
        for (status, reason) in [
            (201, "status"),
            (206, "status"),
            (301, "redirect"),
            (304, "redirect"),
            (401, "unauthorized"),
            (403, "forbidden"),
            (404, "not-found"),
            (406, "not-acceptable"),
            (429, "throttled"),
            (503, "status"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = check(status, &HeaderMap::new(), "https://a/").unwrap_err();
            assert_eq!(error.reason(), reason, "{status}");
        }
    }
}
