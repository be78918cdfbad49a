//! The portal as people see it: a page on which a developer talks to a bot, and sees what made it.
//!
//! The page holds no state. It is told what changes (`push`), and acts through the addresses of the
//! control interface, of which it may use those that concern people and switches. Everything others wrote
//! is taken apart here, into nodes, colours and links that are safe to show; the page makes elements of
//! them and never reads HTML. `door` lets nobody in but this page.

mod attach;
mod bbcode;
mod colour;
mod door;
mod keyboard;
mod label;
mod mask;
mod messages;
mod people;
mod push;
mod server;
mod story;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Either;
use hyper::Method;
use hyper::http::request::Parts;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::people::Viewer;
use self::push::Pushed;
use self::server::Reply;
use self::story::Place;
use crate::control;
use crate::php;
use crate::portal::Portal;
use crate::sim::Sim;

const HTML: &str = include_str!("chat/page/page.html");
const STYLE: &str = include_str!("chat/page/style.css");
const SCRIPT: &str = concat!(
    include_str!("chat/page/message.js"),
    include_str!("chat/page/script.js")
);
const ICON: &str = include_str!("chat/page/icon.svg");

/// Changes how the events of a bot, named by its code, are delivered: `fetch` or `webhook`. Bitrix24 lets
/// only the client that owns a bot do this, so whoever starts the page has to offer it. A failure is told
/// in words.
#[derive(Clone)]
pub struct ChangeDelivery(Arc<Change>);

type Change = dyn Fn(String, String) -> Changing + Send + Sync;
type Changing = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

impl ChangeDelivery {
    /// Takes the code of a bot and the mode it is to have.
    pub fn new<F>(change: impl Fn(String, String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Arc::new(move |code, mode| Box::pin(change(code, mode))))
    }
}

impl fmt::Debug for ChangeDelivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ChangeDelivery")
    }
}

/// The open page. It closes when this is dropped.
#[derive(Debug)]
pub struct ChatPage {
    address: SocketAddr,
    _stop: DropGuard,
}

impl ChatPage {
    pub(crate) fn serve(
        sim: Sim,
        portal: Portal,
        listener: TcpListener,
        address: SocketAddr,
        delivery: Option<ChangeDelivery>,
    ) -> Self {
        let stop = CancellationToken::new();
        let desk = Arc::new(Desk {
            sim,
            portal,
            own: address,
            delivery,
        });
        tokio::spawn(server::serve(desk, listener, stop.clone()));
        Self {
            address,
            _stop: stop.drop_guard(),
        }
    }

    /// `http://ADDRESS/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// What answers the page.
struct Desk {
    sim: Sim,
    portal: Portal,
    own: SocketAddr,
    delivery: Option<ChangeDelivery>,
}

impl Desk {
    async fn answer(&self, head: &Parts, body: &Bytes) -> Reply {
        let path = head.uri.path();
        if head.method == Method::GET {
            match path {
                "/" => return Reply::of(200, "text/html; charset=utf-8", HTML),
                "/style.css" => return Reply::of(200, "text/css; charset=utf-8", STYLE),
                "/script.js" => return Reply::of(200, "text/javascript; charset=utf-8", SCRIPT),
                "/icon.svg" => return Reply::of(200, "image/svg+xml", ICON),
                "/events" => return self.events(head),
                _ => {}
            }
        }
        let (status, answer) = match path.strip_prefix("/api/") {
            Some(path) => self.act(&head.method, path, body).await,
            None => refused(404, "there is nothing at this address"),
        };
        Reply::of(status, "application/json", answer.to_string())
    }

    /// What happens, from a place on.
    fn events(&self, head: &Parts) -> Reply {
        let query = php::parse_form(head.uri.query().unwrap_or_default());
        let text = |name: &str| {
            let text = query.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let viewer = Viewer {
            user: text("user").parse().unwrap_or(0),
            dialog: text("dialog"),
            language: text("language"),
        };
        let pushed = Pushed::begin(self.portal.clone(), viewer, Place::default());
        Reply {
            status: 200,
            media: "text/event-stream",
            body: Either::Right(pushed),
        }
    }

    async fn act(&self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        match (method, path) {
            (&Method::GET, "options") => {
                (200, json!({"changes_delivery": self.delivery.is_some()}))
            }
            (&Method::GET, detail) if detail.starts_with("story/") => {
                let id = detail.trim_start_matches("story/");
                match story::detail(&self.portal.state(), id) {
                    Some(detail) => (200, detail),
                    None => refused(404, "it is not kept any more"),
                }
            }
            (&Method::POST, "delivery") => self.change_delivery(body).await,
            _ if MAY_USE.contains(&path.split('/').next().unwrap_or_default()) => {
                let answer = control::act(&self.sim, &self.portal, method, path, body).await;
                // Settings may have changed, which no record tells.
                self.portal.state().journal.ring();
                answer
            }
            _ => refused(404, "there is nothing at this address"),
        }
    }

    async fn change_delivery(&self, body: &[u8]) -> (u16, Value) {
        let body: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let (Some(code), Some(mode @ ("fetch" | "webhook"))) = (text("code"), text("mode")) else {
            return refused(400, "`code` and `mode` are needed");
        };
        let Some(ChangeDelivery(change)) = &self.delivery else {
            return refused(404, "nobody here can change it");
        };
        match change(code.to_owned(), mode.to_owned()).await {
            Ok(()) => (200, json!({})),
            Err(why) => refused(409, &why),
        }
    }
}

/// What the page may use of the control interface.
const MAY_USE: [&str; 8] = [
    "users",
    "chats",
    "faults",
    "latency",
    "limits",
    "quirks",
    "condition",
    "clock",
];

fn refused(status: u16, rule: &str) -> (u16, Value) {
    (status, json!({"error": {"field": "", "rule": rule}}))
}
