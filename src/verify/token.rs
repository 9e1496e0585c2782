//! A token, and the checks that every relying party makes of it (RFC 7519 section 7.2).
//!
//! Pure: no I/O, and the clock is an argument. No leeway is given for clocks that differ, as the
//! strictest relying parties give none.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, crypto,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm},
};
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;

/// A signed token as read, of which nothing is proven yet.
#[derive(Debug)]
pub struct Token<'a> {
    /// What the signature is over: header and claims as written.
    message: &'a str,
    signature: &'a str,
    header: Header,
    claims: Claims,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515 section 4.1.11); none is.
    crit: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: f64,
    nbf: Option<f64>,
}

/// One audience or several (RFC 7519 section 4.1.3).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    Many(Vec<String>),
    One(String),
}

impl<'a> Token<'a> {
    /// Takes a compact JWS apart (RFC 7515 section 3.1).
    ///
    /// # Errors
    ///
    /// [`Refusal::Malformed`] or [`Refusal::Critical`].
    pub fn parse(token: &'a str) -> Result<Self, Refusal> {
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(Refusal::Malformed)?;
        let token = Self {
            message,
            signature,
            header: decode(header)?,
            claims: decode(claims)?,
        };
        if token.header.crit.is_some() {
            return Err(Refusal::Critical);
        }
        Ok(token)
    }

    /// The signature algorithm it claims.
    pub fn algorithm(&self) -> &str {
        &self.header.alg
    }

    /// The id of the key it claims to be signed with.
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Whom it speaks of.
    pub fn subject(&self) -> &str {
        &self.claims.sub
    }

    /// Checks the signature with the key of `keys` that the token names.
    ///
    /// # Errors
    ///
    /// [`Refusal`], the first that applies.
    pub fn check_signature(&self, keys: &JwkSet) -> Result<(), Refusal> {
        let kid = self.kid().ok_or(Refusal::NoKid)?;
        let key = keys.find(kid).ok_or_else(|| Refusal::UnknownKid {
            kid: shown(kid),
            known: keys.keys.len(),
        })?;
        let genuine = match self.algorithm() {
            "ES512" => self.verify_es512(key)?,
            _ => self.verify(key)?,
        };
        genuine.then_some(()).ok_or(Refusal::Signature)
    }

    /// Checks `iss`, `aud`, `exp` and `nbf`.
    ///
    /// # Errors
    ///
    /// [`Refusal`], the first that applies.
    pub fn check_claims(
        &self,
        issuer: &str,
        audience: &str,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let Claims {
            iss, aud, exp, nbf, ..
        } = &self.claims;
        if iss != issuer {
            return Err(Refusal::Issuer { found: shown(iss) });
        }
        let meant = match aud {
            Audience::Many(all) => all.iter().any(|one| one == audience),
            Audience::One(one) => one == audience,
        };
        if !meant {
            return Err(Refusal::Audience);
        }
        let now = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        if now >= *exp {
            return Err(Refusal::Expired {
                ago: seconds(now - exp),
            });
        }
        match nbf {
            Some(nbf) if now < *nbf => Err(Refusal::NotYetValid {
                wait: seconds(nbf - now),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Verifies what jsonwebtoken knows, RSA and the smaller two curves.
    fn verify(&self, key: &Jwk) -> Result<bool, Refusal> {
        let unsupported = || Refusal::Algorithm {
            found: shown(self.algorithm()),
        };
        let algorithm: Algorithm = self.algorithm().parse().map_err(|_| unsupported())?;
        // RFC 8725 section 3.1: the token must not choose how its key is used. Symmetric
        // algorithms would take a public key for a shared secret.
        let fitting = match (&key.algorithm, algorithm) {
            (AlgorithmParameters::EllipticCurve(ec), Algorithm::ES256) => {
                ec.curve == EllipticCurve::P256
            }
            (AlgorithmParameters::EllipticCurve(ec), Algorithm::ES384) => {
                ec.curve == EllipticCurve::P384
            }
            (
                AlgorithmParameters::RSA(_),
                Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512
                | Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512,
            ) => true,
            (_, Algorithm::EdDSA | Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) => {
                return Err(unsupported());
            }
            _ => false,
        };
        let declared = key.common.key_algorithm;
        if !fitting || declared.is_some_and(|declared| declared != algorithm.into()) {
            return Err(Refusal::AlgorithmMismatch);
        }
        let key = DecodingKey::from_jwk(key).map_err(|_| Refusal::Key)?;
        crypto::verify(self.signature, self.message.as_bytes(), &key, algorithm)
            .map_err(|_| Refusal::Signature)
    }

    /// Verifies ES512, which jsonwebtoken does not know; its JWKs hold such an `alg` as unknown.
    fn verify_es512(&self, key: &Jwk) -> Result<bool, Refusal> {
        let AlgorithmParameters::EllipticCurve(ec) = &key.algorithm else {
            return Err(Refusal::AlgorithmMismatch);
        };
        let declared = key.common.key_algorithm;
        if ec.curve != EllipticCurve::P521
            || declared.is_some_and(|declared| declared != KeyAlgorithm::UNKNOWN_ALGORITHM)
        {
            return Err(Refusal::AlgorithmMismatch);
        }
        // SEC 1 section 2.3.3: an uncompressed point is the byte 4 and both coordinates.
        let mut point = vec![4];
        for coordinate in [&ec.x, &ec.y] {
            point.extend(
                URL_SAFE_NO_PAD
                    .decode(coordinate)
                    .map_err(|_| Refusal::Key)?,
            );
        }
        let signature = URL_SAFE_NO_PAD
            .decode(self.signature)
            .map_err(|_| Refusal::Malformed)?;
        Ok(UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point)
            .verify(self.message.as_bytes(), &signature)
            .is_ok())
    }
}

fn decode<T: DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let json = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| Refusal::Malformed)
}

/// Text of a peer for a message: quoted, control characters escaped, cut.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{cut:?}")
}

