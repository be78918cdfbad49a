//! Named subscriptions: who has one, and what is done with it.
//!
//! Each has a `hub` that hands its events to its streams; it is started when the subscription is first
//! used and runs as long as the process. What is to be remembered is in the store.

mod ack_id;
mod board;
mod held;
mod hub;
mod look;
mod manage;
mod metrics;
mod settings;
mod stream;
mod survey;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use jiff::Timestamp;
use opentelemetry::metrics::Meter;
use tokio::sync::{mpsc, oneshot};
use tracing::info;

pub use self::{
    ack_id::AckId,
    board::Room,
    held::Held,
    hub::message::Eyes,
    manage::{Details, LaidAside},
    settings::{MAX_AGE, MAX_ATTEMPTS, MAX_PROCESSING, Settings, Wish},
    stream::{Delivered, Deliveries, Given},
    survey::Survey,
};
use self::{
    hub::{Hub, message::Message},
    look::Looks,
    metrics::Instruments,
    survey::Surveyed,
};
use super::{Error, feed::Start, reader::Reader, tail::Tail};
use crate::{
    clock::Clock,
    lifecycle::Lifecycle,
    portal::Portals,
    store::{self, Store, SubscriptionId},
};

/// How far back a new subscription begins.
const BACK: Duration = Duration::from_secs(600);

/// Most subscriptions of a caller.
pub const MOST: usize = 1000;

/// The named subscriptions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Subscriptions(Arc<Inner>);

struct Inner {
    store: Store,
    portals: Portals,
    clock: Clock,
    tail: Arc<Tail>,
    life: Lifecycle,
    /// Counts answers under way.
    holds: AtomicU64,
    known: Mutex<Known>,
    /// One is made or deleted at a time.
    changing: tokio::sync::Mutex<()>,
    instruments: Instruments,
    looks: Looks,
    surveyed: Surveyed,
}

#[derive(Default)]
struct Known {
    by_name: BTreeMap<(String, String), Arc<Member>>,
    by_id: HashMap<SubscriptionId, Arc<Member>>,
}

/// Ack ids of one subscription.
type Sorted = (Arc<Member>, Vec<AckId>);

/// A subscription that there is.
struct Member {
    id: SubscriptionId,
    owner: String,
    name: String,
    for_commands: bool,
    settings: Settings,
    created_at: Timestamp,
    /// How far it had looked when it was loaded or made.
    scanned: u64,
    hub: Mutex<Option<mpsc::UnboundedSender<Message>>>,
}

