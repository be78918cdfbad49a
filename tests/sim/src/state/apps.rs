//! Applications of a portal, and the tokens that act for them (C2, C7, C8).
//!
//! A token belongs to an application and a person. Tokens are never forgotten while the portal
//! lives, because each way of being no longer good has a name of its own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Credential, State};
use crate::clock::UnixTime;
use crate::config::ApplicationConfig;
use crate::failure::Failure;
use crate::portal::Refusal;
use crate::quirks::{RemovedApplication, UnknownToken};
use crate::view::TokenPair;

/// How long an access token is good.
pub(crate) const ACCESS_KEPT: Duration = Duration::from_secs(3600);
/// How long a refresh token is good.
const REFRESH_KEPT: Duration = Duration::from_secs(180 * 24 * 3600);
/// How long an authorization code is good.
const CODE_KEPT: Duration = Duration::from_secs(30);

/// An application the portal knows.
#[derive(Clone, Debug)]
pub(crate) struct Application {
    /// Names the application where execution time is summed.
    pub(crate) number: u32,
    pub(crate) config: ApplicationConfig,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    /// What proves callbacks to be genuine.
    pub(crate) application_token: String,
    pub(crate) stage: Stage,
    pub(crate) version: u32,
    pub(crate) installed_by: i64,
    pub(crate) paid: bool,
    /// The only people who may use it; `None` = everybody.
    pub(crate) allowed: Option<Vec<i64>>,
    /// Decisions of an administrator, by person and method in lower case.
    pub(crate) decisions: HashMap<(i64, String), Decision>,
    /// Methods that need such a decision, in lower case.
    pub(crate) delicate: HashSet<String>,
}

/// How far an application is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Known, and that is all.
    Known,
    /// Its page has not called `installFinish` yet.
    Installing,
    Installed,
    Removed,
}

/// Whether an administrator approved a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Asked by this token.
    Waiting(String),
    Approved,
    Denied,
}

/// All applications and tokens.
#[derive(Debug, Default)]
pub(crate) struct Apps {
    pub(crate) all: BTreeMap<String, Application>,
    access: HashMap<String, Held>,
    pub(super) refresh: HashMap<String, Refresh>,
    pub(super) codes: HashMap<String, Held>,
    /// Whoever sits at the browser.
    pub(crate) signed_in: i64,
    secrets: u64,
}

/// A token or a code.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) client_id: String,
    pub(crate) user_id: i64,
    pub(crate) expires: UnixTime,
}

#[derive(Clone, Debug)]
pub(super) struct Refresh {
    pub(super) held: Held,
    /// The access token that came with it.
    pub(super) access: String,
    /// When it was exchanged for a newer one.
    pub(super) spent: Option<UnixTime>,
}

impl State {
    /// A secret nobody has seen before, of `words` times 16 hexadecimal digits.
    pub(crate) fn secret(&mut self, words: usize) -> String {
        let mut word = || {
            self.apps.secrets = self.apps.secrets.wrapping_add(1);
            mixed(self.apps.secrets ^ (u64::from(self.identity.number) << 40))
        };
        (0..words).map(|_| format!("{:016x}", word())).collect()
    }

    pub(crate) fn add_application(&mut self, config: ApplicationConfig) -> String {
        let number = self.ids.credential;
        self.ids.credential += 1;
        let portal = self.identity.number;
        let made_up = || format!("local.{portal:04x}{number:010x}.{number:08}");
        let client_id = config.client_id.clone().unwrap_or_else(made_up);
        let secret = config.client_secret.clone();
        let application = Application {
            number,
            client_id: client_id.clone(),
            client_secret: secret.unwrap_or_else(|| self.secret(3)),
            application_token: self.secret(2),
            stage: Stage::Known,
            version: 1,
            installed_by: 0,
            paid: true,
            allowed: None,
            decisions: HashMap::new(),
            delicate: HashSet::new(),
            config,
        };
        self.apps.all.insert(client_id.clone(), application);
        client_id
    }

    pub(crate) fn application(&self, client_id: &str) -> Result<&Application, Refusal> {
        let known = self.apps.all.get(client_id);
        known.ok_or_else(|| Refusal::NoApplication(client_id.to_owned()))
    }

    pub(crate) fn application_mut(&mut self, client_id: &str) -> Result<&mut Application, Refusal> {
        let known = self.apps.all.get_mut(client_id);
        known.ok_or_else(|| Refusal::NoApplication(client_id.to_owned()))
    }

    /// A fresh pair for an installed application and a person.
    pub(crate) fn issue(
        &mut self,
        client_id: &str,
        user_id: i64,
        now: UnixTime,
    ) -> Result<TokenPair, Refusal> {
        let application = self.application(client_id)?;
        if !matches!(application.stage, Stage::Installing | Stage::Installed) {
            return Err(Refusal::NotInstalled(client_id.to_owned()));
        }
        if !self.users.contains_key(&user_id) {
            return Err(Refusal::NoUser(user_id));
        }
        let access_token = self.issue_access(client_id, user_id, now);
        let refresh_token = self.secret(4);
        let refresh = Refresh {
            held: Held {
                client_id: client_id.to_owned(),
                user_id,
                expires: now + REFRESH_KEPT,
            },
            access: access_token.clone(),
            spent: None,
        };
        self.apps.refresh.insert(refresh_token.clone(), refresh);
        Ok(TokenPair {
            access_token,
            refresh_token,
            user_id,
            expires: now + ACCESS_KEPT,
        })
    }

