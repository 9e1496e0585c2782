//! A directory that a web server serves: `file://…`.
//!
//! A file is replaced in one step, so that no reader ever sees half a document, and is on disk when
//! it is called written. Whatever our umask, the web server can read what we create.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tempfile::NamedTempFile;
use tokio::task;

use super::{
    error::{Action, PublishError},
    plan::{Name, Object, Pair, Standing},
};
use crate::oidc::MAX_DOCUMENT_BYTES;

/// The directory, with the documents at the paths that they have under the issuer.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What stands there.
    pub(super) async fn read(&self) -> Result<Pair<Standing>, PublishError> {
        Ok(Pair {
            jwks: self.read_one(Name::Jwks).await?,
            discovery: self.read_one(Name::Discovery).await?,
        })
    }

    async fn read_one(&self, name: Name) -> Result<Standing, PublishError> {
        let path = self.root.join(name.path());
        let file = path.clone();
        let body = off_thread(move || read(&file))
            .await
            .map_err(|source| failed(Action::Read, path, source))?;
        match body {
            None => Ok(Standing::Missing),
            Some(body) if body.len() > MAX_DOCUMENT_BYTES => Err(PublishError::TooLarge {
                object: self.root.join(name.path()).display().to_string(),
                limit_bytes: MAX_DOCUMENT_BYTES,
            }),
            Some(body) => Ok(Standing::Present(Object {
                body: body.into(),
                content_type: None,
                cache_control: None,
            })),
        }
    }

    /// Puts `object` there in one step.
    pub(super) async fn write(&self, name: Name, object: &Object) -> Result<(), PublishError> {
        let path = self.root.join(name.path());
        let (file, body) = (path.clone(), object.body.clone());
        off_thread(move || replace(&file, &body))
            .await
            .map_err(|source| failed(Action::Write, path, source))
    }
}

fn failed(action: Action, path: PathBuf, source: io::Error) -> PublishError {
    PublishError::Directory {
        action,
        path,
        source,
    }
}

/// File systems block, network ones for long.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::spawn_blocking(work).await?
}

/// The file's bytes, at most one more than a document may have; `None` when there is no file.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut body = Vec::new();
    file.take(MAX_DOCUMENT_BYTES as u64 + 1)
        .read_to_end(&mut body)?;
    Ok(Some(body))
}

fn replace(path: &Path, body: &Bytes) -> io::Result<()> {
    let directory = path.parent().expect("a document's path has a directory");
    create(directory)?;
    // Only within one file system is a rename one step.
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(body)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(FILE_MODE))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}

/// Creates `directory` and those above it, as far as they are missing.
fn create(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let above = directory.parent().filter(|above| *above != Path::new(""));
    if let Some(above) = above {
        create(above)?;
    }
    match fs::create_dir(directory) {
        Ok(()) => {}
        // Another publisher was faster.
        Err(_) if directory.is_dir() => return Ok(()),
        Err(error) => return Err(error),
    }
    fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE))?;
    above.map_or(Ok(()), |above| File::open(above)?.sync_all())
}

const DIRECTORY_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;
