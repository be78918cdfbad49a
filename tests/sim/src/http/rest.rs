//! The addresses of a portal.
//!
//! This is the only place that waits. A request that takes time runs in a task of its own, so
//! that its effect comes even when the client has gone: a portal does not notice that.

use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use hyper::header::{ACCEPT, ACCEPT_LANGUAGE, REFERER, USER_AGENT};
use serde_json::Value;

use super::{Asked, Site, page};
use crate::core::{Incoming, Outcome, Reply, Sign};
use crate::params::{Params, bearer};
use crate::php;
use crate::portal::{Condition, Inner};

/// One listener of a portal.
#[derive(Debug)]
pub(crate) struct PortalSite {
    portal: Arc<Inner>,
    /// The host and port to which the portal has moved, if it has.
    pub(crate) moved_to: Arc<OnceLock<String>>,
}

impl PortalSite {
    pub(crate) fn new(portal: Arc<Inner>) -> Arc<Self> {
        Arc::new(Self {
            portal,
            moved_to: Arc::default(),
        })
    }

    /// The page a request is led to instead of being served, if it is.
    fn elsewhere(&self, asked: &Asked) -> Option<Reply> {
        if let Some(moved_to) = self.moved_to.get() {
            let path = asked.head.uri.path_and_query();
            let path = path.map_or("/", |path| path.as_str());
            return Some(redirect(format!("https://{moved_to}{path}")));
        }
        let state = self.portal.state.lock();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let here = |path: &str| Some(redirect(format!("https://{}{path}", state.identity.domain)));
        match state.condition {
            Condition::LicencePage => here("/settings/license.php"),
            Condition::LoginPage => here("/auth/?backurl=%2Frest%2F"),
            Condition::Maintenance => Some(page(503, "Under maintenance")),
            _ => None,
        }
    }
}

fn redirect(location: String) -> Reply {
    let mut reply = page(302, "Found");
    reply.headers.push(("location".to_owned(), location));
    reply
}

impl Site for PortalSite {
    async fn answer(&self, asked: Asked) -> Outcome {
        if asked.head.uri.path().trim_end_matches('/') == "/oauth/authorize" {
            return Outcome::of(authorize(&self.portal, &asked));
        }
        if let Some(client_id) = asked.head.uri.path().strip_prefix("/marketplace/app/") {
            return Outcome::of(application(&self.portal, client_id.trim_end_matches('/')));
        }
        let elsewhere = self.elsewhere(&asked);
        if elsewhere.is_none() && asked.head.uri.path().ends_with("/download/") {
            return Outcome::of(download(&self.portal, &asked));
        }
        match read(&asked) {
            Some(incoming) => match elsewhere {
                Some(reply) => {
                    let now = self.portal.clock.now();
                    let state = self.portal.state.lock();
                    let mut state = state.unwrap_or_else(PoisonError::into_inner);
                    state.turn_away(incoming, reply, now)
                }
                None => execute(&self.portal, incoming).await,
            },
            None => Outcome::of(elsewhere.unwrap_or_else(|| page(404, "404 Not Found"))),
        }
    }
}

async fn execute(portal: &Arc<Inner>, incoming: Incoming) -> Outcome {
    let admitted = {
        let mut state = portal.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = portal.clock.now();
        let admitted = state.admit(incoming, now);
        if admitted.latency == Duration::ZERO {
            return state.finish(admitted, now);
        }
        admitted
    };
    let portal = portal.clone();
    let running = tokio::spawn(async move {
        tokio::time::sleep(admitted.latency).await;
        let mut state = portal.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = portal.clock.now();
        state.finish(admitted, now)
    });
    running.await.unwrap_or_else(|_| Outcome::none())
}

/// `/rest/{user}/{code}/{method}`, or `/rest/{method}` with an access token.
fn read(asked: &Asked) -> Option<Incoming> {
    let path = asked.head.uri.path().strip_prefix("/rest/")?;
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let first = segments.next().unwrap_or_default();
    let code = segments.next();
    let method = if code.is_some() {
        segments.next().unwrap_or_default()
    } else {
        first
    };
    let (params, encoding) = Params::read(asked.query(), asked.content_type(), &asked.body);
    let sign = match code {
        Some(code) => Sign::Webhook {
            user_id: first.parse().unwrap_or(0),
            code: code.to_owned(),
        },
        None => Sign::Token(params.auth.clone().or_else(|| bearer(asked))),
    };
    Some(Incoming {
        peer: asked.peer,
        secure: asked.secure,
        sign,
        method: method.strip_suffix(".json").unwrap_or(method).to_owned(),
        params,
        encoding,
        traceparent: asked.traceparent(),
    })
}

