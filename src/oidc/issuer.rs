//! The public issuer URL, and where its two documents stand.
//!
//! Relying parties compare the issuer byte for byte with the `iss` claim, so it is kept exactly as
//! written and never normalised; what normalising would change is refused instead.
//! Rules: OpenID Connect Discovery 1.0 section 4, AWS IAM, Microsoft Entra ID.

use std::fmt;

use thiserror::Error;
use url::Url;

/// A public issuer: an https URL without query, fragment or userinfo.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Issuer {
    text: String,
    /// The host, lower-case, without port.
    host: String,
    /// The path without one terminating slash; empty or starting with a slash.
    path: String,
}

impl Issuer {
    /// Checks `text` and keeps it as it is.
    ///
    /// # Errors
    ///
    /// The first rule of [`IssuerError`] that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, IssuerError> {
        let url = Url::parse(text).map_err(IssuerError::Url)?;
        if url.scheme() != "https" {
            return Err(IssuerError::Scheme);
        }
        if url.query().is_some() {
            return Err(IssuerError::Query);
        }
        if url.fragment().is_some() {
            return Err(IssuerError::Fragment);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(IssuerError::Userinfo);
        }
        if text.trim_end_matches('/').ends_with(DISCOVERY_SUFFIX) {
            return Err(IssuerError::WellKnown);
        }
        if text.len() > MAX_ISSUER_BYTES {
            return Err(IssuerError::Length);
        }
        let Some((host, path)) = split(text).and_then(|written| survives(written, &url)) else {
            return Err(IssuerError::Normalised {
                as_read: url.into(),
            });
        };
        // Discovery 1.0 section 4.1: a terminating slash is removed before the suffix is appended.
        let path = path.strip_suffix('/').unwrap_or(path).to_owned();
        Ok(Self {
            text: text.to_owned(),
            host,
            path,
        })
    }

    /// The issuer as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, lower-case, without port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The URL of the discovery document.
    pub fn discovery_url(&self) -> String {
        self.base().to_owned() + DISCOVERY_SUFFIX
    }

    /// The URL of the JWKS: on the issuer's own origin, since some relying parties refuse another.
    pub fn jwks_url(&self) -> String {
        self.base().to_owned() + JWKS_SUFFIX
    }

    /// The URL path of the discovery document.
    pub fn discovery_path(&self) -> String {
        self.path.clone() + DISCOVERY_SUFFIX
    }

    /// The URL path of the JWKS.
    pub fn jwks_path(&self) -> String {
        self.path.clone() + JWKS_SUFFIX
    }

    /// What some relying party will refuse although this program accepts it, as full sentences
    /// without full stop.
    pub fn warnings(&self) -> Vec<&'static str> {
        let authority = split(&self.text).map_or("", |(authority, _)| authority);
        let has_port = authority
            .rsplit(']')
            .next()
            .is_some_and(|rest| rest.contains(':'));
        [
            (has_port, "AWS IAM refuses an issuer with a port"),
            (
                self.text.ends_with('/'),
                "the issuer ends in a slash: AWS, Entra ID, Vault and others refuse tokens whose \
                 iss lacks it, so --service-account-issuer must end in the same slash",
            ),
            (
                authority.bytes().any(|byte| byte.is_ascii_uppercase()),
                "the issuer has upper-case letters in its host: relying parties compare it byte \
                 for byte, so --service-account-issuer must be written the same way",
            ),
        ]
        .into_iter()
        .filter_map(|(applies, warning)| applies.then_some(warning))
        .collect()
    }

    fn base(&self) -> &str {
        self.text.strip_suffix('/').unwrap_or(&self.text)
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits an https URL into authority and path, as written.
fn split(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_at_checked("https://".len())?;
    if !scheme.eq_ignore_ascii_case("https://") {
        return None;
    }
    Some(
        rest.find('/')
            .map_or((rest, ""), |slash| rest.split_at(slash)),
    )
}

/// The host and the path as written, if a client that parses the URL asks for just these.
fn survives<'a>((authority, path): (&str, &'a str), url: &Url) -> Option<(String, &'a str)> {
    let host = url.host_str()?;
    let rest = authority
        .to_ascii_lowercase()
        .strip_prefix(host)?
        .to_owned();
    let port = url.port_or_known_default()?;
    let same_authority = rest.is_empty() || rest == format!(":{port}");
    let same_path = url.path() == path || (path.is_empty() && url.path() == "/");
    (same_authority && same_path).then(|| (host.to_owned(), path))
}

