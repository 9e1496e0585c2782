//! What a mirror remembers on disk: its ledger, and what the operator decided about its keys.
//!
//! A file is replaced in one step and is on disk before it counts. What cannot be read is kept
//! aside for a human and never stops the process.

use std::{
    collections::BTreeSet,
    fs::{self, File, Permissions, TryLockError},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    file,
    oidc::{Issuer, KeyName, Ledger, Time, parse_stored},
};

/// The state directory of this process: no other one may use it meanwhile.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    /// Held for as long as the process lives; `None` where the directory cannot be written.
    _lock: Option<File>,
    decided: watch::Sender<()>,
}

impl StateDir {
    /// Creates the directory if need be and takes its lock.
    ///
    /// A directory that cannot be written is no error: serving goes on without memory, and the
    /// failure to save is reported when it happens.
    ///
    /// # Errors
    ///
    /// [`StateError::Locked`] when another process uses the directory.
    pub fn open(root: &Path) -> Result<Self, StateError> {
        let root = root.to_owned();
        let lock = fs::create_dir_all(root.join(DECISIONS)).and_then(|()| {
            // The root of a volume may belong to somebody else, who has decided about it.
            _ = fs::set_permissions(&root, Permissions::from_mode(DIRECTORY_MODE));
            File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(root.join("lock"))
        });
        // A lock needs no right to write.
        let lock = lock.or_else(|_| File::open(root.join("lock"))).ok();
        match lock.as_ref().map(File::try_lock) {
            Some(Err(TryLockError::WouldBlock)) => Err(StateError::Locked { path: root }),
            None | Some(Ok(()) | Err(TryLockError::Error(_))) => Ok(Self {
                root,
                _lock: lock,
                decided: watch::Sender::new(()),
            }),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn decided(&self) -> watch::Receiver<()> {
        self.decided.subscribe()
    }

    pub(super) fn tell_decided(&self) {
        self.decided.send_replace(());
    }

    /// The files of the mirror of this name.
    pub fn store(&self, mirror: &str, issuer: &Issuer) -> Store {
        Store::new(&self.root, mirror, issuer)
    }
}

/// The files of one mirror.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    ledger: PathBuf,
    decisions: PathBuf,
    issuer: Issuer,
    /// A write that has not ended in time.
    under_way: Option<JoinHandle<io::Result<()>>>,
}

/// The ledger as it is on disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Saved {
    version: u32,
    issuer: String,
    ledger: Ledger,
}

/// What the operator decided about keys while the mirror ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Decisions {
    /// Keys that must not be published.
    #[serde(default)]
    pub revoked: BTreeSet<KeyName>,
    /// Held keys that may be published.
    #[serde(default)]
    pub approved: BTreeSet<KeyName>,
}

impl Store {
    /// The files of the mirror `name` under `root`; for reading, and for decisions.
    pub fn new(root: &Path, name: &str, issuer: &Issuer) -> Self {
        let file = format!("{}.json", file::escaped(name));
        Self {
            root: root.to_owned(),
            ledger: root.join(&file),
            decisions: root.join(DECISIONS).join(&file),
            issuer: issuer.clone(),
            under_way: None,
        }
    }

    /// The ledger as it was saved; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`StateError`] when there is one that cannot be used.
    pub fn load(&self) -> Result<Option<Ledger>, StateError> {
        let Some(saved) = read::<Saved>(&self.ledger)? else {
            return Ok(None);
        };
        if saved.issuer != self.issuer.as_str() {
            return Err(StateError::OtherIssuer {
                path: self.ledger.clone(),
                issuer: saved.issuer,
            });
        }
        Ok(Some(saved.ledger))
    }

    /// Moves the ledger's file out of the way, for a human to look at; says where it is.
    ///
    /// # Errors
    ///
    /// When it cannot be moved.
    pub fn set_aside(&self, now: Time) -> io::Result<PathBuf> {
        let seconds = now.unix().as_secs();
        let aside = self.ledger.with_extension(format!("unusable-{seconds}"));
        fs::rename(&self.ledger, &aside)?;
        Ok(aside)
    }

    /// Saves the ledger. Waits a little, so that what is published is remembered, and no longer,
    /// so that a disk that hangs holds up nothing.
    ///
    /// # Errors
    ///
    /// When the ledger is not known to be on disk.
    pub async fn save(&mut self, ledger: Ledger) -> Result<(), StateError> {
        let mut under_way = match self.under_way.take() {
            Some(under_way) => under_way,
            None => {
                let saved = Saved {
                    version: VERSION,
                    issuer: self.issuer.as_str().to_owned(),
                    ledger,
                };
                let path = self.ledger.clone();
                tokio::task::spawn_blocking(move || replace(&path, &saved, LEDGER_MODE))
            }
        };
        let path = || self.ledger.clone();
        match timeout(SAVE_PATIENCE, &mut under_way).await {
            Ok(Ok(written)) => written.map_err(|source| StateError::Write {
                path: path(),
                source,
            }),
            Ok(Err(died)) => Err(StateError::Write {
                path: path(),
                source: died.into(),
            }),
            Err(_) => {
                self.under_way = Some(under_way);
                Err(StateError::Slow { path: path() })
            }
        }
    }