/// The bytes behind a download address. Requests that do not look like those of a browser are
/// told that there is nothing.
fn download(portal: &Inner, asked: &Asked) -> Reply {
    let query = php::parse_form(asked.query());
    let token = query.get("token").and_then(Value::as_str);
    let mut state = portal.state.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = [USER_AGENT, ACCEPT, ACCEPT_LANGUAGE, REFERER];
    let complete = wanted.iter().all(|name| !asked.header(name).is_empty());
    if !complete {
        let mut reply = page(404, "404 Not Found");
        let disposition = ("content-disposition".to_owned(), "attachment".to_owned());
        reply.headers.push(disposition);
        return reply;
    }
    match state.fetch_download(token.unwrap_or_default(), portal.clock.now()) {
        Some(file) => Reply {
            status: 200,
            headers: vec![(
                "content-type".to_owned(),
                "application/octet-stream".to_owned(),
            )],
            body: file.content,
        },
        None => page(404, "404 Not Found"),
    }
}

/// The page in which whoever is signed in sees the page of an application in a frame (C8). Texts that the
/// frame posts to it are shown below.
fn application(portal: &Inner, client_id: &str) -> Reply {
    let mut state = portal.state.lock().unwrap_or_else(PoisonError::into_inner);
    let person = state.apps.signed_in;
    let Ok(frame) = state.frame(client_id, person, portal.clock.now()) else {
        return page(404, "Application not found");
    };
    let escaped = |text: &str| {
        text.replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('<', "&lt;")
    };
    let fields = frame.fields.iter().map(|(name, value)| {
        let value = escaped(value.as_str().unwrap_or_default());
        format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">")
    });
    let body = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><title>Application</title></head><body>\
         <form id=\"open\" method=\"post\" target=\"application\" action=\"{}\">{}</form>\
         <iframe name=\"application\" title=\"Application\"></iframe><pre id=\"told\"></pre><script>\
         onmessage = (event) => {{ document.getElementById('told').textContent += event.data + '\\n'; }};\
         document.getElementById('open').submit();</script></body></html>",
        escaped(&frame.url),
        fields.collect::<String>(),
    );
    let mut reply = page(200, "Application");
    reply.body = body.into();
    reply
}

/// The page on which a person lets an application act for them (C7). Whoever is signed in agrees
/// at once; when something is wrong, there is no redirect.
fn authorize(portal: &Inner, asked: &Asked) -> Reply {
    let query = php::parse_form(asked.query());
    let text = |name| query.get(name).and_then(Value::as_str).unwrap_or_default();
    let client_id = text("client_id");
    let mut state = portal.state.lock().unwrap_or_else(PoisonError::into_inner);
    let application = state.application(client_id).ok();
    let target = application.and_then(|application| application.config.redirect_url.clone());
    let scope = application.map(|application| application.config.scopes.join(","));
    let person = state.apps.signed_in;
    let code = state.issue_code(client_id, person, portal.clock.now());
    let (Some(target), Ok(code)) = (target, code) else {
        return page(200, "Application not found");
    };
    let answer = [
        ("code", Some(code.as_str())),
        ("state", query.get("state").and_then(Value::as_str)),
        ("domain", Some(&state.identity.domain)),
        ("member_id", Some(&state.identity.member_id)),
        ("scope", scope.as_deref()),
        ("server_domain", Some(&state.identity.oauth_domain)),
    ];
    let answer = answer.into_iter().filter_map(|(name, value)| {
        let value = php::url_encode(value?);
        Some(format!("{name}={value}"))
    });
    let join = if target.contains('?') { '&' } else { '?' };
    let location = format!("{target}{join}{}", answer.collect::<Vec<_>>().join("&"));
    redirect(location)
}
