//! What a kube-apiserver answers on the paths that the mirror asks for, as a pure function.
//!
//! Behaviour and bytes are those of a recorded v1.20.2, which the tests compare with; left out are
//! the two `X-Kubernetes-Pf-*` headers, which name objects of the recorded cluster.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    request::Parts,
};
use serde::Serialize;
use serde_json::Value;

use super::Jwk;

/// The state of one API server, as far as it shows in its answers.
#[derive(Clone, Debug)]
pub struct Apiserver {
    /// Whether anonymous requests may read the documents; by default only service accounts may.
    pub anonymous: bool,
    /// The first `--service-account-issuer`. Without an https URL here there are no documents.
    pub issuer: String,
    /// The `jwks_uri` of the discovery document.
    pub jwks_uri: String,
    /// The keys of the `--service-account-key-file`s, in the order of the flags.
    pub keys: Vec<Jwk>,
    /// The bearer token of the service account that may read the documents.
    pub token: String,
}

/// Answers one request: authenticate, authorise, route, as the API server's own chain does.
pub fn respond(apiserver: &Apiserver, request: &Parts) -> Response<Bytes> {
    let path = request.uri.path();
    match request.headers.get(AUTHORIZATION) {
        None if !apiserver.anonymous => return forbidden(path),
        Some(value) if value.as_bytes() != format!("Bearer {}", apiserver.token).as_bytes() => {
            return Status::UNAUTHORIZED.response();
        }
        None | Some(_) => {}
    }
    if !is_discoverable(&apiserver.issuer) {
        return not_found();
    }
    match path.strip_suffix('/').unwrap_or(path) {
        DISCOVERY_PATH => document(request, JSON, || apiserver.discovery()),
        JWKS_PATH => document(request, JWK_SET, || apiserver.jwks()),
        _ => not_found(),
    }
}

impl Apiserver {
    fn discovery(&self) -> Vec<u8> {
        let algorithms: BTreeSet<_> = self.keys.iter().map(|key| key.alg.as_str()).collect();
        render(&Discovery {
            issuer: &self.issuer,
            jwks_uri: &self.jwks_uri,
            response_types_supported: ["id_token"],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: algorithms,
        })
    }

    fn jwks(&self) -> Vec<u8> {
        render(&Jwks { keys: &self.keys })
    }
}

/// The discovery document; the order of the fields is the order in the document.
#[derive(Serialize)]
struct Discovery<'a> {
    issuer: &'a str,
    jwks_uri: &'a str,
    response_types_supported: [&'static str; 1],
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: BTreeSet<&'a str>,
}

#[derive(Serialize)]
struct Jwks<'a> {
    keys: &'a [Jwk],
}

/// One line without a newline at its end, as Go's `json.Marshal` writes it.
fn render(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("the document holds only strings")
}

/// Whether the API server installs the documents at all (`NewOpenIDMetadataProvider`).
fn is_discoverable(issuer: &str) -> bool {
    issuer.starts_with("https://") && !issuer.contains(['?', '#'])
}

/// Serves a document with its one media type, to GET only (go-restful's routing order).
fn document(
    request: &Parts,
    media_type: &'static str,
    render: impl FnOnce() -> Vec<u8>,
) -> Response<Bytes> {
    if request.method != Method::GET {
        return Status::METHOD_NOT_ALLOWED.response();
    }
    if !accepts(request, media_type) {
        // The error itself is negotiated too: without JSON in `Accept` another encoder writes it.
        let metadata = if accepts(request, JSON) { SPACED } else { "{}" };
        return Status {
            metadata,
            details: Some(metadata),
            ..Status::NOT_ACCEPTABLE
        }
        .response();
    }
    let cache_control = format!("public, max-age={}", MAX_AGE.as_secs());
    let cache_control = HeaderValue::try_from(cache_control).expect("a number fits in a header");
    let mut response = Response::new(Bytes::from(render()));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, cache_control);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// As go-restful: exact matches and `*/*`; neither weights nor `application/*`.
