//! Why publishing failed, in words for the operator.
//!
//! Nothing that a store answered is repeated but its error code: no body, no message.

use std::{error::Error, fmt, io, path::PathBuf};

use thiserror::Error;

use super::plan::Refusal;

/// What was done to an object when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Reading it.
    Read,
    /// Writing it.
    Write,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// Why the documents were not published, or the target could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The credentials may not do it.
    #[error(
        "access denied: may not {action} {object}; the policy of these credentials must allow \
         s3:GetObject and s3:PutObject on it and on the other objects of the target"
    )]
    AccessDenied {
        /// What was denied.
        action: Action,
        /// The URL of the object.
        object: String,
    },
    /// The bucket does not exist.
    #[error("bucket \"{bucket}\" does not exist at {endpoint}; create it, or correct the target")]
    BucketMissing {
        /// The bucket.
        bucket: String,
        /// Where it was looked for.
        endpoint: String,
    },
    /// The CA file of the endpoint is of no use.
    #[error("could not use ca-file {}: {problem}", .path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No connection, or a broken one.
    #[error("could not reach {endpoint}")]
    Connect {
        /// The endpoint.
        endpoint: String,
        /// What the network said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Others never stop changing what is there.
    #[error(
        "other publishers were faster each of {tries} times; publishing to {target} goes on later"
    )]
    Contended {
        /// The URL of the target.
        target: String,
        /// How often it was tried.
        tries: u32,
    },
    /// Credentials were found but could not be used.
    #[error("could not load AWS credentials{}: {problem}", in_profile(.profile.as_ref()))]
    Credentials {
        /// The profile asked for.
        profile: Option<String>,
        /// What is wrong with them.
        problem: String,
    },
    /// No credentials were found anywhere.
    #[error("no AWS credentials: {}", places(.profile.as_ref()))]
    CredentialsMissing {
        /// The profile asked for.
        profile: Option<String>,
    },
    /// The store does not accept the credentials.
    #[error("{endpoint} refuses the credentials ({code}): {}", refused(.code))]
    CredentialsRefused {
        /// The endpoint.
        endpoint: String,
        /// The store's error code.
        code: String,
    },
    /// A directory target could not be read or written.
    #[error("could not {action} {}{}", .path.display(), disk_advice(.source))]
    Directory {
        /// What failed.
        action: Action,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The snapshot must not be published over what stands there.
    #[error("did not publish to {target}")]
    Refused {
        /// The URL of the target.
        target: String,
        /// Why not.
        source: Refusal,
    },
    /// Nothing says which region the bucket is in.
    #[error(
        "no region for {target}: set `region` of the target, AWS_REGION, or `region` in the AWS \
         profile"
    )]
    RegionMissing {
        /// The URL of the target.
        target: String,
    },
    /// The bucket is in another region.
    #[error("{target} is not in region {region}: {}", right_region(.right.as_ref()))]
    RegionWrong {
        /// The URL of the target.
        target: String,
        /// The region it was looked for in.
        region: String,
        /// The region it is in, where the store says so.
        right: Option<String>,
    },
    /// The answer is not one that an S3 store gives.
    #[error("{endpoint} does not answer as an S3 store does; is `endpoint` of the target right?")]
    Response {
        /// The endpoint.
        endpoint: String,
    },
    /// Another answer than success.
    #[error("could not {action} {object}: status {status}{}", in_brackets(.code.as_ref()))]
    Status {
        /// What failed.
        action: Action,
        /// The URL of the object.
        object: String,
        /// The HTTP status.
        status: u16,
        /// The store's error code.
        code: Option<String>,
    },
    /// No answer in time.
    #[error("{endpoint} did not answer in time; is it reachable from here?")]
    Timeout {
        /// The endpoint.
        endpoint: String,
    },
    /// The endpoint's certificate or TLS is not acceptable.
    #[error("no trusted TLS connection to {endpoint}{}", tls_advice(.source))]
    Tls {
        /// The endpoint.
        endpoint: String,
        /// What is wrong.
        source: rustls::Error,
    },
    /// What stands there is longer than any document.
    #[error(
        "{object} is longer than {limit_bytes} bytes, so it is none of ours; remove it, or correct \
         the target"
    )]
    TooLarge {
        /// The URL of the object.
        object: String,
        /// The longest document that is read.
        limit_bytes: usize,
    },
}

