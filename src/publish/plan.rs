//! What to write: from what stands at a target and what should stand there.
//!
//! Pure: it never does I/O. Keys come before the discovery document, so that no discovery document
//! is newer than its keys; what is equal is not written.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use thiserror::Error;

use crate::{
    config::settings::Metadata,
    oidc::{Key, KeySet, Kid, Snapshot},
};

/// One of the two documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The discovery document.
    Discovery,
    /// The JWKS.
    Jwks,
}

impl Name {
    /// Where the document stands under a target: the path that it has under the issuer.
    pub fn path(self) -> &'static str {
        match self {
            Self::Discovery => ".well-known/openid-configuration",
            Self::Jwks => "openid/v1/jwks",
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// A document as a target holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The bytes.
    pub body: Bytes,
    /// `Content-Type`; `None` where the target keeps none.
    pub content_type: Option<String>,
    /// `Cache-Control`; `None` where the target keeps none.
    pub cache_control: Option<String>,
}

/// What stands at a target in the place of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Missing,
    /// This object.
    Present(Object),
    /// The target does not say: reading is denied, or nothing is there and listing is denied.
    Unreadable,
}

/// Something for each of the two documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair<T> {
    /// For the JWKS.
    pub(super) jwks: T,
    /// For the discovery document.
    pub(super) discovery: T,
}

/// One object to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The document.
    pub name: Name,
    /// What stands in its place.
    pub found: Standing,
    /// What should.
    pub wanted: Object,
}

/// For people and logs: "create openid/v1/jwks".
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.found {
            Standing::Missing => "create",
            Standing::Present(_) => "replace",
            Standing::Unreadable => "overwrite unread",
        };
        write!(f, "{verb} {}", self.name)
    }
}

/// Why nothing may be written now.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// It would take away keys that a silent upstream may still sign with.
    #[error(
        "it would remove the published key{} {}, but an upstream has not answered since the start \
         and may still sign with {}; wait for it, or take its address out of the configuration",
        if .kids.len() == 1 { "" } else { "s" }, quoted(.kids),
        if .kids.len() == 1 { "it" } else { "them" }
    )]
    Removes {
        /// The keys, in published order.
        kids: Vec<Kid>,
    },
    /// It cannot be known whether it would take away keys.
    #[error(
        "reading {} is denied and an upstream has not answered since the start, so keys that it \
         still signs with may be published there; wait for it, allow reading the object, or, when \
         nothing is published yet, allow listing the bucket (s3:ListBucket)",
        Name::Jwks
    )]
    Unread,
}

/// The objects to write, in order, for `snapshot` to stand at a target where `found` does.
///
/// `metadata` is `None` for targets that keep none.
///
/// # Errors
///
/// [`Refusal`] when `snapshot` is not complete and could remove a key that is published.
pub(super) fn plan(
    found: Pair<Standing>,
    snapshot: &Snapshot,
    metadata: Option<&Metadata>,
) -> Result<Vec<Change>, Refusal> {
    if !snapshot.ledger.is_complete() {
        removes_nothing(&found.jwks, &snapshot.keys)?;
    }
    let wanted = wanted(snapshot, metadata);
    let jwks = (Name::Jwks, found.jwks, wanted.jwks);
    let discovery = (Name::Discovery, found.discovery, wanted.discovery);
    Ok([jwks, discovery]
        .into_iter()
        .filter(|(_, found, wanted)| !matches!(found, Standing::Present(found) if found == wanted))
        .map(|(name, found, wanted)| Change {
            name,
            found,
            wanted,
        })
        .collect())
}

/// Holds that every key published now is still there in `keys`.
fn removes_nothing(found: &Standing, keys: &KeySet) -> Result<(), Refusal> {
    let published = match found {
        Standing::Missing => return Ok(()),
        Standing::Present(object) => KeySet::parse(&object.body),
        Standing::Unreadable => return Err(Refusal::Unread),
    };
    // No relying party verifies with what is no key set, so there is nothing to take away.
    let Ok((published, _)) = published else {
        return Ok(());
    };
    let kids: Vec<_> = published
        .keys()
        .iter()
        .map(Key::kid)
        .filter(|kid| keys.find(kid).is_none())
        .cloned()
        .collect();
    if kids.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Removes { kids })
    }
}

fn wanted(snapshot: &Snapshot, metadata: Option<&Metadata>) -> Pair<Object> {
    let object = |body: &Bytes, content_type: Option<String>| Object {
        body: body.clone(),
        content_type,
        cache_control: metadata.map(|metadata| text(&metadata.cache_control)),
    };
    Pair {
        jwks: object(
            &snapshot.jwks.body,
            metadata.map(|metadata| text(&metadata.jwks_content_type)),
        ),
        discovery: object(
            &snapshot.discovery.body,
            metadata.map(|_| DISCOVERY_CONTENT_TYPE.to_owned()),
        ),
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn quoted(kids: &[Kid]) -> String {
    let shown: Vec<_> = kids.iter().map(|kid| format!("\"{kid}\"")).collect();
    shown.join(", ")
}

/// OpenID Connect Discovery 1.0 section 4.2.
const DISCOVERY_CONTENT_TYPE: &str = "application/json";
