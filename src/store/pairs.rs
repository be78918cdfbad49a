//! The tokens of portals that let us in by OAuth (C2, C7).
//!
//! A refresh token works once, so what stands here decides whether we can ever come back. Each pair has
//! a number of its own, never used again in this store, and a pair replaces only the one it was made
//! from: whoever comes late with an older one changes nothing.
//!
//! Rule: a pair is here before it is used.

use std::borrow::Cow;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use serde::{Deserialize, Serialize};

use super::{Error, Store, keys::Keys, row::Fields, sqlite::Failure, unseal};
use crate::ids::PortalId;

/// Access and refresh token of one portal, and what came with them.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Identity of the account for ever.
    pub member_id: String,
    /// User for whom the tokens act; `None` until a refresh tells.
    pub user_id: Option<i64>,
    /// For calls to the portal.
    pub access_token: SecretString,
    /// For the next pair; works once.
    pub refresh_token: SecretString,
    /// When the access token ends, by our clock.
    pub access_ends: Timestamp,
    /// When we got the pair.
    pub obtained_at: Timestamp,
    /// REST base of the portal, e.g. `https://acme.bitrix24.com/rest/`.
    pub client_endpoint: String,
    /// REST base of the authorization server; `None` when it did not say.
    pub server_endpoint: Option<String>,
    /// What the tokens may use.
    pub scope: Vec<String>,
    /// How the application is licensed: `L`, `F`, `D`, `T`, `P` or others. For people only.
    pub status: Option<String>,
    /// What proves callbacks of this portal; `None` when it is not known.
    pub application_token: Option<SecretString>,
}

/// A pair that is in the store.
#[derive(Debug, Clone)]
pub struct KeptPair {
    /// Its number. Later pairs have higher ones, of whatever portal.
    pub generation: u64,
    /// The pair.
    pub pair: Pair,
}

/// A pair as it is sealed; its secrets are borrowed, not copied.
#[derive(Serialize, Deserialize)]
struct Plain<'a> {
    member_id: Cow<'a, str>,
    user_id: Option<i64>,
    #[serde(borrow)]
    access_token: Cow<'a, str>,
    #[serde(borrow)]
    refresh_token: Cow<'a, str>,
    access_ends: Timestamp,
    obtained_at: Timestamp,
    client_endpoint: Cow<'a, str>,
    server_endpoint: Option<Cow<'a, str>>,
    scope: Cow<'a, [String]>,
    status: Option<Cow<'a, str>>,
    application_token: Option<Cow<'a, str>>,
}

const TABLE: &str = "pairs";

impl Store {
    /// Writes a pair in place of the one with the number `from`, or as the first one of its portal.
    /// `None` when another pair stands there, which then stays.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn save_pair(
        &self,
        portal: &PortalId,
        pair: &Pair,
        from: Option<u64>,
    ) -> Result<Option<KeptPair>, Error> {
        let body = self.seal(TABLE, &[portal.as_str()], &plain(pair))?;
        let name = portal.clone();
        let written = self.write(move |connection| {
            let found: Option<i64> = connection
                .prepare_cached("SELECT generation FROM pairs WHERE portal = ?1")?
                .query_row([name.as_str()], |row| row.get(0))
                .optional()?;
            if found.map(i64::cast_unsigned) != from {
                return Ok(None);
            }
            let generation = next_generation(connection)?;
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO pairs (portal, generation, body) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![name.as_str(), generation, body])?;
            Ok(Some(generation.cast_unsigned()))
        });
        Ok(written.await?.map(|generation| KeptPair {
            generation,
            pair: pair.clone(),
        }))
    }

    /// The pair of a portal.
    ///
    /// # Errors
    /// When it cannot be read or unsealed.
    pub async fn pair(&self, portal: &PortalId) -> Result<Option<KeptPair>, Error> {
        let portal = portal.clone();
        self.query(move |connection, keys| {
            let mut select = connection
                .prepare_cached("SELECT portal, generation, body FROM pairs WHERE portal = ?1")?;
            let mut rows = select.query([portal.as_str()])?;
            let kept = rows.next()?.map(|row| read(&Fields::new(TABLE, row), keys));
            Ok(kept.transpose()?.map(|(_, kept)| kept))
        })
        .await
    }

    /// All pairs, by portal.
    ///
    /// # Errors
    /// When a row cannot be read or unsealed.
    pub async fn pairs(&self) -> Result<Vec<(PortalId, KeptPair)>, Error> {
        self.query(|connection, keys| {
            let mut select = connection
                .prepare_cached("SELECT portal, generation, body FROM pairs ORDER BY portal")?;
            let mut rows = select.query([])?;
            let mut pairs = Vec::new();
            while let Some(row) = rows.next()? {
                pairs.push(read(&Fields::new(TABLE, row), keys)?);
            }
            Ok(pairs)
        })
        .await
    }

    /// Erases the pair of a portal, if there is one.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn erase_pair(&self, portal: &PortalId) -> Result<(), Error> {
        let portal = portal.clone();
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM pairs WHERE portal = ?1")?
                .execute([portal.as_str()])?;
            Ok(())
        })
        .await
    }
}

/// A number that no pair of this store ever had, not even one that was erased.
fn next_generation(connection: &Connection) -> Result<i64, Failure> {
    Ok(connection
        .prepare_cached(
            "INSERT INTO meta VALUES ('pair_generation', 1)
             ON CONFLICT (name) DO UPDATE SET value = value + 1
             RETURNING value",
        )?
        .query_row([], |row| row.get(0))?)
}

fn read(row: &Fields<'_>, keys: &Keys) -> Result<(PortalId, KeptPair), Failure> {
    let portal: PortalId = row.name("portal")?;
    let generation: i64 = row.get("generation")?;
    let body = unseal(keys, TABLE, &[portal.as_str()], row.blob("body")?)?;
    let plain: Plain = serde_json::from_slice(&body).map_err(|_| row.bad("body"))?;
    let secret = |text: Cow<'_, str>| SecretString::from(&*text);
    let kept = KeptPair {
        generation: generation.cast_unsigned(),
        pair: Pair {
            member_id: plain.member_id.into_owned(),
            user_id: plain.user_id,
            access_token: secret(plain.access_token),
            refresh_token: secret(plain.refresh_token),
            access_ends: plain.access_ends,
            obtained_at: plain.obtained_at,
            client_endpoint: plain.client_endpoint.into_owned(),
            server_endpoint: plain.server_endpoint.map(Cow::into_owned),
            scope: plain.scope.into_owned(),
            status: plain.status.map(Cow::into_owned),
            application_token: plain.application_token.map(secret),
        },
    };
    Ok((portal, kept))
}

fn plain(pair: &Pair) -> Zeroizing<Vec<u8>> {
    let plain = Plain {
        member_id: Cow::Borrowed(&pair.member_id),
        user_id: pair.user_id,
        access_token: Cow::Borrowed(pair.access_token.expose_secret()),
        refresh_token: Cow::Borrowed(pair.refresh_token.expose_secret()),
        access_ends: pair.access_ends,
        obtained_at: pair.obtained_at,
        client_endpoint: Cow::Borrowed(&pair.client_endpoint),
        server_endpoint: pair.server_endpoint.as_deref().map(Cow::Borrowed),
        scope: Cow::Borrowed(&pair.scope),
        status: pair.status.as_deref().map(Cow::Borrowed),
        application_token: pair
            .application_token
            .as_ref()
            .map(|token| Cow::Borrowed(token.expose_secret())),
    };
    let json = serde_json::to_vec(&plain);
    Zeroizing::new(json.expect("texts, numbers and times can always be written"))
}
