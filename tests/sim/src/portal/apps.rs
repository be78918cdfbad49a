//! Applications, as a test holds them (C7, C8).

use serde_json::json;

use super::{Portal, Refusal};
use crate::config::ApplicationConfig;
use crate::state::{Application, Decision, Stage};
use crate::view::{ApplicationView, TokenPair};

impl Portal {
    /// Makes an application known to the portal; it is not installed by that. Answers its
    /// client id.
    #[must_use]
    pub fn add_application(&self, config: ApplicationConfig) -> String {
        self.state().add_application(config)
    }

    /// All applications the portal knows, by client id.
    #[must_use]
    pub fn applications(&self) -> Vec<ApplicationView> {
        self.state().apps.all.values().map(seen).collect()
    }

    /// The application of this client id.
    #[must_use]
    pub fn application(&self, client_id: &str) -> Option<ApplicationView> {
        self.state().application(client_id).ok().map(seen)
    }

    /// This person installs an application, which is told by `ONAPPINSTALL`. One with a page
    /// stays unfinished until [`finish_install`](Self::finish_install).
    ///
    /// # Errors
    /// When there is no such application or person.
    pub fn install(&self, client_id: &str, user_id: i64) -> Result<TokenPair, Refusal> {
        let now = self.inner.clock.now();
        let mut state = self.state();
        if !state.is_active(user_id) {
            return Err(Refusal::NoUser(user_id));
        }
        let application = state.application_mut(client_id)?;
        let has_page = application.config.page_url.is_some();
        application.installed_by = user_id;
        application.stage = if has_page {
            Stage::Installing
        } else {
            Stage::Installed
        };
        let data = json!({
            "VERSION": application.version.to_string(),
            "ACTIVE": "Y",
            "INSTALLED": if has_page { "N" } else { "Y" },
        });
        let pair = state.issue(client_id, user_id, now)?;
        state.call_back_with_tokens(client_id, "ONAPPINSTALL", data, &pair, now);
        Ok(pair)
    }

    /// A new version of the application arrives: it is told by `ONAPPUPDATE`, perhaps with a new
    /// `application_token`, and loses the handlers it bound.
    ///
    /// # Errors
    /// When there is no such application, or it is not installed.
    pub fn update_application(
        &self,
        client_id: &str,
        new_token: bool,
    ) -> Result<TokenPair, Refusal> {
        let now = self.inner.clock.now();
        let mut state = self.state();
        let person = state.application(client_id)?.installed_by;
        let pair = state.issue(client_id, person, now)?;
        let token = state.secret(2);
        let application = state.application_mut(client_id)?;
        let before = application.version;
        application.version += 1;
        if new_token {
            application.application_token = token;
        }
        let data = json!({
            "VERSION": (before + 1).to_string(),
            "PREVIOUS_VERSION": before.to_string(),
        });
        state.call_back_with_tokens(client_id, "ONAPPUPDATE", data, &pair, now);
        state.drop_handlers(client_id);
        Ok(pair)
    }

    /// A person opens the page of the application: a POST of the frame with a pair of tokens.
    ///
    /// # Errors
    /// When there is no such application or person, or no page.
    pub fn open_page(&self, client_id: &str, user_id: i64) -> Result<(), Refusal> {
        let now = self.inner.clock.now();
        self.state().open_page(client_id, user_id, now)
    }

    /// The page of the application calls `installFinish`.
    ///
    /// # Errors
    /// When there is no such application, or it is not being installed.
    pub fn finish_install(&self, client_id: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        let application = state.application_mut(client_id)?;
        match application.stage {
            Stage::Installing | Stage::Installed => application.stage = Stage::Installed,
            Stage::Known | Stage::Removed => {
                return Err(Refusal::NotInstalled(client_id.to_owned()));
            }
        }
        Ok(())
    }

    /// Somebody removes the application, with all its data when `clean`: its tokens are no longer
    /// good, and handlers bound to `ONAPPUNINSTALL` are told.
    ///
    /// # Errors
    /// When there is no such application.
    pub fn uninstall(&self, client_id: &str, clean: bool) -> Result<(), Refusal> {
        let now = self.inner.clock.now();
        let mut state = self.state();
        state.application_mut(client_id)?.stage = Stage::Removed;
        let data = json!({"CLEAN": if clean { "1" } else { "0" }});
        state.call_back(client_id, "ONAPPUNINSTALL", data, true, now);
        state.drop_handlers(client_id);
        Ok(())
    }

