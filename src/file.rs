//! Files that are read whole and replaced in one step.

use std::{
    fmt::Display,
    fs::{File, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tempfile::NamedTempFile;

/// Any text as the name of a file.
pub(crate) fn escaped(text: &str) -> impl Display {
    utf8_percent_encode(text, ESCAPED)
}

/// The file's bytes, at most one more than `limit_bytes`; `None` when there is no file.
pub(crate) fn read(path: &Path, limit_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut body = Vec::new();
    file.take(limit_bytes as u64 + 1).read_to_end(&mut body)?;
    Ok(Some(body))
}

/// What was read, where it is an error that there is no file.
pub(crate) fn required(content: Option<Vec<u8>>) -> io::Result<Vec<u8>> {
    content.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such file"))
}

/// Replaces the file in one step, so that no reader ever sees half of it, in a directory that is
/// there. It is on disk when this ends.
pub(crate) fn replace(path: &Path, body: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().expect("a file is in a directory");
    // Only within one file system is a rename one step.
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(body)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}

/// What stays as it is in a file name.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
