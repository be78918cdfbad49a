//! The authorization server: one for all portals of a simulation (C7).
//!
//! Portals keep their own tokens; this server finds the portal that issued what it is shown and
//! lets it answer. What can go wrong here is independent of the portals: it has faults, quirks
//! and a journal of its own. In them its two calls are named `oauth/token` and `app.info`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::{Clock, UnixTime};
use crate::core::{Outcome, Reply, spoil};
use crate::failure::Failure;
use crate::fault::{FaultKind, Faults, Queue, When};
use crate::http::{Asked, Site, page};
use crate::journal::{Entry, Journal, Record, Shown};
use crate::params::{Params, bearer};
use crate::place::Place;
use crate::portal::{Condition, Portal};
use crate::quirks::Quirks;

/// How the authorization server behaves where sources disagree (C7).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OAuthQuirks {
    /// What a wrong client id or secret is called.
    pub wrong_client: WrongClient,
    /// What a client is told that is not installed in the portal of its token.
    pub uninstalled: UninstalledIs,
    /// How long a refresh token still works after it was exchanged. Default: not at all.
    #[serde(rename = "refresh_grace_ms", with = "crate::written::millis")]
    pub refresh_grace: Duration,
    /// A refresh ends the access token that came with the old refresh token. Default: off.
    pub refresh_ends_old_access: bool,
    /// `expires_in` is a text.
    pub expires_in_is_text: bool,
    /// `user_id` is a text.
    pub user_id_is_text: bool,
    /// The first pair carries `expires` and `user_id` too, as official SDKs rely on; the sample
    /// of the documentation has neither. Default: off.
    pub first_pair_is_complete: bool,
}

/// What a wrong client id or secret is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongClient {
    /// `invalid_client` with 401.
    Unauthorized,
    /// `invalid_client` with 400.
    BadRequest,
    /// `wrong_client` with 200.
    WrongClientWith200,
}

/// What a client is told that is not installed in the portal of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UninstalledIs {
    /// `NOT_INSTALLED`.
    NotInstalled,
    /// `invalid_client`.
    InvalidClient,
}

impl Default for OAuthQuirks {
    fn default() -> Self {
        Self {
            wrong_client: WrongClient::Unauthorized,
            uninstalled: UninstalledIs::NotInstalled,
            refresh_grace: Duration::ZERO,
            refresh_ends_old_access: false,
            expires_in_is_text: false,
            user_id_is_text: false,
            first_pair_is_complete: false,
        }
    }
}

/// What the server itself remembers.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) quirks: OAuthQuirks,
    pub(crate) faults: Queue,
    pub(crate) journal: Record,
}

/// A handle to the authorization server.
#[derive(Clone, Debug)]
pub struct OAuth {
    pub(crate) office: Arc<Mutex<Office>>,
    pub(crate) port: u16,
}

impl OAuth {
    pub(crate) fn new(port: u16, journal_capacity: usize) -> Self {
        let office = Office {
            quirks: OAuthQuirks::default(),
            faults: Queue::default(),
            journal: Record::new(journal_capacity),
        };
        Self {
            office: Arc::new(Mutex::new(office)),
            port,
        }
    }

    /// `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// How it behaves where sources disagree.
    #[must_use]
    pub fn quirks(&self) -> OAuthQuirks {
        self.office().quirks.clone()
    }

    /// Changes how it behaves where sources disagree.
    pub fn set_quirks(&self, change: impl FnOnce(&mut OAuthQuirks)) {
        change(&mut self.office().quirks);
    }

    /// The faults waiting for requests, named `oauth/token` and `app.info`.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults::of(Place::OAuth(self.office.clone()))
    }

    /// The record of requests.
    #[must_use]
    pub fn journal(&self) -> Journal {
        Journal::of(Place::OAuth(self.office.clone()))
    }

    fn office(&self) -> MutexGuard<'_, Office> {
        self.office.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What keeps a token from acting in its portal, but not from being looked at here.
const STILL_KNOWN: [&str; 3] = [
    "authorization_error",
    "user_access_error",
    "PAYMENT_REQUIRED",
];

/// All running portals, by number.
pub(crate) type Portals = Arc<Mutex<BTreeMap<u32, Portal>>>;

#[derive(Clone)]
pub(crate) struct OAuthSite {
    pub(crate) oauth: OAuth,
    pub(crate) portals: Portals,
    pub(crate) clock: Clock,
}

impl Site for OAuthSite {
    async fn answer(&self, asked: Asked) -> Outcome {
        let call = match asked.head.uri.path().trim_end_matches('/') {
            "/oauth/token" => "oauth/token",
            "/rest/app.info" | "/rest/app.info.json" => "app.info",
            _ => return Outcome::of(page(404, "404 Not Found")),
        };
        let server = self.clone();
        // A pair that was exchanged stays exchanged, also when nobody waits for the new one.
        let running = tokio::spawn(async move { server.serve(call, asked).await });
        running.await.unwrap_or_else(|_| Outcome::none())
    }
}

