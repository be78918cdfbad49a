//! What we know of our own bots.
//!
//! A bot is written down *before* it is registered, so that its token is never lost, whatever
//! happens during the call; it has no id until the portal gave it one.

use std::borrow::Cow;

use jiff::Timestamp;
use rusqlite::params;
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use serde::{Deserialize, Serialize};

use super::{Error, Store, row::Fields, unseal};
use crate::ids::{BotCode, PortalId};

/// A bot of ours.
#[derive(Debug, Clone)]
pub struct Bot {
    /// The portal it lives in.
    pub portal: PortalId,
    /// Its key there.
    pub code: BotCode,
    /// The portal's id of it; `None` until the portal answered the registration.
    pub bot_id: Option<i64>,
    /// Its botToken. Sealed at rest.
    pub token: SecretString,
    /// The token that is about to take its place. Sealed with it.
    pub next_token: Option<NextToken>,
    /// The generation the token was derived with.
    pub generation: u32,
    /// The caller that registered it.
    pub owner: String,
    /// How its events reach us.
    pub event_mode: EventMode,
    /// What else is to be known of that.
    pub delivery: EventDelivery,
    /// The properties as we last wrote them (Bitrix24 names), to complete partial updates.
    pub properties: serde_json::Value,
    /// Titles and hints of its commands as we last wrote them, by command id.
    pub commands: serde_json::Value,
    /// Which events of the portal are not ours to hand out.
    pub skip: Skip,
    /// Where it stands.
    pub state: BotState,
    /// The offset of its next poll. Moved by [`Store::append`].
    pub next_offset: Option<i64>,
    /// When a poll last succeeded. Moved by [`Store::append`].
    pub last_polled_at: Option<Timestamp>,
    /// When it was first written down.
    pub created_at: Timestamp,
}

/// A token that is about to take the place of another.
#[derive(Debug, Clone)]
pub struct NextToken {
    /// The token.
    pub token: SecretString,
    /// What becomes of the bot with it.
    pub becomes: Becomes,
}

/// What becomes of a bot whose token was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Becomes {
    /// It stays ours, with the token of this generation.
    Derived(u32),
    /// It is forgotten: somebody else chose the token.
    Released,
}

/// Two tokens as they are sealed. Its shortest text is longer than any token, so that neither is taken
/// for the other.
#[derive(Serialize, Deserialize)]
struct Replacing<'a> {
    #[serde(borrow)]
    token_in_force: Cow<'a, str>,
    #[serde(borrow)]
    next_token: Cow<'a, str>,
    becomes: Becomes,
}

/// How a bot's events reach us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventMode {
    /// We poll.
    Fetch,
    /// The portal calls us.
    Webhook,
}

/// What is to be known of a bot that the portal calls us for, or did, or is about to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventDelivery {
    /// What the portal was asked to change to, while nobody knows whether it did.
    pub next: Option<NextMode>,
    /// A hash of the address that we gave the portal for this bot; `None` when we never did.
    pub address: Option<[u8; 32]>,
    /// Since when the portal calls us.
    pub since: Option<Timestamp>,
    /// Until when calls of the portal are still taken although its events are fetched again.
    pub taken_until: Option<Timestamp>,
}

/// Another mode, which the portal was asked to change to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextMode {
    /// The mode.
    pub mode: EventMode,
    /// Until when nothing of the mode before was missed, where that is known.
    pub from: Option<Timestamp>,
}

/// Which events of an adopted bot somebody else handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// None.
    Nothing,
    /// What happened before this, by the portal's clock.
    Before(Timestamp),
    /// Up to this number of the portal.
    UpTo(i64),
}

/// How far fetching a bot's events came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The offset of the next poll.
    pub next_offset: Option<i64>,
    /// When a poll last succeeded.
    pub last_polled_at: Option<Timestamp>,
}

/// Where a bot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BotState {
    /// Written down, not yet confirmed by the portal.
    Pending,
    /// Registered and working.
    Active,
    /// The portal no longer has it.
    Gone,
    /// The portal has it, but for another application: our token is refused.
    Foreign,
}

const TABLE: &str = "bots";

