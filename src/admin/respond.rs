//! One request, one response: GET and HEAD of a few paths.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use http_body_util::Full;
use serde::Serialize;

use super::{KeysAnswer, Standing, Views, metrics, page, ready};
use crate::oidc::Time;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Keys,
    Live,
    Metrics(metrics::Format),
    /// The status page.
    Page(page::Choice),
    Ready {
        verbose: bool,
    },
    Status,
    UnknownPath,
    WrongMethod,
}

impl Question {
    /// What `request` asks; its body is never read.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let question = match request.uri().path() {
            "/keys" => Self::Keys,
            "/livez" => Self::Live,
            "/metrics" => Self::Metrics(metrics::Format::asked(request.headers())),
            "/" => Self::Page(page::Choice::asked(request.uri().query())),
            "/readyz" => Self::Ready {
                verbose: request.uri().query().is_some_and(asks_for_all),
            },
            "/status" => Self::Status,
            _ => return Self::UnknownPath,
        };
        match *request.method() {
            Method::GET | Method::HEAD => question,
            _ => Self::WrongMethod,
        }
    }

    /// The answer as of `now`. Takes its time when there are many mirrors.
    pub(super) fn answer(self, views: &Views, now: Time) -> Response<Full<Bytes>> {
        match self {
            Self::Keys => json(&KeysAnswer::from(views)),
            Self::Live => text(StatusCode::OK, "ok\n"),
            Self::Metrics(format) => match metrics::render(views, format, now) {
                Ok(body) => response(StatusCode::OK, format.content_type(), body),
                Err(_) => fault(),
            },
            Self::Page(choice) => page(&Standing::new(views, now), &choice),
            Self::Ready { verbose } => {
                let (is_ready, body) = ready::render(views, verbose, now);
                let status = if is_ready {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                text(status, body)
            }
            Self::Status => json(&Standing::new(views, now)),
            Self::UnknownPath => text(
                StatusCode::NOT_FOUND,
                "no such path; there are /, /keys, /livez, /metrics, /readyz and /status\n",
            ),
            Self::WrongMethod => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
                response
                    .headers_mut()
                    .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
        }
    }
}

fn asks_for_all(query: &str) -> bool {
    query
        .split('&')
        .any(|part| part == "verbose" || part.starts_with("verbose="))
}

fn json(answer: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(answer) {
        Ok(body) => response(StatusCode::OK, "application/json", body),
        Err(_) => fault(),
    }
}

/// Nothing but the page itself is ever loaded, run, framed or told where somebody came from.
fn page(standing: &Standing, choice: &page::Choice) -> Response<Full<Bytes>> {
    let (is_known, body) = page::render(standing, choice);
    let status = if is_known {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };
    let mut response = response(status, "text/html; charset=utf-8", body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, page::policy());
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", body)
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The answer when there can be none.
pub(super) fn fault() -> Response<Full<Bytes>> {
    text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "this is a bug, please report it\n",
    )
}
