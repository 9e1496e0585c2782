//! What a key is called when its kid is not enough.
//!
//! A kid is what the cluster says; the RFC 7638 thumbprint follows from the key itself; and the kid
//! that Kubernetes computes follows from its DER encoding.

use std::{borrow::Borrow, collections::BTreeSet, fmt};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pkcs1::UintRef;
use serde::{Deserialize, Serialize};
use spki::{
    AlgorithmIdentifierOwned, ObjectIdentifier, SubjectPublicKeyInfoOwned,
    der::{
        Encode as _,
        asn1::{Any, BitString, Null},
    },
};

use super::{
    Key, Kid,
    key::{Curve, Material, UNCOMPRESSED_POINT},
};

impl Key {
    /// The JWK thumbprint with SHA-256 (RFC 7638), in unpadded base64url.
    pub fn thumbprint(&self) -> String {
        // The required members in lexicographic order; their values need no escapes.
        let members = match self.material() {
            Material::Ec { curve, x, y } => {
                let crv = curve.name();
                format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Material::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
        };
        sha256(members.as_bytes())
    }

    /// What it is: `RSA-2048`, `P-256`.
    pub fn kind(&self) -> String {
        match self.material() {
            Material::Ec { curve, .. } => curve.name().to_owned(),
            Material::Rsa { n, .. } => {
                let modulus = decoded(n);
                let leading = modulus.first().map_or(0, |first| first.leading_zeros());
                format!("RSA-{}", modulus.len() * 8 - leading as usize)
            }
        }
    }
}

/// The kid that kube-apiserver gives a key: SHA-256 over the DER SubjectPublicKeyInfo, in unpadded
/// base64url (`keyIDFromPublicKey` in `pkg/serviceaccount/jwt.go`).
pub(super) fn kubernetes_kid(material: &Material) -> Kid {
    let kid = sha256(&subject_public_key_info(material));
    Kid::parse(&kid).expect("43 characters are a kid")
}

fn subject_public_key_info(material: &Material) -> Vec<u8> {
    let (oid, parameters, bits) = match material {
        Material::Ec { curve, x, y } => {
            let point = [&[UNCOMPRESSED_POINT], &*decoded(x), &*decoded(y)].concat();
            (EC_PUBLIC_KEY, Any::from(curve.oid()), point)
        }
        Material::Rsa { n, e } => {
            let (n, e) = (decoded(n), decoded(e));
            let key = pkcs1::RsaPublicKey {
                modulus: UintRef::new(&n).expect(SOUND),
                public_exponent: UintRef::new(&e).expect(SOUND),
            };
            (RSA_ENCRYPTION, Any::from(Null), key.to_der().expect(SOUND))
        }
    };
    SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid,
            parameters: Some(parameters),
        },
        subject_public_key: BitString::from_bytes(&bits).expect(SOUND),
    }
    .to_der()
    .expect(SOUND)
}

impl Curve {
    /// Its name in a SubjectPublicKeyInfo (RFC 5480 section 2.1.1.1).
    pub(super) const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::P256 => ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
            Self::P384 => ObjectIdentifier::new_unwrap("1.3.132.0.34"),
            Self::P521 => ObjectIdentifier::new_unwrap("1.3.132.0.35"),
        }
    }
}

fn decoded(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect(SOUND)
}

fn sha256(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes))
}

/// A key as an operator names it: by its kid or by its RFC 7638 thumbprint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyName(String);

impl KeyName {
    /// `None` when no kid and no thumbprint can be `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Kid::parse(text).map(|_| Self(text.to_owned()))
    }

    /// Whether `key` is meant.
    pub fn names(&self, key: &Key) -> bool {
        key.kid().as_str() == self.0 || key.thumbprint() == self.0
    }

    /// Whether one of `names` means `key`.
    pub(super) fn any_names(names: &BTreeSet<Self>, key: &Key) -> bool {
        let named = |name: &str| names.contains(name);
        !names.is_empty() && (named(key.kid().as_str()) || named(&key.thumbprint()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for KeyName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a key is named by its kid or its RFC 7638 thumbprint")
    }
}

impl From<&Kid> for KeyName {
    fn from(kid: &Kid) -> Self {
        Self(kid.as_str().to_owned())
    }
}

/// Control characters escaped, as for a kid.
impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Kid::parse(&self.0) {
            Some(kid) => kid.fmt(f),
            None => Ok(()),
        }
    }
}

/// RFC 5480 section 2.1.1.
pub(super) const EC_PUBLIC_KEY: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// RFC 3279 section 2.3.1.
pub(super) const RSA_ENCRYPTION: ObjectIdentifier = pkcs1::ALGORITHM_OID;
const SOUND: &str = "a key holds only sound material";
