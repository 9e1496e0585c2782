//! Tables of cases for the reader, laws for the machine.

use std::sync::LazyLock;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderValue;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::plan::*;
use crate::{
    config::settings::Metadata,
    oidc::{Issuer, KeySet, Kid, Snapshot},
};

/// One JWK for each of the kids "a" to "d".
static JWKS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    ["a", "b", "c", "d"]
        .map(|kid| {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
            let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
            json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": kid, "x": x, "y": y})
        })
        .to_vec()
});

fn snapshot(keys: &[usize], complete: bool) -> Snapshot {
    let jwks: Vec<_> = keys.iter().map(|key| &JWKS[*key]).collect();
    let (keys, _) = KeySet::parse(json!({ "keys": jwks }).to_string().as_bytes()).unwrap();
    let issuer = Issuer::parse("https://oidc.example.com/prod").unwrap();
    Snapshot::render(&issuer, keys, &[], complete)
}

fn metadata(cache_control: &'static str) -> Metadata {
    Metadata {
        cache_control: HeaderValue::from_static(cache_control),
        jwks_content_type: HeaderValue::from_static("application/jwk-set+json"),
    }
}

/// What stands at a target after `snapshot` was published to it.
fn standing(snapshot: &Snapshot, metadata: Option<&Metadata>) -> Pair<Standing> {
    let mut snapshot = snapshot.clone();
    snapshot.complete = true;
    let mut changes = plan(nothing(), &snapshot, metadata).unwrap().into_iter();
    let mut next = || Standing::Present(changes.next().unwrap().wanted);
    Pair {
        jwks: next(),
        discovery: next(),
    }
}

fn nothing() -> Pair<Standing> {
    Pair {
        jwks: Standing::Missing,
        discovery: Standing::Missing,
    }
}

fn garbage() -> Standing {
    Standing::Present(Object {
        body: Bytes::from_static(b"<html>"),
        content_type: None,
        cache_control: None,
    })
}

fn shown(changes: Result<Vec<Change>, Refusal>) -> Vec<String> {
    changes.unwrap().iter().map(Change::to_string).collect()
}

#[test]
fn an_empty_target_gets_the_keys_and_then_the_discovery_document() {
    let snapshot = snapshot(&[0], true);
    let changes = plan(nothing(), &snapshot, Some(&metadata("no-cache")));
    let [jwks, discovery] = changes.as_deref().unwrap() else {
        panic!("{changes:?}")
    };
    assert_eq!(jwks.name, Name::Jwks);
    assert_eq!(jwks.wanted.body, snapshot.jwks.body);
    let content_type = jwks.wanted.content_type.as_deref();
    assert_eq!(content_type, Some("application/jwk-set+json"));
    assert_eq!(jwks.wanted.cache_control.as_deref(), Some("no-cache"));
    assert_eq!(discovery.name, Name::Discovery);
    assert_eq!(discovery.wanted.body, snapshot.discovery.body);
    let content_type = discovery.wanted.content_type.as_deref();
    assert_eq!(content_type, Some("application/json"));
}

