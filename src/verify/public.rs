//! What stands at the public issuer, and whether that is what was given out.
//!
//! Read anonymously, as a relying party reads it. What is found there is hostile until it proves
//! equal: it is compared, counted and named, never used.

use std::{collections::BTreeSet, error::Error, io, sync::Arc};

use http::StatusCode;
use serde::Deserialize;
use thiserror::Error;

use super::{
    RelyingParty, VerifyError,
    relying_party::{Discovery, parse},
};
use crate::{
    Report,
    oidc::{Key, Kid, Snapshot},
};

/// Both documents as they stand at the public issuer.
#[derive(Clone, Debug)]
pub struct Public {
    discovery: Vec<u8>,
    jwks: Vec<u8>,
    kids: BTreeSet<Kid>,
    leads_here: bool,
}

impl RelyingParty {
    /// Reads both documents.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] when one of them cannot be read, or is not of the kind it should be.
    pub async fn look(&self) -> Result<Public, VerifyError> {
        let (discovery_url, jwks_url) = (self.issuer().discovery_url(), self.issuer().jwks_url());
        let discovery = self.fetch(&discovery_url).await?;
        let found: Discovery = parse(&discovery_url, &discovery)?;
        let jwks = self.fetch(&jwks_url).await?;
        let listed: Jwks = parse(&jwks_url, &jwks)?;
        let kids = listed.keys.into_iter().filter_map(|key| key.kid);
        Ok(Public {
            discovery,
            jwks,
            kids: kids.filter_map(|kid| Kid::parse(&kid)).collect(),
            leads_here: found.issuer == self.issuer().as_str() && found.jwks_uri == jwks_url,
        })
    }
}

impl Public {
    /// The keys that relying parties find: none while the discovery document leads elsewhere.
    pub fn kids(&self) -> BTreeSet<Kid> {
        if self.leads_here {
            self.kids.clone()
        } else {
            BTreeSet::new()
        }
    }

    /// Whether it is one of `given_out`, byte for byte up to the white space behind, in which
    /// publishers note who wrote last.
    ///
    /// # Errors
    ///
    /// How it differs from the first of them.
    pub fn compare(&self, given_out: &[Arc<Snapshot>]) -> Result<(), NotPublic> {
        let is_same = |snapshot: &Arc<Snapshot>| {
            let found = [&self.discovery, &self.jwks].map(|body| body.trim_ascii_end());
            found == content(snapshot)
        };
        let Some(first) = given_out.first() else {
            return Ok(());
        };
        if given_out.iter().any(is_same) {
            return Ok(());
        }
        let [_, jwks] = content(first);
        if self.jwks.trim_ascii_end() == jwks {
            return Err(NotPublic::Discovery);
        }
        let expected: BTreeSet<_> = first.keys.keys().iter().map(Key::kid).cloned().collect();
        Err(NotPublic::Keys {
            missing: expected.difference(&self.kids).cloned().collect(),
            foreign: self.kids.difference(&expected).cloned().collect(),
        })
    }
}

/// Both documents as relying parties see them.
pub(super) fn content(snapshot: &Snapshot) -> [&[u8]; 2] {
    [&snapshot.discovery, &snapshot.jwks].map(|document| document.body.trim_ascii_end())
}

/// What is read of a JWKS.
#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    kid: Option<String>,
}

/// Why relying parties do not read what was given out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NotPublic {
    /// The discovery document is another one.
    #[error("the public discovery document is another one than was given out{ELSEWHERE}")]
    Discovery,
    /// The key set is another one.
    #[error(
        "the public key set is another one than was given out{}{ELSEWHERE}",
        difference(.missing, .foreign)
    )]
    Keys {
        /// The keys that should be there and are not.
        missing: Vec<Kid>,
        /// The keys that are there and should not be.
        foreign: Vec<Kid>,
    },
    /// The documents cannot be read.
    #[error("{}{}", what_happened(.0), advice(.0))]
    Unreadable(#[from] VerifyError),
}

