//! A certificate and its key in two files that somebody else renews.

use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;
use tokio::time::sleep;

use super::{
    pair::{Pair, PairError},
    slot::{Slot, Statuses},
};
use crate::{Report, clock, config::settings::KeyPairFiles, file, oidc::Time};

/// Two files, and the certificate that was last taken from them.
#[derive(Clone, Debug)]
pub(super) struct Files {
    paths: KeyPairFiles,
    pub(super) slot: Slot,
    pub(super) taken: Digests,
    /// Looks in a row that found nothing to use.
    bad_looks: u32,
}

/// Stands for the contents of both files.
pub(super) type Digests = [Vec<u8>; 2];

/// What is in the files when it is not what was taken from them last.
pub(super) type Found = Result<Option<(Pair, Digests)>, TlsError>;

impl Files {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] when they cannot be used.
    pub(super) async fn open(files: &KeyPairFiles, statuses: &Statuses) -> Result<Self, TlsError> {
        let (pair, taken) = look_off_thread(files, &Digests::default())
            .await?
            .expect("no file has an empty digest");
        Ok(Self {
            slot: Slot::new(&files.cert_file.display().to_string(), Some(pair), statuses),
            paths: files.clone(),
            taken,
            bad_looks: 0,
        })
    }

    /// Takes what is put into the files, for ever.
    ///
    /// Looking is cheap, and misses nothing: a watch on a file loses it when somebody swaps a
    /// symbolic link above it, as Kubernetes does.
    pub(super) async fn keep(mut self) -> Infallible {
        loop {
            self.slot.look_at_clock(clock::now());
            sleep(LOOK_INTERVAL).await;
            let found = look_off_thread(&self.paths, &self.taken).await;
            self.see(found, clock::now());
        }
    }

    pub(super) fn see(&mut self, found: Found, now: Time) {
        let found = found.and_then(|found| self.prefer(found, now));
        let is_bad = found.is_err();
        match found {
            Ok(None) => self.slot.recover(),
            Ok(Some((pair, digests))) => {
                self.taken = digests;
                self.slot.take(pair);
            }
            // Two files are not replaced in one step: somebody may be in the middle of it.
            Err(_) if self.bad_looks == 0 => {}
            Err(error) => self.slot.fail(error.reason(), Report(&error).to_string()),
        }
        self.bad_looks = if is_bad {
            self.bad_looks.saturating_add(1)
        } else {
            0
        };
    }

    /// Refuses an expired certificate while the present one is good.
    fn prefer(&self, found: Option<(Pair, Digests)>, now: Time) -> Found {
        let present = self.slot.pair();
        let is_good = present.is_some_and(|present| !present.is_expired(now));
        match &found {
            Some((new, _)) if is_good && new.is_expired(now) => Err(TlsError::Expired {
                path: self.paths.cert_file.clone(),
                not_after: new.not_after,
            }),
            _ => Ok(found),
        }
    }
}

async fn look_off_thread(files: &KeyPairFiles, taken: &Digests) -> Found {
    let path = files.cert_file.clone();
    let (files, taken) = (files.clone(), taken.clone());
    let looking = tokio::task::spawn_blocking(move || look(&files, &taken));
    looking.await.unwrap_or_else(|died| {
        let source = died.into();
        Err(TlsError::Read { path, source })
    })
}

pub(super) fn look(files: &KeyPairFiles, taken: &Digests) -> Found {
    let [chain, key] = [read(&files.cert_file)?, read(&files.key_file)?];
    let digests = [&chain, &key].map(|content| digest(&SHA256, content).as_ref().to_vec());
    if digests == *taken {
        return Ok(None);
    }
    let pair = Pair::parse(&chain, &key).map_err(|source| TlsError::Pair {
        files: files.clone(),
        source,
    })?;
    Ok(Some((pair, digests)))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    let content = file::read(path, MAX_FILE_BYTES).and_then(file::required);
    let content = content.map_err(failed)?;
    if content.len() > MAX_FILE_BYTES {
        let why = format!("it is larger than {MAX_FILE_BYTES} bytes");
        return Err(failed(io::Error::other(why)));
    }
    Ok(content)
}

/// Why a certificate in files is not used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// It expired.
    #[error("the certificate {} has expired at {not_after}", path.display())]
    Expired {
        /// The certificate.
        path: PathBuf,
        /// When.
        not_after: Time,
    },
    /// The two files are no certificate with its key.
    #[error(
        "the certificate {} and the private key {} cannot be used",
        files.cert_file.display(), files.key_file.display()
    )]
    Pair {
        /// The files.
        files: KeyPairFiles,
        /// Why not.
        source: PairError,
    },
    /// A file cannot be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl TlsError {
    /// A short label for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::Pair { .. } => "pair",
            Self::Read { .. } => "read",
        }
    }
}

/// How long a new certificate may stand there without being used.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// More than any chain has.
const MAX_FILE_BYTES: usize = 1 << 20;
