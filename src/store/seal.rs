//! Closes what could hurt in foreign hands.
//!
//! A sealed value is `version, key id, nonce, ciphertext`, all under AES-256-GCM. It is bound to the
//! place it belongs to: moved to another row, table or portal it does not open.

use std::sync::Arc;

use ring::{
    aead,
    rand::{SecureRandom as _, SystemRandom},
};
use rusqlite::{
    ToSql,
    types::{ToSqlOutput, ValueRef},
};
use secrecy::{ExposeSecret as _, zeroize::Zeroizing};

use super::keys::{KeyId, Keys, SealingKey};

const VERSION: u8 = 1;
/// Version and key id.
const HEAD: usize = 1 + 4;

/// Why a value cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It was sealed with a key that is not among ours.
    #[error("it was sealed with the key {0}, which is not among the keys given")]
    UnknownKey(String),
    /// It was changed, or belongs elsewhere.
    #[error("it was changed, or belongs to another place")]
    Forged,
    /// It is no sealed value, or one of a newer release.
    #[error("it is not a sealed value this release knows")]
    UnknownForm,
    /// The system has no random numbers to give.
    #[error("the system gives no random numbers")]
    NoRandom,
}

/// A sealed value on its way into the database. It holds its keys: while it is there nobody can say that
/// nothing more comes that they sealed.
pub(super) struct Sealed {
    bytes: Vec<u8>,
    _keys: Arc<Keys>,
}

impl Sealed {
    pub(super) fn new(keys: &Arc<Keys>, aad: &[u8], plain: &[u8]) -> Result<Self, Error> {
        Ok(Self {
            bytes: seal(keys, aad, plain)?,
            _keys: Arc::clone(keys),
        })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl ToSql for Sealed {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.bytes)))
    }
}

/// Names the place a value belongs to. Parts of different places never spell the same bytes.
#[must_use]
pub fn place(parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    bytes
}

/// Seals a value for a place, with the key in use.
///
/// # Errors
/// [`Error::NoRandom`].
pub fn seal(keys: &Keys, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
    let key = keys.active();
    let mut nonce = [0; aead::NONCE_LEN];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| Error::NoRandom)?;
    let mut sealed = Vec::with_capacity(HEAD + nonce.len() + plain.len() + 16);
    sealed.push(VERSION);
    sealed.extend(key.id.0);
    let bound = bound(&sealed, aad);
    sealed.extend(nonce);
    // Sealed in a buffer of its own size: growing would leave plain bytes behind in freed memory.
    let mut content = Vec::with_capacity(plain.len() + 16);
    content.extend_from_slice(plain);
    cipher(key)
        .seal_in_place_append_tag(
            aead::Nonce::assume_unique_for_key(nonce),
            aead::Aad::from(bound),
            &mut content,
        )
        .map_err(|_| Error::UnknownForm)?;
    sealed.extend(content);
    Ok(sealed)
}

/// Opens what was sealed for a place. The plain bytes are wiped when dropped.
///
/// # Errors
/// All but [`Error::NoRandom`].
pub fn unseal(keys: &Keys, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (head, rest) = sealed
        .split_first_chunk::<HEAD>()
        .ok_or(Error::UnknownForm)?;
    let (nonce, content) = rest
        .split_first_chunk::<{ aead::NONCE_LEN }>()
        .ok_or(Error::UnknownForm)?;
    let [VERSION, id @ ..] = *head else {
        return Err(Error::UnknownForm);
    };
    let id = KeyId(id);
    let key = keys
        .sealing(id)
        .ok_or_else(|| Error::UnknownKey(format!("seal-{id}")))?;
    let mut plain = Zeroizing::new(content.to_vec());
    let length = cipher(key)
        .open_in_place(
            aead::Nonce::assume_unique_for_key(*nonce),
            aead::Aad::from(bound(head, aad)),
            &mut plain,
        )
        .map_err(|_| Error::Forged)?
        .len();
    plain.truncate(length);
    Ok(plain)
}

/// What the seal is bound to: its own head and the place.
fn bound(head: &[u8], aad: &[u8]) -> Vec<u8> {
    [head, aad].concat()
}

fn cipher(key: &SealingKey) -> aead::LessSafeKey {
    aead::LessSafeKey::new(
        aead::UnboundKey::new(&aead::AES_256_GCM, key.secret.expose_secret())
            .expect("the key has the length of the algorithm, by its type"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(letters: &[&str]) -> Keys {
        let seal = |letter: &&str| format!(" seal:{}", letter.repeat(42) + "A");
        let seals: String = letters.iter().map(seal).collect();
        Keys::parse(&format!("bot:{}{seals}", "A".repeat(43))).unwrap()
    }

    #[test]
    fn sealed_value_opens_only_in_its_place() {
        let keys = keys(&["a"]);
        let sealed = seal(&keys, &place(&["bots", "p", "c"]), b"hush").unwrap();
        assert!(!sealed.windows(4).any(|bytes| bytes == b"hush"));
        let opened = |place: &[u8]| unseal(&keys, place, &sealed).map(|plain| plain.to_vec());
        assert_eq!(opened(&place(&["bots", "p", "c"])), Ok(b"hush".to_vec()));
        assert_eq!(opened(&place(&["bots", "pc", ""])), Err(Error::Forged));
    }

    #[test]
    fn any_changed_byte_keeps_it_closed() {
        let keys = keys(&["a"]);
        let sealed = seal(&keys, b"", b"hush").unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(unseal(&keys, b"", &changed).is_err(), "byte {index}");
            assert!(unseal(&keys, b"", &sealed[..index]).is_err());
        }
    }

    #[test]
    fn old_keys_open_what_the_new_one_did_not_seal() {
        let (old, both, new) = (keys(&["a"]), keys(&["b", "a"]), keys(&["b"]));
        let sealed = seal(&old, b"", b"hush").unwrap();
        assert!(unseal(&both, b"", &sealed).is_ok());
        let missing = format!("seal-{}", old.active().id);
        assert_eq!(
            unseal(&new, b"", &sealed).map(|_| ()),
            Err(Error::UnknownKey(missing))
        );
        assert!(unseal(&new, b"", &seal(&both, b"", b"hush").unwrap()).is_ok());
    }
}