impl NotPublic {
    /// A short label for metrics and scripts.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Discovery => "other-discovery",
            Self::Keys { .. } => "other-keys",
            Self::Unreadable(error) => error.reason(),
        }
    }

    /// Whether something else is there, which may be an older copy that goes in time.
    pub fn may_be_a_cache(&self) -> bool {
        matches!(self, Self::Discovery | Self::Keys { .. })
    }
}

impl VerifyError {
    /// A short label for metrics and scripts.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Document { .. } => "document",
            Self::Fetch { source, .. } => Fault::of(source).reason(),
            Self::Issuer { .. } => "issuer",
            Self::JwksUri { .. } => "jwks-uri",
            Self::Refused(_) => "refused",
            Self::Status { status, .. } => match *status {
                StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => "forbidden",
                StatusCode::NOT_FOUND => "not-found",
                status if status.is_redirection() => "redirect",
                _ => "status",
            },
            Self::TooLarge { .. } => "too-large",
        }
    }
}

fn difference(missing: &[Kid], foreign: &[Kid]) -> String {
    let listed = |what: &str, kids: &[Kid]| {
        let shown: Vec<_> = kids.iter().take(KIDS_SHOWN).map(Kid::to_string).collect();
        let more = match kids.len().saturating_sub(KIDS_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        match shown.as_slice() {
            [] => String::new(),
            shown => format!(", {what} {}{more}", shown.join(", ")),
        }
    };
    listed("without", missing) + &listed("with the foreign", foreign)
}

/// In short: of a failure below HTTP only what lies at the bottom of it.
fn what_happened(error: &VerifyError) -> String {
    let VerifyError::Fetch { source, .. } = error else {
        return Report(error).to_string();
    };
    let cause = causes(source).last().unwrap_or(source).to_string();
    // Some messages of rustls end in a link to its manual, which is for programmers.
    let cause = cause
        .split_once(": https://")
        .map_or(&*cause, |(cause, _)| cause);
    format!("{error}: {cause}")
}

fn advice(error: &VerifyError) -> &'static str {
    match error.reason() {
        "connect" | "timeout" => {
            "; is the public address reachable from here? if it must not be, set read-back = false"
        }
        "dns" => {
            "; point the name of the issuer at where the documents are given out, or set \
             read-back = false if this machine cannot resolve public names"
        }
        "document" | "not-found" | "too-large" => {
            "; is the issuer's path where the documents are given out, and the prefix of the \
             bucket the same as that path?"
        }
        "forbidden" => {
            "; the documents are not public: allow anonymous reads of both (for a bucket a bucket \
             policy, or a CDN in front of it)"
        }
        "redirect" => "; serve the documents at this very URL",
        "tls" => {
            "; relying parties accept only a certificate of a public CA for the issuer's host name"
        }
        _ => "",
    }
}

/// What went wrong below HTTP.
#[derive(Clone, Copy)]
enum Fault {
    Broken,
    Connect,
    Dns,
    Timeout,
    Tls,
}

impl Fault {
    fn of(error: &reqwest::Error) -> Self {
        let is_tls = |error: &(dyn Error + 'static)| error.is::<rustls::Error>();
        // The HTTP client has no other mark for it.
        let is_dns = |error: &(dyn Error + 'static)| error.to_string() == "dns error";
        if causes(error).any(is_tls) {
            Self::Tls
        } else if causes(error).any(is_dns) {
            Self::Dns
        } else if error.is_timeout() {
            Self::Timeout
        } else if error.is_connect() {
            Self::Connect
        } else {
            Self::Broken
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Connect => "connect",
            Self::Dns => "dns",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
        }
    }
}

/// An error and what is behind it, also where an I/O error hides that.
fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> + 'a {
    std::iter::successors(Some(error), |error| behind(*error))
}

fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let hidden = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match hidden {
        Some(hidden) => Some(hidden),
        None => error.source(),
    }
}

/// What to look at when something else is there.
const ELSEWHERE: &str = "; a cache in front keeps an older copy, or the issuer's name leads to \
                         another place than the documents are given out at";
/// As many kids as one message names.
const KIDS_SHOWN: usize = 5;
