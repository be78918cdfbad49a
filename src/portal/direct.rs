//! Asks a portal without a gateway: for an operator who wants to know how far one gets.
//!
//! One request is one request, at the configured address; nothing is paced, repeated, followed or kept. So
//! it is for a handful of calls that only read, and nothing else.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{
    Error, WebhookUrl,
    error::judge,
    transport::{self, Body, SecretUrl, Transport},
    wire::{Method, Reply, method::Effect},
};
use crate::{clock::Clock, ids::PortalId};

/// A portal and the way to it.
#[derive(Debug)]
pub struct Direct {
    portal: PortalId,
    base: SecretUrl,
    transport: Transport,
    clock: Clock,
}

impl Direct {
    /// A portal by its incoming webhook.
    ///
    /// # Errors
    ///
    /// When TLS or the HTTP client cannot be set up.
    pub fn new(
        portal: PortalId,
        url: WebhookUrl,
        config: &transport::Config,
        clock: Clock,
    ) -> Result<Self, transport::Error> {
        let transport = Transport::new(config)?;
        transport.add_own(url.host());
        Ok(Self {
            portal,
            base: url.into_address(),
            transport,
            clock,
        })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &PortalId {
        &self.portal
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn address(&self) -> String {
        self.base.origin()
    }

    /// Calls a method without parameters that leaves nothing behind. With the reply comes how far the
    /// portal's clock is surely ahead of ours, if it told its time.
    ///
    /// # Errors
    ///
    /// See [`Cause`](super::Cause).
    pub async fn ask(&self, method: Method) -> Result<(Reply, Option<SignedDuration>), Error> {
        debug_assert_eq!(method.effect(), Effect::Reads);
        let url = self.base.method(method.as_str());
        let (sent, began) = (self.clock.now(), Instant::now());
        let outcome = self.transport.post(&url, Body::Json("{}".into())).await;
        let received = sent.saturating_add(began.elapsed()).unwrap_or(sent);
        let reply = judge(method, &url, outcome).map_err(|error| error.at(&self.portal))?;
        let finish = reply.time.and_then(|time| time.finish);
        let finish = finish.and_then(|finish| SignedDuration::try_from_secs_f64(finish).ok());
        let finish = finish.and_then(|finish| Timestamp::from_duration(finish).ok());
        let skew = finish.map(|finish| {
            // It ended somewhere in between.
            let nearest = finish.clamp(sent, received);
            finish.duration_since(nearest)
        });
        Ok((reply, skew))
    }
}
