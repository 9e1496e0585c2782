//! How things stand, as plain values: what the status page shows, what `oidc-mirror status` prints,
//! and what `/readyz` is rendered from.

mod certificate;
mod check;
mod checks;
mod key;
mod mirror;
mod process;

#[cfg(test)]
mod sample;

pub use certificate::CertificateStanding;
pub use check::{Check, Verdict};
pub use key::KeyStanding;
pub use mirror::{
    MirrorStanding, ReadBackStanding, SnapshotStanding, TargetStanding, UpstreamStanding,
};
pub use process::Standing;

pub(super) use checks::checks;
#[cfg(test)]
pub(crate) use sample::sample;
