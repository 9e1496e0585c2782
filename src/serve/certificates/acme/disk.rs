//! The account at an ACME server and what it issued, in the state directory.
//!
//! Both are secrets: directories and files are for the owner only. A file is replaced in one step.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use super::{
    super::pair::{Pair, PairError},
    error::AcmeError,
};
use crate::{config::settings, file};

/// The files of one ACME server: an account is nothing to another one.
#[derive(Clone, Debug)]
pub(super) struct Disk(PathBuf);

impl Disk {
    pub(super) fn new(acme: &settings::Acme) -> Self {
        let server = file::escaped(acme.directory.as_str()).to_string();
        Self(acme.keep_in.join(server))
    }

    /// The account, which belongs to `external` if there is one.
    pub(super) fn account(&self, external: Option<&settings::ExternalAccount>) -> PathBuf {
        self.0.join(match external {
            None => "account.json".to_owned(),
            Some(external) => format!("account-{}.json", file::escaped(&external.key_id)),
        })
    }

    /// The certificate of `domain` with its key, in one file, so that neither is there without the
    /// other.
    pub(super) fn certificate(&self, domain: &str) -> PathBuf {
        self.0.join(format!("{}.pem", file::escaped(domain)))
    }
}

/// What the file holds; `None` when there is none.
pub(super) async fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let path = path.to_owned();
    off_thread(move || file::read(&path, MAX_FILE_BYTES)).await
}

/// What the file holds, which has to be there.
pub(super) async fn read_required(path: &Path) -> Result<Vec<u8>, AcmeError> {
    let content = read(path).await.and_then(file::required);
    content.map_err(|source| AcmeError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The certificate and key in the file; `None` when there is none.
pub(super) async fn read_pair(path: &Path) -> io::Result<Option<Result<Pair, PairError>>> {
    let pem = read(path).await?;
    Ok(pem.map(|pem| Pair::parse(&pem, &pem)))
}

/// Writes the file for its owner only.
pub(super) async fn write(path: &Path, content: Vec<u8>) -> io::Result<()> {
    let path = path.to_owned();
    off_thread(move || {
        let directory = path.parent().expect("it is in the directory of its server");
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)?;
        file::replace(&path, &content, FILE_MODE)
    })
    .await
}

/// Removes the file.
pub(super) async fn remove(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    off_thread(move || fs::remove_file(path)).await
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|died| Err(died.into()))
}

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// More than any chain or account has.
const MAX_FILE_BYTES: usize = 1 << 20;
