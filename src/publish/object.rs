//! The objects of a target: what stands there, and what is to be written.

use std::fmt;

use bytes::Bytes;

use crate::oidc::MAX_DOCUMENT_BYTES;

/// One of the objects of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// What the publishers know of the keys, each its own: not for relying parties.
    State,
    /// The JWKS.
    Jwks,
    /// The discovery document.
    Discovery,
}

impl Name {
    /// Where the object stands under a target; a document has the path that it has under the
    /// issuer.
    pub fn path(self) -> &'static str {
        match self {
            Self::State => ".oidc-mirror/state.json",
            Self::Jwks => "openid/v1/jwks",
            Self::Discovery => ".well-known/openid-configuration",
        }
    }

    /// More bytes than the object ever has.
    pub(super) fn limit_bytes(self) -> usize {
        match self {
            Self::State => MAX_STATE_BYTES,
            Self::Discovery | Self::Jwks => MAX_DOCUMENT_BYTES,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// An object as a target holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// The bytes.
    pub body: Bytes,
    /// `Content-Type`; `None` where the target keeps none.
    pub content_type: Option<String>,
    /// `Cache-Control`; `None` where the target keeps none.
    pub cache_control: Option<String>,
}

/// What stands at a target in the place of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Nothing.
    Missing,
    /// This object.
    Present(Object),
    /// The target does not say: reading is denied, or nothing is there and listing is denied.
    Unreadable,
}

/// What was read in the place of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Found {
    pub(super) standing: Standing,
    /// What tells this content from any other, as the target has it; `None` when none was read.
    pub(super) version: Option<Version>,
}

/// What tells one content of an object from any other: an ETag, or a digest.
pub(super) type Version = String;

/// When a write may happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Condition {
    /// While nothing is there.
    IfMissing,
    /// While this version is there.
    IfVersion(Version),
}

impl Found {
    /// That nothing has changed since.
    pub(super) fn unchanged(&self) -> Condition {
        match &self.version {
            Some(version) => Condition::IfVersion(version.clone()),
            None => Condition::IfMissing,
        }
    }
}

/// One object to write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// The object.
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
            Standing::Unreadable => "write unread",
        };
        write!(f, "{verb} {}", self.name)
    }
}

/// The ledgers of as many publishers as a control plane has nodes, several times over.
const MAX_STATE_BYTES: usize = 16 << 20;
