//! The HTTP edge: what Bitrix24 and browsers reach. Off unless an address is configured.
//!
//! Everybody on the internet may come here, so the `listener` bounds every connection, `body` every
//! body, and nothing that is said counts before the authorization server or a stored secret vouched
//! for it, which is [`portal`](crate::portal)'s work. `refusals` tells the operator what was turned
//! away, and nothing of its content.

mod authorizations;
mod bindings;
mod body;
mod callbacks;
mod desk;
mod frame;
mod hooks;
mod html;
mod listener;
mod oauth;
pub mod ops;
mod page;
mod public_url;
mod query;
mod refusals;
mod texts;

use std::{io, net::SocketAddr};

use axum::{
    Router,
    http::StatusCode,
    routing::{MethodRouter, get, post},
};

pub use self::{
    authorizations::{Authorizations, LinkError},
    public_url::PublicUrl,
};
use self::{
    desk::Desk,
    listener::{Listener, Place},
};
use crate::{bots::Bots, events::Events, fault::Chain, lifecycle::Lifecycle, portal::Portals, tls};

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Files for TLS; without them something in front speaks it.
    pub tls: Option<tls::Files>,
    /// Connections at once.
    pub connections: usize,
    /// Where others reach us.
    pub public_url: PublicUrl,
}

impl Config {
    /// What the addresses begin with at which portals post the events of bots.
    #[must_use]
    pub fn hooks(&self) -> String {
        self.public_url.at(hooks::PATH)
    }
}

/// Why nobody can be let in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be taken.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The certificate cannot be used.
    #[error("configuration: `http.tls`: {}", Chain(.0))]
    Tls(#[from] tls::Error),
}

/// A server that is bound and not yet serving.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    desk: Desk,
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    ///
    /// When it is taken or not ours, or the certificate cannot be used.
    pub async fn bind(
        config: &Config,
        portals: Portals,
        bots: Bots,
        events: Events,
        life: Lifecycle,
    ) -> Result<Self, Error> {
        let place = Place {
            listen: config.listen,
            tls: config.tls.clone(),
            connections: config.connections,
            limit: "`http.max_connections`",
        };
        let authorizations = Authorizations::new(portals.clone(), config.public_url.clone());
        Ok(Self {
            listener: Listener::bind(place).await?,
            desk: Desk::new(
                portals,
                bots,
                events,
                life,
                authorizations,
                &config.public_url,
            ),
        })
    }

    /// The address taken.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.address()
    }

    /// Where links for authorizations are made.
    #[must_use]
    pub fn authorizations(&self) -> Authorizations {
        self.desk.authorizations().clone()
    }

    /// Serves until the stop begins; connections under way are waited for.
    pub async fn run(self) {
        let life = self.desk.life().clone();
        self.desk.events().start_listening(&life);
        let events = self.desk.events().clone();
        let turned_away = move || events.turned_away();
        self.listener
            .serve(routes(self.desk), turned_away, life)
            .await;
    }
}

/// Where portals tell what becomes of our application.
const EVENTS: &str = "/bitrix24/events";

fn routes(desk: Desk) -> Router {
    // A look at what a link leads to must not use it up.
    let read = |route: MethodRouter<Desk>| route.head(nothing_here).fallback(nothing_here);
    let posted = |route: MethodRouter<Desk>| route.fallback(nothing_here);
    let hooks = Router::new().route(hooks::ROUTE, posted(post(hooks::receive)));
    if !desk.portals().have_application() {
        return hooks.fallback(nothing_here).with_state(desk);
    }
    hooks
        .route(EVENTS, posted(post(callbacks::receive)))
        .route("/bitrix24/app", posted(post(frame::open)))
        .route("/oauth/start", read(get(oauth::start)))
        .route("/oauth/callback", read(get(oauth::come_back)))
        .fallback(nothing_here)
        .with_state(desk)
}

async fn nothing_here() -> StatusCode {
    StatusCode::NOT_FOUND
}
