//! Targets, from the file as written to the settings as meant.

use std::path::PathBuf;

use url::Url;

use super::{
    ConfigError, file,
    place::Place,
    settings::{S3Target, Target},
};

/// Reads the targets of the mirror at `at`.
pub(super) fn understand(
    at: &Place,
    targets: Vec<file::Target>,
) -> Result<Vec<Target>, ConfigError> {
    let is_alone = targets.len() == 1;
    (0..)
        .zip(targets)
        .map(|(number, target)| {
            understand_one(&Place::entry(&at.key("target"), number, is_alone), target)
        })
        .collect()
}

fn understand_one(at: &Place, target: file::Target) -> Result<Target, ConfigError> {
    let Some(text) = &target.url else {
        let hint = "where to publish: s3://bucket/prefix or file:///absolute/path";
        return Err(at.missing("url", hint));
    };
    let url = Url::parse(text).map_err(|error| at.invalid("url", text, &error))?;
    match url.scheme() {
        "file" => {
            let path = url.to_file_path().map_err(|()| {
                at.invalid("url", text, &"a directory is written file:///absolute/path")
            })?;
            if target
                != (file::Target {
                    url: target.url.clone(),
                    ..Default::default()
                })
            {
                return Err(at.invalid("url", text, &"a directory has no settings but its url"));
            }
            Ok(Target::Directory(path))
        }
        "s3" => understand_s3(at, &url, target).map(Target::S3),
        _ => {
            let why = "a target is s3://bucket/prefix or file:///absolute/path";
            Err(at.invalid("url", text, &why))
        }
    }
}

fn understand_s3(at: &Place, url: &Url, target: file::Target) -> Result<S3Target, ConfigError> {
    let plain = url.query().is_none() && url.fragment().is_none() && url.port().is_none();
    let (Some(bucket), true, true) = (url.host_str(), plain, url.username().is_empty()) else {
        return Err(at.invalid(
            "url",
            url.as_str(),
            &"a bucket is written s3://bucket/prefix",
        ));
    };
    let endpoint = target.endpoint.map(|text| {
        let url = Url::parse(&text).map_err(|error| at.invalid("endpoint", &text, &error))?;
        // Plain http is for stores on the same host; the documents are public, the request signed.
        match url.scheme() {
            "http" | "https" if url.username().is_empty() => Ok(url),
            _ => Err(at.invalid("endpoint", &text, &"an endpoint is an https or http URL")),
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
