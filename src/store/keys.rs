//! The keys of a store, kept apart from it.
//!
//! Two kinds. The *bot key* derives the tokens of our bots, which are known to the portals, so it
//! never changes. *Sealing keys* close what is stored: the first one seals, all of them open, so a
//! new one can be put in front. A key's id is taken from its hash and always tells which key it is.
//!
//! Invariant: new keys are made only together with a new store. An old store without its keys is
//! refused, since new keys over it would lose every bot.

use std::{
    fmt::{self, Write as _},
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest, hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use secrecy::{ExposeSecret as _, SecretBox, SecretString, zeroize::Zeroizing};

use crate::ids::{BotCode, MessageKey, PortalId};

/// Why the keys cannot be had. Never says anything of their content.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The store is there, its keys are not.
    #[error(
        "the store exists but its key file {} does not: put it back, for new keys would not open it",
        path.display()
    )]
    Missing {
        /// The key file.
        path: PathBuf,
    },
    /// Others than the owner may read the keys.
    #[error(
        "the key file {} has mode {mode:04o}: only its owner may have access (chmod 0600)",
        path.display()
    )]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The keys lie beside what they close.
    #[error(
        "the key file {} is inside the store's folder: keep it elsewhere, or a copy of the folder gives everything away",
        path.display()
    )]
    InsideStore {
        /// The key file.
        path: PathBuf,
    },
    /// The text is not a set of keys.
    #[error("line {line} of the keys {rule}")]
    Malformed {
        /// The line, counted from 1.
        line: usize,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A key that must be there is not.
    #[error("the keys lack a {0} key")]
    Lacking(&'static str),
    /// The file cannot be read or made.
    #[error("cannot use the key file {}", path.display())]
    Io {
        /// The key file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Arc<io::Error>,
    },
    /// The system has no random numbers to give.
    #[error("the system gives no random numbers")]
    NoRandom,
}

/// A sealing key.
pub(super) struct SealingKey {
    pub(super) id: KeyId,
    pub(super) secret: SecretBox<[u8; 32]>,
}

/// The first bytes of a key's SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId(pub(super) [u8; 4]);

/// The keys of a store. `Debug` shows their ids only; the bytes are wiped when dropped.
pub struct Keys {
    bot: SecretBox<[u8; 32]>,
    sealing: Vec<SealingKey>,
}

const RULE: &str =
    "must hold `bot:` or `seal:` followed by 32 bytes in URL-safe base64 without padding";

impl Keys {
    /// Reads keys from text: `bot:{key}` once and `seal:{key}` at least once, the sealing one first,
    /// separated by spaces or line ends. `#` begins a comment.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the line and the rule, [`Error::Lacking`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut bot = None;
        let mut sealing: Vec<SealingKey> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let malformed = |rule| Error::Malformed {
                line: index + 1,
                rule,
            };
            let content = line.split('#').next().unwrap_or_default();
            for word in content.split_whitespace() {
                let (kind, key) = word.split_once(':').ok_or(malformed(RULE))?;
                let secret = decode(key).ok_or(malformed(RULE))?;
                let id = KeyId::of(secret.expose_secret());
                match kind {
                    "bot" if bot.is_some() => {
                        return Err(malformed("holds a second `bot:` key: there is only one"));
                    }
                    "bot" => bot = Some(secret),
                    "seal" if sealing.iter().any(|known| known.id == id) => {
                        return Err(malformed("holds a `seal:` key for the second time"));
                    }
                    "seal" => sealing.push(SealingKey { id, secret }),
                    _ => return Err(malformed(RULE)),
                }
            }
        }
        if sealing.is_empty() {
            return Err(Error::Lacking("`seal:`"));
        }
        Ok(Self {
            bot: bot.ok_or(Error::Lacking("`bot:`"))?,
            sealing,
        })
    }

    /// Reads the key file, or makes it when there is neither a key file nor a store. Says whether
    /// it was made.
    ///
    /// # Errors
    /// [`Error::Missing`] for a store without its key file, [`Error::Exposed`] when others may read
    /// it, and those of [`Keys::parse`].
    pub fn load_or_create(path: &Path, store_exists: bool) -> Result<(Self, bool), Error> {
        let io = |cause| Error::Io {
            path: path.to_owned(),
            cause: Arc::new(cause),
        };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && store_exists => {
                return Err(Error::Missing {
                    path: path.to_owned(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = generate()?;
                create(path, &text).map_err(io)?;
                return Ok((Self::parse(&text)?, true));
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
        Ok((Self::parse(&text)?, false))
    }

    /// The token of a bot: the same for the same portal, code and generation, 40 characters of
    /// hexadecimal (160 bits).
    #[must_use]
    pub fn bot_token(&self, portal: &PortalId, code: &BotCode, generation: u32) -> SecretString {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.bot.expose_secret());
        let mut context = hmac::Context::with_key(&key);
        // Lengths come first, so that no two bots can ever spell the same bytes.
        for part in [
            "bitrix24-gateway bot token 1",
            portal.as_str(),
            code.as_str(),
        ] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.update(&generation.to_be_bytes());
        hex(context.sign().as_ref().get(..20).unwrap_or_default()).into()
    }

    /// The client key of a message: the same for the same name, and not to be guessed from it.
    #[must_use]
    pub fn message_key(&self, name: &str) -> MessageKey {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.bot.expose_secret());
        let mut context = hmac::Context::with_key(&key);
        for part in ["bitrix24-gateway message key 1", name] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let tag = context.sign();
        let bytes = tag.as_ref().first_chunk();
        MessageKey::from_bytes(*bytes.expect("a SHA-256 has 32 bytes"))
    }

    /// The id of the bot key.
    #[must_use]
    pub fn bot_key_id(&self) -> String {
        format!("bot-{}", KeyId::of(self.bot.expose_secret()))
    }

    /// The ids of all keys, the bot key first, then the sealing key in use.
    #[must_use]
    pub fn ids(&self) -> String {
        self.all_ids().collect::<Vec<_>>().join(", ")
    }

    /// The same one by one.
    pub fn all_ids(&self) -> impl Iterator<Item = String> {
        let sealing = self.sealing.iter().map(|key| format!("seal-{}", key.id));
        std::iter::once(self.bot_key_id()).chain(sealing)
    }

    /// The key that seals.
    pub(super) fn active(&self) -> &SealingKey {
        self.sealing
            .first()
            .expect("keys without a sealing key are refused when parsed")
    }

    /// The sealing key with an id.
    pub(super) fn sealing(&self, id: KeyId) -> Option<&SealingKey> {
        self.sealing.iter().find(|key| key.id == id)
    }
}

impl KeyId {
    fn of(key: &[u8; 32]) -> Self {
        let mut id = [0; 4];
        let hash = digest::digest(&digest::SHA256, key);
        for (to, from) in id.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.ids())
    }
}

