//! The HTTP edge: what Bitrix24 and browsers reach. Off unless an address is configured.
//!
//! Everybody on the internet may come here, so the `listener` bounds every connection, `body` every
//! body, and nothing that is said counts before the authorization server or a stored secret vouched
//! for it, which is [`portal`](crate::portal)'s work. `refusals` tells the operator what was turned
//! away, and nothing of its content.

mod body;
mod listener;
mod public_url;

use std::{io, net::SocketAddr};

use axum::{Router, http::StatusCode};

use self::listener::Listener;
pub use self::public_url::PublicUrl;
use crate::{fault::Chain, lifecycle::Lifecycle, tls};

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
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    ///
    /// When it is taken or not ours, or the certificate cannot be used.
    pub async fn bind(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            listener: Listener::bind(config).await?,
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

    /// Serves until the stop begins; connections under way are waited for by `life`.
    pub async fn run(self, life: Lifecycle) {
        self.listener.serve(routes(), life).await;
    }
}

fn routes() -> Router {
    Router::new().fallback(nothing_here)
}

async fn nothing_here() -> StatusCode {
    StatusCode::NOT_FOUND
}
