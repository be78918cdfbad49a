//! Callbacks of applications, and the `auth` of everything a portal sends (C8, C11).

use serde_json::{Map, Value, json};

use super::State;
use crate::clock::UnixTime;
use crate::delivery::Outgoing;
use crate::php::{self, FormStyle};
use crate::portal::Refusal;
use crate::quirks::{FormBoolean, FormNull};
use crate::view::TokenPair;

/// Longest `application_token` of a bot that belongs to a botToken, in characters.
const SYNTHETIC_LENGTH: usize = 50;

/// How frames are posted.
const FRAME_STYLE: FormStyle = FormStyle {
    nulls: FormNull::Absent,
    booleans: FormBoolean::Digits,
    encoded_brackets: true,
};

/// What a browser posts when the page of an application is opened.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) url: String,
    pub(crate) fields: Vec<(&'static str, Value)>,
}

impl State {
    /// `auth` for a bot of a botToken: its token can nearly be read from it.
    pub(super) fn webhook_auth(&self, bot_token: &str) -> Value {
        let synthetic = format!("custom{bot_token}");
        let synthetic: String = synthetic.chars().take(SYNTHETIC_LENGTH).collect();
        let mut auth = self.addresses();
        auth.insert("application_token".into(), synthetic.into());
        Value::Object(auth)
    }

    /// `auth` for an application; with a token when a person raised the event.
    pub(super) fn application_auth(
        &mut self,
        client_id: &str,
        person: Option<i64>,
        now: UnixTime,
    ) -> Value {
        let mut auth = self.application_traits(client_id);
        if let Some(person) = person {
            let token = self.issue_access(client_id, person, now);
            auth.insert("access_token".into(), token.into());
            auth.insert("expires_in".into(), 3600.into());
            if self.quirks.posts_are_complete {
                auth.insert("expires".into(), (now.as_secs() + 3600).into());
                auth.insert("user_id".into(), person.into());
            }
        }
        let application = self.apps.all.get(client_id);
        let token = application.map(|application| application.application_token.clone());
        auth.insert("application_token".into(), json!(token));
        Value::Object(auth)
    }

    /// `data[bot][auth]`: tokens to act with, and an `application_token` that proves nothing.
    pub(super) fn bot_auth(&mut self, client_id: &str, acting: i64, now: UnixTime) -> Value {
        let mut auth = self.application_traits(client_id);
        if self.quirks.bot_auth_can_refresh
            && let Ok(pair) = self.issue(client_id, acting, now)
        {
            auth.insert("access_token".into(), pair.access_token.into());
            auth.insert("refresh_token".into(), pair.refresh_token.into());
        } else {
            let token = self.issue_access(client_id, acting, now);
            auth.insert("access_token".into(), token.into());
        }
        auth.insert("expires".into(), (now.as_secs() + 3600).into());
        auth.insert("expires_in".into(), 3600.into());
        auth.insert("user_id".into(), acting.into());
        let unfit = self.secret(2);
        auth.insert("application_token".into(), unfit.into());
        Value::Object(auth)
    }

    fn addresses(&self) -> Map<String, Value> {
        let members = [
            ("domain", self.identity.domain.clone()),
            ("client_endpoint", self.identity.client_endpoint()),
            ("server_endpoint", self.identity.server_endpoint()),
            ("member_id", self.identity.member_id.clone()),
        ];
        let members = members.map(|(name, value)| (name.to_owned(), Value::String(value)));
        members.into_iter().collect()
    }

    fn application_traits(&self, client_id: &str) -> Map<String, Value> {
        let mut auth = self.addresses();
        if let Some(application) = self.apps.all.get(client_id) {
            let config = &application.config;
            auth.insert("scope".into(), config.scopes.join(" ").into());
            auth.insert("status".into(), config.status.as_str().into());
        }
        auth
    }