#[test]
fn only_what_differs_is_written() {
    let new = snapshot(&[0, 1], true);
    let metadata = metadata("no-cache");
    let same = standing(&new, Some(&metadata));
    let old = standing(&snapshot(&[0], true), Some(&metadata));
    let with = |jwks: &Standing, discovery: &Standing| Pair {
        jwks: jwks.clone(),
        discovery: discovery.clone(),
    };
    let replace_jwks = "replace openid/v1/jwks";
    let cases = [
        (with(&same.jwks, &same.discovery), vec![]),
        (with(&old.jwks, &old.discovery), vec![replace_jwks]),
        (with(&garbage(), &same.discovery), vec![replace_jwks]),
        (
            with(&same.jwks, &Standing::Missing),
            vec!["create .well-known/openid-configuration"],
        ),
        (
            with(&Standing::Unreadable, &Standing::Unreadable),
            vec![
                "overwrite unread openid/v1/jwks",
                "overwrite unread .well-known/openid-configuration",
            ],
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(shown(plan(found, &new, Some(&metadata))), expected);
    }
}

#[test]
fn other_metadata_is_a_difference() {
    let snapshot = snapshot(&[0], true);
    let found = standing(&snapshot, Some(&metadata("no-cache")));
    let changes = plan(found, &snapshot, Some(&metadata("public, max-age=60")));
    assert_eq!(changes.unwrap().len(), 2);
}

#[test]
fn an_incomplete_snapshot_may_add_keys() {
    let found = standing(&snapshot(&[0], true), None);
    let changes = plan(found, &snapshot(&[1, 0], false), None);
    assert_eq!(shown(changes), ["replace openid/v1/jwks"]);
    assert_eq!(
        plan(nothing(), &snapshot(&[1], false), None).unwrap().len(),
        2
    );
}

#[test]
fn an_incomplete_snapshot_may_not_remove_keys() {
    let found = standing(&snapshot(&[0, 1, 2], true), None);
    let refusal = plan(found, &snapshot(&[1, 3], false), None).unwrap_err();
    let message = refusal.to_string();
    assert!(message.contains(r#"keys "a", "c""#), "{message}");
    assert!(message.contains("has not answered"), "{message}");
}

#[test]
fn an_incomplete_snapshot_may_not_overwrite_what_cannot_be_read() {
    let found = Pair {
        jwks: Standing::Unreadable,
        discovery: Standing::Missing,
    };
    let refusal = plan(found, &snapshot(&[0], false), None).unwrap_err();
    assert_eq!(refusal, Refusal::Unread);
}

#[test]
fn what_is_no_key_set_is_replaced_even_by_an_incomplete_snapshot() {
    let found = Pair {
        jwks: garbage(),
        discovery: garbage(),
    };
    let changes = plan(found, &snapshot(&[0], false), None);
    assert_eq!(changes.unwrap().len(), 2);
}

fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let keys = prop::sample::subsequence(vec![0_usize, 1, 2, 3], 1..=4).prop_shuffle();
    (keys, any::<bool>()).prop_map(|(keys, complete)| snapshot(&keys, complete))
}

fn any_metadata() -> impl Strategy<Value = Option<Metadata>> {
    prop::option::of(prop::sample::select(vec!["no-cache", "max-age=60"]).prop_map(metadata))
}

fn any_standing() -> impl Strategy<Value = Pair<Standing>> {
    let other = prop::option::of(prop::sample::select(vec![
        Standing::Missing,
        Standing::Unreadable,
        garbage(),
    ]));
    (any_snapshot(), any_metadata(), other.clone(), other).prop_map(
        |(snapshot, metadata, jwks, discovery)| {
            let published = standing(&snapshot, metadata.as_ref());
            Pair {
                jwks: jwks.unwrap_or(published.jwks),
                discovery: discovery.unwrap_or(published.discovery),
            }
        },
    )
}

fn kids(standing: &Standing) -> Vec<Kid> {
    let Standing::Present(object) = standing else {
        return vec![];
    };
    KeySet::parse(&object.body).map_or_else(
        |_| vec![],
        |(keys, _)| keys.keys().iter().map(|key| key.kid().clone()).collect(),
    )
}

proptest! {
    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(
        found in any_standing(), snapshot in any_snapshot(), metadata in any_metadata(),
    ) {
        let Ok(changes) = plan(found.clone(), &snapshot, metadata.as_ref()) else {
            return Ok(());
        };
        let mut after = found;
        for change in changes {
            let written = Standing::Present(change.wanted);
            match change.name {
                Name::Discovery => after.discovery = written,
                Name::Jwks => after.jwks = written,
            }
        }
        prop_assert_eq!(plan(after, &snapshot, metadata.as_ref()), Ok(vec![]));
    }

    #[test]
    fn keys_always_come_before_the_discovery_document(
        found in any_standing(), snapshot in any_snapshot(), metadata in any_metadata(),
    ) {
        if let Ok([first, second]) = plan(found, &snapshot, metadata.as_ref()).as_deref() {
            prop_assert_eq!((first.name, second.name), (Name::Jwks, Name::Discovery));
        }
    }

    #[test]
    fn an_incomplete_snapshot_never_removes_a_key(
        found in any_standing(), mut snapshot in any_snapshot(), metadata in any_metadata(),
    ) {
        snapshot.complete = false;
        let published = kids(&found.jwks);
        let unreadable = found.jwks == Standing::Unreadable;
        match plan(found, &snapshot, metadata.as_ref()) {
            Ok(_) => {
                prop_assert!(!unreadable);
                prop_assert!(published.iter().all(|kid| snapshot.keys.find(kid).is_some()));
            }
            Err(Refusal::Removes { kids }) => {
                prop_assert!(!kids.is_empty());
                prop_assert!(kids.iter().all(|kid| published.contains(kid)));
            }
            Err(Refusal::Unread) => prop_assert!(unreadable),
        }
    }

    #[test]
    fn a_complete_snapshot_is_never_refused(
        found in any_standing(), mut snapshot in any_snapshot(),
    ) {
        snapshot.complete = true;
        prop_assert!(plan(found, &snapshot, None).is_ok());
    }
}