impl Subscriptions {
    /// Those of a store. What a process before was answering when it ended is set aside.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(super) async fn load(
        store: Store,
        portals: Portals,
        clock: Clock,
        tail: Arc<Tail>,
        life: Lifecycle,
        meter: &Meter,
    ) -> Result<Self, store::Error> {
        let lost = store.set_lost_answers_aside(clock.now()).await?;
        if lost > 0 {
            info!(
                events = lost,
                "events are set aside whose answers were under way when the process before ended"
            );
        }
        let mut known = Known::default();
        for found in store.subscriptions().await? {
            known.add(Arc::new(Member::new(found)?));
        }
        let looks = Looks::default();
        looks.measured_by(meter, clock);
        Ok(Self(Arc::new(Inner {
            store,
            portals,
            clock,
            tail,
            life,
            holds: AtomicU64::new(0),
            known: Mutex::new(known),
            changing: tokio::sync::Mutex::default(),
            instruments: Instruments::new(meter),
            looks,
            surveyed: Surveyed::default(),
        })))
    }

    /// Opens a stream of a subscription, which is made unless it is there. It begins ten minutes back
    /// where nothing else is said.
    ///
    /// # Errors
    ///
    /// [`Error::SubscriptionDiffers`], [`Error::TooManySubscriptions`], [`Error::Stopping`], what is
    /// wrong with the start, or when the store fails.
    pub async fn open(
        &self,
        owner: &str,
        name: &str,
        wish: Wish,
        start: Option<Start>,
        (room, eyes): (Room, Eyes),
    ) -> Result<Deliveries, Error> {
        let member = self.made(owner, name, wish, start).await?;
        let mailbox = self.mailbox(&member);
        let (reply, opened) = oneshot::channel();
        let open = Message::Open { room, eyes, reply };
        mailbox.send(open).map_err(|_| Error::Stopping)?;
        let opened = opened.await.map_err(|_| Error::Stopping)?;
        let stop = self.0.life.stop().clone();
        let kept = (self.0.store.clone(), self.0.clock);
        Ok(Deliveries::new(&member, kept, opened, mailbox, stop))
    }

    async fn made(
        &self,
        owner: &str,
        name: &str,
        wish: Wish,
        start: Option<Start>,
    ) -> Result<Arc<Member>, Error> {
        let _alone = self.0.changing.lock().await;
        if let Ok(member) = self.named(owner, name) {
            let fields = wish.differs(&member.settings);
            if !fields.is_empty() {
                let name = name.to_owned();
                return Err(Error::SubscriptionDiffers { name, fields });
            }
            return Ok(member);
        }
        if self.of(owner).len() >= MOST {
            return Err(Error::TooManySubscriptions(MOST));
        }
        let inner = &self.0;
        let now = inner.clock.now();
        let back = now.saturating_sub(BACK).unwrap_or(now);
        let start = start.unwrap_or(Start::Time(back));
        let scanned = start.place(&inner.store).await?;
        let settings = wish.settings();
        let made = inner.store.make_subscription(store::Subscription {
            id: SubscriptionId(0),
            owner: owner.to_owned(),
            name: name.to_owned(),
            for_commands: settings.view.commands_only(),
            settings: settings.to_json(),
            created_at: now,
            scanned,
        });
        let member = Arc::new(Member::new(made.await?)?);
        info!(caller = owner, subscription = name, "subscription is made");
        self.lock().add(Arc::clone(&member));
        Ok(member)
    }

    /// Says that deliveries of this caller are done: of each subscription all, or none.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignAckId`], [`Error::UnknownSubscription`]; nothing is done then. Or when the store
    /// fails.
    pub async fn acknowledge(&self, owner: &str, acks: &[AckId]) -> Result<(), Error> {
        for (member, acks) in self.by_member(owner, acks)? {
            let seqs = acks.into_iter().map(|ack| ack.seq).collect();
            let (reply, stored) = oneshot::channel();
            let done = Message::Done { seqs, reply };
            let mailbox = self.mailbox(&member);
            mailbox.send(done).map_err(|_| Error::Stopping)?;
            stored.await.map_err(|_| Error::Stopping)??;
        }
        Ok(())
    }

    /// Lets deliveries take as long from now, or gives them back at once. Names those that are over.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignAckId`], [`Error::UnknownSubscription`]; nothing is changed then.
    pub async fn extend(
        &self,
        owner: &str,
        acks: &[AckId],
        by: Duration,
    ) -> Result<Vec<AckId>, Error> {
        let mut over = Vec::new();
        for (member, acks) in self.by_member(owner, acks)? {
            let (reply, told) = oneshot::channel();
            let wanted = acks.iter().map(|ack| (ack.seq, ack.attempt)).collect();
            let extend = Message::Extend { wanted, by, reply };
            let mailbox = self.mailbox(&member);
            mailbox.send(extend).map_err(|_| Error::Stopping)?;
            let told = told.await.map_err(|_| Error::Stopping)?;
            over.extend(
                acks.into_iter()
                    .filter(|ack| told.contains(&(ack.seq, ack.attempt))),
            );
        }
        Ok(over)
    }

    /// Sorts ack ids by their subscriptions, which must be this caller's.
    fn by_member(&self, owner: &str, acks: &[AckId]) -> Result<Vec<Sorted>, Error> {
        let mut found: BTreeMap<SubscriptionId, Sorted> = BTreeMap::new();
        for ack in acks {
            let member = self.owning(owner, ack)?;
            let of = found.entry(ack.subscription);
            of.or_insert_with(|| (member, Vec::new())).1.push(*ack);
        }
        Ok(found.into_values().collect())
    }

    /// The subscription of an ack id, if it is this caller's.
    fn owning(&self, owner: &str, ack: &AckId) -> Result<Arc<Member>, Error> {
        if ack.log != self.0.store.log_id() {
            return Err(Error::ForeignAckId);
        }
        let member = self.lock().by_id.get(&ack.subscription).cloned();
        let member = member.filter(|member| member.owner == owner);
        member.ok_or_else(|| Error::UnknownSubscription(format!("of {ack}")))
    }

    fn named(&self, owner: &str, name: &str) -> Result<Arc<Member>, Error> {
        let key = (owner.to_owned(), name.to_owned());
        let found = self.lock().by_name.get(&key).cloned();
        found.ok_or_else(|| Error::UnknownSubscription(name.to_owned()))
    }

    /// A caller's subscriptions, by name.
    fn of(&self, owner: &str) -> Vec<Arc<Member>> {
        let known = self.lock();
        let from = (owner.to_owned(), String::new());
        let own = known.by_name.range(from..);
        let own = own.take_while(|((of, _), _)| of == owner);
        own.map(|(_, member)| Arc::clone(member)).collect()
    }

    /// Where the hub of a subscription is told something. Starts it when it is not there.
    fn mailbox(&self, member: &Arc<Member>) -> mpsc::UnboundedSender<Message> {
        let mut hub = member.hub.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mailbox) = &*hub {
            return mailbox.clone();
        }
        let inner = &self.0;
        let (mailbox, mail) = mpsc::unbounded_channel();
        let view = member.settings.view.clone();
        let reader = Reader::new(
            inner.store.clone(),
            Arc::clone(&inner.tail),
            view,
            member.scanned,
        );
        let task = Hub::new(
            member.id,
            member.name.clone(),
            member.settings.clone(),
            inner.store.clone(),
            inner.portals.clone(),
            inner.clock,
            reader,
            mail,
            inner.life.stop().clone(),
            inner.instruments.of(&member.owner, &member.name),
        );
        inner.life.spawn("subscription", task.run());
        hub.insert(mailbox).clone()
    }

    /// Where the hub of a subscription is told something, if it runs.
    fn running(member: &Member) -> Option<mpsc::UnboundedSender<Message>> {
        let hub = member.hub.lock().unwrap_or_else(PoisonError::into_inner);
        hub.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, member: Arc<Member>) {
        let key = (member.owner.clone(), member.name.clone());
        self.by_name.insert(key, Arc::clone(&member));
        self.by_id.insert(member.id, member);
    }

    fn remove(&mut self, member: &Member) {
        let key = (member.owner.clone(), member.name.clone());
        self.by_name.remove(&key);
        self.by_id.remove(&member.id);
    }
}

impl Member {
    fn new(found: store::Subscription) -> Result<Self, store::Error> {
        Ok(Self {
            settings: Settings::from_json(&found.settings)?,
            id: found.id,
            owner: found.owner,
            name: found.name,
            for_commands: found.for_commands,
            created_at: found.created_at,
            scanned: found.scanned,
            hub: Mutex::default(),
        })
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscriptions")
    }
}