impl OAuthSite {
    async fn serve(&self, call: &'static str, asked: Asked) -> Outcome {
        let at = self.clock.now();
        let fault = {
            let mut office = self.oauth.office();
            office.journal.arrivals += 1;
            office.faults.meet_request(call)
        };
        let mut before = false;
        if let Some(fault) = fault.as_ref().filter(|fault| fault.when == When::Before) {
            match fault.kind {
                FaultKind::Latency(by) => tokio::time::sleep(by).await,
                _ => before = true,
            }
        }
        let (params, encoding) = Params::read(asked.query(), asked.content_type(), &asked.body);
        let params = params.with_auth(bearer(&asked));
        let reply = (!before).then(|| self.call(call, &params));
        let faulted = fault.is_some();
        let outcome = spoil(reply, fault, refusal);
        let (status, answer) = match &outcome.reply {
            Some(reply) => (reply.status, reply.body.clone()),
            None => (0, Bytes::new()),
        };
        let fields = params.fields();
        let client_id = fields.text("client_id").unwrap_or_default();
        let shown = match &params.auth {
            Some(token) => Shown::Token {
                head: Shown::head(token),
            },
            None => Shown::Client {
                client_id: client_id.into_owned(),
            },
        };
        self.oauth.office().journal.request(Entry {
            at,
            method: call.to_owned(),
            params: params.map,
            encoding,
            traceparent: asked.traceparent(),
            shown,
            status,
            answer,
            batch: None,
            carries: None,
            took: self.clock.now().saturating_sub(at),
            executed: !before,
            faulted,
        });
        outcome
    }

    fn call(&self, call: &str, params: &Params) -> Reply {
        let now = self.clock.now();
        let answer = match call {
            "app.info" => self.app_info(params, now),
            _ => self.token(params, now),
        };
        match answer {
            Ok(answer) => Reply::json(200, answer.to_string()),
            Err(failure) => refusal(&failure),
        }
    }

    fn portals(&self) -> Vec<Portal> {
        let portals = self.portals.lock().unwrap_or_else(PoisonError::into_inner);
        portals.values().cloned().collect()
    }

    fn token(&self, params: &Params, now: UnixTime) -> Result<Value, Failure> {
        let fields = params.fields();
        let text = |name| {
            let text = fields.text(name).filter(|text| !text.is_empty());
            text.ok_or_else(|| Failure::core(400, "invalid_request", "Malformed request"))
        };
        let grant_type = text("grant_type")?;
        let (client_id, client_secret) = (text("client_id")?, text("client_secret")?);
        let grant = match grant_type.as_ref() {
            "refresh_token" => text("refresh_token")?,
            "authorization_code" => text("code")?,
            _ => return Err(Failure::core(400, "invalid_request", "Unknown grant type")),
        };
        let quirks = self.oauth.quirks();
        let portals = self.portals();
        let scopes = self.client(&portals, &client_id, &client_secret, &quirks)?;
        if let Some(asked) = fields.text("scope") {
            check_scope(&asked, &scopes)?;
        }
        for portal in &portals {
            let mut state = portal.state();
            let known = match grant_type.as_ref() {
                "refresh_token" => state.knows_refresh_token(&grant),
                _ => state.knows_code(&grant),
            };
            if known && state.condition == Condition::Closed {
                return Err(Failure::core(404, "PORTAL_DELETED", "Portal was deleted"));
            }
            if grant_type == "refresh_token" && state.knows_refresh_token(&grant) {
                return state.refresh(&client_id, &grant, &quirks, now);
            }
            if grant_type == "authorization_code" && state.knows_code(&grant) {
                return state.exchange_code(&client_id, &grant, &quirks, now);
            }
        }
        let code = match grant_type.as_ref() {
            "refresh_token" => "invalid_grant",
            _ => "bad_verification_code",
        };
        Err(Failure::core(400, code, "Invalid or expired grant"))
    }

    /// What an application may do at most, if its secret is right.
    fn client(
        &self,
        portals: &[Portal],
        client_id: &str,
        secret: &str,
        quirks: &OAuthQuirks,
    ) -> Result<Vec<String>, Failure> {
        for portal in portals {
            if let Ok(application) = portal.state().application(client_id)
                && application.client_secret == secret
            {
                return Ok(application.config.scopes.clone());
            }
        }
        let description = "Invalid client credentials";
        Err(match quirks.wrong_client {
            WrongClient::Unauthorized => Failure::core(401, "invalid_client", description),
            WrongClient::BadRequest => Failure::core(400, "invalid_client", description),
            WrongClient::WrongClientWith200 => Failure::core(200, "wrong_client", ""),
        })
    }

    fn app_info(&self, params: &Params, now: UnixTime) -> Result<Value, Failure> {
        let invalid = || Failure::core(401, "invalid_token", "Invalid access token");
        let token = params.auth.as_deref().ok_or_else(invalid)?;
        for portal in self.portals() {
            let state = portal.state();
            if let Some(held) = state.access(token) {
                // Whoever may not act in the portal is still told who they are.
                if let Err(failure) = state.token_credential(Some(token), now)
                    && !STILL_KNOWN.iter().any(|code| failure.is(code))
                {
                    return Err(failure);
                }
                return Ok(json!({"result": state.trusted_info(held), "time": time(now)}));
            }
        }
        Err(invalid())
    }
}

/// How long an answer took: no time at all.
fn time(now: UnixTime) -> Value {
    json!({
        "start": now.as_secs_f64(),
        "finish": now.as_secs_f64(),
        "duration": 0.0,
        "processing": 0,
        "date_start": crate::clock::iso(now, 0),
        "date_finish": crate::clock::iso(now, 0),
    })
}

fn check_scope(asked: &str, granted: &[String]) -> Result<(), Failure> {
    const KNOWN: [&str; 8] = [
        "im",
        "imbot",
        "user",
        "user_basic",
        "user_brief",
        "disk",
        "crm",
        "task",
    ];
    for scope in asked.split([',', ' ']).filter(|scope| !scope.is_empty()) {
        if granted.iter().any(|granted| granted == scope) {
            continue;
        }
        let code = if KNOWN.contains(&scope) {
            "insufficient_scope"
        } else {
            "invalid_scope"
        };
        return Err(Failure::core(403, code, "The scope is not granted"));
    }
    Ok(())
}

fn refusal(failure: &Failure) -> Reply {
    let quirks = Quirks::default();
    Reply::json(failure.status(&quirks), failure.body(&quirks).to_string())
}
