//! Mirrors whose upstreams the tests read.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use http::HeaderValue;
use oidc_mirror::{
    config::settings::{
        CredentialFiles, Credentials, Keys, Metadata, Mirror, OnIssuerMismatch, Upkeep,
    },
    oidc::Issuer,
    upstream::{CredentialError, Upstream, connect},
};
use url::Url;

use super::ApiServer;

/// The files that a server's CA and token are in.
pub(crate) fn files_of(server: &ApiServer) -> CredentialFiles {
    CredentialFiles {
        ca_file: Some(server.ca_file()),
        token_file: Some(server.token_file()),
        ..CredentialFiles::default()
    }
}

/// A mirror of these addresses with a deadline that no answer misses.
pub(crate) fn mirror_of(upstreams: &[Url], credentials: Credentials) -> Mirror {
    Mirror {
        name: "default".to_owned(),
        issuer: Issuer::parse("https://oidc.example.com").unwrap(),
        upstreams: upstreams.to_vec(),
        credentials,
        poll_interval: Duration::from_secs(15),
        timeout: Duration::from_secs(30),
        on_issuer_mismatch: OnIssuerMismatch::Publish,
        metadata: Metadata {
            cache_control: HeaderValue::from_static("public, max-age=60"),
            jwks_content_type: HeaderValue::from_static("application/json"),
        },
        discovery_members: Vec::new(),
        targets: Vec::new(),
        upkeep: Upkeep::default(),
        keys: Keys::default(),
    }
}

/// The one upstream of a server, read with these credentials.
pub(crate) async fn connect_with(
    server: &ApiServer,
    credentials: Credentials,
) -> Result<Upstream, CredentialError> {
    let mut upstreams = connect(&mirror_of(&[server.url()], credentials)).await?;
    assert_eq!(upstreams.len(), 1);
    Ok(upstreams.remove(0))
}

/// The one upstream of a server, read with its own CA and token.
pub(crate) async fn connect_to(server: &ApiServer) -> Upstream {
    let credentials = Credentials::Files(files_of(server));
    connect_with(server, credentials).await.unwrap()
}

/// Writes a shell script that can be run.
pub(crate) fn write_script(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}