    /// A fresh pair of tokens for this person, as an opened page of the application gets one.
    ///
    /// # Errors
    /// When there is no such person, or the application is not installed.
    pub fn issue_tokens(&self, client_id: &str, user_id: i64) -> Result<TokenPair, Refusal> {
        let now = self.inner.clock.now();
        self.state().issue(client_id, user_id, now)
    }

    /// An authorization code for this person, good for 30 seconds and once.
    ///
    /// # Errors
    /// When there is no such application.
    pub fn issue_code(&self, client_id: &str, user_id: i64) -> Result<String, Refusal> {
        let now = self.inner.clock.now();
        self.state().issue_code(client_id, user_id, now)
    }

    /// From now on this person sits at the browser in which applications are authorized.
    pub fn sign_in(&self, user_id: i64) {
        self.state().apps.signed_in = user_id;
    }

    /// Ends an access token early. False when nobody issued it.
    pub fn expire_token(&self, access_token: &str) -> bool {
        let now = self.inner.clock.now();
        self.state().expire_access(access_token, now)
    }

    /// Ends all access tokens of an application early.
    pub fn expire_tokens_of(&self, client_id: &str) {
        let now = self.inner.clock.now();
        self.state().expire_all_access(client_id, now);
    }

    /// The application is paid for, or no longer: `ONAPPPAYMENT` tells it, without any proof.
    ///
    /// # Errors
    /// When there is no such application.
    pub fn set_paid(&self, client_id: &str, paid: bool) -> Result<(), Refusal> {
        let now = self.inner.clock.now();
        let mut state = self.state();
        let application = state.application_mut(client_id)?;
        application.paid = paid;
        let data = json!({
            "CODE": client_id,
            "VERSION": application.version.to_string(),
            "STATUS": application.config.status,
            "PAYMENT_EXPIRED": if paid { "N" } else { "Y" },
            "DAYS": if paid { "30" } else { "-1" },
        });
        state.call_back(client_id, "ONAPPPAYMENT", data, false, now);
        Ok(())
    }

    /// Only these people may use the application; `None` = everybody.
    ///
    /// # Errors
    /// When there is no such application.
    pub fn restrict(&self, client_id: &str, people: Option<Vec<i64>>) -> Result<(), Refusal> {
        self.state().application_mut(client_id)?.allowed = people;
        Ok(())
    }

    /// From now on an administrator has to approve this method before the application may call it.
    ///
    /// # Errors
    /// When there is no such application.
    pub fn require_confirmation(&self, client_id: &str, method: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        let application = state.application_mut(client_id)?;
        application.delicate.insert(method.to_ascii_lowercase());
        Ok(())
    }

    /// An administrator decides about all who asked for this method. Answers the tokens that
    /// asked; `ONAPPMETHODCONFIRM` tells of each.
    ///
    /// # Errors
    /// When there is no such application.
    pub fn confirm(
        &self,
        client_id: &str,
        method: &str,
        approved: bool,
    ) -> Result<Vec<String>, Refusal> {
        let now = self.inner.clock.now();
        let mut state = self.state();
        let application = state.application_mut(client_id)?;
        let word = if approved {
            Decision::Approved
        } else {
            Decision::Denied
        };
        let mut asked = Vec::new();
        for ((_, about), decision) in &mut application.decisions {
            if !about.eq_ignore_ascii_case(method) {
                continue;
            }
            if let Decision::Waiting(token) = decision {
                asked.push(token.clone());
            }
            *decision = word.clone();
        }
        for token in &asked {
            let confirmed = if approved { "1" } else { "0" };
            let data = json!({"TOKEN": token, "METHOD": method, "CONFIRMED": confirmed});
            state.call_back(client_id, "ONAPPMETHODCONFIRM", data, true, now);
        }
        Ok(asked)
    }
}

fn seen(application: &Application) -> ApplicationView {
    let decisions = application.decisions.iter();
    let waiting = decisions.filter(|(_, decision)| matches!(decision, Decision::Waiting(_)));
    let mut waiting_for: Vec<_> = waiting.map(|(about, _)| about.clone()).collect();
    waiting_for.sort();
    ApplicationView {
        client_id: application.client_id.clone(),
        client_secret: application.client_secret.clone(),
        application_token: application.application_token.clone(),
        installed: application.stage == Stage::Installed,
        paid: application.paid,
        version: application.version,
        waiting_for,
    }
}
