//! Keys that the operator adds beside those of the upstreams: read again each round.

use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt as _;
use tracing::{error, info};

use crate::{
    Report,
    alarm::{Alarm, Change},
    oidc::{KeySet, Listing, MAX_DOCUMENT_BYTES},
};

/// One file of public keys.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    failing: Alarm,
}

impl KeyFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            failing: Alarm::default(),
        }
    }

    /// The keys in it now; while it cannot be used nothing is known to be absent.
    pub(super) async fn list(&mut self, mirror: &str) -> Listing {
        let keys = read(&self.path).await;
        let path = self.path.display();
        match (self.failing.set(keys.is_err()), &keys) {
            (Some(Change::Started), Err(error)) => error!(
                mirror, %path, error = %Report(error.as_ref()),
                "a file of extra keys cannot be used; correct it, or take it out of extra-keys"
            ),
            (Some(Change::Ended), _) => {
                info!(mirror, %path, "the file of extra keys can be used again");
            }
            _ => {}
        }
        Listing {
            source: path.to_string(),
            is_file: true,
            keys: keys.ok(),
        }
    }
}

async fn read(path: &Path) -> Result<KeySet, Box<dyn std::error::Error + Send + Sync>> {
    let mut text = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(MAX_DOCUMENT_BYTES as u64 + 1)
        .read_to_end(&mut text)
        .await?;
    Ok(KeySet::parse_file(&text)?)
}
