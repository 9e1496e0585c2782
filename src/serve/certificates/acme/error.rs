//! Why a certificate could not be had, for the operator.
//!
//! What the server writes about it is nobody's to trust: only its code is shown (RFC 8555 section
//! 6.7), with what it usually means. The rest is a line at debug level.

use std::{io, path::PathBuf};

use thiserror::Error;
use tracing::debug;

use super::{super::pair::PairError, client::FetchError};

/// Why a certificate could not be had.
#[derive(Debug, Error)]
pub(super) enum AcmeError {
    #[error("{} holds no certificates in PEM", path.display())]
    CaFile { path: PathBuf },
    #[error("could not see the CAs to trust")]
    Client(#[source] reqwest::Error),
    #[error("the ACME server was not done in time")]
    Deadline,
    #[error("{} holds no key in base64url, as the CA gave it for the external account", path.display())]
    ExternalKey { path: PathBuf },
    #[error("what was issued cannot be used")]
    Issued(#[source] PairError),
    #[error(
        "what was issued is not for this domain, or has expired already: is the clock of this \
         machine right?"
    )]
    IssuedForNow,
    #[error("could not make a key or certificate")]
    Make(#[from] rcgen::Error),
    #[error(
        "the ACME server offers no {0} challenge for it: set serve.acme.challenge to the other one"
    )]
    NoChallenge(&'static str),
    #[error("the ACME server gave an answer that RFC 8555 does not know")]
    Protocol,
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the ACME server refuses: {}", .0.with_advice(""))]
    Refused(Problem),
    #[error(
        "the account {} is damaged: put it back from a backup, or remove it and a new one is made",
        path.display()
    )]
    Account { path: PathBuf },
    #[error("could not reach the ACME server")]
    Unreachable(#[source] FetchError),
    #[error(
        "the ACME server could not see that the domain is ours: {}", .0.with_advice(LEADS_HERE)
    )]
    Validation(Problem),
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl AcmeError {
    /// A short label for metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::CaFile { .. }
            | Self::Client(_)
            | Self::ExternalKey { .. }
            | Self::NoChallenge(_) => "configuration",
            Self::Deadline => "deadline",
            Self::Issued(_) | Self::IssuedForNow | Self::Make(_) => "issued",
            Self::Protocol => "protocol",
            Self::Refused(problem) if problem.code == "rateLimited" => "rate-limited",
            Self::Refused(_) => "refused",
            Self::Account { .. } | Self::Read { .. } | Self::Write { .. } => "disk",
            Self::Unreachable(_) => "unreachable",
            Self::Validation(_) => "validation",
        }
    }

    /// Whether the server has counted this.
    pub(super) fn was_counted(&self) -> bool {
        let never_sent = matches!(
            self,
            Self::Account { .. }
                | Self::CaFile { .. }
                | Self::Client(_)
                | Self::ExternalKey { .. }
                | Self::Read { .. }
                | Self::Unreachable(_)
        );
        !never_sent && !self.is_about_the_account()
    }

    /// Whether the account is gone.
    pub(super) fn is_about_the_account(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.code == "accountDoesNotExist")
    }
}

impl From<instant_acme::Error> for AcmeError {
    fn from(error: instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Api(problem) => Self::Refused(problem.into()),
            instant_acme::Error::Timeout(_) => Self::Deadline,
            instant_acme::Error::Other(source) => match source.downcast::<FetchError>() {
                Ok(fetch) => Self::Unreachable(*fetch),
                Err(_) => Self::Protocol,
            },
            error => {
                debug!(error = ?error.to_string(), "the ACME server is not understood");
                Self::Protocol
            }
        }
    }
}

/// What the server finds wrong.
#[derive(Debug)]
pub(super) struct Problem {
    code: String,
}

