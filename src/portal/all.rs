//! Which portals there are. Those of the configuration stay; others come and go with installations.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use jiff::Timestamp;
use opentelemetry::metrics::Meter;
use tokio::sync::{Mutex, watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::{
    Application, Assume, Hold, Inner, OAuth, Portal, Rate, WebhookUrl,
    admission::Admission,
    assume::Assumptions,
    auth::Credential,
    board::Board,
    home::{Home, Hosts},
    limit::{Limit, Memory},
    metrics::Instruments,
    oauth::Authority,
    probe,
    queue::Queue,
    refresh::Refresher,
    retry,
    sender::{Sender, Tools},
    tokens::{self, Keyring},
    transport::{self, SecretUrl, Transport},
};
use crate::{
    clock::Clock,
    ids::PortalId,
    lifecycle::Lifecycle,
    store::{self, Address, KeptPair, Store},
};

/// Which portals there are and how to call them.
#[derive(Debug)]
pub struct Config {
    /// Every configured portal, and what lets us in there.
    pub portals: BTreeMap<PortalId, Access>,
    /// When their webhooks end, where they do.
    pub webhook_ends: BTreeMap<PortalId, Timestamp>,
    /// Our application; without it no portal lets us in by OAuth.
    pub application: Option<Application>,
    /// The portal that an empty name means.
    pub default: Option<PortalId>,
    /// What each portal allows.
    pub rate: Rate,
    /// Time that each method may spend in the portal within ten minutes; zero for no limit.
    pub operating_budget: Duration,
    /// Times a call is made at most where a repeat is safe; 1 for no repeats.
    pub attempts: usize,
    /// What to rely on, where that is not left to each portal.
    pub assume: BTreeMap<PortalId, Assume>,
    /// The same for portals that are not configured.
    pub assume_of_others: Assume,
    /// Hosts that they may be at and move to.
    pub hosts: Hosts,
    /// How to reach them.
    pub transport: transport::Config,
}

/// What lets us into a configured portal.
#[derive(Debug, Clone)]
pub enum Access {
    /// An incoming webhook.
    Webhook(WebhookUrl),
    /// Our application, once it is installed in the account of this `member_id`.
    OAuth(String),
}

/// What the store holds of portals.
#[derive(Debug, Default)]
pub struct Kept {
    /// Where they have moved to.
    pub addresses: Vec<(PortalId, Address)>,
    /// Their tokens.
    pub pairs: Vec<(PortalId, KeptPair)>,
    /// Portals that were added while we ran.
    pub webhooks: Vec<(PortalId, WebhookUrl)>,
    /// Whether it was restored and is not activated: nothing leaves for any portal then.
    pub restored: bool,
}

/// All portals. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Portals(pub(super) Arc<All>);

#[derive(Debug)]
pub(super) struct All {
    portals: RwLock<BTreeMap<PortalId, Portal>>,
    pub(super) changed: watch::Sender<()>,
    /// One installation or removal at a time.
    pub(super) changes: Mutex<()>,
    default: Option<PortalId>,
    pub(super) workshop: Workshop,
    pub(super) board: Board,
}

/// What every portal is made with.
#[derive(Debug)]
pub(super) struct Workshop {
    pub(super) rate: Rate,
    operating_budget: Duration,
    attempts: usize,
    assume: BTreeMap<PortalId, Assume>,
    assume_of_others: Assume,
    pub(super) hosts: Arc<Hosts>,
    pub(super) authority: Option<Arc<Authority>>,
    /// Configured portals by `member_id`, in lower case.
    pub(super) members: BTreeMap<String, PortalId>,
    pub(super) transport: Transport,
    pub(super) memory: Memory,
    pub(super) store: Store,
    pub(super) hold: Hold,
    pub(super) clock: Clock,
    instruments: Instruments,
    life: Lifecycle,
}

/// Ends what keeps the limits.
impl Drop for All {
    fn drop(&mut self) {
        self.workshop.memory.worth_keeping.notify_one();
    }
}

impl Portals {
    /// Handles for all portals, configured and installed, at the addresses that they are known to have
    /// moved to. Must be called on a runtime.
    ///
    /// # Errors
    ///
    /// When TLS or the HTTP client cannot be set up.
    pub fn new(
        mut config: Config,
        clock: Clock,
        store: &Store,
        mut kept: Kept,
        meter: &Meter,
        life: &Lifecycle,
    ) -> Result<Self, transport::Error> {
        config.take(std::mem::take(&mut kept.webhooks));
        let own = &mut config.transport.names.own;
        own.extend(config.portals.values().filter_map(|access| match access {
            Access::Webhook(url) => Some(url.host().to_owned()),
            Access::OAuth(_) => None,
        }));
        let servers = config.application.iter().flat_map(|it| it.servers.iter());
        own.extend(servers.map(|server| server.host().to_owned()));
        let hold = match kept.restored {
            true => Hold::closed(),
            false => Hold::default(),
        };
        let transport = Transport::new(&config.transport)?.under(hold.clone());
        let authority = config
            .application
            .map(|application| Arc::new(Authority::new(application, transport.clone())));
        let members = config
            .portals
            .iter()
            .filter_map(|(id, access)| match access {
                Access::OAuth(member) => Some((member.to_ascii_lowercase(), id.clone())),
                Access::Webhook(_) => None,
            });
        let workshop = Workshop {
            rate: config.rate,
            operating_budget: config.operating_budget,
            attempts: config.attempts,
            assume: config.assume,
            assume_of_others: config.assume_of_others,
            hosts: Arc::new(config.hosts),
            authority,
            members: members.collect(),
            transport,
            memory: Memory::new(clock),
            store: store.clone(),
            hold,
            clock,
            instruments: Instruments::new(meter),
            life: life.clone(),
        };
        let portals = workshop.make_all(config.portals, kept);
        for (id, ends) in config.webhook_ends {
            if let Some(portal) = portals.get(&id) {
                portal.0.sender.set_webhook_ends(Some(ends));
            }
        }
        Ok(Self(Arc::new(All {
            portals: RwLock::new(portals),
            changed: watch::Sender::new(()),
            changes: Mutex::default(),
            default: config.default,
            workshop,
            board: Board::default(),
        })))
    }

    /// Goes on where the limits were before a restart, and keeps them from now on.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn remember(&self, store: &Store) -> Result<(), store::Error> {
        let memory = &self.0.workshop.memory;
        memory.resume(&store.pacing().await?);
        memory.keep_ahead(store).await;
        let worth_keeping = Arc::clone(&memory.worth_keeping);
        let (all, store) = (Arc::downgrade(&self.0), store.clone());
        self.0.workshop.life.attend("limits", async move {
            loop {
                worth_keeping.notified().await;
                let Some(all) = all.upgrade() else { break };
                all.workshop.memory.keep_ahead(&store).await;
            }
        });
        Ok(())
    }

    /// Keeps where the limits are, for the next start. Nothing may be sent afterwards.
    pub async fn rest(&self, store: &Store) {
        self.0.workshop.memory.keep(store).await;
    }

    /// A portal by name.
    #[must_use]
    pub fn get(&self, id: &PortalId) -> Option<Portal> {
        self.0.portals().get(id).cloned()
    }

    /// The portal that an empty name means.
    #[must_use]
    pub fn default_portal(&self) -> Option<Portal> {
        self.0.default.as_ref().and_then(|id| self.get(id))
    }

    /// All of them as of now, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Portal> {
        self.0.portals().values().cloned().collect()
    }

    /// Marked as changed whenever a portal comes or goes.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }
}

