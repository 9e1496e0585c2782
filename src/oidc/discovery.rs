//! The discovery document for the public issuer (OpenID Connect Discovery 1.0 section 3).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{Algorithm, Issuer, Key, KeySet};

/// Renders the discovery document: equal arguments give equal bytes.
///
/// The members kube-apiserver writes (`pkg/serviceaccount/openidmetadata.go`) come first, in its
/// order, then those that strict parsers demand and the operator's own `members`, by name.
pub(super) fn render(issuer: &Issuer, keys: &KeySet, members: &[(String, Value)]) -> Vec<u8> {
    let mut algorithms: BTreeSet<_> = keys
        .keys()
        .iter()
        .map(Key::algorithm)
        .map(Algorithm::as_str)
        .collect();
    if algorithms.is_empty() {
        // Every key is revoked. The member is required, and section 3 wants this value in it.
        algorithms.insert(Algorithm::Rs256.as_str());
    }
    let own = [
        (RESERVED[0], json!(issuer.as_str())),
        (RESERVED[1], json!(issuer.jwks_url())),
        (RESERVED[2], json!(["id_token"])),
        (RESERVED[3], json!(["public"])),
        (RESERVED[4], json!(algorithms)),
    ];
    // What strict parsers demand although no login happens: the values of AWS's self-hosting guide
    // (amazon-eks-pod-identity-webhook, `SELF_HOSTED_SETUP.md`).
    let mut others = BTreeMap::from([
        (
            "authorization_endpoint",
            json!("urn:kubernetes:programmatic_authorization"),
        ),
        ("claims_supported", json!(["sub", "iss"])),
    ]);
    others.extend(
        members
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
    serde_json::to_vec(&Ordered(own.into_iter().chain(others).collect()))
        .expect("the document holds only strings and JSON values")
}

/// Whether a member is the mirror's own to write.
pub fn is_reserved(member: &str) -> bool {
    RESERVED.contains(&member)
}

/// A JSON object whose members keep their order.
struct Ordered<'a>(Vec<(&'a str, Value)>);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The members kube-apiserver writes, in its order.
const RESERVED: [&str; 5] = [
    "issuer",
    "jwks_uri",
    "response_types_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
];
