//! One public signing key: what it must be, and the only members of it that are ever published.
//!
//! Rules: RFC 7517 section 4 (JWK), RFC 7518 section 6 (RSA and EC parameters). A value of [`Key`]
//! cannot hold private material, a weak modulus or a point off its curve.

use std::{fmt, sync::Arc};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ParsedPublicKey,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{Kid, key_set::find_private, kid::MAX_KID_BYTES};

/// One public signing key with its `kid`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    kid: Kid,
    algorithm: Algorithm,
    material: Arc<Material>,
}

/// Public key material: base64url as published, proven to decode to a sound key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Material {
    Ec { curve: Curve, x: String, y: String },
    Rsa { n: String, e: String },
}

impl Key {
    /// Reads one JWK that was already searched for private members.
    pub(super) fn parse(jwk: &Map<String, Value>) -> Result<Self, LeftOut> {
        let kid = member(jwk, "kid").and_then(|text| Kid::parse(text).ok_or(Unfit::Kid));
        let key = kid
            .clone()
            .and_then(|kid| Self::named(jwk, |_| kid.clone()));
        key.map_err(|reason| LeftOut {
            kid: kid.ok(),
            reason,
        })
    }

    /// Reads what a JWK says beside its name, which follows from the material.
    pub(super) fn named(
        jwk: &Map<String, Value>,
        kid: impl FnOnce(&Material) -> Kid,
    ) -> Result<Self, Unfit> {
        // RFC 7517 section 4.2 and 4.3: a key for anything but signatures is not for tokens.
        if !matches!(jwk.get("use"), None | Some(Value::Null)) && member(jwk, "use")? != "sig" {
            return Err(Unfit::Use);
        }
        if let Some(operations) = jwk.get("key_ops")
            && !operations
                .as_array()
                .is_some_and(|list| list.contains(&"verify".into()))
        {
            return Err(Unfit::Use);
        }
        let material = match member(jwk, "kty")? {
            "EC" => parse_ec(jwk)?,
            "RSA" => parse_rsa(jwk)?,
            _ => return Err(Unfit::KeyType),
        };
        let algorithm = match jwk.get("alg") {
            None | Some(Value::Null) => material.default_algorithm(),
            Some(_) => Algorithm::parse(member(jwk, "alg")?).ok_or(Unfit::Algorithm)?,
        };
        // RFC 8725 section 3.1: the algorithm must fit the key.
        if !material.fits(algorithm) {
            return Err(Unfit::AlgorithmMismatch);
        }
        Ok(Self {
            kid: kid(&material),
            algorithm,
            material: Arc::new(material),
        })
    }

    /// The key id.
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The signature algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether this is an RSA key; otherwise it is an EC key.
    pub fn is_rsa(&self) -> bool {
        matches!(*self.material, Material::Rsa { .. })
    }

    /// What the kid names.
    pub(super) fn material(&self) -> &Material {
        &self.material
    }
}

/// The members that are published, in kube-apiserver's order, and nothing else.
#[derive(Serialize)]
struct Jwk<'a> {
    #[serde(rename = "use")]
    usage: &'static str,
    kty: &'static str,
    kid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<&'a str>,
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kid, alg) = (self.kid.as_str(), self.algorithm.as_str());
        let blank = Jwk {
            usage: "sig",
            kty: "",
            kid,
            crv: None,
            alg,
            n: None,
            e: None,
            x: None,
            y: None,
        };
        match &*self.material {
            Material::Ec { curve, x, y } => Jwk {
                kty: "EC",
                crv: Some(curve.name()),
                x: Some(x),
                y: Some(y),
                ..blank
            },
            Material::Rsa { n, e } => Jwk {
                kty: "RSA",
                n: Some(n),
                e: Some(e),
                ..blank
            },
        }
        .serialize(serializer)
    }
}

/// From what was stored, held to the same rules as what an upstream says.
impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let jwk = Map::deserialize(deserializer)?;
        match find_private(&jwk, None) {
            Some(reject) => Err(D::Error::custom(reject)),
            None => Self::parse(&jwk).map_err(D::Error::custom),
        }
    }
}

impl Material {
    /// What Kubernetes signs with for such a key (`pkg/serviceaccount/jwt.go`).
    fn default_algorithm(&self) -> Algorithm {
        match self {
            Self::Ec {
                curve: Curve::P256, ..
            } => Algorithm::Es256,
            Self::Ec {
                curve: Curve::P384, ..
            } => Algorithm::Es384,
            Self::Ec {
                curve: Curve::P521, ..
            } => Algorithm::Es512,
            Self::Rsa { .. } => Algorithm::Rs256,
        }
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match self {
            // RFC 7518 section 3.4 ties each ECDSA algorithm to one curve.
            Self::Ec { .. } => algorithm == self.default_algorithm(),
            Self::Rsa { .. } => matches!(algorithm, Ps256 | Ps384 | Ps512 | Rs256 | Rs384 | Rs512),
        }
    }
}

