//! One request, one response: GET and HEAD of two documents (RFC 9110).

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
        HOST, IF_NONE_MATCH, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::Full;
use hyper::body::Body as _;

use super::routes::{Found, Page, Route, Routes};

/// Answers one request, and says which document it was for; its body is never read.
pub(super) fn respond<B>(
    routes: &Routes,
    request: &Request<B>,
) -> (Option<Page>, Response<Full<Bytes>>) {
    let (page, mut response) = answer(routes, request);
    if request.method() == Method::HEAD {
        // RFC 9110 section 9.3.2: the fields of a GET, without its content. hyper sees to that in
        // HTTP/1 only; in HTTP/2 the content would break the stream.
        let content = std::mem::take(response.body_mut());
        if let Some(length) = content.size_hint().exact().filter(|length| *length > 0) {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
    }
    (page, response)
}

fn answer<B>(routes: &Routes, request: &Request<B>) -> (Option<Page>, Response<Full<Bytes>>) {
    match routes.find(host(request), request.uri().path()) {
        Found::Page(route, page) => (Some(page), of_page(route, page, request)),
        Found::UnknownHost => {
            let text = text(StatusCode::MISDIRECTED_REQUEST, "no issuer has this host\n");
            (None, text)
        }
        Found::UnknownPath => (None, text(StatusCode::NOT_FOUND, "no such document\n")),
    }
}

fn of_page<B>(route: &Route, page: Page, request: &Request<B>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    document(route, page, request.headers())
}

fn document(route: &Route, page: Page, request: &HeaderMap) -> Response<Full<Bytes>> {
    let Some(snapshot) = route.snapshots.borrow().clone() else {
        let mut response = text(
            StatusCode::SERVICE_UNAVAILABLE,
            "no API server has answered yet\n",
        );
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return response;
    };
    let (document, content_type) = match page {
        Page::Discovery => (
            &snapshot.discovery,
            HeaderValue::from_static("application/json"),
        ),
        Page::Jwks => (&snapshot.jwks, route.jwks_content_type.clone()),
    };
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert(ETAG, document.etag.clone());
    headers.insert(CACHE_CONTROL, route.cache_control.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if matches_none(request, &document.etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    *response.body_mut() = Full::new(document.body.clone());
    response
}

/// The host that the client meant: RFC 9112 section 3.2.2 and RFC 9113 section 8.3.1 put the
/// target's authority before the `Host` header. A request without any gets "".
pub(super) fn host<B>(request: &Request<B>) -> &str {
    let header = || request.headers().get(HOST)?.to_str().ok();
    request
        .uri()
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(header)
        .unwrap_or_default()
}

/// Whether `If-None-Match` names this entity tag, by weak comparison (RFC 9110 section 13.1.2).
fn matches_none(request: &HeaderMap, etag: &HeaderValue) -> bool {
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes())
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
