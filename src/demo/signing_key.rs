//! A key that signs service-account tokens, and how kube-apiserver shows its public half.
//!
//! Formats: `pkg/serviceaccount/jwt.go` (kid, algorithms) and `openidmetadata.go` (JWK) of
//! Kubernetes, compact serialisation of RFC 7515 section 7.1.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::{AsDer as _, PublicKeyX509Der},
    error::Unspecified,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize, PublicKeyComponents},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
        RSA_PKCS1_SHA256,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A key pair that signs service-account tokens; clones share it.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Pair>,
    jwk: Jwk,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    /// Generates a key pair.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the cryptographic library fails.
    pub fn generate(kind: KeyKind) -> Result<Self, KeyError> {
        let (pair, jwk) = match kind {
            KeyKind::P256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "ES256")?,
            KeyKind::P384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", "ES384")?,
            KeyKind::P521 => ec(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521", "ES512")?,
            KeyKind::Rsa2048 => rsa()?,
        };
        Ok(Self {
            pair: Arc::new(pair),
            jwk,
        })
    }

    /// The key id, as kube-apiserver derives it.
    pub fn kid(&self) -> &str {
        &self.jwk.kid
    }

    /// The public half.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// Signs `claims`: a compact JWS, such as a service-account token.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the claims are no JSON or the cryptographic library fails.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, KeyError> {
        let header = Header {
            alg: &self.jwk.alg,
            kid: &self.jwk.kid,
        };
        let header = serde_json::to_vec(&header).map_err(KeyError::Claims)?;
        let claims = serde_json::to_vec(claims).map_err(KeyError::Claims)?;
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.pair.sign(message.as_bytes())?;
        Ok(format!("{message}.{}", encode(&signature)))
    }
}

/// Shows the key id only.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.jwk.kid)
            .finish_non_exhaustive()
    }
}

impl Pair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

/// The kinds of key that service-account tokens are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA with P-256: ES256.
    P256,
    /// ECDSA with P-384: ES384.
    P384,
    /// ECDSA with P-521: ES512.
    P521,
    /// RSA with 2048 bits: RS256.
    Rsa2048,
}

/// A public key as kube-apiserver writes it: the order of the fields is the order in the document.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Jwk {
    /// What the key is for: `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// The key type, `EC` or `RSA`.
    pub kty: String,
    /// The key id: unpadded base64url of SHA-256 over the DER `SubjectPublicKeyInfo`.
    pub kid: String,
    /// The curve of an EC key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// The signature algorithm.
    pub alg: String,
    /// The modulus of an RSA key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// The exponent of an RSA key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// The first coordinate of an EC key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The second coordinate of an EC key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
}

impl Jwk {
    fn new(kty: &str, alg: &str, spki: &PublicKeyX509Der<'_>) -> Self {
        Self {
            usage: "sig".to_owned(),
            kty: kty.to_owned(),
            kid: encode(digest(&SHA256, spki.as_ref()).as_ref()),
            crv: None,
            alg: alg.to_owned(),
            n: None,
            e: None,
            x: None,
            y: None,
        }
    }
}

/// The protected header of a service-account token.
#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
}

fn ec(
    algorithm: &'static EcdsaSigningAlgorithm,
    crv: &str,
    alg: &str,
) -> Result<(Pair, Jwk), KeyError> {
    let pair = EcdsaKeyPair::generate(algorithm)?;
    let public = pair.public_key();
    // SEC 1 section 2.3.3: one byte that says "uncompressed", then both coordinates.
    let point = public.as_ref();
    let (x, y) = point
        .split_first()
        .map(|(_, coordinates)| coordinates.split_at(coordinates.len() / 2))
        .ok_or(KeyError::Crypto)?;
    let jwk = Jwk {
        crv: Some(crv.to_owned()),
        x: Some(encode(x)),
        y: Some(encode(y)),
        ..Jwk::new("EC", alg, &public.as_der()?)
    };
    Ok((Pair::Ec(pair), jwk))
}

fn rsa() -> Result<(Pair, Jwk), KeyError> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let public = pair.public_key();
    let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(public);
    let jwk = Jwk {
        n: Some(encode(&n)),
        e: Some(encode(&e)),
        ..Jwk::new("RSA", "RS256", &public.as_der()?)
    };
    Ok((Pair::Rsa(pair), jwk))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Why a key could not be generated or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The claims cannot be written as JSON.
    #[error("the claims are not JSON")]
    Claims(#[source] serde_json::Error),
    /// The cryptographic library failed; it does not say why.
    #[error("the cryptographic library failed")]
    Crypto,
}

impl From<Unspecified> for KeyError {
    fn from(_: Unspecified) -> Self {
        Self::Crypto
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::KeySet;

    const ALL: [(KeyKind, &str); 4] = [
        (KeyKind::P256, "ES256"),
        (KeyKind::P384, "ES384"),
        (KeyKind::P521, "ES512"),
        (KeyKind::Rsa2048, "RS256"),
    ];

    #[test]
    fn every_kind_of_key_is_one_the_mirror_publishes_unchanged() {
        for (kind, algorithm) in ALL {
            let key = SigningKey::generate(kind).unwrap();
            let document = format!(
                r#"{{"keys":[{}]}}"#,
                serde_json::to_string(key.jwk()).unwrap()
            );
            let (set, left_out) = KeySet::parse(document.as_bytes()).unwrap();
            assert_eq!(left_out, []);
            assert_eq!(set.keys()[0].algorithm().as_str(), algorithm);
            assert_eq!(set.render(), document.as_bytes());
        }
    }

    #[test]
    fn a_token_names_algorithm_and_key_in_this_order() {
        for (kind, algorithm) in ALL {
            let key = SigningKey::generate(kind).unwrap();
            let token = key.sign(&serde_json::json!({"sub": "x"})).unwrap();
            let parts: Vec<_> = token
                .split('.')
                .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap())
                .collect();
            let header = format!(r#"{{"alg":"{algorithm}","kid":"{}"}}"#, key.kid());
            assert_eq!(parts[0], header.as_bytes());
            assert_eq!(parts[1], br#"{"sub":"x"}"#);
        }
    }

    #[test]
    fn debug_output_has_no_key_material() {
        let key = SigningKey::generate(KeyKind::P256).unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey {{ kid: \"{}\", .. }}", key.kid())
        );
    }
}
