//! The simulation: one certificate authority, one clock, any number of portals.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, PortalConfig};
use crate::http;
use crate::portal::{Inner, Portal};
use crate::state::State;
use crate::tls::{self, Authority};

/// Why a simulation or a portal could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Certificates could not be made.
    #[error("could not make certificates")]
    Certificates(#[source] tls::Error),
    /// A listener could not be bound.
    #[error("could not listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// A running simulation. Clones are the same simulation; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct Sim {
    inner: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    clock: Clock,
    authority: Authority,
    portals: Mutex<Vec<Portal>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        for portal in self
            .portals
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
        {
            portal.stop();
        }
    }
}

impl Sim {
    /// Makes the certificates and starts the clock. Tasks run on the current tokio runtime.
    ///
    /// # Errors
    /// When certificates cannot be made.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let authority = Authority::create().map_err(Error::Certificates)?;
        let clock = Clock::starting_at(config.starts_at);
        let shared = Shared {
            config,
            clock,
            authority,
            portals: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(shared),
        })
    }

    /// The certificate a client has to trust, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.inner.authority.ca_pem()
    }

    /// The time of all portals.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Adds a portal that listens on loopback, with TLS on its main port and without on another.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn add_portal(&self, config: PortalConfig) -> Result<Portal, Error> {
        let secure = listen(config.port).await?;
        let plain = listen(0).await?;
        let inner = Arc::new(Inner {
            clock: self.inner.clock.clone(),
            https_port: port_of(&secure)?,
            http_port: port_of(&plain)?,
            state: Mutex::new(State::new(config, self.inner.config.journal_capacity)),
            stop: CancellationToken::new(),
        });
        let acceptor = self.inner.authority.acceptor();
        tokio::spawn(http::serve(inner.clone(), secure, Some(acceptor)));
        tokio::spawn(http::serve(inner.clone(), plain, None));
        let portal = Portal { inner };
        self.inner
            .portals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(portal.clone());
        Ok(portal)
    }
}

async fn listen(port: u16) -> Result<TcpListener, Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address)
        .await
        .map_err(|cause| Error::Listen { address, cause })
}

fn port_of(listener: &TcpListener) -> Result<u16, Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bound = listener
        .local_addr()
        .map_err(|cause| Error::Listen { address, cause })?;
    Ok(bound.port())
}