fn parse_ec(jwk: &Map<String, Value>) -> Result<Material, Unfit> {
    let curve = Curve::parse(member(jwk, "crv")?).ok_or(Unfit::Curve)?;
    let (x, y) = (member(jwk, "x")?, member(jwk, "y")?);
    let (x_bytes, y_bytes) = (decode(x)?, decode(y)?);
    // RFC 7518 section 6.2.1.2: the full length of a coordinate, leading zeros included.
    if x_bytes.len() != curve.coordinate_bytes() || y_bytes.len() != curve.coordinate_bytes() {
        return Err(Unfit::CoordinateLength);
    }
    let point = [
        &[UNCOMPRESSED_POINT],
        x_bytes.as_slice(),
        y_bytes.as_slice(),
    ]
    .concat();
    let algorithm = match curve {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED,
        Curve::P521 => &ECDSA_P521_SHA512_FIXED,
    };
    ParsedPublicKey::new(algorithm, point).map_err(|_| Unfit::NotOnCurve)?;
    Ok(Material::Ec {
        curve,
        x: x.to_owned(),
        y: y.to_owned(),
    })
}

fn parse_rsa(jwk: &Map<String, Value>) -> Result<Material, Unfit> {
    let (n, e) = (member(jwk, "n")?, member(jwk, "e")?);
    let (modulus, exponent) = (decode(n)?, decode(e)?);
    // RFC 7518 section 2, Base64urlUInt: the minimum number of octets, so no leading zero.
    let [modulus_first, ..] = modulus.as_slice() else {
        return Err(Unfit::Modulus);
    };
    let bits = modulus.len() * 8 - modulus_first.leading_zeros() as usize;
    let odd = modulus.last().is_some_and(|last| last % 2 == 1);
    if *modulus_first == 0 || !odd || !RSA_BITS.contains(&bits) {
        return Err(Unfit::Modulus);
    }
    let value = exponent.iter().try_fold(0_u32, |value, byte| {
        value.checked_mul(256)?.checked_add(u32::from(*byte))
    });
    let minimal = exponent.first().is_some_and(|first| *first != 0);
    if !minimal || !value.is_some_and(|e| e % 2 == 1 && RSA_EXPONENTS.contains(&e)) {
        return Err(Unfit::Exponent);
    }
    Ok(Material::Rsa {
        n: n.to_owned(),
        e: e.to_owned(),
    })
}

fn member<'a>(jwk: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, Unfit> {
    jwk.get(name)
        .and_then(Value::as_str)
        .ok_or(Unfit::Member(name))
}

/// Unpadded base64url with canonical trailing bits, as RFC 7515 section 2 has it.
fn decode(text: &str) -> Result<Vec<u8>, Unfit> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Unfit::Base64)
}

/// A signature algorithm that may be published (RFC 7518 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// ECDSA with P-521 and SHA-512.
    Es512,
    /// RSA-PSS with SHA-256.
    Ps256,
    /// RSA-PSS with SHA-384.
    Ps384,
    /// RSA-PSS with SHA-512.
    Ps512,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    Rs512,
}

impl Algorithm {
    /// Every algorithm, in the order of their names.
    pub const ALL: [Self; 9] = [
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
    ];

    /// The name in JOSE headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub(super) const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    pub(super) const fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// A key of an otherwise good document that is not published, and why.
///
/// It is left out rather than published because one key that a relying party cannot read makes
/// many of them refuse the whole set (go-jose issue 276).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its `kid`, where it has a usable one.
    pub kid: Option<Kid>,
    /// Why it is not published.
    pub reason: Unfit,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "key \"{kid}\": {}", self.reason),
            None => write!(f, "a key without usable kid: {}", self.reason),
        }
    }
}

/// Why one key is not published.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfit {
    /// An `alg` that no relying party is known to accept.
    #[error("its alg is not one of RS*, PS* or ES*")]
    Algorithm,
    /// An `alg` of another key type or curve.
    #[error("its alg does not fit its kty and crv")]
    AlgorithmMismatch,
    /// A value that is not unpadded base64url.
    #[error("a value is not unpadded base64url")]
    Base64,
    /// An EC coordinate of the wrong length.
    #[error("an EC coordinate does not have the length that its curve demands")]
    CoordinateLength,
    /// An unknown curve.
    #[error("its crv is not one of P-256, P-384 or P-521")]
    Curve,
    /// An RSA exponent that is even, below 3 or too large for relying parties.
    #[error("its RSA exponent is not an odd number between 3 and 2^31 - 1")]
    Exponent,
    /// A `kty` other than RSA and EC, such as ML-DSA's `AKP`.
    #[error("its kty is neither RSA nor EC")]
    KeyType,
    /// A `kid` that is empty or too long.
    #[error("its kid is empty or longer than {MAX_KID_BYTES} bytes")]
    Kid,
    /// A required member that is missing or no string.
    #[error("its member \"{0}\" is missing or not a string")]
    Member(&'static str),
    /// An RSA modulus that is too short, too long, even or not minimal.
    #[error("its RSA modulus is not an odd number of 2048 to 8192 bits without leading zeros")]
    Modulus,
    /// An EC point that is not on its curve.
    #[error("its EC point is not on its curve")]
    NotOnCurve,
    /// A key for something other than signatures.
    #[error("its use or key_ops is not for verifying signatures")]
    Use,
}

/// RSA key sizes that are published, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// RSA exponents that are published; larger ones are refused by Go's `crypto/rsa`.
const RSA_EXPONENTS: std::ops::RangeInclusive<u32> = 3..=0x7FFF_FFFF;
/// First byte of an uncompressed point (SEC 1 section 2.3.3).
pub(super) const UNCOMPRESSED_POINT: u8 = 4;
