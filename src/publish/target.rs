//! One target, whatever its kind.

use std::fmt;

use super::{
    directory::Directory,
    error::PublishError,
    plan::{Change, plan},
    s3::{Bucket, SharedCredentialsProvider},
};
use crate::{
    config::settings::{Metadata, Target},
    oidc::Snapshot,
};

/// Publishes snapshots to one target.
#[derive(Clone, Debug)]
pub struct Publisher {
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Bucket {
        bucket: Box<Bucket>,
        metadata: Metadata,
    },
    Directory(Directory),
}

impl Publisher {
    /// Makes ready to publish; nothing is read or written yet.
    ///
    /// # Errors
    ///
    /// A CA file that cannot be used, or no region.
    pub async fn open(target: &Target, metadata: &Metadata) -> Result<Self, PublishError> {
        Self::open_with(target, metadata, None).await
    }

    /// As [`open`](Self::open), with `credentials` for a bucket instead of those that profile,
    /// environment or instance give.
    ///
    /// # Errors
    ///
    /// A CA file that cannot be used, or no region.
    pub async fn open_with(
        target: &Target,
        metadata: &Metadata,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Result<Self, PublishError> {
        let place = match target {
            Target::Directory(root) => Place::Directory(Directory::new(root.clone())),
            Target::S3(target) => Place::Bucket {
                bucket: Box::pin(Bucket::open(target, credentials)).await?.into(),
                metadata: metadata.clone(),
            },
        };
        Ok(Self { place })
    }

    /// Makes the target hold `snapshot`, and says what that changed: nothing when it held it.
    ///
    /// # Errors
    ///
    /// The first failure. The keys may then be newer than the discovery document, never older.
    pub async fn publish(&self, snapshot: &Snapshot) -> Result<Vec<Change>, PublishError> {
        let changes = self.compare(snapshot).await?;
        for change in &changes {
            match &self.place {
                Place::Bucket { bucket, .. } => bucket.write(change.name, &change.wanted).await?,
                Place::Directory(dir) => dir.write(change.name, &change.wanted).await?,
            }
        }
        Ok(changes)
    }

    /// What [`publish`](Self::publish) would change.
    ///
    /// # Errors
    ///
    /// When the target cannot be read, or `snapshot` must not be published over what it holds.
    pub async fn compare(&self, snapshot: &Snapshot) -> Result<Vec<Change>, PublishError> {
        let planned = match &self.place {
            Place::Bucket { bucket, metadata } => {
                plan(bucket.read().await?, snapshot, Some(metadata))
            }
            Place::Directory(directory) => plan(directory.read().await?, snapshot, None),
        };
        planned.map_err(|source| PublishError::Refused {
            target: self.to_string(),
            source,
        })
    }
}

/// The URL of the target.
impl fmt::Display for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Bucket { bucket, .. } => f.write_str(&bucket.url()),
            Place::Directory(directory) => write!(f, "file://{}", directory.root().display()),
        }
    }
}
