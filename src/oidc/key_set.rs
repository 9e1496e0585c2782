//! The JSON Web Key Set: an ordered set of keys with unique kids (RFC 7517 section 5).
//!
//! Parsing refuses a whole document where publishing any of it could be wrong: private or
//! symmetric members, members named twice, one kid for two keys, nothing usable.

use std::collections::{HashMap, hash_map::Entry};

use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{
    Kid, json,
    key::{Key, LeftOut},
};

/// An ordered set of public keys with unique kids; may be empty only before anything was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a JWKS, leaving out single keys that must not be published.
    ///
    /// # Errors
    ///
    /// [`Reject`] when nothing of the document may be used.
    pub fn parse(document: &[u8]) -> Result<(Self, Vec<LeftOut>), Reject> {
        let document = object(document)?;
        if let Some(reject) = find_private(&document, None) {
            return Err(reject);
        }
        let Some(Value::Array(jwks)) = document.get("keys") else {
            return Err(Reject::NotAKeySet);
        };
        let (mut keys, mut left_out) = (Vec::new(), Vec::new());
        for jwk in jwks {
            let jwk = jwk.as_object().ok_or(Reject::NotAKeySet)?;
            match Key::parse(jwk) {
                Ok(key) => keys.push(key),
                Err(unfit) => left_out.push(unfit),
            }
        }
        if keys.is_empty() {
            return Err(Reject::Empty { left_out });
        }
        Ok((Self::of(keys)?, left_out))
    }

    /// The union, in the order of `sets` and of the keys in each.
    ///
    /// # Errors
    ///
    /// [`Reject::KidConflict`] when one kid names two keys, [`Reject::TooMany`] past the limit.
    pub fn union<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Result<Self, Reject> {
        Self::of(sets.into_iter().flat_map(|set| &set.keys).cloned())
    }

    /// The set of `keys`, each once, in their order.
    ///
    /// # Errors
    ///
    /// As [`union`](Self::union).
    pub fn of(keys: impl IntoIterator<Item = Key>) -> Result<Self, Reject> {
        let keys = keys.into_iter();
        let mut set = Self::default();
        let mut known = HashMap::with_capacity(keys.size_hint().0);
        let (mut rsa, mut ec) = (0, 0);
        for key in keys {
            match known.entry(key.kid().clone()) {
                Entry::Occupied(present) if *present.get() == key => {}
                Entry::Occupied(present) => {
                    let kid = present.key().clone();
                    return Err(Reject::KidConflict { kid });
                }
                Entry::Vacant(vacant) => {
                    let count = if key.is_rsa() { &mut rsa } else { &mut ec };
                    // AWS IAM stops reading keys beyond 100 RSA and 100 EC keys
                    // (spiffe/spire issue 4699).
                    if *count == MAX_KEYS_OF_A_KIND {
                        return Err(Reject::TooMany);
                    }
                    *count += 1;
                    vacant.insert(key.clone());
                    set.keys.push(key);
                }
            }
        }
        Ok(set)
    }

    /// The keys but those that `known` knows.
    #[must_use]
    pub fn without(mut self, known: impl Fn(&Key) -> bool) -> Self {
        self.keys.retain(|key| !known(key));
        self
    }

    /// The key named `kid`.
    pub fn find(&self, kid: &Kid) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    /// The keys, in order.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The document as published: equal sets give equal bytes.
    pub fn render(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a key set holds only strings")
    }
}

/// The `issuer` of an upstream's discovery document; nothing else of it is used.
///
/// # Errors
///
/// [`Reject`] when it is not a JSON object without duplicate members, or names no issuer.
pub fn upstream_issuer(document: &[u8]) -> Result<String, Reject> {
    match object(document)?.remove("issuer") {
        Some(Value::String(issuer)) => Ok(issuer),
        _ => Err(Reject::NoIssuer),
    }
}

fn object(document: &[u8]) -> Result<Map<String, Value>, Reject> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(Reject::TooLarge);
    }
    match json::parse(document).map_err(Reject::Json)? {
        Value::Object(members) => Ok(members),
        _ => Err(Reject::NotAnObject),
    }
}