impl Store {
    /// Inserts a bot, or replaces the one with its portal and code.
    ///
    /// For a bot known under the same `bot_id`, `next_offset`, `last_polled_at` and `created_at`
    /// stay as they are: the first two belong to [`Store::append`], and a copy held elsewhere may be
    /// stale.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn save_bot(&self, bot: &Bot) -> Result<(), Error> {
        let place = [bot.portal.as_str(), bot.code.as_str()];
        let token = self.seal(TABLE, &place, &plain(bot))?;
        // A word, a time or a number: nothing in it can fail to serialise.
        let skip = serde_json::json!(bot.skip).to_string();
        let says_more = bot.delivery != EventDelivery::default();
        let delivery = says_more.then(|| serde_json::json!(bot.delivery).to_string());
        let bot = bot.clone();
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO bots (portal, code, bot_id, token, generation, owner, event_mode,
                         properties, commands, skip, state, next_offset, last_polled_at, created_at,
                         delivery)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
                     ON CONFLICT (portal, code) DO UPDATE SET
                         bot_id = excluded.bot_id,
                         token = excluded.token,
                         generation = excluded.generation,
                         owner = excluded.owner,
                         event_mode = excluded.event_mode,
                         properties = excluded.properties,
                         commands = excluded.commands,
                         skip = excluded.skip,
                         state = excluded.state,
                         delivery = excluded.delivery,
                         next_offset = iif(bots.bot_id IS excluded.bot_id,
                             bots.next_offset, excluded.next_offset),
                         last_polled_at = iif(bots.bot_id IS excluded.bot_id,
                             bots.last_polled_at, excluded.last_polled_at),
                         created_at = iif(bots.bot_id IS excluded.bot_id,
                             bots.created_at, excluded.created_at)",
                )?
                .execute(params![
                    bot.portal.as_str(),
                    bot.code.as_str(),
                    bot.bot_id,
                    token,
                    bot.generation,
                    bot.owner,
                    bot.event_mode.as_str(),
                    bot.properties.to_string(),
                    bot.commands.to_string(),
                    skip,
                    bot.state.as_str(),
                    bot.next_offset,
                    bot.last_polled_at.map(Timestamp::as_microsecond),
                    bot.created_at.as_microsecond(),
                    delivery,
                ])?;
            Ok(())
        })
        .await
    }

    /// Every bot, by portal and code.
    ///
    /// # Errors
    /// When a row cannot be read or a token cannot be unsealed.
    pub async fn bots(&self) -> Result<Vec<Bot>, Error> {
        self.query(|connection, keys| {
            let mut select = connection.prepare_cached(
                "SELECT portal, code, bot_id, token, generation, owner, event_mode, properties,
                     commands, skip, state, next_offset, last_polled_at, created_at, delivery
                 FROM bots ORDER BY portal, code",
            )?;
            let mut rows = select.query([])?;
            let mut bots = Vec::new();
            while let Some(row) = rows.next()? {
                let row = Fields::new(TABLE, row);
                let portal: PortalId = row.name("portal")?;
                let code: BotCode = row.name("code")?;
                let place = [portal.as_str(), code.as_str()];
                let token = unseal(keys, TABLE, &place, row.blob("token")?)?;
                let (token, next_token) = tokens(&token).ok_or_else(|| row.bad("token"))?;
                let delivery: Option<String> = row.get("delivery")?;
                let delivery = delivery.map(|json| serde_json::from_str(&json));
                let delivery = delivery.transpose().map_err(|_| row.bad("delivery"))?;
                bots.push(Bot {
                    bot_id: row.get("bot_id")?,
                    token,
                    next_token,
                    generation: row.get("generation")?,
                    owner: row.get("owner")?,
                    event_mode: EventMode::parse(row.text("event_mode")?)
                        .ok_or_else(|| row.bad("event_mode"))?,
                    delivery: delivery.unwrap_or_default(),
                    properties: serde_json::from_str(row.text("properties")?)
                        .map_err(|_| row.bad("properties"))?,
                    commands: serde_json::from_str(row.text("commands")?)
                        .map_err(|_| row.bad("commands"))?,
                    skip: serde_json::from_str(row.text("skip")?).map_err(|_| row.bad("skip"))?,
                    state: BotState::parse(row.text("state")?).ok_or_else(|| row.bad("state"))?,
                    next_offset: row.get("next_offset")?,
                    last_polled_at: row.time_if_any("last_polled_at")?,
                    created_at: row.time("created_at")?,
                    portal,
                    code,
                });
            }
            Ok(bots)
        })
        .await
    }

    /// How far fetching a bot's events came, as it was last committed. Of an unknown bot: nowhere.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn fetched(&self, portal: &PortalId, code: &BotCode) -> Result<Fetched, Error> {
        let (portal, code) = (portal.clone(), code.clone());
        self.query(move |connection, _| {
            let mut select = connection.prepare_cached(
                "SELECT next_offset, last_polled_at FROM bots WHERE portal = ?1 AND code = ?2",
            )?;
            let mut rows = select.query([portal.as_str(), code.as_str()])?;
            let Some(row) = rows.next()? else {
                return Ok(Fetched::default());
            };
            let row = Fields::new(TABLE, row);
            Ok(Fetched {
                next_offset: row.get("next_offset")?,
                last_polled_at: row.time_if_any("last_polled_at")?,
            })
        })
        .await
    }

    /// Forgets a bot and its token; its events stay. Forgetting an unknown bot is no error.
    ///
    /// # Errors
    /// When the write failed.
    pub async fn forget_bot(&self, portal: &PortalId, code: &BotCode) -> Result<(), Error> {
        let (portal, code) = (portal.clone(), code.clone());
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM bots WHERE portal = ?1 AND code = ?2")?
                .execute([portal.as_str(), code.as_str()])?;
            Ok(())
        })
        .await
    }
}

/// The token of a bot as it is sealed, or both while one is about to take the place of the other.
fn plain(bot: &Bot) -> Zeroizing<Vec<u8>> {
    let token = bot.token.expose_secret();
    let Some(next) = &bot.next_token else {
        return Zeroizing::new(token.as_bytes().to_vec());
    };
    let json = serde_json::to_vec(&Replacing {
        token_in_force: Cow::Borrowed(token),
        next_token: Cow::Borrowed(next.token.expose_secret()),
        becomes: next.becomes,
    });
    Zeroizing::new(json.expect("texts and a number can always be written"))
}

/// The inverse of [`plain`].
fn tokens(plain: &[u8]) -> Option<(SecretString, Option<NextToken>)> {
    let Ok(both) = serde_json::from_slice::<Replacing<'_>>(plain) else {
        return Some((str::from_utf8(plain).ok()?.into(), None));
    };
    let next = NextToken {
        token: (&*both.next_token).into(),
        becomes: both.becomes,
    };
    Some(((&*both.token_in_force).into(), Some(next)))
}

/// Gives an enum the words it is stored as.
macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $name {
            /// The word it is stored and shown as.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words!(EventMode { Fetch = "fetch", Webhook = "webhook" });
words!(BotState {
    Pending = "pending",
    Active = "active",
    Gone = "gone",
    Foreign = "foreign",
});