impl From<instant_acme::Problem> for Problem {
    fn from(problem: instant_acme::Problem) -> Self {
        debug!(detail = ?problem.detail, kind = ?problem.r#type, "the ACME server reports a problem");
        let kind = problem.r#type.unwrap_or_default();
        let code = kind.strip_prefix("urn:ietf:params:acme:error:");
        let code = code.filter(|code| code.len() <= MAX_CODE_BYTES);
        let code = code.filter(|code| code.bytes().all(|byte| byte.is_ascii_alphabetic()));
        Self {
            code: code.unwrap_or("a problem without a known code").to_owned(),
        }
    }
}

impl Problem {
    /// The code, and what it means or else what it means `otherwise`.
    fn with_advice(&self, otherwise: &str) -> String {
        let code = &self.code;
        match (advice(code), otherwise) {
            ("", "") => code.clone(),
            ("", advice) | (advice, _) => format!("{code} ({advice})"),
        }
    }
}

fn advice(code: &str) -> &'static str {
    match code {
        "accountDoesNotExist" => "it has forgotten the account; the next try makes a new one",
        "badSignatureAlgorithm" => "it does not take ES256",
        "caa" => "a CAA record of the domain does not let this CA issue",
        "dns" => "it found no address of the domain: correct the DNS",
        "externalAccountRequired" => {
            "it wants an account at the CA: set serve.acme.external-account"
        }
        "invalidContact" | "unsupportedContact" => "it does not take serve.acme.contact",
        "rateLimited" => "too many requests or certificates; it is asked again later",
        "rejectedIdentifier" => "it does not issue for this domain",
        "serverInternal" => "the fault is on its side; it is asked again later",
        "userActionRequired" => "its terms of service have changed: see what the CA wrote to you",
        _ => "",
    }
}

const LEADS_HERE: &str = "port 443 of the domain, or 80 for http-01, has to lead here from anywhere \
                          in the world, without a proxy that ends TLS";
/// As long as any code of RFC 8555, and more.
const MAX_CODE_BYTES: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str) -> instant_acme::Problem {
        let text = serde_json::json!({ "type": kind, "detail": "<b>come to evil.example</b>" });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn what_a_server_writes_is_not_shown() {
        for (kind, expected) in [
            (
                "urn:ietf:params:acme:error:rateLimited",
                "the ACME server refuses: rateLimited (too many requests or certificates; it is \
                 asked again later)",
            ),
            (
                "urn:ietf:params:acme:error:badNonce",
                "the ACME server refuses: badNonce",
            ),
            (
                "urn:ietf:params:acme:error:\n evil",
                "the ACME server refuses: a problem without a known code",
            ),
            (
                "https://evil.example",
                "the ACME server refuses: a problem without a known code",
            ),
        ] {
            let error = AcmeError::from(instant_acme::Error::Api(problem(kind)));
            assert_eq!(crate::Report(&error).to_string(), expected);
        }
    }

    #[test]
    fn each_failure_has_its_reason_and_only_some_are_counted_by_the_server() {
        let of = |code: &str| Problem {
            code: code.to_owned(),
        };
        let path = PathBuf::from("x");
        let io = || io::ErrorKind::NotFound.into();
        for (error, reason, was_counted) in [
            (AcmeError::Account { path: path.clone() }, "disk", false),
            (
                AcmeError::CaFile { path: path.clone() },
                "configuration",
                false,
            ),
            (AcmeError::Deadline, "deadline", true),
            (
                AcmeError::ExternalKey { path: path.clone() },
                "configuration",
                false,
            ),
            (AcmeError::Issued(PairError::NoCertificate), "issued", true),
            (AcmeError::IssuedForNow, "issued", true),
            (AcmeError::NoChallenge("http-01"), "configuration", true),
            (AcmeError::Protocol, "protocol", true),
            (
                AcmeError::Read {
                    path: path.clone(),
                    source: io(),
                },
                "disk",
                false,
            ),
            (AcmeError::Refused(of("rateLimited")), "rate-limited", true),
            (AcmeError::Refused(of("malformed")), "refused", true),
            (
                AcmeError::Refused(of("accountDoesNotExist")),
                "refused",
                false,
            ),
            (
                AcmeError::Unreachable(FetchError::Body),
                "unreachable",
                false,
            ),
            (AcmeError::Validation(of("dns")), "validation", true),
            (AcmeError::Write { path, source: io() }, "disk", true),
        ] {
            assert_eq!(
                (error.reason(), error.was_counted()),
                (reason, was_counted),
                "{error}"
            );
        }
    }
}