fn decode(text: &str) -> Option<SecretBox<[u8; 32]>> {
    // One byte more than a key, so that a longer text is not taken for one.
    let mut bytes = Zeroizing::new([0; 33]);
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut *bytes).ok()?;
    let key = bytes.first_chunk::<32>().filter(|_| length == 32)?;
    Some(SecretBox::init_with_mut(|secret: &mut [u8; 32]| {
        secret.copy_from_slice(key);
    }))
}

/// The text of a new key file.
fn generate() -> Result<Zeroizing<String>, Error> {
    let key = || {
        let mut bytes = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(&mut *bytes)
            .map_err(|_| Error::NoRandom)?;
        Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
    };
    let (bot, seal) = (key()?, key()?);
    Ok(Zeroizing::new(format!(
        "# Keys of a bitrix24-gateway store. Keep a copy apart from the store's backups: without it\n\
         # the store cannot be opened. The `bot` key never changes; the first `seal` key seals, all open.\n\
         bot:{}\nseal:{}\n",
        *bot, *seal
    )))
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(folder)?.sync_all())
        // Half a key file would be in the way of the next attempt.
        .inspect_err(|_| drop(std::fs::remove_file(path)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn made(dir: &Path) -> (PathBuf, Keys) {
        let path = dir.join("keys");
        let (keys, created) = Keys::load_or_create(&path, false).unwrap();
        assert!(created);
        (path, keys)
    }

    #[test]
    fn key_file_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, made) = made(dir.path());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (again, created) = Keys::load_or_create(&path, true).unwrap();
        assert!(!created);
        assert_eq!(made.ids(), again.ids());
    }

    #[test]
    fn old_store_never_gets_new_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let error = Keys::load_or_create(&path, true).unwrap_err();
        assert!(matches!(error, Error::Missing { .. }), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn key_file_others_may_read_is_refused_naming_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let (path, _) = made(dir.path());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Keys::load_or_create(&path, true).unwrap_err().to_string();
        assert!(error.contains("0640"), "{error}");
    }

    #[test]
    fn malformed_text_is_told_by_line_and_rule_never_by_content() {
        let text = generate().unwrap();
        for (wrong, told) in [
            ("bot:hush".to_owned(), "line 1"),
            (format!("{}\nhush", *text), "line 6"),
            (format!("{}other:hush", *text), "line 5"),
            (format!("{}{}", *text, *text), "line 7"),
            ("seal:".to_owned() + &"A".repeat(43), "`bot:`"),
            ("bot:".to_owned() + &"A".repeat(43), "`seal:`"),
            ("bot:".to_owned() + &"A".repeat(44), "line 1"),
            (String::new(), "`seal:`"),
        ] {
            let error = Keys::parse(&wrong).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
            assert!(!error.contains("hush") && !error.contains("AAA"), "{error}");
        }
    }

    #[test]
    fn keys_fit_on_one_line_and_debug_shows_ids_only() {
        let text = format!("bot:{} seal:{}", "A".repeat(43), "B".repeat(42) + "A");
        let shown = format!("{:?}", Keys::parse(&text).unwrap());
        assert_eq!(
            shown.len(),
            "Keys(bot-00000000, seal-00000000)".len(),
            "{shown}"
        );
        // The SHA-256 of 32 zero bytes begins with these.
        assert!(shown.starts_with("Keys(bot-66687aad, seal-"), "{shown}");
    }

    #[test]
    fn bot_token_depends_on_portal_code_and_generation() {
        let keys = Keys::parse(&generate().unwrap()).unwrap();
        let token = |portal: &str, code: &str, generation| {
            let token =
                keys.bot_token(&portal.parse().unwrap(), &code.parse().unwrap(), generation);
            token.expose_secret().to_owned()
        };
        let first = token("acme", "helper", 0);
        assert_eq!(first, token("acme", "helper", 0));
        assert_eq!(first.len(), 40);
        for other in [
            token("acm", "ehelper", 0),
            token("acme", "helper", 1),
            token("acme2", "helper", 0),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn message_key_is_the_same_for_the_same_name_and_keys() {
        let [keys, others] = [(), ()].map(|()| Keys::parse(&generate().unwrap()).unwrap());
        let first = keys.message_key("a");
        assert_eq!(first, keys.message_key("a"));
        assert_ne!(first, keys.message_key("b"));
        assert_ne!(first, others.message_key("a"));
    }
}
