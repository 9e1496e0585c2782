//! Tables of cases for the reader, laws for the machine.

mod key_files;

use aws_lc_rs::{
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// Keys of every accepted kind, made once: RSA-2048, P-256, P-384, P-521, P-256.
static MATERIAL: std::sync::LazyLock<Vec<Value>> = std::sync::LazyLock::new(|| {
    let ec = |algorithm, curve: &str, alg: &str| {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
        json!({"kty": "EC", "crv": curve, "alg": alg, "x": encode(x), "y": encode(y)})
    };
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let modulus = rsa
        .public_key()
        .modulus()
        .big_endian_without_leading_zero()
        .to_vec();
    vec![
        json!({"kty": "RSA", "alg": "RS256", "n": encode(&modulus), "e": "AQAB"}),
        ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "ES256"),
        ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", "ES384"),
        ec(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521", "ES512"),
        ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "ES256"),
    ]
});

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A sound JWK named `kid`, with the members of `overrides` set, or removed where null.
pub(super) fn jwk(material: usize, kid: &str, overrides: &Value) -> Value {
    let mut jwk = MATERIAL[material].clone();
    jwk["kid"] = json!(kid);
    for (name, value) in overrides.as_object().into_iter().flatten() {
        match value {
            Value::Null => _ = jwk.as_object_mut().unwrap().remove(name),
            _ => jwk[name] = value.clone(),
        }
    }
    jwk
}

fn jwks(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

fn parse(keys: &[Value]) -> Result<(KeySet, Vec<LeftOut>), Reject> {
    KeySet::parse(&jwks(keys))
}

pub(super) fn set(kids: &[(usize, &str)]) -> KeySet {
    let keys: Vec<_> = kids
        .iter()
        .map(|(at, kid)| jwk(*at, kid, &json!({})))
        .collect();
    parse(&keys).unwrap().0
}

fn reasons(left_out: &[LeftOut]) -> Vec<Unfit> {
    left_out.iter().map(|unfit| unfit.reason).collect()
}

pub(super) fn kids(set: &KeySet) -> Vec<&str> {
    set.keys().iter().map(|key| key.kid().as_str()).collect()
}

pub(super) fn issuer() -> Issuer {
    Issuer::parse("https://oidc.example.com/prod").unwrap()
}

#[test]
fn a_key_that_cannot_be_published_is_left_out() {
    let cases = [
        (json!({"kty": "AKP", "alg": "ML-DSA-65"}), Unfit::KeyType),
        (json!({"kty": "OKP", "crv": "Ed25519"}), Unfit::KeyType),
        (json!({"kty": null}), Unfit::Member("kty")),
        (json!({"kid": ""}), Unfit::Kid),
        (json!({"kid": "x".repeat(1025)}), Unfit::Kid),
        (json!({"kid": 7}), Unfit::Member("kid")),
        (json!({"kid": null}), Unfit::Member("kid")),
        (json!({"crv": "secp256k1"}), Unfit::Curve),
        (json!({"crv": "P-384"}), Unfit::CoordinateLength),
        (json!({"alg": "ES256K"}), Unfit::Algorithm),
        (json!({"alg": "none"}), Unfit::Algorithm),
        (json!({"alg": "HS256"}), Unfit::Algorithm),
        (json!({"alg": "ES384"}), Unfit::AlgorithmMismatch),
        (json!({"alg": "RS256"}), Unfit::AlgorithmMismatch),
        (json!({"use": "enc"}), Unfit::Use),
        (json!({"key_ops": ["encrypt"]}), Unfit::Use),
        (json!({"x": encode(&[1; 31])}), Unfit::CoordinateLength),
        (
            json!({"x": encode(&[0; 32]), "y": encode(&[0; 32])}),
            Unfit::NotOnCurve,
        ),
        (json!({"x": encode(&[7; 32])}), Unfit::NotOnCurve),
        (
            json!({"x": format!("{}=", encode(&[1; 32]))}),
            Unfit::Base64,
        ),
        (json!({"x": "+/8"}), Unfit::Base64),
        (json!({"y": null}), Unfit::Member("y")),
    ];
    let good = jwk(0, "good", &json!({}));
    for (overrides, reason) in cases {
        let (set, left_out) = parse(&[jwk(1, "bad", &overrides), good.clone()]).unwrap();
        assert_eq!(kids(&set), ["good"], "{overrides}");
        assert_eq!(reasons(&left_out), [reason], "{overrides}");
    }
}

#[test]
fn weak_or_odd_rsa_keys_are_left_out() {
    let number = |bits: usize, last: u8| {
        let mut bytes = vec![0_u8; bits.div_ceil(8)];
        bytes[0] = if bits.is_multiple_of(8) {
            0x80
        } else {
            1 << (bits % 8 - 1)
        };
        *bytes.last_mut().unwrap() |= last;
        encode(&bytes)
    };
    let good = jwk(1, "good", &json!({}));
    for (overrides, reason) in [
        (json!({"n": number(1024, 1)}), Unfit::Modulus),
        (json!({"n": number(2047, 1)}), Unfit::Modulus),
        (json!({"n": number(8193, 1)}), Unfit::Modulus),
        (json!({"n": number(2048, 0)}), Unfit::Modulus),
        (
            json!({"n": encode(&[&[0], &[0xFF; 256][..]].concat())}),
            Unfit::Modulus,
        ),
        (json!({"n": ""}), Unfit::Modulus),
        (json!({"e": "AQ"}), Unfit::Exponent),
        (json!({"e": "Ag"}), Unfit::Exponent),
        (json!({"e": "AAEAAQ"}), Unfit::Exponent),
        (json!({"e": encode(&[0xFF; 4])}), Unfit::Exponent),
        (json!({"e": encode(&[0xFF; 9])}), Unfit::Exponent),
        (json!({"e": ""}), Unfit::Exponent),
    ] {
        let (_, left_out) = parse(&[jwk(0, "bad", &overrides), good.clone()]).unwrap();
        assert_eq!(reasons(&left_out), [reason], "{overrides}");
    }
    for n in [number(2048, 1), number(8192, 1)] {
        assert!(parse(&[jwk(0, "good", &json!({"n": n}))]).is_ok());
    }
}

#[test]
fn a_private_member_anywhere_refuses_the_document() {
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
        let beside = jwk(1, "leaked", &json!({ member: "c2VjcmV0" }));
        let nested = jwk(1, "leaked", &json!({ "other": [{ member: "c2VjcmV0" }] }));
        for keys in [vec![beside, jwk(0, "good", &json!({}))], vec![nested]] {
            let error = parse(&keys).unwrap_err();
            assert_eq!(error.reason(), "private");
            let message = error.to_string();
            assert!(
                message.contains("leaked") && message.contains(member),
                "{message}"
            );
            assert!(!format!("{error:?} {message}").contains("c2VjcmV0"));
        }
    }
    let symmetric = json!({"kty": "oct", "kid": "shared"});
    assert_eq!(parse(&[symmetric]).unwrap_err().reason(), "private");
    let beside_keys = json!({"keys": [jwk(0, "good", &json!({}))], "d": "x"}).to_string();
    assert_eq!(
        KeySet::parse(beside_keys.as_bytes()).unwrap_err().reason(),
        "private"
    );
}

