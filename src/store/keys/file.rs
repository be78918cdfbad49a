//! The key file: read, made with a new store, and given a new sealing key or rid of an old one.
//!
//! Rule: there is never a moment without the keys that were there. A changed file is written beside the
//! old one and takes its place when it is whole and on the disk.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::zeroize::Zeroizing;

use super::{Error, KeyId, Keys};

impl Keys {
    /// Reads the key file, or makes it when there is neither a key file nor a store. Says whether
    /// it was made.
    ///
    /// # Errors
    /// [`Error::Missing`] for a store without its key file, [`Error::Exposed`] when others may read
    /// it, and those of [`Keys::parse`].
    pub fn load_or_create(path: &Path, store_exists: bool) -> Result<(Self, bool), Error> {
        match read(path) {
            Err(Error::Missing { .. }) if !store_exists => {
                let text = generate()?;
                write(path, &text, None).map_err(|cause| unusable(path, cause))?;
                Ok((Self::parse(&text)?, true))
            }
            text => Ok((Self::parse(&text?)?, false)),
        }
    }

    /// Puts a new sealing key in front of the others in a key file.
    ///
    /// # Errors
    /// When the file cannot be read or written; then it is as it was.
    pub fn put_new_in_front(path: &Path) -> Result<Self, Error> {
        let text = read(path)?;
        Self::parse(&text)?;
        let key = new_key()?;
        let first = words(&text).find(|(_, word)| word.starts_with("seal:"));
        let at = first.map_or(text.len(), |(at, _)| at);
        let alone = at == 0 || text.as_bytes().get(at - 1) == Some(&b'\n');
        let (before, after) = text.split_at(at);
        let end = if alone { '\n' } else { ' ' };
        let changed = Zeroizing::new(format!("{before}seal:{}{end}{after}", *key));
        replace(path, &changed)
    }

    /// Takes a sealing key out of a key file, if it is there and not the one in front.
    ///
    /// # Errors
    /// When the file cannot be read or written; then it is as it was.
    pub fn take_out(path: &Path, id: &str) -> Result<Self, Error> {
        let text = read(path)?;
        let keys = Self::parse(&text)?;
        let is_it = |word: &str| {
            let key = word.strip_prefix("seal:").and_then(super::decode);
            key.is_some_and(|key| {
                use secrecy::ExposeSecret as _;
                format!("seal-{}", KeyId::of(key.expose_secret())) == id
            })
        };
        let found = words(&text).find(|(_, word)| is_it(word));
        let Some((at, word)) = found.filter(|_| format!("seal-{}", keys.active().id) != id) else {
            return Ok(keys);
        };
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        let alone = before.is_empty() || before.ends_with('\n');
        let after = after
            .strip_prefix(if alone { '\n' } else { ' ' })
            .unwrap_or(after);
        let changed = Zeroizing::new([before, after].concat());
        replace(path, &changed)
    }
}

/// The words of a text that are no comments, with where they begin.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.split_inclusive('\n').scan(0, |next, line| {
        let at = *next;
        *next += line.len();
        Some((at, line.split('#').next().unwrap_or_default()))
    });
    lines.flat_map(|(line_at, line)| {
        line.split_whitespace().map(move |word| {
            // Both are parts of one text.
            (
                line_at + (word.as_ptr() as usize - line.as_ptr() as usize),
                word,
            )
        })
    })
}

fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let io = |cause| unusable(path, cause);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::Missing {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(io(error)),
    };
    let mode = file.metadata().map_err(io)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

fn unusable(path: &Path, cause: io::Error) -> Error {
    Error::Io {
        path: path.to_owned(),
        cause: Arc::new(cause),
    }
}

/// The text of a new key file.
pub(super) fn generate() -> Result<Zeroizing<String>, Error> {
    let (bot, seal) = (new_key()?, new_key()?);
    Ok(Zeroizing::new(format!(
        "# Keys of a bitrix24-gateway store. Keep a copy apart from the store's backups: without it\n\
         # the store cannot be opened. The `bot` key never changes; the first `seal` key seals, all open.\n\
         bot:{}\nseal:{}\n",
        *bot, *seal
    )))
}

fn new_key() -> Result<Zeroizing<String>, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom::new()
        .fill(&mut *bytes)
        .map_err(|_| Error::NoRandom)?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}

/// Puts a changed text in the place of a key file.
fn replace(path: &Path, text: &str) -> Result<Keys, Error> {
    // Nothing takes the place of good keys that is not good.
    let keys = Keys::parse(text)?;
    let real = fs::canonicalize(path).map_err(|cause| unusable(path, cause))?;
    let old = fs::metadata(&real).map_err(|cause| unusable(path, cause))?;
    write(&real, text, Some((old.uid(), old.gid()))).map_err(|cause| unusable(path, cause))?;
    Ok(keys)
}

/// Writes a whole key file, or nothing. `owner`: of the one it replaces; `None` where there is none, and
/// none is replaced.
fn write(path: &Path, text: &str, owner: Option<(u32, u32)>) -> io::Result<()> {
    let folder = crate::store::backup::folder_of(path);
    fs::create_dir_all(folder)?;
    let draft = draft_of(path);
    // What a process left behind that was killed. Only who holds the store writes.
    if let Err(error) = fs::remove_file(&draft)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let placed = fill(&draft, text, owner).and_then(|()| match owner {
        Some(_) => fs::rename(&draft, path),
        None => fs::hard_link(&draft, path).and_then(|()| fs::remove_file(&draft)),
    });
    // Half a key file would only be in the way; the first failure is the one to tell.
    placed.inspect_err(|_| drop(fs::remove_file(&draft)))?;
    File::open(folder)?.sync_all()
}

fn fill(draft: &Path, text: &str, owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    if let Some((user, group)) = owner {
        let made = file.metadata()?;
        // Whoever runs the gateway must be able to read it, whoever else changed it.
        if (made.uid(), made.gid()) != (user, group) {
            chown(draft, Some(user), Some(group))?;
        }
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}
