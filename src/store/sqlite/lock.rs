//! Keeps every other process out of the store's folder.
//!
//! The system lets go of the lock when the process ends, however it ends; the file stays, and what
//! it says is only there to tell the next process who holds it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process,
};

use jiff::Timestamp;

use crate::store::Error;

/// The exclusive lock of a folder, held until dropped.
pub(in crate::store) struct Lock(
    #[expect(dead_code, reason = "the lock is held by the open file")] File,
);

impl Lock {
    pub(super) fn take(dir: &Path, now: Timestamp) -> Result<Self, Error> {
        let path = dir.join("lock");
        let io = |cause| Error::not_writable(&path, cause);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked {
                    holder: holder(&file),
                    path,
                });
            }
            Err(TryLockError::Error(cause)) => return Err(io(cause)),
        }
        sign(&mut file, now).map_err(io)?;
        Ok(Self(file))
    }
}

fn sign(file: &mut File, now: Timestamp) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "process {} since {now:.0}", process::id())
}

/// What the holder wrote; it may be about to write it, or be anything.
fn holder(file: &File) -> String {
    let mut text = String::new();
    match file.take(200).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "it does not say which".to_owned(),
    }
}