/// Why a text cannot be a public issuer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// It has a fragment.
    #[error("an issuer has no fragment (#…)")]
    Fragment,
    /// It is longer than the longest that Entra ID stores.
    #[error("an issuer has at most {MAX_ISSUER_BYTES} bytes")]
    Length,
    /// Its path changes when a client parses it, or it holds characters that a URL does not.
    #[error("clients read it as {as_read}, which is not what relying parties compare; write that")]
    Normalised {
        /// The URL as a client reads it.
        as_read: String,
    },
    /// It has a query.
    #[error("an issuer has no query (?…)")]
    Query,
    /// It is not an https URL.
    #[error("an issuer starts with https://, as every relying party demands")]
    Scheme,
    /// It is not a URL.
    #[error("not a URL")]
    Url(#[source] url::ParseError),
    /// It holds a user name or password.
    #[error("an issuer has no user name or password")]
    Userinfo,
    /// It is the URL of the discovery document instead of the issuer.
    #[error(
        "that is the URL of the discovery document; the issuer is the part before {DISCOVERY_SUFFIX}"
    )]
    WellKnown,
}

/// Appended to an issuer to find its discovery document (Discovery 1.0 section 4).
pub(super) const DISCOVERY_SUFFIX: &str = "/.well-known/openid-configuration";
/// Where kube-apiserver serves its JWKS (`pkg/routes/openidmetadata.go`), kept below the issuer.
pub(super) const JWKS_SUFFIX: &str = "/openid/v1/jwks";
/// The longest issuer that Entra ID accepts in a federated credential.
const MAX_ISSUER_BYTES: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_kept_as_written() {
        for (text, discovery, jwks_path) in [
            (
                "https://oidc.example.com",
                "https://oidc.example.com/.well-known/openid-configuration",
                "/openid/v1/jwks",
            ),
            (
                "https://oidc.example.com/prod",
                "https://oidc.example.com/prod/.well-known/openid-configuration",
                "/prod/openid/v1/jwks",
            ),
            (
                "https://account.blob.core.windows.net/$web/",
                "https://account.blob.core.windows.net/$web/.well-known/openid-configuration",
                "/$web/openid/v1/jwks",
            ),
            (
                "https://OIDC.example.com:8443/",
                "https://OIDC.example.com:8443/.well-known/openid-configuration",
                "/openid/v1/jwks",
            ),
        ] {
            let issuer = Issuer::parse(text).unwrap();
            assert_eq!(issuer.as_str(), text);
            assert_eq!(issuer.discovery_url(), discovery);
            assert_eq!(issuer.jwks_path(), jwks_path);
            assert!(issuer.jwks_url().ends_with(&issuer.jwks_path()));
        }
    }

    #[test]
    fn the_host_is_for_routing() {
        assert_eq!(
            Issuer::parse("https://OIDC.example.com:8443/x")
                .unwrap()
                .host(),
            "oidc.example.com"
        );
        assert_eq!(
            Issuer::parse("https://[2001:DB8::1]:8443").unwrap().host(),
            "[2001:db8::1]"
        );
    }

    #[test]
    fn what_relying_parties_refuse_is_refused() {
        for (text, expected) in [
            ("http://oidc.example.com", "https://"),
            ("oidc.example.com", "not a URL"),
            ("https://", "not a URL"),
            ("https://oidc.example.com?x=1", "query"),
            ("https://oidc.example.com/?", "query"),
            ("https://oidc.example.com/#x", "fragment"),
            ("https://me@oidc.example.com", "user name"),
            (
                "https://oidc.example.com/.well-known/openid-configuration",
                "discovery document",
            ),
            (
                "https://oidc.example.com/.well-known/openid-configuration/",
                "discovery document",
            ),
            (
                "https://oidc.example.com/a/../b",
                "https://oidc.example.com/b",
            ),
            (
                "https://oidc.example.com/a b",
                "https://oidc.example.com/a%20b",
            ),
            ("https://oidc.exämple.com", "xn--"),
            ("https://oidc.example.com:0443", "clients read it"),
            ("https:/oidc.example.com", "clients read it"),
            (" https://oidc.example.com/a", "clients read it"),
            ("https://oidc.example.com/a\n", "clients read it"),
        ] {
            let error = Issuer::parse(text).unwrap_err();
            assert!(error.to_string().contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn ports_and_slashes_are_warned_about() {
        let warnings = |text| Issuer::parse(text).unwrap().warnings().len();
        assert_eq!(warnings("https://oidc.example.com/prod"), 0);
        assert_eq!(warnings("https://[2001:db8::1]/prod"), 0);
        assert_eq!(warnings("https://oidc.example.com:8443"), 1);
        assert_eq!(warnings("https://oidc.example.com:8443/"), 2);
        assert_eq!(warnings("https://OIDC.example.com"), 1);
    }
}
