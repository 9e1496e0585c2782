//! Targets, from the file as written to the settings as meant.

use std::path::PathBuf;

use url::Url;

use super::{
    ConfigError, file,
    settings::{S3Target, Target},
};

/// Reads the targets of the mirror at the key `at`.
pub(super) fn understand(at: &str, targets: Vec<file::Target>) -> Result<Vec<Target>, ConfigError> {
    let alone = targets.len() == 1;
    targets
        .into_iter()
        .enumerate()
        .map(|(number, target)| {
            let at = if alone {
                format!("{at}.target")
            } else {
                format!("{at}.target.{number}")
            };
            understand_target(&at, target)
        })
        .collect()
}

fn understand_target(at: &str, target: file::Target) -> Result<Target, ConfigError> {
    let key = format!("{at}.url");
    let Some(text) = &target.url else {
        let hint = "where to publish: s3://bucket/prefix or file:///absolute/path";
        return Err(ConfigError::Missing { key, hint });
    };
    let url = Url::parse(text).map_err(|error| ConfigError::invalid(&key, text, error))?;
    match url.scheme() {
        "file" => {
            let path = url.to_file_path().map_err(|()| {
                ConfigError::invalid(&key, text, "a directory is written file:///absolute/path")
            })?;
            let others = file::Target {
                url: Some(text.clone()),
                ..Default::default()
            };
            if target != others {
                return Err(ConfigError::invalid(
                    &key,
                    text,
                    "a directory has no settings but its url",
                ));
            }
            Ok(Target::Directory(path))
        }
        "s3" => understand_s3(at, &url, target).map(Target::S3),
        _ => Err(ConfigError::invalid(
            &key,
            text,
            "a target is s3://bucket/prefix or file:///absolute/path",
        )),
    }
}

fn understand_s3(at: &str, url: &Url, target: file::Target) -> Result<S3Target, ConfigError> {
    let key = |name: &str| format!("{at}.{name}");
    let plain = url.query().is_none() && url.fragment().is_none() && url.port().is_none();
    let (Some(bucket), true, true) = (url.host_str(), plain, url.username().is_empty()) else {
        return Err(ConfigError::invalid(
            &key("url"),
            url.as_str(),
            "a bucket is written s3://bucket/prefix",
        ));
    };
    let endpoint = target.endpoint.map(|text| {
        let url = Url::parse(&text)
            .map_err(|error| ConfigError::invalid(&key("endpoint"), &text, error))?;
        // Plain http is for stores on the same host; the documents are public, the request signed.
        match url.scheme() {
            "http" | "https" if url.username().is_empty() => Ok(url),
            _ => Err(ConfigError::invalid(
                &key("endpoint"),
                &text,
                "an endpoint is an https or http URL",
            )),
        }
    });
    Ok(S3Target {
        bucket: bucket.to_owned(),
        prefix: url.path().trim_matches('/').to_owned(),
        region: target.region,
        endpoint: endpoint.transpose()?,
        ca_file: target.ca_file.map(PathBuf::from),
        path_style: target.path_style.unwrap_or_default(),
        profile: target.profile,
        encryption: target.encryption.unwrap_or_default(),
    })
}