impl All {
    fn portals(&self) -> RwLockReadGuard<'_, BTreeMap<PortalId, Portal>> {
        self.portals.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn portals_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<PortalId, Portal>> {
        self.portals.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, portal: Portal) {
        self.portals_mut().insert(portal.id().clone(), portal);
        self.changed.send_replace(());
    }

    pub(super) fn remove(&self, id: &PortalId) {
        // Dropped outside of the lock.
        let removed = self.portals_mut().remove(id);
        self.workshop.memory.remove(id);
        self.changed.send_replace(());
        drop(removed);
    }
}

impl Workshop {
    fn make_all(
        &self,
        configured: BTreeMap<PortalId, Access>,
        kept: Kept,
    ) -> BTreeMap<PortalId, Portal> {
        let mut pairs = self.usable(&configured, kept.pairs);
        let mut addresses: BTreeMap<_, _> = kept.addresses.into_iter().collect();
        let mut portals = BTreeMap::new();
        let mut members = BTreeMap::new();
        for (id, access) in configured {
            match access {
                Access::Webhook(url) => {
                    let portal = self.webhook(id.clone(), url, addresses.remove(&id));
                    portals.insert(id, portal);
                }
                Access::OAuth(member) => {
                    members.insert(id, member);
                }
            }
        }
        for (id, kept) in &pairs {
            members
                .entry(id.clone())
                .or_insert_with(|| kept.pair.member_id.clone());
        }
        // After the webhooks, so that they find the accounts of those.
        for (id, member) in members {
            let kept = pairs.remove(&id);
            if let Some(portal) = self.oauth(id.clone(), member, kept, addresses.remove(&id)) {
                portals.insert(id, portal);
            }
        }
        portals
    }

