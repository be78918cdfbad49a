//! The simulation: one certificate authority, one clock, any number of portals.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::chat::{ChangeDelivery, ChatPage};
use crate::clock::Clock;
use crate::config::{Config, PortalConfig};
use crate::control::Control;
use crate::delivery;
use crate::http::{self, PortalSite};
use crate::ingress::Ingress;
use crate::oauth::{OAuth, OAuthSite, Portals};
use crate::portal::{Inner, Portal};
use crate::state::{Identity, State};
use crate::tls::{self, Authority};

/// Where the made up identities of portals begin.
const MEMBER: u128 = 0xda45_a03b_265e_dd87_87f8_a258_d793_cc00;

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
    oauth: OAuth,
    portals: Portals,
    stop: CancellationToken,
    next_number: AtomicU32,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.cancel();
        let portals = self.portals.lock();
        for portal in portals.unwrap_or_else(PoisonError::into_inner).values() {
            portal.stop();
        }
    }
}

impl Sim {
    /// Makes the certificates and starts the clock. Tasks run on the current tokio runtime.
    ///
    /// # Errors
    /// When certificates cannot be made or read, or the authorization server cannot listen.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let authority =
            Authority::create(config.receiver_ca_pem.as_deref()).map_err(Error::Certificates)?;
        let clock = Clock::starting_at(config.starts_at);
        let listener = listen(config.oauth_port).await?;
        let oauth = OAuth::new(port_of(&listener)?, config.journal_capacity);
        let portals = Portals::default();
        let stop = CancellationToken::new();
        let site = Arc::new(OAuthSite {
            oauth: oauth.clone(),
            portals: portals.clone(),
            clock: clock.clone(),
        });
        let acceptor = Some(authority.acceptor());
        tokio::spawn(http::serve(site, listener, acceptor, stop.clone()));
        let shared = Shared {
            config,
            clock,
            authority,
            oauth,
            portals,
            stop,
            next_number: AtomicU32::new(1),
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

    /// The authorization server of all portals.
    #[must_use]
    pub fn oauth(&self) -> &OAuth {
        &self.inner.oauth
    }

    /// Adds a portal that listens on loopback, with TLS on its main port and without on another.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn add_portal(&self, config: PortalConfig) -> Result<Portal, Error> {
        let secure = listen(config.port).await?;
        let plain = listen(0).await?;
        let number = self.inner.next_number.fetch_add(1, Ordering::Relaxed);
        let https_port = port_of(&secure)?;
        let oauth_port = self.inner.oauth.port;
        let oauth_domain = self.inner.config.oauth_domain.clone();
        let member_id = config.member_id.clone();
        let domain = config.domain.clone();
        let identity = Identity {
            number,
            member_id: member_id.unwrap_or_else(|| format!("{:032x}", MEMBER + u128::from(number))),
            domain: domain.unwrap_or_else(|| format!("127.0.0.1:{https_port}")),
            oauth_domain: oauth_domain.unwrap_or_else(|| format!("127.0.0.1:{oauth_port}")),
            oauth_address: self.inner.oauth.address(),
        };
        let capacity = self.inner.config.journal_capacity;
        let (outbox, outgoing) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            number,
            clock: self.inner.clock.clone(),
            here: Mutex::new(format!("127.0.0.1:{https_port}")),
            newest: Mutex::default(),
            tls: self.inner.authority.acceptor(),
            http_port: port_of(&plain)?,
            state: Mutex::new(State::new(config, identity, outbox, capacity)),
            stop: CancellationToken::new(),
        });
        let acceptor = inner.tls.clone();
        let site = PortalSite::new(inner.clone());
        *inner.newest.lock().unwrap_or_else(PoisonError::into_inner) = site.moved_to.clone();
        let plain_site = PortalSite::new(inner.clone());
        let stop = inner.stop.clone();
        let connector = self.inner.authority.connector();
        tokio::spawn(delivery::run(inner.clone(), outgoing, connector));
        tokio::spawn(http::serve(site, secure, Some(acceptor), stop.clone()));
        tokio::spawn(http::serve(plain_site, plain, None, stop));
        let portal = Portal { inner };
        self.portals_mut().insert(number, portal.clone());
        Ok(portal)
    }

    fn portals_mut(&self) -> MutexGuard<'_, BTreeMap<u32, Portal>> {
        self.inner
            .portals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The portals that were added and not removed, by number.
    #[must_use]
    pub fn portals(&self) -> Vec<Portal> {
        self.portals_mut().values().cloned().collect()
    }

    /// The portal of this number.
    #[must_use]
    pub fn portal(&self, number: u32) -> Option<Portal> {
        self.portals_mut().get(&number).cloned()
    }

    /// Stops a portal and forgets it. False when there is none of this number.
    pub fn remove_portal(&self, number: u32) -> bool {
        let removed = self.portals_mut().remove(&number);
        if let Some(portal) = &removed {
            portal.stop();
        }
        removed.is_some()
    }

    /// Opens the control interface: plain HTTP on a port of loopback, 0 = any. It ends with the
    /// handle.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn open_control(&self, port: u16) -> Result<Control, Error> {
        let listener = listen(port).await?;
        let port = port_of(&listener)?;
        Ok(Control::serve(self.clone(), listener, port))
    }

    /// Opens the page of a portal for people: plain HTTP, at an address of this machine, port 0 = any. It
    /// asks nobody who they are, and anybody who reaches it may do everything in the portal. It ends with
    /// the handle.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn open_chat(
        &self,
        portal: &Portal,
        address: SocketAddr,
        delivery: Option<ChangeDelivery>,
    ) -> Result<ChatPage, Error> {
        let failed = |cause| Error::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let (sim, portal) = (self.clone(), portal.clone());
        Ok(ChatPage::serve(sim, portal, listener, bound, delivery))
    }

    /// Opens an address to which portals can post by https, in front of a client that listens without TLS.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn open_ingress(&self) -> Result<Ingress, Error> {
        let listener = listen(0).await?;
        let port = port_of(&listener)?;
        Ok(Ingress::open(
            listener,
            port,
            self.inner.authority.acceptor(),
        ))
    }
}

pub(crate) async fn listen(port: u16) -> Result<TcpListener, Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address)
        .await
        .map_err(|cause| Error::Listen { address, cause })
}

pub(crate) fn port_of(listener: &TcpListener) -> Result<u16, Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bound = listener
        .local_addr()
        .map_err(|cause| Error::Listen { address, cause })?;
    Ok(bound.port())
}
