//! Where to read from what is known of the keys.

use url::Url;

use crate::cli::asking;

/// A place that `--from` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The admin listener of a running process: its `/keys`.
    Admin(Url),
    /// The first target of each mirror.
    FirstTarget,
    /// The target of this URL.
    Target(String),
}

impl Place {
    /// Reads the argument of `--from`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "target" {
            return Ok(Self::FirstTarget);
        }
        let url = Url::parse(text).map_err(|_| EXPECTED.to_owned())?;
        match url.scheme() {
            "http" => asking::listener(text)
                .map(Self::Admin)
                .map_err(|_| EXPECTED.to_owned()),
            "file" | "s3" => Ok(Self::Target(text.trim_end_matches('/').to_owned())),
            _ => Err(EXPECTED.to_owned()),
        }
    }
}

const EXPECTED: &str = "expected http://127.0.0.1:9443 (the admin listener of a running mirror), \
                        \"target\", or the URL of a target";