#[test]
fn one_kid_twice() {
    let (set, _) = parse(&[
        jwk(1, "a", &json!({})),
        jwk(1, "a", &json!({"x5t": "ignored"})),
    ])
    .unwrap();
    assert_eq!(set.len(), 1);
    let error = parse(&[jwk(1, "a", &json!({})), jwk(4, "a", &json!({}))]).unwrap_err();
    assert_eq!(error.reason(), "kid-conflict");
    assert!(error.needs_a_human());
}

#[test]
fn a_document_that_is_not_a_key_set_is_refused() {
    let twice = r#"{"keys": [{"kid": "a", "kid": "b"}]}"#;
    let deep = "[".repeat(100_000);
    for (document, reason) in [
        ("", "json"),
        ("null", "not-an-object"),
        ("[]", "not-an-object"),
        ("{}", "not-a-key-set"),
        (r#"{"keys": {}}"#, "not-a-key-set"),
        (r#"{"keys": ["x"]}"#, "not-a-key-set"),
        (r#"{"keys": []}"#, "empty"),
        (r#"{"keys": []} x"#, "json"),
        (twice, "json"),
        (&deep, "json"),
        ("<html>", "json"),
    ] {
        assert_eq!(
            KeySet::parse(document.as_bytes()).unwrap_err().reason(),
            reason,
            "{document:.40}"
        );
    }
    let too_large = vec![b' '; MAX_DOCUMENT_BYTES + 1];
    assert_eq!(KeySet::parse(&too_large).unwrap_err().reason(), "too-large");
    let unfit = parse(&[jwk(1, "odd", &json!({"kty": "AKP"}))]).unwrap_err();
    assert!(unfit.to_string().contains("odd"), "{unfit}");
}

#[test]
fn more_keys_than_relying_parties_read_are_refused() {
    let keys = |count: usize| -> Vec<_> {
        (0..count)
            .map(|at| jwk(1, &at.to_string(), &json!({})))
            .collect()
    };
    assert_eq!(parse(&keys(100)).unwrap().0.len(), 100);
    assert_eq!(parse(&keys(101)).unwrap_err().reason(), "too-many");
}

#[test]
fn a_kid_is_shown_escaped_and_cut() {
    let kid = Kid::parse("a\n\u{1b}[31m").unwrap();
    assert_eq!(kid.to_string(), "a\\n\\u{1b}[31m");
    assert_eq!(
        Kid::parse(&"é".repeat(100)).unwrap().to_string(),
        "é".repeat(64) + "…"
    );
}

#[test]
fn the_upstream_issuer_is_read() {
    assert_eq!(
        upstream_issuer(br#"{"issuer":"https://x","y":1}"#).unwrap(),
        "https://x"
    );
    for (document, reason) in [
        ("{}", "no-issuer"),
        (r#"{"issuer":1}"#, "no-issuer"),
        (r#"{"issuer":"a","issuer":"b"}"#, "json"),
    ] {
        assert_eq!(
            upstream_issuer(document.as_bytes()).unwrap_err().reason(),
            reason
        );
    }
}

#[test]
fn the_discovery_document_is_rewritten() {
    let keys = set(&[(1, "a"), (0, "b")]);
    let members = [
        ("claims_supported".to_owned(), json!(["sub"])),
        ("a".to_owned(), json!(1)),
    ];
    let snapshot = Snapshot::render(&issuer(), keys, &members, Ledger::default());
    assert_eq!(
        std::str::from_utf8(&snapshot.discovery.body).unwrap(),
        concat!(
            r#"{"issuer":"https://oidc.example.com/prod","#,
            r#""jwks_uri":"https://oidc.example.com/prod/openid/v1/jwks","#,
            r#""response_types_supported":["id_token"],"subject_types_supported":["public"],"#,
            r#""id_token_signing_alg_values_supported":["ES256","RS256"],"a":1,"#,
            r#""authorization_endpoint":"urn:kubernetes:programmatic_authorization","#,
            r#""claims_supported":["sub"]}"#,
        )
    );
}

/// Key sets of a few kids over a few keys: small, so that sets overlap and contradict.
fn any_set() -> impl Strategy<Value = KeySet> {
    prop::collection::vec(
        (0..5_usize, prop::sample::select(vec!["a", "b", "c", "d"])),
        1..4,
    )
    .prop_filter_map("one kid, two keys", |keys| {
        let keys: Vec<_> = keys
            .iter()
            .map(|(at, kid)| jwk(*at, kid, &json!({})))
            .collect();
        parse(&keys).ok().map(|(set, _)| set)
    })
}

/// JWKs with arbitrary members, private ones among them.
fn any_jwk() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "kty", "use", "alg", "kid", "n", "e", "crv", "x", "y", "d", "p", "k", "priv", "x5c",
        "key_ops",
    ]);
    let value = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        "[A-Za-z0-9_=-]{0,50}".prop_map(Value::from),
        prop::sample::select(vec!["RSA", "EC", "oct", "P-256", "RS256", "sig", "AQAB"])
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!([{"d": "x"}])),
    ];
    let members = prop::collection::vec((name, value), 0..4);
    (0..5_usize, any::<String>(), members).prop_map(|(at, kid, members)| {
        let members: Map<_, _> = members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        jwk(at, &kid, &members.into())
    })
}

proptest! {
    #[test]
    fn what_is_rendered_parses_back_to_the_same(set in any_set()) {
        let (parsed, left_out) = KeySet::parse(&set.render()).unwrap();
        prop_assert_eq!(parsed.render(), set.render());
        prop_assert_eq!(parsed, set);
        prop_assert_eq!(left_out, vec![]);
    }

    #[test]
    fn whatever_is_accepted_is_public_and_unique(keys in prop::collection::vec(any_jwk(), 0..6)) {
        let Ok((set, _)) = parse(&keys) else { return Ok(()) };
        let rendered: Value = serde_json::from_slice(&set.render()).unwrap();
        let rendered = rendered["keys"].as_array().unwrap();
        for jwk in rendered {
            let allowed = ["kty", "use", "alg", "kid", "n", "e", "crv", "x", "y"];
            prop_assert!(jwk.as_object().unwrap().keys().all(|name| allowed.contains(&name.as_str())));
        }
        let mut unique: Vec<_> = rendered.iter().map(|jwk| jwk["kid"].to_string()).collect();
        unique.sort_unstable();
        unique.dedup();
        prop_assert_eq!(unique.len(), rendered.len());
        prop_assert_eq!(KeySet::parse(&set.render()).unwrap().0, set);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        _ = KeySet::parse(&bytes);
        _ = upstream_issuer(&bytes);
    }
}

#[test]
fn the_thumbprint_is_that_of_the_standard() {
    // RFC 7638 section 3.1.
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let (keys, _) =
        parse(&[json!({"kty": "RSA", "kid": "2011-04-29", "n": n, "e": "AQAB"})]).unwrap();
    let key = &keys.keys()[0];
    assert_eq!(
        key.thumbprint(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
    assert_eq!(key.kind(), "RSA-2048");
    for name in ["2011-04-29", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"] {
        assert!(KeyName::parse(name).unwrap().names(key));
    }
    assert!(!KeyName::parse("2011-04-2").unwrap().names(key));
}

#[test]
fn a_time_is_stored_as_people_write_it() {
    for (millis, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_478_400_123, "2026-11-24T00:00:00.123Z"),
        (u64::MAX, "9999-12-31T23:59:59.999Z"),
    ] {
        let time = Time::after_epoch(std::time::Duration::from_millis(millis));
        assert_eq!(time.to_string(), text);
        assert_eq!(Time::try_from(text.to_owned()).unwrap(), time);
    }
    for text in ["", "yesterday", "2026-13-01T00:00:00Z"] {
        assert!(Time::try_from(text.to_owned()).is_err());
    }
}
