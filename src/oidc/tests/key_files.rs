//! Files of public keys, and the kid that Kubernetes gives such a key.

use std::fs;

use super::*;

fn parse_file(text: &str) -> Result<KeySet, String> {
    KeySet::parse_file(text.as_bytes()).map_err(|error| crate::Report(&error).to_string())
}

/// The keys that real API servers listed, and their PEM files.
fn recorded() -> Vec<(Value, String)> {
    let root = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/kubernetes-1.20.2"
    );
    let mut recorded = Vec::new();
    for cluster in ["a-rsa", "b-multi"] {
        let document = fs::read(format!("{root}/{cluster}/jwks-admin-http1.1.body")).unwrap();
        let document: Value = serde_json::from_slice(&document).unwrap();
        for jwk in document["keys"].as_array().unwrap() {
            let kid = jwk["kid"].as_str().unwrap();
            let pem = fs::read_to_string(format!("{root}/keys/{kid}.pem")).unwrap();
            recorded.push((jwk.clone(), pem));
        }
    }
    recorded
}

#[test]
fn the_kid_of_a_pem_file_is_the_one_that_kubernetes_wrote() {
    let recorded = recorded();
    for (jwk, pem) in &recorded {
        let keys = parse_file(pem).unwrap();
        assert_eq!(serde_json::to_value(&keys.keys()[0]).unwrap(), *jwk);
    }
    let kinds: std::collections::BTreeSet<_> = recorded
        .iter()
        .map(|(_, pem)| parse_file(pem).unwrap().keys()[0].kind())
        .collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["P-256", "P-384", "P-521", "RSA-2048", "RSA-4096"]
    );
}

#[test]
fn a_file_may_hold_several_keys_or_a_key_set() {
    let recorded = recorded();
    let all: String = recorded.iter().map(|(_, pem)| pem.as_str()).collect();
    // One of them is there twice: a real API server listed it so.
    assert_eq!(parse_file(&format!("# next\n{all}")).unwrap().len(), 5);
    let jwks: Vec<_> = recorded.iter().map(|(jwk, _)| jwk.clone()).collect();
    let jwks = json!({ "keys": jwks }).to_string();
    assert_eq!(
        parse_file(&format!("\n {jwks}")).unwrap(),
        parse_file(&all).unwrap()
    );
}

#[test]
fn the_form_of_openssl_rsa_is_read_too() {
    let (jwk, spki) = recorded()
        .into_iter()
        .find(|(jwk, _)| jwk["kty"] == "RSA")
        .unwrap();
    let spki = pem::parse(spki).unwrap();
    // What stands in the bit string behind the 24 bytes that say "RSA".
    let pkcs1 = pem::encode(&pem::Pem::new("RSA PUBLIC KEY", &spki.contents()[24..]));
    let keys = parse_file(&pkcs1).unwrap();
    assert_eq!(keys.keys()[0].kid().as_str(), jwk["kid"]);
}

#[test]
fn what_is_no_public_key_is_refused_with_what_to_do() {
    let block = |tag: &str, content: &[u8]| pem::encode(&pem::Pem::new(tag, content));
    // RFC 8410 section 10.1.
    let ed25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let mut private = jwk(1, "a", &json!({}));
    private["d"] = json!("SECRET");
    for (text, expected) in [
        (String::new(), "neither a JWKS nor PEM"),
        ("ssh-ed25519 AAAA".to_owned(), "neither a JWKS nor PEM"),
        (
            block("PRIVATE KEY", b"SECRET"),
            "private key, which no mirror may see",
        ),
        (
            block("EC PRIVATE KEY", b"SECRET"),
            "openssl pkey -in KEY -pubout",
        ),
        (block("RSA PRIVATE KEY", b"SECRET"), "private key"),
        (
            block("CERTIFICATE", b"x"),
            "\"CERTIFICATE\" where a \"PUBLIC KEY\" should be",
        ),
        (
            block("PUBLIC KEY", b"SECRET"),
            "not an RSA key or an EC key",
        ),
        (
            block("RSA PUBLIC KEY", b"\x30\x03\x02\x01\x00"),
            "not an RSA key or an EC key",
        ),
        (ed25519.to_owned(), "not an RSA key or an EC key"),
        (
            json!({"keys": [private]}).to_string(),
            "private key material",
        ),
        (
            json!({"keys": [jwk(1, "a", &json!({})), jwk(1, "b", &json!({"kty": "AKP"}))]})
                .to_string(),
            "neither RSA nor EC",
        ),
    ] {
        let message = parse_file(&text).unwrap_err();
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("SECRET"));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        _ = KeySet::parse_file(&bytes);
        for tag in ["PUBLIC KEY", "RSA PUBLIC KEY"] {
            _ = KeySet::parse_file(pem::encode(&pem::Pem::new(tag, bytes.clone())).as_bytes());
        }
    }
}