    /// Those of the stored pairs that belong to a portal of today.
    fn usable(
        &self,
        configured: &BTreeMap<PortalId, Access>,
        pairs: Vec<(PortalId, KeptPair)>,
    ) -> BTreeMap<PortalId, KeptPair> {
        let belongs = |(id, kept): &(PortalId, KeptPair)| {
            let pair = &kept.pair;
            let why = if self.name_of(&pair.member_id).as_ref() != Some(id) {
                "the account has another name by the configuration"
            } else if matches!(configured.get(id), Some(Access::Webhook(_))) {
                "the configuration gives its name to a webhook"
            } else if self.authority.is_none() {
                "`oauth.client_id` is not configured"
            } else if !self.hosts.allow(&pair.client_endpoint) {
                "`outbound.portal_hosts` does not name its host"
            } else {
                return true;
            };
            warn!(portal.id = %id, "stored tokens are not used: {why}");
            false
        };
        pairs.into_iter().filter(belongs).collect()
    }

    /// What the portal of an account is called, if its `member_id` can be a name.
    pub(super) fn name_of(&self, member_id: &str) -> Option<PortalId> {
        let member = member_id.to_ascii_lowercase();
        match self.members.get(&member) {
            Some(id) => Some(id.clone()),
            None => member.parse().ok(),
        }
    }

    pub(super) fn webhook(&self, id: PortalId, url: WebhookUrl, known: Option<Address>) -> Portal {
        let account = self.memory.account(&[url.place()], self.rate);
        let limit = self.limit(account);
        let home = Some(url.into_address());
        self.make(id, Credential::Webhook, home, known, limit, |_| None)
    }

    /// The portal of an account that lets us in by OAuth; `None` when we have no application.
    pub(super) fn oauth(
        &self,
        id: PortalId,
        member_id: String,
        kept: Option<KeptPair>,
        known: Option<Address>,
    ) -> Option<Portal> {
        let authority = Arc::clone(self.authority.as_ref()?);
        let endpoint = kept.as_ref().map(|kept| kept.pair.client_endpoint.clone());
        let names = account_names(&member_id, endpoint.as_deref());
        let limit = self.limit(self.memory.account(&names, self.rate));
        let keyring = Keyring::new(id.clone(), self.clock, kept);
        let refresher = Refresher {
            portal: id.clone(),
            keyring: keyring.clone(),
            authority,
            hosts: Arc::clone(&self.hosts),
            store: self.store.clone(),
            hold: self.hold.clone(),
            clock: self.clock,
            metrics: self.instruments.of(id.as_str()),
            life: self.life.clone(),
        };
        let home = endpoint.as_deref().and_then(|base| base.parse().ok());
        let credential = Credential::OAuth(keyring);
        Some(self.make(id, credential, home, known, limit, |queue| {
            if endpoint.is_none() {
                refresher.close(queue, &tokens::not_installed(&refresher.portal));
            }
            Some(OAuth {
                member_id,
                looked: std::sync::Mutex::default(),
                _running: AbortOnDropHandle::new(
                    self.life
                        .attend("refresh", refresher.clone().run(queue.clone())),
                ),
                refresher,
            })
        }))
    }

    fn limit(&self, account: Arc<super::limit::Account>) -> Arc<Limit> {
        let worth_keeping = Arc::clone(&self.memory.worth_keeping);
        Arc::new(Limit::new(account, self.operating_budget, worth_keeping))
    }

    fn make(
        &self,
        id: PortalId,
        credential: Credential,
        home: Option<SecretUrl>,
        known: Option<Address>,
        limit: Arc<Limit>,
        oauth: impl FnOnce(&Queue) -> Option<OAuth>,
    ) -> Portal {
        self.memory.add(&id, Arc::clone(&limit));
        let hosts = Arc::clone(&self.hosts);
        let home = Home::new(id.clone(), home, hosts, self.store.clone(), known);
        let assume = self.assume.get(&id).copied();
        let sender = Arc::new(Sender::new(
            id.clone(),
            credential,
            Assumptions::new(assume.unwrap_or(self.assume_of_others)),
            home,
            limit,
            Tools {
                transport: self.transport.clone(),
                clock: self.clock,
                metrics: self.instruments.of(id.as_str()),
            },
        ));
        let queue = Queue::start(Arc::clone(&sender), &self.life);
        let oauth = oauth(&queue);
        let prober = probe::run(id.clone(), Arc::clone(&sender.gate), queue.clone());
        Portal(Arc::new(Inner {
            id,
            clock: self.clock,
            queue,
            sender,
            _prober: AbortOnDropHandle::new(self.life.attend("probes", prober)),
            oauth,
            details: super::details::Details::default(),
            admission: Admission::default(),
            retries: retry::Budget::new(self.attempts),
        }))
    }
}

/// What the account of a `member_id` is known by: itself, and its address where a webhook has it too.
pub(super) fn account_names(member_id: &str, endpoint: Option<&str>) -> Vec<String> {
    let mut names = vec![format!("member {}", member_id.to_ascii_lowercase())];
    let url: Option<SecretUrl> = endpoint.and_then(|endpoint| endpoint.parse().ok());
    names.extend(url.map(|url| url.place()));
    names
}