    /// `ONAPPINSTALL` or `ONAPPUPDATE`, with a pair of tokens.
    pub(crate) fn call_back_with_tokens(
        &mut self,
        client_id: &str,
        event: &str,
        mut data: Value,
        pair: &TokenPair,
        now: UnixTime,
    ) {
        let handler_url = self
            .application(client_id)
            .ok()
            .and_then(|application| application.config.handler_url.clone());
        let mut auth = self.application_auth(client_id, None, now);
        auth["access_token"] = json!(pair.access_token);
        auth["refresh_token"] = json!(pair.refresh_token);
        auth["expires_in"] = json!(3600);
        if self.quirks.posts_are_complete {
            auth["expires"] = json!(pair.expires.as_secs());
            auth["user_id"] = json!(pair.user_id);
        }
        data["LANGUAGE_ID"] = json!(self.language);
        if let Some(url) = handler_url {
            self.post_event(event, None, &url, data.clone(), auth.clone(), now);
        }
        self.tell_handlers(client_id, event, &data, &auth, now);
    }

    /// Any other callback; only what was bound hears of it.
    pub(crate) fn call_back(
        &mut self,
        client_id: &str,
        event: &str,
        mut data: Value,
        proven: bool,
        now: UnixTime,
    ) {
        let mut auth = self.addresses();
        if let Some(application) = self.apps.all.get(client_id).filter(|_| proven) {
            let token = application.application_token.as_str();
            auth.insert("application_token".into(), token.into());
        }
        let auth = Value::Object(auth);
        data["LANGUAGE_ID"] = json!(self.language);
        let application = self.apps.all.get(client_id);
        let handler_url =
            application.and_then(|application| application.config.handler_url.clone());
        if let Some(url) = handler_url.filter(|_| !self.quirks.callbacks_need_binding) {
            self.post_event(event, None, &url, data.clone(), auth.clone(), now);
        }
        self.tell_handlers(client_id, event, &data, &auth, now);
    }

    fn tell_handlers(
        &mut self,
        client_id: &str,
        event: &str,
        data: &Value,
        auth: &Value,
        now: UnixTime,
    ) {
        let bound = self.outbox.handlers.iter();
        let bound = bound.filter(|handler| {
            handler.client_id == client_id && handler.event == event && !handler.offline
        });
        let bound: Vec<(i64, String)> = bound.map(|h| (h.id, h.url.clone())).collect();
        for (id, url) in bound {
            self.post_event(event, Some(id), &url, data.clone(), auth.clone(), now);
        }
    }

    /// Handlers go when an application is updated or removed.
    pub(crate) fn drop_handlers(&mut self, client_id: &str) {
        let handlers = &mut self.outbox.handlers;
        handlers.retain(|handler| handler.client_id != client_id);
    }

    /// A person opens the application's page inside the portal.
    pub(crate) fn open_page(
        &mut self,
        client_id: &str,
        user_id: i64,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let Frame { url, fields } = self.frame(client_id, user_id, now)?;
        self.put_outgoing(Outgoing {
            at: now,
            url,
            event: "frame".to_owned(),
            media: "application/x-www-form-urlencoded",
            body: php::build_query(&fields, FRAME_STYLE),
        });
        Ok(())
    }

    /// What the frame of the application's page posts for a person, and where.
    pub(crate) fn frame(
        &mut self,
        client_id: &str,
        user_id: i64,
        now: UnixTime,
    ) -> Result<Frame, Refusal> {
        let pair = self.issue(client_id, user_id, now)?;
        let application = self.application(client_id)?;
        let no_page = || Refusal::NoPage(client_id.to_owned());
        let page = application.config.page_url.clone().ok_or_else(no_page)?;
        let application_token = application.application_token.clone();
        let scope = application.config.scopes.join(",");
        let status = application.config.status.clone();
        let query = [
            ("DOMAIN", json!(self.identity.domain)),
            ("PROTOCOL", json!("1")),
            ("LANG", json!(self.language)),
            ("APP_SID", json!(self.secret(2))),
        ];
        let fields = vec![
            ("AUTH_ID", json!(pair.access_token)),
            ("AUTH_EXPIRES", json!("3600")),
            ("REFRESH_ID", json!(pair.refresh_token)),
            ("SERVER_ENDPOINT", json!(self.identity.server_endpoint())),
            ("APPLICATION_TOKEN", json!(application_token)),
            ("APPLICATION_SCOPE", json!(scope)),
            ("member_id", json!(self.identity.member_id)),
            ("status", json!(status)),
            ("PLACEMENT", json!("DEFAULT")),
        ];
        let join = if page.contains('?') { '&' } else { '?' };
        Ok(Frame {
            url: format!("{page}{join}{}", php::build_query(&query, FRAME_STYLE)),
            fields,
        })
    }
}