fn accepts(request: &Parts, media_type: &str) -> bool {
    let mut ranges = request
        .headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or(range).trim())
        .peekable();
    ranges.peek().is_none() || ranges.any(|range| range == "*/*" || range == media_type)
}

fn forbidden(path: &str) -> Response<Bytes> {
    let message = format!(r#"forbidden: User "system:anonymous" cannot get path "{path}""#);
    let mut response = Status {
        message: &message,
        ..Status::FORBIDDEN
    }
    .response();
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The answer to every path that is not served: status 404, but JSON that lists other paths.
fn not_found() -> Response<Bytes> {
    failure(StatusCode::NOT_FOUND, Bytes::from_static(NOT_FOUND))
}

fn failure(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

/// A Kubernetes `Status` object that says what went wrong.
struct Status<'a> {
    code: StatusCode,
    reason: &'a str,
    message: &'a str,
    metadata: &'a str,
    details: Option<&'a str>,
}

impl Status<'static> {
    const FORBIDDEN: Self = Self::new(StatusCode::FORBIDDEN, "Forbidden", "");
    const METHOD_NOT_ALLOWED: Self = Self::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    );
    const NOT_ACCEPTABLE: Self = Self::new(
        StatusCode::NOT_ACCEPTABLE,
        "NotAcceptable",
        "406: Not Acceptable",
    );
    const UNAUTHORIZED: Self = Self {
        details: None,
        ..Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    };

    const fn new(code: StatusCode, reason: &'static str, message: &'static str) -> Self {
        Self {
            code,
            reason,
            message,
            metadata: SPACED,
            details: Some(SPACED),
        }
    }
}

impl Status<'_> {
    fn response(&self) -> Response<Bytes> {
        let Self {
            code,
            reason,
            message,
            metadata,
            details,
        } = self;
        let details = details.map_or_else(String::new, |details| {
            format!("  \"details\": {details},\n")
        });
        let message = Value::from(*message);
        let code_number = code.as_u16();
        let body = format!(
            r#"{{
  "kind": "Status",
  "apiVersion": "v1",
  "metadata": {metadata},
  "status": "Failure",
  "message": {message},
  "reason": "{reason}",
{details}  "code": {code_number}
}}"#
        );
        failure(*code, body.into())
    }
}

