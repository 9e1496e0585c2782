//! Both documents as final bytes: rendered once, served and published as they are.

use std::sync::Arc;

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
    pub ledger: Arc<Ledger>,
}

impl Snapshot {
    /// Renders both documents: equal arguments give equal bytes.
    pub fn render(
        issuer: &Issuer,
        keys: KeySet,
        members: &[(String, Value)],
        ledger: impl Into<Arc<Ledger>>,
    ) -> Self {
        Self {
            discovery: Document::new(discovery::render(issuer, &keys, members)),
            jwks: Document::new(keys.render()),
            keys,
            ledger: ledger.into(),
        }
    }

    /// Both documents with `mark` in white space behind them, which no reader of JSON sees: two
    /// documents that say the same can so be told apart by their bytes, and by an ETag.
    #[must_use]
    pub fn marked(mut self, mark: u64) -> Self {
        self.discovery = self.discovery.marked(mark);
        self.jwks = self.jwks.marked(mark);
        self
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
    /// The beginning of the entity tag, as much as tells two documents apart.
    pub fn hash(&self) -> &str {
        let tag = self.etag.to_str().unwrap_or_default();
        tag.get(1..=HASH_CHARS).unwrap_or_default()
    }

    fn marked(&self, mark: u64) -> Self {
        let digits = (0..u64::BITS)
            .step_by(2)
            .map(|shift| usize::from((mark >> shift).to_le_bytes()[0] & 3));
        let mut body = self.body.to_vec();
        body.push(b'\n');
        body.extend(digits.map(|digit| WHITE_SPACE[digit]));
        Self::new(body)
    }

    fn new(body: Vec<u8>) -> Self {
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest(&SHA256, &body)));
        let etag = HeaderValue::try_from(etag).expect("base64url in quotes is a header value");
        Self {
            body: body.into_boxed_slice().into(),
            etag,
        }
    }
}

/// As much of an entity tag as tells two documents apart.
const HASH_CHARS: usize = 12;
/// What RFC 8259 section 2 allows around a value: one for each pair of bits.
const WHITE_SPACE: [u8; 4] = *b" \t\n\r";
