//! Names that have been checked once.
//!
//! A value of one of these types is a proof that its text follows the rule; nothing checks it again.

use std::{fmt, str::FromStr};

/// Why a text is not such a name: the rule it breaks, as a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub &'static str);

/// A portal as the operator named it. Immutable: botTokens are derived from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortalId(Box<str>);

/// The key of a bot, chosen by its developer and unique in a portal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BotCode(Box<str>);

/// A conversation: `chat{number}` for a group chat, `{number}` for the private dialog with that user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DialogId(Box<str>);

/// The name of a slash command, without the slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandName(Box<str>);

/// The client key of a message: a UUID of version 4 in lower case, the only form that Bitrix24 heeds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageKey(Box<str>);

/// A language by its two lower-case letters, e.g. `de`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language([u8; 2]);

impl PortalId {
    /// The portal that a single configured webhook URL makes.
    #[must_use]
    pub fn default_portal() -> Self {
        Self("default".into())
    }
}

impl DialogId {
    /// Whether this is the private dialog with a user, not a group chat.
    #[must_use]
    pub fn is_private(&self) -> bool {
        !self.0.starts_with("chat")
    }
}

impl MessageKey {
    /// The key that these bytes make, but for the six bits that say what kind of UUID it is.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let kind = (0xf << 76) | (0b11 << 62);
        let version_4 = (0x4 << 76) | (0b10 << 62);
        let hex = format!("{:032x}", u128::from_be_bytes(bytes) & !kind | version_4);
        let mut key = String::with_capacity(36);
        for (at, digit) in hex.chars().enumerate() {
            if matches!(at, 8 | 12 | 16 | 20) {
                key.push('-');
            }
            key.push(digit);
        }
        Self(key.into())
    }

    /// A new key.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self::from_bytes(bytes))
    }
}

impl FromStr for PortalId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(Invalid(
                "must be 1 to 64 characters of a-z, 0-9, `-`, `_` and `.`",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for BotCode {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(Invalid(
                "must be 1 to 64 characters of A-Z, a-z, 0-9, `-`, `_` and `.`",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for DialogId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = text.strip_prefix("chat").unwrap_or(text);
        let number = digits.bytes().all(|byte| byte.is_ascii_digit());
        if !number || !digits.parse::<i64>().is_ok_and(|id| id > 0) || digits.starts_with('0') {
            return Err(Invalid(
                "must be `chat{number}` for a group chat or `{user id}` for a private dialog",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for CommandName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let broken = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        if text.is_empty() || text.chars().count() > 100 || text.contains(broken) {
            return Err(Invalid(
                "must be 1 to 100 characters without spaces and without the leading `/`",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for Language {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match *text.as_bytes() {
            [a, b] if a.is_ascii_lowercase() && b.is_ascii_lowercase() => Ok(Self([a, b])),
            _ => Err(Invalid("must be two lower-case letters, e.g. `en`")),
        }
    }
}

impl Language {
    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("two ASCII letters, by construction")
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What every textual name offers.
macro_rules! text {
    ($($name:ident)*) => { $(
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )* };
}

text!(PortalId BotCode DialogId CommandName MessageKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialog_is_a_chat_or_a_user() {
        assert!("chat5".parse::<DialogId>().is_ok_and(|id| !id.is_private()));
        assert!("17".parse::<DialogId>().is_ok_and(|id| id.is_private()));
        for wrong in [
            "",
            "chat",
            "chat0",
            "0",
            "-1",
            "chat-5",
            "Chat5",
            "chat5 ",
            "sg4",
            "99999999999999999999",
        ] {
            assert!(wrong.parse::<DialogId>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn message_key_is_a_lower_case_uuid_of_version_4() {
        for (bytes, key) in [
            ([0; 16], "00000000-0000-4000-8000-000000000000"),
            ([0xff; 16], "ffffffff-ffff-4fff-bfff-ffffffffffff"),
            (
                *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef",
                "01234567-89ab-4def-8123-456789abcdef",
            ),
        ] {
            assert_eq!(MessageKey::from_bytes(bytes).as_str(), key);
        }
        assert_ne!(MessageKey::random(), MessageKey::random());
    }

    #[test]
    fn language_is_two_lower_case_letters() {
        assert!("de".parse::<Language>().is_ok());
        for wrong in ["", "d", "DE", "deu", "d1", "ü"] {
            assert!(wrong.parse::<Language>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn command_name_has_no_slash_and_no_space() {
        assert!("getDialogId".parse::<CommandName>().is_ok());
        for wrong in ["", "/help", "he lp", "a\nb"] {
            assert!(wrong.parse::<CommandName>().is_err(), "{wrong:?}");
        }
    }
}
