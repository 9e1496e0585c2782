//! A place in the configuration: reads values there, and names it in errors.

use std::{fmt::Display, ops::RangeInclusive, path::PathBuf, time::Duration};

use http::HeaderValue;

use super::{ConfigError, file, settings::KeyPairFiles};

/// A table of the configuration by its dotted key, such as `mirror.0.target`.
#[derive(Clone, Debug)]
pub(super) struct Place(String);

impl Place {
    pub(super) fn new(key: &str) -> Self {
        Self(key.to_owned())
    }

    /// One entry of the list `key`; its number need not be said while it is the only one.
    pub(super) fn entry(key: &str, number: usize, is_alone: bool) -> Self {
        Self(if is_alone {
            key.to_owned()
        } else {
            format!("{key}.{number}")
        })
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.0)
    }

    /// A setting that stands in no table.
    pub(super) fn missing_at(key: &str, hint: &'static str) -> ConfigError {
        ConfigError::Missing {
            key: key.to_owned(),
            hint,
        }
    }

    pub(super) fn missing(&self, name: &str, hint: &'static str) -> ConfigError {
        ConfigError::Missing {
            key: self.key(name),
            hint,
        }
    }

    pub(super) fn invalid(&self, name: &str, value: &str, why: &dyn Display) -> ConfigError {
        ConfigError::Invalid {
            key: self.key(name),
            value: value.to_owned(),
            why: why.to_string(),
        }
    }

    pub(super) fn duration(
        &self,
        name: &str,
        text: Option<&str>,
        default: &str,
    ) -> Result<Duration, ConfigError> {
        self.duration_within(name, text, default, DURATIONS)
    }

    pub(super) fn duration_within(
        &self,
        name: &str,
        text: Option<&str>,
        default: &str,
        range: RangeInclusive<Duration>,
    ) -> Result<Duration, ConfigError> {
        let text = text.unwrap_or(default);
        let duration = humantime::parse_duration(text)
            .map_err(|_| self.invalid(name, text, &"a duration is written 15s, 5m or 1h30m"))?;
        if !range.contains(&duration) {
            let why = format!(
                "a duration here is between {} and {}",
                humantime::format_duration(*range.start()),
                short(*range.end())
            );
            return Err(self.invalid(name, text, &why));
        }
        Ok(duration)
    }

    pub(super) fn header(
        &self,
        name: &str,
        text: Option<&str>,
        default: &'static str,
    ) -> Result<HeaderValue, ConfigError> {
        let text = text.unwrap_or(default);
        match HeaderValue::try_from(text) {
            Ok(value) if !value.is_empty() => Ok(value),
            _ => Err(self.invalid(name, text, &"not a header value")),
        }
    }

    /// Reads the table `name` of two files.
    pub(super) fn key_pair(
        &self,
        name: &str,
        files: Option<&file::KeyPair>,
    ) -> Result<Option<KeyPairFiles>, ConfigError> {
        let Some(files) = files else { return Ok(None) };
        let table = Self(self.key(name));
        let path = |name, path: &Option<String>| {
            let hint = "a certificate and its private key are two files, both PEM";
            path.as_ref()
                .map(PathBuf::from)
                .ok_or_else(|| table.missing(name, hint))
        };
        Ok(Some(KeyPairFiles {
            cert_file: path("cert-file", &files.cert_file)?,
            key_file: path("key-file", &files.key_file)?,
        }))
    }
}

/// In hours or, from two days on, in days.
fn short(duration: Duration) -> String {
    match duration.as_secs() / 3600 {
        hours @ ..48 => format!("{hours}h"),
        hours => format!("{}d", hours / 24),
    }
}

/// What most settings that are a duration may be.
const DURATIONS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