fn seconds(duration: f64) -> Duration {
    Duration::try_from_secs_f64(duration.ceil()).unwrap_or(Duration::MAX)
}

/// Why a relying party refuses a token.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// An algorithm that service-account tokens are not signed with.
    #[error("the token's alg is {found}, not one of RS*, PS* or ES*")]
    Algorithm {
        /// The algorithm, quoted and cut.
        found: String,
    },
    /// An algorithm for another kind of key.
    #[error("the token's alg does not fit the key that its kid names")]
    AlgorithmMismatch,
    /// The token is for somebody else.
    #[error("the token is for another audience; request it with the audience you verify for")]
    Audience,
    /// A header extension that must be understood, and is not.
    #[error("the token has a crit header, which service-account tokens have not")]
    Critical,
    /// It is too late.
    #[error("the token expired {} ago", humantime::format_duration(*.ago))]
    Expired {
        /// For how long it has been expired.
        ago: Duration,
    },
    /// Another issuer's token.
    #[error(
        "the token's iss is {found}; the API server's first --service-account-issuer must be the \
         public issuer, byte for byte"
    )]
    Issuer {
        /// The issuer in the token, quoted and cut.
        found: String,
    },
    /// The key is no sound key.
    #[error("the key that the token's kid names cannot be used")]
    Key,
    /// It is no token.
    #[error("it is not a signed token with the claims iss, sub, aud and exp")]
    Malformed,
    /// It does not say which key signed it.
    #[error("the token has no kid")]
    NoKid,
    /// It is too early.
    #[error(
        "the token is valid only in {}; compare the clocks of this machine and the API server",
        humantime::format_duration(*.wait)
    )]
    NotYetValid {
        /// How long it takes until it is.
        wait: Duration,
    },
    /// The signature is not of this key over this text.
    #[error("the signature is wrong")]
    Signature,
    /// The key is not published.
    #[error("the token's kid {kid} is not among the {known} published keys")]
    UnknownKid {
        /// The key id, quoted and cut.
        kid: String,
        /// How many keys there are.
        known: usize,
    },
}

