//! Why a service did not start, or does not take a new configuration.

use std::io;

use thiserror::Error;

use super::Exit;
use crate::{
    admin::AdminError, mirror::StateError, publish::PublishError, serve::ServeError,
    upstream::CredentialError,
};

/// Why the service did not start, or does not take a new configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The sockets that the service manager has handed over cannot be used.
    #[error(
        "the sockets of the service manager cannot be used; each must be a listening stream socket (ListenStream=, Accept=no)"
    )]
    Activation(#[source] io::Error),
    /// The operator cannot ask.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The credentials of a mirror cannot be used.
    #[error("mirror {mirror:?} has no usable credentials")]
    Credentials {
        /// The mirror.
        mirror: String,
        /// Why not.
        source: CredentialError,
    },
    /// A target cannot be used.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A setting that only a restart can change.
    #[error("{0} changes only with a restart: systemctl restart oidc-mirror")]
    NeedsRestart(&'static str),
    /// Nothing can be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<&StartError> for Exit {
    fn from(error: &StartError) -> Self {
        match error {
            // Another process may give the address back.
            StartError::Serve(ServeError::Bind(error)) if error.may_pass() => Self::Failed,
            StartError::Admin(error) if error.may_pass() => Self::Failed,
            // Another process may end.
            StartError::State(_) => Self::Failed,
            StartError::Activation(_)
            | StartError::Admin(_)
            | StartError::NeedsRestart(_)
            | StartError::Credentials { .. }
            | StartError::Publish(_)
            | StartError::Serve(_) => Self::Configuration,
        }
    }
}