/// Looks for a private or symmetric member at any depth, remembering the kid it stands beside.
pub(super) fn find_private(object: &Map<String, Value>, kid: Option<&str>) -> Option<Reject> {
    let kid = object.get("kid").and_then(Value::as_str).or(kid);
    object.iter().find_map(|(name, value)| {
        let symmetric = name == "kty" && value.as_str().is_some_and(|kty| kty == "oct");
        if let Some(member) = PRIVATE_MEMBERS.iter().find(|private| *private == name) {
            return Some(Reject::Private {
                member,
                kid: kid.and_then(Kid::parse),
            });
        }
        if symmetric {
            return Some(Reject::Private {
                member: "kty: oct",
                kid: kid.and_then(Kid::parse),
            });
        }
        find_private_in(value, kid)
    })
}

fn find_private_in(value: &Value, kid: Option<&str>) -> Option<Reject> {
    match value {
        Value::Array(values) => values.iter().find_map(|value| find_private_in(value, kid)),
        Value::Object(object) => find_private(object, kid),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => None,
    }
}

/// Why a whole document is refused. The last good snapshot stays.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Reject {
    /// No key that may be published.
    #[error("it holds no key that may be published{}", listed(.left_out))]
    Empty {
        /// The keys that were left out.
        left_out: Vec<LeftOut>,
    },
    /// It is not JSON, or an object names one member twice.
    #[error("it is not the JSON it should be")]
    Json(#[source] serde_json::Error),
    /// One kid for two keys.
    #[error(
        "kid \"{kid}\" names two different keys; find out which API server has the wrong \
         --service-account-key-file and correct it"
    )]
    KidConflict {
        /// The kid.
        kid: Kid,
    },
    /// A kid names another key than before, which tokens may still need.
    #[error(
        "kid \"{kid}\" now names another key than before, and tokens of the one before may still \
         be valid; if none is needed any more, revoke it: oidc-mirror keys revoke {thumbprint}"
    )]
    KidReused {
        /// The kid.
        kid: Kid,
        /// The RFC 7638 thumbprint of the key that it named before.
        thumbprint: String,
    },
    /// The discovery document names no issuer.
    #[error("it has no member \"issuer\" that is a string")]
    NoIssuer,
    /// It is no JWKS.
    #[error("it has no member \"keys\" that is an array of objects")]
    NotAKeySet,
    /// It is not a JSON object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// It holds private or symmetric key material.
    #[error(
        "it holds private key material (member \"{member}\" of {}): treat this signing key as \
         leaked, replace it, and find out what put it there", key_name(.kid.as_ref())
    )]
    Private {
        /// The member that gave it away.
        member: &'static str,
        /// The kid it stood beside, where there was a usable one.
        kid: Option<Kid>,
    },
    /// It is longer than [`MAX_DOCUMENT_BYTES`].
    #[error("it is longer than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
    /// More keys than relying parties read.
    #[error(
        "there are more than {MAX_KEYS_OF_A_KIND} RSA or {MAX_KEYS_OF_A_KIND} EC keys, which AWS \
         refuses; remove old keys from --service-account-key-file"
    )]
    TooMany,
}

impl Reject {
    /// A short label for metrics and scripts.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "empty",
            Self::Json(_) => "json",
            Self::KidConflict { .. } => "kid-conflict",
            Self::KidReused { .. } => "kid-reused",
            Self::NoIssuer => "no-issuer",
            Self::NotAKeySet => "not-a-key-set",
            Self::NotAnObject => "not-an-object",
            Self::Private { .. } => "private",
            Self::TooLarge => "too-large",
            Self::TooMany => "too-many",
        }
    }

    /// Whether it will not heal by itself: someone must look at the cluster's keys.
    pub fn needs_a_human(&self) -> bool {
        matches!(
            self,
            Self::KidConflict { .. }
                | Self::KidReused { .. }
                | Self::Private { .. }
                | Self::TooMany
        )
    }
}

fn listed(left_out: &[LeftOut]) -> String {
    left_out
        .iter()
        .take(LEFT_OUT_SHOWN)
        .map(|unfit| format!("; {unfit}"))
        .collect()
}

fn key_name(kid: Option<&Kid>) -> String {
    kid.map_or_else(
        || "a key without kid".to_owned(),
        |kid| format!("key \"{kid}\""),
    )
}

/// The longest document that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// What RFC 7518 sections 6.2.2, 6.3.2 and 6.4 and RFC 9964 call private, and `kty: oct`'s `k`.
const PRIVATE_MEMBERS: [&str; 9] = ["d", "dp", "dq", "k", "oth", "p", "priv", "q", "qi"];
/// AWS IAM reads 100 RSA and 100 EC keys of a set.
const MAX_KEYS_OF_A_KIND: usize = 100;
/// As many left-out keys as a message lists.
const LEFT_OUT_SHOWN: usize = 3;
