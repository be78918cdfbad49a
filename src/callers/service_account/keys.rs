//! The cluster's keys, and what they vouch for.

use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};
use serde::Deserialize;

/// How far the clocks of the cluster and of this machine may differ.
const LEEWAY: SignedDuration = SignedDuration::from_secs(10);

/// What `sub` of a service account begins with.
const ACCOUNT: &str = "system:serviceaccount:";

/// Keys by their ids. Only public ones: a key that signs could make tokens as well.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Keys(HashMap<String, Jwk>);

/// Why a text holds no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("it is no JSON Web Key Set: {0}")]
    Json(#[from] serde_json::Error),
    #[error("there is no public signing key with an id among them")]
    Empty,
}

/// Why a token proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It may be signed with a key that is newer than ours.
    UnknownKey,
    /// It is wrong.
    Invalid,
}

/// What we read of a token.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
}

impl Keys {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Error> {
        let set: JwkSet = serde_json::from_slice(text)?;
        let keys: HashMap<_, _> = set
            .keys
            .into_iter()
            .filter(|key| {
                let signs = key
                    .common
                    .public_key_use
                    .as_ref()
                    .is_none_or(|what| *what == PublicKeyUse::Signature);
                let public = DecodingKey::from_jwk(key)
                    .is_ok_and(|key| key.family() != AlgorithmFamily::Hmac);
                signs && public
            })
            .filter_map(|key| Some((key.common.key_id.clone()?, key)))
            .collect();
        if keys.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self(keys))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The account, `namespace/name`, and until when.
    pub(super) fn check(
        &self,
        token: &str,
        issuer: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<(Arc<str>, Timestamp), Refused> {
        let header = decode_header(token).map_err(|_| Refused::Invalid)?;
        let id = header.kid.ok_or(Refused::Invalid)?;
        let jwk = self.0.get(&id).ok_or(Refused::UnknownKey)?;
        let key = DecodingKey::from_jwk(jwk).map_err(|_| Refused::Invalid)?;
        // The key decides how it signs, never the token.
        let declared = jwk.common.key_algorithm.map(Algorithm::try_from);
        let fits = match declared {
            Some(declared) => declared.is_ok_and(|declared| declared == header.alg),
            None => key.family() == header.alg.family(),
        };
        if !fits {
            return Err(Refused::Invalid);
        }
        let mut rules = Validation::new(header.alg);
        rules.set_issuer(&[issuer]);
        rules.set_audience(&[audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By our clock, below.
        rules.validate_exp = false;
        let read = decode::<Claims>(token, &key, &rules).map_err(|_| Refused::Invalid)?;
        let second = |number| Timestamp::from_second(number).map_err(|_| Refused::Invalid);
        let expires = second(read.claims.exp)?
            .checked_add(LEEWAY)
            .map_err(|_| Refused::Invalid)?;
        let begins = read.claims.nbf.map(second).transpose()?;
        let begun = begins
            .is_none_or(|begins| begins.checked_sub(LEEWAY).is_ok_and(|begins| begins <= now));
        if now >= expires || !begun {
            return Err(Refused::Invalid);
        }
        let account = read.claims.sub.strip_prefix(ACCOUNT);
        let account = account.and_then(|account| account.split_once(':'));
        match account {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok((format!("{namespace}/{name}").into(), expires))
            }
            _ => Err(Refused::Invalid),
        }
    }
}
