//! Keeps the store off file systems that belong to several machines.
//!
//! Their locks do not hold everywhere, and their shared memory never does, so that SQLite would
//! damage the store sooner or later.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::store::Error;

/// Types of file systems, as the kernel names them.
const SHARED: [&str; 18] = [
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "smb3",
    "smbfs",
    "vboxsf",
];

/// The same in user space, behind `fuse.`.
const SHARED_FUSE: [&str; 10] = [
    "ceph",
    "davfs2",
    "gcsfuse",
    "glusterfs",
    "goofys",
    "juicefs",
    "mount-s3",
    "rclone",
    "s3fs",
    "sshfs",
];

/// Refuses a folder that lies on one of them. Where the system does not tell, any will do.
pub(super) fn check(dir: &Path) -> Result<(), Error> {
    let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else {
        return Ok(());
    };
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    match kind(&mounts, &dir).filter(|kind| is_shared(kind)) {
        Some(kind) => Err(Error::SharedFileSystem {
            path: dir,
            kind: kind.to_owned(),
        }),
        None => Ok(()),
    }
}

fn is_shared(kind: &str) -> bool {
    match kind.strip_prefix("fuse.") {
        Some(kind) => SHARED_FUSE.contains(&kind),
        None => SHARED.contains(&kind),
    }
}

/// The type of the file system that holds a folder. Of several mounted in one place the last counts.
fn kind<'a>(mounts: &'a str, dir: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        // `36 35 98:0 /root /mnt/point options - type source options`, see proc(5).
        let Some((place, rest)) = line.split_once(" - ") else {
            continue;
        };
        let (Some(point), Some(kind)) = (place.split(' ').nth(4), rest.split(' ').next()) else {
            continue;
        };
        let point = unescaped(point);
        let depth = point.components().count();
        if dir.starts_with(&point) && best.is_none_or(|(known, _)| depth >= known) {
            best = Some((depth, kind));
        }
    }
    best.map(|(_, kind)| kind)
}

/// Spaces and their like are written as `\040`.
fn unescaped(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        match (code, part.get(3..)) {
            (Some(code), Some(rest)) => {
                path.push(char::from(code));
                path.push_str(rest);
            }
            _ => {
                path.push('\\');
                path.push_str(part);
            }
        }
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:35 / /data rw - nfs4 nas:/export rw,vers=4.2
41 40 0:36 / /data/local\\040disk rw - xfs /dev/vdb rw
42 22 0:37 / /home/ann/cloud rw - fuse.sshfs ann@host: rw
43 22 0:38 / /srv rw - fuse.lxcfs lxcfs rw
44 22 0:39 / /srv rw - cifs //nas/srv rw
broken line";

    #[test]
    fn folder_belongs_to_the_nearest_mount() {
        for (dir, expected) in [
            ("/var/lib/gateway", "ext4"),
            ("/data/gateway", "nfs4"),
            ("/database", "ext4"),
            ("/data/local disk/store", "xfs"),
            ("/home/ann/cloud/store", "fuse.sshfs"),
            ("/srv/store", "cifs"),
        ] {
            assert_eq!(kind(MOUNTS, Path::new(dir)), Some(expected), "{dir}");
        }
    }

    #[test]
    fn what_several_machines_share_is_known() {
        for kind in ["nfs", "nfs4", "cifs", "fuse.sshfs", "fuse.s3fs", "ceph"] {
            assert!(is_shared(kind), "{kind}");
        }
        for kind in [
            "ext4",
            "xfs",
            "btrfs",
            "zfs",
            "overlay",
            "tmpfs",
            "fuse.lxcfs",
            "virtiofs",
        ] {
            assert!(!is_shared(kind), "{kind}");
        }
    }
}
