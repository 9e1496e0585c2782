//! Both documents as final bytes: rendered once, served and published as they are.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderValue;
use serde_json::Value;

use super::{Issuer, KeySet, Ledger, discovery};

/// Both documents as final bytes; immutable, shared by `Arc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The discovery document.
    pub discovery: Document,
    /// The JWKS.
    pub jwks: Document,
    /// The keys in the JWKS.
    pub keys: KeySet,
    /// What this mirror knows of its keys.
    pub ledger: Ledger,
}

impl Snapshot {
    /// Renders both documents: equal arguments give equal bytes.
    pub fn render(
        issuer: &Issuer,
        keys: KeySet,
        members: &[(String, Value)],
        ledger: Ledger,
    ) -> Self {
        Self {
            discovery: Document::new(discovery::render(issuer, &keys, members)),
            jwks: Document::new(keys.render()),
            keys,
            ledger,
        }
    }
}

/// One document as final bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The bytes.
    pub body: Bytes,
    /// A strong entity tag (RFC 9110 section 8.8.3): a digest of the body.
    pub etag: HeaderValue,
}

impl Document {
    fn new(body: Vec<u8>) -> Self {
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest(&SHA256, &body)));
        let etag = HeaderValue::try_from(etag).expect("base64url in quotes is a header value");
        Self {
            body: body.into(),
            etag,
        }
    }
}
