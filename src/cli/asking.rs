//! Asks the admin listener of a running process.

use serde::de::DeserializeOwned;
use thiserror::Error;
use url::Url;

use crate::{
    config::settings::Settings,
    oidc::parse_stored,
    verify::{AskError, ask as ask_admin},
};

/// Where an admin listener is: a URL, or its address alone.
pub(super) fn listener(text: &str) -> Result<Url, String> {
    let expected = || "expected the admin listener of a running mirror: 127.0.0.1:9443".to_owned();
    let text = match text.split_once("://") {
        Some(_) => text.to_owned(),
        None => format!("http://{text}"),
    };
    let url = Url::parse(&text).map_err(|_| expected())?;
    let is_plain = url.scheme() == "http" && url.username().is_empty() && url.query().is_none();
    if is_plain { Ok(url) } else { Err(expected()) }
}

/// The admin listener that the settings name.
pub(super) fn listener_of(settings: &Settings) -> Option<Url> {
    listener(&settings.admin?.listen.to_string()).ok()
}

/// What the admin listener at `url` answers under `path`, and the URL that was asked.
pub(super) async fn ask<T: DeserializeOwned>(
    url: &Url,
    path: &str,
) -> Result<(Url, T), AnswerError> {
    let mut url = url.clone();
    url.set_path(path);
    let body = ask_admin(&url).await?;
    match parse_stored(&body) {
        Ok(answer) => Ok((url, answer)),
        Err(error) => Err(AnswerError::Foreign {
            url,
            line: error.line(),
        }),
    }
}

/// Why there is no answer that can be used.
#[derive(Debug, Error)]
pub(super) enum AnswerError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(
        "{url} does not answer what this release understands (line {line} of its answer); is it \
         the admin listener of an oidc-mirror of the same version?"
    )]
    Foreign { url: Url, line: usize },
}
