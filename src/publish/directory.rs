//! A directory that a web server serves: `file://…`.
//!
//! A file is replaced in one step, so that no reader ever sees half a document, and is on disk when
//! it is called written. Whatever our umask, the web server can read what we create.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use tokio::task;

use super::{
    error::{Action, PublishError},
    object::{Condition, Found, Name, Object, Standing, Version},
};
use crate::file;

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

    /// What stands in the place of one object.
    pub(super) async fn read(&self, name: Name) -> Result<Found, PublishError> {
        let path = self.root.join(name.path());
        let wanted = path.clone();
        let body = off_thread(move || file::read(&wanted, name.limit_bytes()))
            .await
            .map_err(|source| failed(Action::Read, path, source))?;
        match body {
            None => Ok(Found {
                standing: Standing::Missing,
                version: None,
            }),
            Some(body) if body.len() > name.limit_bytes() => Err(PublishError::TooLarge {
                object: self.root.join(name.path()).display().to_string(),
                limit_bytes: name.limit_bytes(),
            }),
            Some(body) => Ok(Found {
                version: Some(version(&body)),
                standing: Standing::Present(Object {
                    body: body.into(),
                    content_type: None,
                    cache_control: None,
                }),
            }),
        }
    }

    /// Puts `object` there in one step while `condition` holds; `None` when it does not.
    pub(super) async fn write(
        &self,
        name: Name,
        object: &Object,
        condition: &Condition,
    ) -> Result<Option<Version>, PublishError> {
        let path = self.root.join(name.path());
        let (root, body) = (self.root.clone(), object.body.clone());
        let condition = condition.clone();
        off_thread(move || replace_if(&root, name, &body, &condition))
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

fn version(body: &[u8]) -> Version {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, body))
}

/// Replaces the file unless another publisher has done so: one at a time looks and writes.
fn replace_if(
    root: &Path,
    name: Name,
    body: &Bytes,
    condition: &Condition,
) -> io::Result<Option<Version>> {
    let private = root.join(Name::State.path());
    let private = private.parent().expect("the state is in a directory");
    create(root)?;
    if !private.is_dir() {
        create(private)?;
        fs::set_permissions(private, Permissions::from_mode(PRIVATE_DIRECTORY_MODE))?;
    }
    // It is unlocked when it is closed.
    let lock = File::open(private)?;
    lock.lock()?;
    let path = root.join(name.path());
    let present = file::read(&path, name.limit_bytes())?.map(|body| version(&body));
    let holds = match condition {
        Condition::IfMissing => present.is_none(),
        Condition::IfVersion(expected) => present.as_ref() == Some(expected),
    };
    if !holds {
        return Ok(None);
    }
    let mode = match name {
        Name::State => PRIVATE_FILE_MODE,
        Name::Discovery | Name::Jwks => FILE_MODE,
    };
    create(path.parent().expect("an object's path has a directory"))?;
    file::replace(&path, body, mode)?;
    Ok(Some(version(body)))
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
// What publishers know is not for those who read the documents.
const PRIVATE_DIRECTORY_MODE: u32 = 0o700;
const PRIVATE_FILE_MODE: u32 = 0o600;
