//! Keys and tokens for tests.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use oidc_mirror::demo::{Claims, KeyKind, ServiceAccount, SigningKey};

/// A new P-256 key, the cheapest kind to make.
pub(crate) fn p256() -> SigningKey {
    SigningKey::generate(KeyKind::P256).unwrap()
}

/// An RSA key, the same one in every test.
pub(crate) fn rsa() -> SigningKey {
    static KEY: LazyLock<SigningKey> =
        LazyLock::new(|| SigningKey::generate(KeyKind::Rsa2048).unwrap());
    KEY.clone()
}

/// The JWKS of these keys as kube-apiserver writes it.
pub(crate) fn jwks(keys: &[SigningKey]) -> String {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| serde_json::to_string(key.jwk()).unwrap())
        .collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

/// The claims of a token that is valid for an hour from `now` on.
pub(crate) fn claims(issuer: &str, audience: &str, now: SystemTime) -> Claims {
    let account = ServiceAccount {
        namespace: "default".to_owned(),
        name: "workload".to_owned(),
        uid: "7f0e5a0c-3c1d-4f5e-8f1b-2b9a4a1f0c63".to_owned(),
    };
    Claims::new(issuer, &account, audience, Duration::from_hours(1), now)
}