    /// An access token without a way to renew it, as callbacks carry.
    pub(crate) fn issue_access(&mut self, client_id: &str, user_id: i64, now: UnixTime) -> String {
        let token = self.secret(4);
        let held = Held {
            client_id: client_id.to_owned(),
            user_id,
            expires: now + ACCESS_KEPT,
        };
        self.apps.access.insert(token.clone(), held);
        token
    }

    /// A code for the redirect of an authorization.
    pub(crate) fn issue_code(
        &mut self,
        client_id: &str,
        user_id: i64,
        now: UnixTime,
    ) -> Result<String, Refusal> {
        self.application(client_id)?;
        let code = self.secret(4);
        let held = Held {
            client_id: client_id.to_owned(),
            user_id,
            expires: now + CODE_KEPT,
        };
        self.apps.codes.insert(code.clone(), held);
        Ok(code)
    }

    pub(crate) fn access(&self, token: &str) -> Option<&Held> {
        self.apps.access.get(token)
    }

    /// The access token ends now. False when nobody issued it.
    pub(crate) fn expire_access(&mut self, token: &str, now: UnixTime) -> bool {
        let held = self.apps.access.get_mut(token);
        held.map(|held| held.expires = held.expires.min(now))
            .is_some()
    }

    /// All access tokens of an application end now.
    pub(crate) fn expire_all_access(&mut self, client_id: &str, now: UnixTime) {
        let of_application = |held: &&mut Held| held.client_id == client_id;
        for held in self.apps.access.values_mut().filter(of_application) {
            held.expires = held.expires.min(now);
        }
    }

    /// Who may act with this access token, if it is good.
    pub(crate) fn token_credential(
        &self,
        token: Option<&str>,
        now: UnixTime,
    ) -> Result<Arc<Credential>, Failure> {
        let wrong = || Failure::auth(401, "NO_AUTH_FOUND", "Wrong authorization data");
        let token = token.filter(|token| !token.is_empty()).ok_or_else(wrong)?;
        let invalid = || match self.quirks.unknown_token {
            UnknownToken::NoAuthFound => wrong(),
            UnknownToken::InvalidToken => {
                Failure::auth(401, "invalid_token", "Unable to get application by token")
            }
        };
        let held = self.access(token).ok_or_else(invalid)?;
        let application = self.apps.all.get(&held.client_id).ok_or_else(invalid)?;
        if !matches!(application.stage, Stage::Installing | Stage::Installed) {
            return Err(self.removed_application());
        }
        if now >= held.expires {
            let description = "The access token provided has expired.";
            return Err(Failure::auth(401, "expired_token", description));
        }
        if !application.paid {
            return Err(Failure::auth(401, "PAYMENT_REQUIRED", "Payment required"));
        }
        if !self.is_active(held.user_id) {
            let description = "Unable to authorize user";
            return Err(Failure::auth(401, "authorization_error", description));
        }
        let allowed = application.allowed.as_ref();
        if allowed.is_some_and(|people| !people.contains(&held.user_id)) {
            let description = "The user does not have access to the application.";
            return Err(Failure::auth(403, "user_access_error", description));
        }
        Ok(Arc::new(Credential {
            number: application.number,
            user_id: held.user_id,
            scopes: application.config.scopes.clone(),
            client_id: Some(held.client_id.clone()),
            secret: token.to_owned(),
        }))
    }

    fn removed_application(&self) -> Failure {
        let code = match self.quirks.removed_application {
            RemovedApplication::ApplicationNotFound => "APPLICATION_NOT_FOUND",
            RemovedApplication::ErrorOauth => "ERROR_OAUTH",
            RemovedApplication::NotInstalled => "NOT_INSTALLED",
        };
        Failure::auth(401, code, "Application not found")
    }

    /// Some methods wait for an administrator's word.
    pub(crate) fn check_confirmation(
        &mut self,
        credential: &Credential,
        method: &str,
    ) -> Result<(), Failure> {
        let client_id = credential.client_id.as_deref().unwrap_or_default();
        let Some(application) = self.apps.all.get_mut(client_id) else {
            return Ok(());
        };
        let method = method.to_ascii_lowercase();
        if !application.delicate.contains(&method) {
            return Ok(());
        }
        let asked = Decision::Waiting(credential.secret.clone());
        let decisions = &mut application.decisions;
        let decision = decisions
            .entry((credential.user_id, method))
            .or_insert(asked);
        match decision {
            Decision::Approved => Ok(()),
            Decision::Waiting(_) => {
                let description = "Waiting for confirmation";
                Err(Failure::auth(401, "METHOD_CONFIRM_WAITING", description))
            }
            Decision::Denied => {
                let description = "Method call denied";
                Err(Failure::core(403, "METHOD_CONFIRM_DENIED", description))
            }
        }
    }
}

/// One step of a mixer: neighbouring inputs give unlike outputs, the same in every run.
fn mixed(seed: u64) -> u64 {
    let mut word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
