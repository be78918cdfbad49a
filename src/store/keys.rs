//! The keys of a store, kept apart from it.
//!
//! Two kinds. The *bot key* derives the tokens of our bots, which are known to the portals, so it
//! never changes. *Sealing keys* close what is stored: the first one seals, all of them open, so a
//! new one can be put in front. A key's id is taken from its hash and always tells which key it is.
//!
//! Invariant: new keys are made only together with a new store. An old store without its keys is
//! refused, since new keys over it would lose every bot.

mod file;
mod ring;

use std::{
    fmt::{self, Write as _},
    io,
    path::PathBuf,
    sync::Arc,
};

use ::ring::{digest, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretBox, SecretString, zeroize::Zeroizing};

pub(super) use self::ring::Ring;
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
#[derive(Clone)]
pub struct Keys {
    bot: Arc<SecretBox<[u8; 32]>>,
    sealing: Vec<Arc<SealingKey>>,
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
        let mut sealing: Vec<Arc<SealingKey>> = Vec::new();
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
                    "seal" => sealing.push(Arc::new(SealingKey { id, secret })),
                    _ => return Err(malformed(RULE)),
                }
            }
        }
        if sealing.is_empty() {
            return Err(Error::Lacking("`seal:`"));
        }
        Ok(Self {
            bot: Arc::new(bot.ok_or(Error::Lacking("`bot:`"))?),
            sealing,
        })
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

    /// What stands in the address at which a portal posts the events of a bot: the same for the same
    /// portal and code, 43 characters of URL-safe base64 (256 bits), and not to be guessed.
    #[must_use]
    pub fn hook(&self, portal: &PortalId, code: &BotCode) -> SecretString {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.bot.expose_secret());
        let mut context = hmac::Context::with_key(&key);
        for part in ["bitrix24-gateway hook 1", portal.as_str(), code.as_str()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        URL_SAFE_NO_PAD.encode(context.sign()).into()
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

    /// The same keys with another one of them first: the one that seals with `other`, if it is here.
    pub(super) fn sealing_as(&self, other: &Self) -> Self {
        let mut keys = self.clone();
        let first = other.active().id;
        // Whatever stood before it keeps its order.
        keys.sealing.sort_by_key(|key| key.id != first);
        keys
    }

    /// The key that seals.
    pub(super) fn active(&self) -> &SealingKey {
        self.sealing
            .first()
            .expect("keys without a sealing key are refused when parsed")
    }

    /// The sealing key with an id.
    pub(super) fn sealing(&self, id: KeyId) -> Option<&SealingKey> {
        self.sealing
            .iter()
            .find(|key| key.id == id)
            .map(|key| &**key)
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