/// Where a kube-apiserver serves its discovery document.
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
/// Where a kube-apiserver serves its JWKS.
const JWKS_PATH: &str = "/openid/v1/jwks";
const JSON: &str = "application/json";
/// The media type of a JWKS.
pub(super) const JWK_SET: &str = "application/jwk-set+json";
/// How long a kube-apiserver with file keys lets its documents be cached.
const MAX_AGE: Duration = Duration::from_hours(1);
/// An empty object as the API server's usual JSON encoder indents it.
const SPACED: &str = "{\n    \n  }";
/// The paths of a kube-apiserver, as it lists them for a path that it does not know.
const NOT_FOUND: &[u8] = include_bytes!("not_found.json");

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use http::{HeaderMap, HeaderName, Request};

    use super::*;

    /// A recorded API server, restored from its own documents.
    fn recorded(folder: &str) -> Apiserver {
        let discovery: Value =
            serde_json::from_slice(&body(folder, "discovery-admin-http2")).unwrap_or_default();
        let jwks: Value =
            serde_json::from_slice(&body(folder, "jwks-admin-http2")).unwrap_or_default();
        let text = |member: &str| discovery[member].as_str().unwrap_or_default().to_owned();
        Apiserver {
            anonymous: false,
            issuer: text("issuer"),
            jwks_uri: text("jwks_uri"),
            keys: serde_json::from_value(jwks["keys"].clone()).unwrap_or_default(),
            token: "right".to_owned(),
        }
    }

    fn body(folder: &str, name: &str) -> Vec<u8> {
        fs::read(file(folder, name, "body")).unwrap()
    }

    fn file(folder: &str, name: &str, extension: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/kubernetes-1.20.2")
            .join(folder)
            .join(format!("{name}.{extension}"))
    }

    /// The recorded status and those headers that do not belong to one connection or cluster.
    fn head(folder: &str, name: &str) -> (u16, HeaderMap) {
        let text = fs::read_to_string(file(folder, name, "headers")).unwrap();
        let mut lines = text.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| {
                let name = name.to_ascii_lowercase();
                name != "content-length" && name != "date" && !name.starts_with("x-kubernetes-pf-")
            })
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        (status.parse().unwrap(), headers)
    }

    const DISCOVERY: &str = "/.well-known/openid-configuration";
    const JWKS: &str = "/openid/v1/jwks";

    /// Name of the recording, method, path, bearer token, Accept.
    const RECORDINGS: [(&str, &str, &str, &str, &str); 17] = [
        (
            "discovery-accept-jwkset",
            "GET",
            DISCOVERY,
            "right",
            JWK_SET,
        ),
        ("discovery-admin-http1.1", "GET", DISCOVERY, "right", "*/*"),
        ("discovery-admin-http2", "GET", DISCOVERY, "right", "*/*"),
        ("discovery-anonymous", "GET", DISCOVERY, "", "*/*"),
        ("discovery-badtoken", "GET", DISCOVERY, "wrong", "*/*"),
        ("discovery-serviceaccount", "GET", DISCOVERY, "right", "*/*"),
        ("jwks-accept-json", "GET", JWKS, "right", JSON),
        ("jwks-accept-jwkset", "GET", JWKS, "right", JWK_SET),
        ("jwks-admin-http1.1", "GET", JWKS, "right", "*/*"),
        ("jwks-admin-http2", "GET", JWKS, "right", "*/*"),
        ("jwks-anonymous", "GET", JWKS, "", "*/*"),
        ("jwks-head", "HEAD", JWKS, "right", "*/*"),
        ("jwks-post", "POST", JWKS, "right", "*/*"),
        ("jwks-query", "GET", "/openid/v1/jwks?x=1", "right", "*/*"),
        ("jwks-serviceaccount", "GET", JWKS, "right", "*/*"),
        (
            "jwks-trailing-slash",
            "GET",
            "/openid/v1/jwks/",
            "right",
            "*/*",
        ),
        ("notfound", "GET", "/notfound", "right", "*/*"),
    ];

    fn request(method: &str, path: &str, token: &str, accept: &str) -> Parts {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.header(ACCEPT, accept).body(()).unwrap();
        request.into_parts().0
    }

    #[test]
    fn every_recorded_answer_is_reproduced() {
        for folder in ["a-rsa", "b-multi", "c-legacy-issuer", "d-p521", "e-rp"] {
            let apiserver = recorded(folder);
            for (name, method, path, token, accept) in RECORDINGS {
                let response = respond(&apiserver, &request(method, path, token, accept));
                let (status, headers) = head(folder, name);
                assert_eq!(response.status().as_u16(), status, "{folder}/{name}");
                assert_eq!(*response.headers(), headers, "{folder}/{name}");
                if method == "HEAD" {
                    continue; // The recorder wrote the headers where the body would be.
                }
                assert_eq!(*response.body(), body(folder, name), "{folder}/{name}");
            }
        }
    }

    #[test]
    fn anonymous_requests_read_once_they_are_allowed_to() {
        let mut apiserver = recorded("b-multi");
        apiserver.anonymous = true;
        let response = respond(&apiserver, &request("GET", JWKS, "", "*/*"));
        assert_eq!(*response.body(), body("b-multi", "jwks-anonymous-bound"));
    }

    #[test]
    fn what_the_mirror_sends_as_accept_is_answered_on_both_paths() {
        let accept = "application/jwk-set+json, application/json;q=0.9, */*;q=0.1";
        for path in [DISCOVERY, JWKS] {
            let response = respond(&recorded("a-rsa"), &request("GET", path, "right", accept));
            assert_eq!(response.status(), StatusCode::OK);
        }
    }
}
