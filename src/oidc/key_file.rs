//! Files of public keys about to be used: PEM as kube-apiserver reads it, or a JWKS.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef, der::Decode as _};
use thiserror::Error;

use super::{
    Key, KeySet, LeftOut, Reject,
    identity::{EC_PUBLIC_KEY, RSA_ENCRYPTION, kubernetes_kid},
    key::{Curve, UNCOMPRESSED_POINT},
};

impl KeySet {
    /// Reads a file of public keys: PEM, each key with the kid that Kubernetes gives it, or a JWKS.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] when nothing of the file may be used. A key that must not be published
    /// makes the whole file unusable, since the operator wants each of them published.
    pub fn parse_file(text: &[u8]) -> Result<Self, KeyFileError> {
        if text.trim_ascii_start().starts_with(b"{") {
            let (keys, left_out) = Self::parse(text)?;
            return match left_out.into_iter().next() {
                None => Ok(keys),
                Some(left_out) => Err(KeyFileError::Unfit(left_out)),
            };
        }
        let blocks = pem::parse_many(text).map_err(|_| KeyFileError::NotPem)?;
        // Whatever else stands beside it, this is what the operator must know.
        if blocks.iter().any(|it| it.tag().ends_with("PRIVATE KEY")) {
            return Err(KeyFileError::Private);
        }
        let keys = blocks.iter().map(parse_block);
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeyFileError::NotPem);
        }
        Ok(Self::of(keys)?)
    }
}

fn parse_block(block: &pem::Pem) -> Result<Key, KeyFileError> {
    let unfit = |reason| KeyFileError::Unfit(LeftOut { kid: None, reason });
    let jwk = match block.tag() {
        "PUBLIC KEY" => jwk_of_spki(block.contents()),
        "RSA PUBLIC KEY" => jwk_of_rsa(block.contents()),
        tag => {
            return Err(KeyFileError::Tag(
                tag.chars().take(TAG_SHOWN_CHARS).collect(),
            ));
        }
    };
    let jwk = jwk.ok_or(KeyFileError::NotAKey)?;
    Key::named(&jwk, kubernetes_kid).map_err(unfit)
}

fn jwk_of_spki(der: &[u8]) -> Option<Map<String, Value>> {
    let info = SubjectPublicKeyInfoRef::from_der(der).ok()?;
    let bits = info.subject_public_key.as_bytes()?;
    match info.algorithm.oid {
        RSA_ENCRYPTION => jwk_of_rsa(bits),
        EC_PUBLIC_KEY => {
            let oid = info
                .algorithm
                .parameters?
                .decode_as::<ObjectIdentifier>()
                .ok()?;
            let curve = Curve::ALL.into_iter().find(|curve| curve.oid() == oid)?;
            let (x, y) = bits
                .strip_prefix(&[UNCOMPRESSED_POINT])?
                .split_at_checked(curve.coordinate_bytes())?;
            members(json!({"kty": "EC", "crv": curve.name(), "x": encode(x), "y": encode(y)}))
        }
        _ => None,
    }
}

/// PKCS #1 (RFC 8017 appendix A.1.1).
fn jwk_of_rsa(der: &[u8]) -> Option<Map<String, Value>> {
    let key = pkcs1::RsaPublicKeyRef::<'_>::from_der(der).ok()?;
    let (n, e) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
    members(json!({"kty": "RSA", "n": encode(n), "e": encode(e)}))
}

fn members(jwk: Value) -> Option<Map<String, Value>> {
    match jwk {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Why a file of public keys cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// A JWKS that is refused.
    #[error(transparent)]
    Jwks(#[from] Reject),
    /// A PEM block that is no RSA or EC key.
    #[error("a PEM block is not an RSA key or an EC key on P-256, P-384 or P-521")]
    NotAKey,
    /// Neither of both formats.
    #[error("it is neither a JWKS nor PEM with a public key")]
    NotPem,
    /// A private key stands where a public one should.
    #[error(
        "it holds a private key, which no mirror may see: put the public key there instead \
         (openssl pkey -in KEY -pubout), and keep the private one on the API servers"
    )]
    Private,
    /// A PEM block of something else.
    #[error("it holds \"{0}\" where a \"PUBLIC KEY\" should be (openssl pkey -in KEY -pubout)")]
    Tag(String),
    /// A key that must not be published.
    #[error("{0}")]
    Unfit(LeftOut),
}

/// As much of a PEM tag as a message repeats.
const TAG_SHOWN_CHARS: usize = 32;
