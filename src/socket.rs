//! Unix sockets for processes of this machine.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

/// A socket in the file system, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// The file that is ours, and no later one of the same name.
    inode: u64,
    owner: u32,
}

impl Socket {
    /// Makes the socket, with the permissions of `mode`. One that nobody listens on any more is replaced; whatever else stands there is
    /// left alone.
    pub(crate) fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(found) if !found.file_type().is_socket() => {
                let rule = "there is something else than a socket, which is left alone";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, rule));
            }
            Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
                Err(error) => return Err(error),
            },
        }
        // Made beside and moved over: it is there with the right mode or not at all.
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(name);
        if let Err(error) = fs::remove_file(&beside)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let listener = UnixListener::bind(&beside)?;
        let placed = fs::set_permissions(&beside, fs::Permissions::from_mode(mode))
            .and_then(|()| fs::rename(&beside, path))
            .and_then(|()| fs::symlink_metadata(path));
        match placed {
            Ok(file) => Ok(Self {
                listener,
                path: path.to_owned(),
                inode: file.ino(),
                owner: file.uid(),
            }),
            Err(error) => {
                // The first failure is the one to tell.
                let _removed = fs::remove_file(&beside);
                Err(error)
            }
        }
    }

    /// The user that it belongs to, which is ours.
    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode);
        if ours {
            // What stays behind is replaced at the next start.
            let _removed = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODE: u32 = 0o660;

    #[tokio::test]
    async fn stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.sock");
        // Left behind by a process that was killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = Socket::bind(&path, MODE).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let error = Socket::bind(&path, MODE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "data").unwrap();
        assert!(Socket::bind(&path, MODE).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"data");
    }

    #[tokio::test]
    async fn socket_of_a_later_process_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.sock");
        let first = Socket::bind(&path, MODE).unwrap();
        fs::remove_file(&path).unwrap();
        let _second = Socket::bind(&path, MODE).unwrap();
        drop(first);
        assert!(path.exists());
    }
}