impl PublishError {
    /// A short label for metrics and scripts.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AccessDenied { .. } => "access-denied",
            Self::BucketMissing { .. } => "bucket-missing",
            Self::CaFile { .. } => "ca-file",
            Self::Connect { .. } => "connect",
            Self::Contended { .. } => "contended",
            Self::Credentials { .. } => "credentials",
            Self::CredentialsMissing { .. } => "credentials-missing",
            Self::CredentialsRefused { .. } => "credentials-refused",
            Self::Directory { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "directory-denied"
                }
                io::ErrorKind::QuotaExceeded | io::ErrorKind::StorageFull => "disk-full",
                _ => "directory",
            },
            Self::Refused { .. } => "refused",
            Self::RegionMissing { .. } => "region-missing",
            Self::RegionWrong { .. } => "region-wrong",
            Self::Response { .. } => "response",
            Self::Status { .. } => "status",
            Self::Timeout { .. } => "timeout",
            Self::Tls { .. } => "tls",
            Self::TooLarge { .. } => "too-large",
        }
    }

    /// Whether it will not heal by itself.
    pub fn needs_a_human(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Contended { .. }
            | Self::Refused { .. }
            | Self::Response { .. }
            | Self::Timeout { .. } => false,
            Self::Status { status, .. } => *status < 500,
            _ => true,
        }
    }
}

fn in_profile(profile: Option<&String>) -> String {
    profile.map_or_else(String::new, |profile| format!(" in profile \"{profile}\""))
}

fn places(profile: Option<&String>) -> String {
    match profile {
        Some(profile) => format!(
            "profile \"{profile}\" is not in ~/.aws/config or ~/.aws/credentials, or holds none"
        ),
        None => "neither in the environment (AWS_ACCESS_KEY_ID), in the profile (~/.aws/config, \
                 ~/.aws/credentials), as web identity (AWS_WEB_IDENTITY_TOKEN_FILE), from the \
                 container agent, nor from the instance metadata service"
            .to_owned(),
    }
}

fn in_brackets(code: Option<&String>) -> String {
    code.map_or_else(String::new, |code| format!(" ({code})"))
}

fn right_region(right: Option<&String>) -> String {
    match right {
        Some(right) => format!("it is in {right}; set `region = \"{right}\"` in the target"),
        None => "set `region` of the target to the bucket's".to_owned(),
    }
}

fn refused(code: &str) -> &'static str {
    match code {
        "ExpiredToken" | "TokenRefreshRequired" => "they have expired",
        "RequestTimeTooSkewed" => "the clock of this machine is wrong; synchronise it",
        "SignatureDoesNotMatch" => "the secret key does not belong to the access key",
        _ => "it does not know them",
    }
}

fn disk_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; give the user that this process runs as write access to the directory"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; make the directory writable for this process (in a systemd unit: ReadWritePaths=)"
        }
        io::ErrorKind::QuotaExceeded | io::ErrorKind::StorageFull => "; make room on the disk",
        _ => "",
    }
}

fn tls_advice(error: &rustls::Error) -> &'static str {
    use rustls::{CertificateError as Certificate, Error};
    match error {
        Error::InvalidCertificate(Certificate::UnknownIssuer) => {
            "; its certificate is signed by a CA that is not trusted here: set `ca-file` of the \
             target to the certificate of that CA"
        }
        Error::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => "; its certificate is for another name: correct `endpoint` of the target",
        Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "; its certificate has expired: renew it there"
        }
        _ => "",
    }
}
