//! Every failure, as the operator reads it.

use std::io;

use rustls::CertificateError;

use super::super::{Action, PublishError, Refusal};
use crate::Report;

fn directory(kind: io::ErrorKind) -> PublishError {
    PublishError::Directory {
        action: Action::Write,
        path: "/srv/openid/v1/jwks".into(),
        source: kind.into(),
    }
}

fn tls(error: CertificateError) -> PublishError {
    PublishError::Tls {
        endpoint: "https://s3".to_owned(),
        source: rustls::Error::InvalidCertificate(error),
    }
}

fn status(status: u16) -> PublishError {
    PublishError::Status {
        action: Action::Read,
        object: "s3://b/openid/v1/jwks".to_owned(),
        status,
        code: Some("SlowDown".to_owned()),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_failure_has_a_reason_and_says_what_to_do() {
    let endpoint = "https://s3".to_owned();
    let object = "s3://b/openid/v1/jwks".to_owned();
    let target = "s3://b".to_owned();
    let cases = [
        (
            PublishError::AccessDenied {
                action: Action::Write,
                object: object.clone(),
            },
            "access-denied",
            "s3:PutObject",
        ),
        (
            PublishError::BucketMissing {
                bucket: "b".to_owned(),
                endpoint: endpoint.clone(),
            },
            "bucket-missing",
            "create it",
        ),
        (
            PublishError::CaFile {
                path: "/ca.crt".into(),
                problem: "it is empty".to_owned(),
            },
            "ca-file",
            "ca-file /ca.crt: it is empty",
        ),
        (
            PublishError::Connect {
                endpoint: endpoint.clone(),
                source: "refused".into(),
            },
            "connect",
            "could not reach https://s3: refused",
        ),
        (
            PublishError::Credentials {
                profile: Some("p".to_owned()),
                problem: "no answer in time".to_owned(),
            },
            "credentials",
            "in profile \"p\": no answer",
        ),
        (
            PublishError::CredentialsMissing { profile: None },
            "credentials-missing",
            "AWS_ACCESS_KEY_ID",
        ),
        (
            PublishError::CredentialsRefused {
                endpoint: endpoint.clone(),
                code: "RequestTimeTooSkewed".to_owned(),
            },
            "credentials-refused",
            "clock",
        ),
        (directory(io::ErrorKind::NotFound), "directory", "not found"),
        (
            directory(io::ErrorKind::PermissionDenied),
            "directory-denied",
            "write access",
        ),
        (
            directory(io::ErrorKind::ReadOnlyFilesystem),
            "directory-denied",
            "ReadWritePaths=",
        ),
        (
            directory(io::ErrorKind::StorageFull),
            "disk-full",
            "make room",
        ),
        (
            PublishError::Refused {
                target: target.clone(),
                source: Refusal::Unread,
            },
            "refused",
            "s3:ListBucket",
        ),
        (
            PublishError::RegionMissing {
                target: target.clone(),
            },
            "region-missing",
            "AWS_REGION",
        ),
        (
            PublishError::RegionWrong {
                target,
                region: "us-east-1".to_owned(),
                right: None,
            },
            "region-wrong",
            "set `region`",
        ),
        (
            PublishError::Response {
                endpoint: endpoint.clone(),
            },
            "response",
            "`endpoint`",
        ),
        (status(400), "status", "status 400 (SlowDown)"),
        (
            PublishError::Timeout { endpoint },
            "timeout",
            "did not answer in time",
        ),
        (tls(CertificateError::UnknownIssuer), "tls", "`ca-file`"),
        (
            tls(CertificateError::NotValidForName),
            "tls",
            "another name",
        ),
        (tls(CertificateError::Expired), "tls", "expired"),
        (
            PublishError::TooLarge {
                object,
                limit_bytes: 7,
            },
            "too-large",
            "longer than 7 bytes",
        ),
    ];
    for (error, reason, part) in cases {
        let message = Report(&error).to_string();
        assert_eq!(error.reason(), reason, "{message}");
        assert!(message.contains(part), "{message}");
        assert!(!message.ends_with('.'), "{message}");
    }
}

#[test]
fn what_heals_by_itself_needs_no_human() {
    assert!(!status(503).needs_a_human());
    assert!(status(400).needs_a_human());
    assert!(directory(io::ErrorKind::PermissionDenied).needs_a_human());
    let endpoint = "https://s3".to_owned();
    assert!(!PublishError::Timeout { endpoint }.needs_a_human());
}
