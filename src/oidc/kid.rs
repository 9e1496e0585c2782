//! The key id: how a token names the key that signed it (RFC 7515 section 4.1.4).

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::Unfit;

/// A key id: any string of 1 to 1024 bytes (KEP-740), so never a file name or metric label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kid(Arc<str>);

impl Kid {
    /// Keeps `text` as it is; `None` when it is empty or longer than a signer may make it.
    pub fn parse(text: &str) -> Option<Self> {
        (1..=MAX_KID_BYTES)
            .contains(&text.len())
            .then(|| Self(text.into()))
    }

    /// The id as the upstream wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Stored as it is.
impl Serialize for Kid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Kid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(Unfit::Kid))
    }
}

/// For people and logs: control characters escaped, long ones cut.
impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars().take(KID_SHOWN_CHARS) {
            write!(f, "{}", character.escape_debug())?;
        }
        if self.0.chars().nth(KID_SHOWN_CHARS).is_some() {
            f.write_str("…")?;
        }
        Ok(())
    }
}

/// The longest kid that an external signer may choose (KEP-740).
pub(super) const MAX_KID_BYTES: usize = 1024;
/// As much of a kid as messages show.
const KID_SHOWN_CHARS: usize = 64;
