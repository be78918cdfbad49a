//! What lets us in changes while the process runs.
//!
//! An administrator who edits a webhook gives it another code (C1), and a secret of an application may be
//! issued anew. The portal stays what it is, with its bots and events; its next request goes out with what
//! was read, and if it was left alone because it refused what came before, it is asked at once.
//!
//! A webhook may also have an end, which nobody tells but the operator.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Access, Config, Portal, Portals, WebhookUrl};
use crate::ids::PortalId;

/// How long before its end a webhook is spoken of.
const AHEAD: SignedDuration = SignedDuration::from_hours(14 * 24);

/// How often it is spoken of.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How often the time of day is looked at, which may jump.
const HOUR: Duration = Duration::from_secs(3600);

/// What was read again.
#[derive(Debug, Clone, Default)]
pub struct Fresh {
    webhooks: BTreeMap<PortalId, (WebhookUrl, Option<Timestamp>)>,
    client_secret: Option<SecretString>,
}

impl From<Config> for Fresh {
    fn from(mut config: Config) -> Self {
        let webhooks = config.portals.into_iter().filter_map(|(id, access)| {
            let Access::Webhook(url) = access else {
                return None;
            };
            let ends = config.webhook_ends.remove(&id);
            Some((id, (url, ends)))
        });
        Self {
            webhooks: webhooks.collect(),
            client_secret: config.application.map(|it| it.client_secret),
        }
    }
}

impl Portals {
    /// Goes on with what was read again, where it differs. Portals that came, went or are let in another
    /// way count from the next start on.
    pub fn renew(&self, fresh: Fresh) {
        for (id, (url, ends)) in fresh.webhooks {
            if let Some(portal) = self.get(&id) {
                portal.renew(url, ends);
            }
        }
        let authority = self.0.workshop.authority.as_ref();
        if let (Some(authority), Some(secret)) = (authority, fresh.client_secret)
            && authority.renew(secret)
        {
            info!("the client secret was changed");
            for portal in self.list().iter().filter(|it| it.0.oauth.is_some()) {
                portal.0.sender.gate.look_again_if_closed();
            }
        }
    }

    /// Speaks of webhooks that end soon, now and once a day, until the stop begins.
    pub async fn watch_ends(self, stop: CancellationToken) {
        let mut spoken: BTreeMap<PortalId, Timestamp> = BTreeMap::new();
        loop {
            let now = self.0.workshop.clock.now();
            for portal in self.list() {
                let last = spoken.get(portal.id());
                let lately = last.is_some_and(|last| now.duration_since(*last) < DAY);
                if !lately && portal.speak_of_end() {
                    spoken.insert(portal.id().clone(), now);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(HOUR) => {}
            }
        }
    }
}

impl Portal {
    /// When its webhook ends by the configuration.
    #[must_use]
    pub fn webhook_ends(&self) -> Option<Timestamp> {
        self.0.sender.webhook_ends()
    }

    fn renew(&self, url: WebhookUrl, ends: Option<Timestamp>) {
        if self.0.oauth.is_some() {
            return;
        }
        let sender = &self.0.sender;
        if sender.set_webhook_ends(ends) {
            self.speak_of_end();
        }
        let (host, user) = (url.host().to_owned(), url.user());
        let Some(before) = sender.home.reconfigure(url.into_address()) else {
            return;
        };
        self.0.details.forget();
        let same_host = before.host() == host;
        info!(
            portal.id = %self.id(),
            same_host,
            same_user = WebhookUrl::user_of(&before) == user,
            "webhook was changed"
        );
        if !same_host {
            warn!(portal.id = %self.id(), before = before.host(), now = host, "webhook is at another host: if that is another account, its bots must be registered again; what it allows is counted apart from the next start on");
        }
        sender.gate.look_again_if_closed();
    }

    /// Says so when its webhook ends soon, or has ended.
    fn speak_of_end(&self) -> bool {
        let Some(ends) = self.webhook_ends() else {
            return false;
        };
        let left = ends.duration_since(self.0.clock.now());
        if !left.is_positive() {
            warn!(portal.id = %self.id(), at = %ends, "webhook has ended by `webhook_expires_at`");
        } else if left <= AHEAD {
            let days = left.as_hours() / 24;
            warn!(portal.id = %self.id(), at = %ends, days, "webhook ends soon: make another one and put its URL into the configuration");
        }
        left <= AHEAD
    }
}