/// As much of a peer's text as messages show.
const SHOWN_CHARS: usize = 200;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::{Value, json};

    use super::*;
    use crate::demo::{KeyKind, SigningKey};

    const ISSUER: &str = "https://oidc.example.com";

    fn set(keys: &[&SigningKey]) -> JwkSet {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        serde_json::from_value(json!({ "keys": keys })).unwrap()
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn recorded(folder: &str, name: &str) -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/kubernetes-1.20.2")
            .join(folder)
            .join(name);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn real_tokens_verify_with_the_real_keys() {
        for (folder, algorithm) in [
            ("a-rsa", "RS256"),
            ("b-multi", "ES256"),
            ("d-p521", "ES512"),
            ("e-rp", "RS256"),
        ] {
            let request = recorded(folder, "tokenrequest-sts-aud.json");
            let token = request["status"]["token"].as_str().unwrap();
            let token = Token::parse(token).unwrap();
            assert_eq!(token.algorithm(), algorithm);
            assert_eq!(token.subject(), "system:serviceaccount:default:mirror");
            let keys = recorded(folder, "jwks-admin-http2.body");
            token
                .check_signature(&serde_json::from_value(keys).unwrap())
                .unwrap();
            let discovery = recorded(folder, "discovery-admin-http2.body");
            let issuer = discovery["issuer"].as_str().unwrap();
            token
                .check_claims(issuer, "sts.amazonaws.com", at(1_795_467_500))
                .unwrap();
        }
    }

    #[test]
    fn every_kind_of_key_verifies_its_own_tokens_only() {
        for kind in [
            KeyKind::P256,
            KeyKind::P384,
            KeyKind::P521,
            KeyKind::Rsa2048,
        ] {
            let (key, other) = (
                SigningKey::generate(kind).unwrap(),
                SigningKey::generate(kind).unwrap(),
            );
            let claims = json!({"iss": ISSUER, "sub": "x", "aud": "y", "exp": 1});
            let text = key.sign(&claims).unwrap();
            let token = Token::parse(&text).unwrap();
            assert_eq!(token.check_signature(&set(&[&other, &key])), Ok(()));
            assert_eq!(
                token.check_signature(&set(&[&other])),
                Err(Refusal::UnknownKid {
                    kid: format!("{:?}", key.kid()),
                    known: 1
                })
            );

            let (message, _) = text.rsplit_once('.').unwrap();
            let foreign = other.sign(&claims).unwrap();
            let forged = format!("{message}.{}", foreign.rsplit_once('.').unwrap().1);
            let forged = Token::parse(&forged).unwrap();
            let keys = set(&[&key]);
            assert_eq!(forged.check_signature(&keys), Err(Refusal::Signature));
        }
    }

    #[test]
    fn the_token_does_not_choose_how_its_key_is_used() {
        let rsa = SigningKey::generate(KeyKind::Rsa2048).unwrap();
        let p256 = SigningKey::generate(KeyKind::P256).unwrap();
        let claims = r#"{"iss":"i","sub":"s","aud":"a","exp":1}"#;
        for (alg, key, expected) in [
            ("none", &rsa, "not one of"),
            ("HS256", &rsa, "not one of"),
            ("EdDSA", &p256, "not one of"),
            ("ES256", &rsa, "does not fit"),
            ("ES512", &p256, "does not fit"),
            ("ES384", &p256, "does not fit"),
            ("PS256", &rsa, "does not fit"),
            ("RS256", &p256, "does not fit"),
        ] {
            let header = json!({"alg": alg, "kid": key.kid()}).to_string();
            let token = [header.as_str(), claims, "signature"]
                .map(|part| URL_SAFE_NO_PAD.encode(part))
                .join(".");
            let token = Token::parse(&token).unwrap();
            let refusal = token.check_signature(&set(&[key])).unwrap_err();
            assert!(refusal.to_string().contains(expected), "{alg}: {refusal}");
        }
    }

    #[test]
    fn claims_are_checked_without_leeway() {
        let key = SigningKey::generate(KeyKind::P256).unwrap();
        let claims =
            json!({"iss": ISSUER, "sub": "x", "aud": ["a", "b"], "nbf": 1000, "exp": 2000});
        let token = key.sign(&claims).unwrap();
        let token = Token::parse(&token).unwrap();
        let check = |issuer, audience, now| token.check_claims(issuer, audience, at(now));
        assert_eq!(check(ISSUER, "b", 1000), Ok(()));
        assert_eq!(check(ISSUER, "b", 1999), Ok(()));
        let ago = Duration::ZERO;
        assert_eq!(check(ISSUER, "b", 2000), Err(Refusal::Expired { ago }));
        let wait = Duration::from_secs(1);
        assert_eq!(check(ISSUER, "b", 999), Err(Refusal::NotYetValid { wait }));
        assert_eq!(check(ISSUER, "c", 1500), Err(Refusal::Audience));
        let found = format!("{ISSUER:?}");
        assert_eq!(
            check("https://oidc.example.com/", "b", 1500),
            Err(Refusal::Issuer { found })
        );
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let claims = encoded(r#"{"iss":"i","sub":"s","aud":"a","exp":1}"#);
        for (text, expected) in [
            (String::new(), Refusal::Malformed),
            ("a.b".to_owned(), Refusal::Malformed),
            (format!("!.{claims}.x"), Refusal::Malformed),
            (format!("{}.{claims}.x", encoded("[]")), Refusal::Malformed),
            (
                format!("{}.{claims}.x", encoded(r#"{"alg":"RS256","crit":[]}"#)),
                Refusal::Critical,
            ),
        ] {
            assert_eq!(Token::parse(&text).unwrap_err(), expected);
        }
        let text = format!("{}.{claims}.x", encoded(r#"{"alg":"RS256"}"#));
        let token = Token::parse(&text).unwrap();
        assert_eq!(token.check_signature(&set(&[])), Err(Refusal::NoKid));
    }
}
