//! Codes and refresh tokens exchanged for new pairs (C7).

use serde_json::{Value, json};

use super::apps::Stage;
use super::{Held, State};
use crate::clock::UnixTime;
use crate::failure::Failure;
use crate::oauth::{OAuthQuirks, UninstalledIs};
use crate::view::TokenPair;

impl State {
    /// Whether this portal issued the code.
    pub(crate) fn knows_code(&self, code: &str) -> bool {
        self.apps.codes.contains_key(code)
    }

    /// Whether this portal issued the refresh token.
    pub(crate) fn knows_refresh_token(&self, token: &str) -> bool {
        self.apps.refresh.contains_key(token)
    }

    /// The first pair for a code, which works once.
    pub(crate) fn exchange_code(
        &mut self,
        client_id: &str,
        code: &str,
        quirks: &OAuthQuirks,
        now: UnixTime,
    ) -> Result<Value, Failure> {
        let bad = || Failure::core(400, "bad_verification_code", "Bad verification code");
        let held = self.apps.codes.remove(code);
        let held = held.filter(|held| held.client_id == client_id && now < held.expires);
        let held = held.ok_or_else(bad)?;
        self.check_standing(client_id, quirks)?;
        let pair = self
            .issue(client_id, held.user_id, now)
            .map_err(|_| bad())?;
        if quirks.first_pair_is_complete {
            return Ok(self.later_pair(client_id, held.user_id, &pair, quirks));
        }
        Ok(self.first_pair(client_id, &pair, quirks))
    }

    /// A new pair for a refresh token, which is spent by it.
    pub(crate) fn refresh(
        &mut self,
        client_id: &str,
        token: &str,
        quirks: &OAuthQuirks,
        now: UnixTime,
    ) -> Result<Value, Failure> {
        let bad = || Failure::core(400, "invalid_grant", "Invalid or expired refresh token");
        let known = self.apps.refresh.get(token).ok_or_else(bad)?.clone();
        self.check_standing(client_id, quirks)?;
        let spent = known
            .spent
            .is_some_and(|at| now >= at + quirks.refresh_grace);
        if known.held.client_id != client_id || now >= known.held.expires || spent {
            return Err(bad());
        }
        let Held { user_id, .. } = known.held;
        let pair = self.issue(client_id, user_id, now).map_err(|_| bad())?;
        if let Some(old) = self.apps.refresh.get_mut(token) {
            old.spent.get_or_insert(now);
        }
        if quirks.refresh_ends_old_access {
            self.expire_access(&known.access, now);
        }
        Ok(self.later_pair(client_id, user_id, &pair, quirks))
    }

    fn check_standing(&self, client_id: &str, quirks: &OAuthQuirks) -> Result<(), Failure> {
        let application = self.apps.all.get(client_id);
        let installed =
            application.filter(|app| matches!(app.stage, Stage::Installing | Stage::Installed));
        match (installed, quirks.uninstalled) {
            (Some(application), _) if application.paid => Ok(()),
            (Some(_), _) => Err(Failure::core(401, "PAYMENT_REQUIRED", "Payment required")),
            (None, UninstalledIs::NotInstalled) => {
                let description = "Application is not installed";
                Err(Failure::core(401, "NOT_INSTALLED", description))
            }
            (None, UninstalledIs::InvalidClient) => {
                let description = "Invalid client credentials";
                Err(Failure::core(401, "invalid_client", description))
            }
        }
    }

    fn first_pair(&self, client_id: &str, pair: &TokenPair, quirks: &OAuthQuirks) -> Value {
        let application = self.apps.all.get(client_id);
        let scopes = application.map(|app| app.config.scopes.join(","));
        let expires_in = if quirks.expires_in_is_text {
            json!("3600")
        } else {
            json!(3600)
        };
        json!({
            "access_token": pair.access_token,
            "refresh_token": pair.refresh_token,
            "expires_in": expires_in,
            "client_endpoint": self.identity.client_endpoint(),
            "server_endpoint": self.identity.server_endpoint(),
            "domain": self.identity.oauth_domain,
            "member_id": self.identity.member_id,
            "scope": scopes,
            "status": application.map(|app| app.config.status.as_str()),
        })
    }

    fn later_pair(
        &self,
        client_id: &str,
        user_id: i64,
        pair: &TokenPair,
        quirks: &OAuthQuirks,
    ) -> Value {
        let mut answer = self.first_pair(client_id, pair, quirks);
        if let Value::Object(members) = &mut answer {
            members.insert("expires".into(), pair.expires.as_secs().into());
            let user_id = if quirks.user_id_is_text {
                json!(user_id.to_string())
            } else {
                json!(user_id)
            };
            members.insert("user_id".into(), user_id);
        }
        answer
    }

    /// `app.info` as the authorization server answers it, for a good token.
    pub(crate) fn trusted_info(&self, held: &Held) -> Value {
        let application = self.apps.all.get(&held.client_id);
        let scope = application.map(|app| app.config.scopes.join(","));
        let status = application.map(|app| app.config.status.as_str());
        json!({
            "client_id": held.client_id,
            "scope": scope,
            "expires": crate::clock::iso(held.expires, 0),
            "user_id": held.user_id,
            "install": {
                "installed": application.is_some_and(|app| app.stage == Stage::Installed),
                "version": application.map(|app| app.version),
                "status": status,
                "scope": scope,
                "domain": self.identity.domain,
                "uri": format!("https://{}", self.identity.domain),
                "client_endpoint": self.identity.client_endpoint(),
                "member_id": self.identity.member_id,
                "member_type": "bitrix24",
            },
        })
    }
}