    /// What the operator decided; nothing when there is no file.
    ///
    /// # Errors
    ///
    /// [`StateError`] when there is a file that cannot be used.
    pub fn decisions(&self) -> Result<Decisions, StateError> {
        decisions(&self.decisions)
    }

    /// As [`decisions`](Self::decisions), without holding up anything when the disk does.
    ///
    /// # Errors
    ///
    /// As [`decisions`](Self::decisions).
    pub async fn decisions_off_thread(&self) -> Result<Decisions, StateError> {
        let path = self.decisions.clone();
        let reading = tokio::task::spawn_blocking(move || decisions(&path));
        reading.await.unwrap_or_else(|died| {
            Err(StateError::Read {
                path: self.decisions.clone(),
                source: died.into(),
            })
        })
    }

    /// Changes what is decided, for good; a running mirror sees it within a second.
    ///
    /// # Errors
    ///
    /// [`StateError`] when the file cannot be read, locked or written.
    pub fn decide(&self, change: impl FnOnce(&mut Decisions)) -> Result<(), StateError> {
        let write = |source| StateError::Write {
            path: self.decisions.clone(),
            source,
        };
        let directory = self.root.join(DECISIONS);
        if !directory.is_dir() {
            fs::create_dir_all(&directory).map_err(write)?;
            let readable = Permissions::from_mode(DECISIONS_DIRECTORY_MODE);
            fs::set_permissions(&directory, readable).map_err(write)?;
        }
        // Against another one who decides at this moment.
        let lock = File::open(&directory).map_err(write)?;
        lock.lock().map_err(write)?;
        let mut content = self.decisions()?;
        change(&mut content);
        let decided = Versioned {
            version: VERSION,
            content,
        };
        replace(&self.decisions, &decided, DECISIONS_MODE).map_err(write)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

/// Only the version, which is read before the rest is understood.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn decisions(path: &Path) -> Result<Decisions, StateError> {
    let decided = read::<Versioned<Decisions>>(path)?;
    Ok(decided.map(|it| it.content).unwrap_or_default())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    let failed = |source| StateError::Read {
        path: path.to_owned(),
        source,
    };
    let Some(text) = file::read(path, MAX_FILE_BYTES).map_err(failed)? else {
        return Ok(None);
    };
    let corrupt = |source| StateError::Corrupt {
        path: path.to_owned(),
        source,
    };
    let Version { version } = parse_stored(&text).map_err(corrupt)?;
    if version != VERSION {
        return Err(StateError::OtherVersion {
            path: path.to_owned(),
            version,
        });
    }
    parse_stored(&text).map(Some).map_err(corrupt)
}

fn replace(path: &Path, content: &impl Serialize, mode: u32) -> io::Result<()> {
    fs::create_dir_all(path.parent().expect("a state file is in a directory"))?;
    file::replace(path, &serde_json::to_vec_pretty(content)?, mode)
}

/// Why what was remembered cannot be used, or cannot be remembered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// It is not what was written.
    #[error("{} is damaged", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where and how.
        source: serde_json::Error,
    },
    /// Another process uses the directory.
    #[error(
        "another process uses the state directory {}: stop it, or give each a directory of its own",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to another issuer, so to another cluster.
    #[error(
        "{} is of the issuer {}, whose keys are not to be mixed with those of another one",
        path.display(), issuer.chars().take(ISSUER_SHOWN_CHARS).collect::<String>().escape_debug()
    )]
    OtherIssuer {
        /// The file.
        path: PathBuf,
        /// The issuer in it.
        issuer: String,
    },
    /// Another release of this program wrote it.
    #[error(
        "{} has the format {version}, and this release reads {VERSION}: use the release that wrote \
         it",
        path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        version: u32,
    },
    /// It cannot be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The disk does not answer.
    #[error("{} is not written after {SAVE_PATIENCE:?}: is the disk all right?", path.display())]
    Slow {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("could not write {}{}", path.display(), advice(.source))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            " (give the user that this process runs as write access to the state directory)"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            " (make the state directory writable for this process; in a systemd unit: \
             StateDirectory=)"
        }
        io::ErrorKind::QuotaExceeded | io::ErrorKind::StorageFull => " (make room on the disk)",
        _ => "",
    }
}

/// The format of the files.
const VERSION: u32 = 1;
/// The sub-directory of what the operator decides: it changes with nothing else.
pub(super) const DECISIONS: &str = "decisions";
/// Keys are public, but who may write here decides what is published.
const DIRECTORY_MODE: u32 = 0o700;
const LEDGER_MODE: u32 = 0o600;
/// The operator decides as root, and the mirror, which has a user of its own, has to read it.
const DECISIONS_MODE: u32 = 0o644;
const DECISIONS_DIRECTORY_MODE: u32 = 0o755;
/// More than the largest ledger.
const MAX_FILE_BYTES: usize = 8 << 20;
/// How long a save may hold up what is published.
const SAVE_PATIENCE: Duration = Duration::from_secs(2);
/// As much of a foreign issuer as a message shows.
const ISSUER_SHOWN_CHARS: usize = 200;
