//! What the failures of the SDK mean to the operator.

use std::{error::Error, io};

use aws_config::imds::client::error::ImdsError;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};

use super::Bucket;
use crate::publish::{
    error::{Action, PublishError},
    object::{Name, Standing},
};

/// What an unsuccessful read says about the object; `None` when it says nothing.
pub(super) fn absent<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<Standing> {
    let status = error.raw_response()?.status().as_u16();
    match (status, error.code()) {
        (404, None | Some("NoSuchKey" | "NotFound")) => Some(Standing::Missing),
        // Who may not list a bucket is told 403 for a missing key, as for a denied one.
        (403, code) if !code.is_some_and(is_about_credentials) => Some(Standing::Unreadable),
        _ => None,
    }
}

/// Whether a conditional write was refused because its condition does not hold: S3 answers 412, 409
/// when another write is under way, and 404 when the object to replace is gone.
pub(super) fn is_conflict<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let status = error.raw_response().map(|it| it.status().as_u16());
    match (status, error.code()) {
        (Some(412), _) => true,
        (Some(409), code) => matches!(
            code,
            None | Some("ConditionalRequestConflict" | "OperationAborted" | "PreconditionFailed")
        ),
        (Some(404), code) => code == Some("NoSuchKey"),
        _ => false,
    }
}

impl Bucket {
    /// What `error` means.
    pub(super) fn failure<E>(&self, action: Action, name: Name, error: SdkError<E>) -> PublishError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        if let Some(error) = chain(&error).find_map(|error| error.downcast_ref()) {
            return self.no_credentials(error);
        }
        if let Some(tls) = chain(&error).find_map(|error| error.downcast_ref::<rustls::Error>()) {
            return PublishError::Tls {
                endpoint: self.endpoint.clone(),
                source: tls.clone(),
            };
        }
        let endpoint = self.endpoint.clone();
        match error {
            SdkError::ServiceError(_) => self.refusal(action, name, &error),
            SdkError::TimeoutError(_) => self.timed_out(),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => self.timed_out(),
            SdkError::DispatchFailure(_) => PublishError::Connect {
                endpoint,
                source: error
                    .into_source()
                    .unwrap_or_else(|error| Box::new(error) as _),
            },
            _ => PublishError::Response { endpoint },
        }
    }

    /// The store answered, and it was no.
    fn refusal<E>(&self, action: Action, name: Name, error: &SdkError<E>) -> PublishError
    where
        E: ProvideErrorMetadata,
    {
        let endpoint = self.endpoint.clone();
        let Some(response) = error.raw_response() else {
            return PublishError::Response { endpoint };
        };
        let code = error.code().filter(|code| is_token(code));
        let status = response.status().as_u16();
        let named_region = response
            .headers()
            .get("x-amz-bucket-region")
            .or_else(|| region_in(response.body().bytes()?))
            .filter(|region| is_token(region) && *region != self.region);
        match (status, code) {
            (_, Some("NoSuchBucket")) => PublishError::BucketMissing {
                bucket: self.target.bucket.clone(),
                endpoint,
            },
            (_, Some(code)) if is_about_region(code) => PublishError::RegionWrong {
                target: self.url(),
                region: self.region.clone(),
                right: named_region.map(str::to_owned),
            },
            (_, Some(code)) if is_about_credentials(code) => PublishError::CredentialsRefused {
                endpoint,
                code: code.to_owned(),
            },
            (403, _) => PublishError::AccessDenied {
                action,
                object: self.object(name),
            },
            // A store names a code with every refusal; what stands in its place does not.
            (..500, None) => PublishError::Response { endpoint },
            (_, code) => PublishError::Status {
                action,
                object: self.object(name),
                status,
                code: code.map(str::to_owned),
            },
        }
    }

    fn no_credentials(&self, error: &CredentialsError) -> PublishError {
        let profile = self.target.profile.clone();
        // The instance metadata service is asked last, when no other place has any. Where it is
        // not Amazon's, as in other clouds, it answers in its own way.
        let missing = matches!(error, CredentialsError::CredentialsNotLoaded(_))
            || chain(error).any(<dyn Error>::is::<ImdsError>);
        if missing {
            return PublishError::CredentialsMissing { profile };
        }
        let problem = match error {
            CredentialsError::InvalidConfiguration(_) => innermost(error).to_string(),
            CredentialsError::ProviderTimedOut(_) => "no answer in time".to_owned(),
            // The source may repeat what a remote service said, so only its code is shown.
            _ => chain(error)
                .find_map(|error| error.downcast_ref::<ErrorMetadata>()?.code())
                .filter(|code| is_token(code))
                .map_or_else(
                    || "the service that issues them gave none".to_owned(),
                    |code| format!("the service that issues them says {code}"),
                ),
        };
        PublishError::Credentials { profile, problem }
    }
}

/// `error` and what caused it. The source of an [`io::Error`] skips the error that it wraps.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    chain(error).last().unwrap_or(error)
}

/// Error codes that say the bucket is in another region than the one that was signed for.
fn is_about_region(code: &str) -> bool {
    matches!(
        code,
        "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "PermanentRedirect"
            | "TemporaryRedirect"
    )
}

/// Error codes that say the credentials are no good for any request.
fn is_about_credentials(code: &str) -> bool {
    matches!(
        code,
        "ExpiredToken"
            | "InvalidAccessKeyId"
            | "InvalidToken"
            | "RequestTimeTooSkewed"
            | "SignatureDoesNotMatch"
            | "TokenRefreshRequired"
    )
}

/// Whether a store's word is short and plain enough to be repeated.
fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// The `Region` that an error document names.
fn region_in(document: &[u8]) -> Option<&str> {
    let document = std::str::from_utf8(document).ok()?;
    let (_, rest) = document.split_once("<Region>")?;
    Some(rest.split_once("</Region>")?.0)
}

/// The longest error code or region that is repeated.
const MAX_TOKEN_BYTES: usize = 64;
