//! Gathers the facts, when somebody asks.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::Mutex, time::Instant};

use super::{
    BotFacts, Chain, Facts, PortalFacts, ProcessFacts, Reader, Report, ask, asked,
    bot::{bot, unknown_bot},
    problems::gateway,
};
use crate::{
    bots::{Bots, Name},
    callers::{Callers, Policy},
    clock::Clock,
    events::{Events, View, subscriptions::Settings},
    ids::{BotCode, PortalId},
    lifecycle::Health,
    portal::{Credential, Portal, Portals},
    store::{self, Store, look::Arrivals},
    telemetry::Recent,
};

/// Whoever asks again within this time is shown the same: the store is not asked once for each viewer.
const SAME: Duration = Duration::from_secs(1);

/// A bot may go unfetched so long before something is wrong, or three times its usual pause.
const LATE: Duration = Duration::from_secs(120);

/// Knows where everything is looked up. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Diagnosis(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    portals: Portals,
    bots: Bots,
    events: Events,
    callers: Callers,
    health: Health,
    recent: Recent,
    clock: Clock,
    started: Timestamp,
    last: Mutex<Option<(Instant, Arc<Facts>)>>,
}

impl Diagnosis {
    /// Of the parts of a gateway.
    #[must_use]
    pub fn new(
        store: Store,
        (portals, bots, events): (Portals, Bots, Events),
        callers: Callers,
        (health, recent): (Health, Recent),
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            portals,
            bots,
            events,
            callers,
            health,
            recent,
            clock,
            started: clock.now(),
            last: Mutex::default(),
        }))
    }

    /// The portals that are asked.
    pub(super) fn portals(&self) -> &Portals {
        &self.0.portals
    }

    /// The bots in whose names they are asked.
    pub(super) fn bots(&self) -> &Bots {
        &self.0.bots
    }

    /// What is seen now, or was a second ago.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn facts(&self) -> Result<Arc<Facts>, store::Error> {
        let mut last = self.0.last.lock().await;
        if let Some((at, facts)) = &*last
            && at.elapsed() < SAME
        {
            return Ok(Arc::clone(facts));
        }
        let facts = Arc::new(self.0.gather().await?);
        *last = Some((Instant::now(), Arc::clone(&facts)));
        Ok(facts)
    }

    /// Asks portals, and tells of bots: of this portal or of all, of this bot or of none.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn report(
        &self,
        portal: Option<&PortalId>,
        code: Option<&BotCode>,
    ) -> Result<Report, store::Error> {
        let mut chains = Vec::new();
        for one in self.0.portals.list() {
            if portal.is_none_or(|portal| portal == one.id()) {
                let answer = ask(&one).await;
                chains.push(asked(one.id().as_str(), &answer, self.0.clock.now()));
            }
        }
        let facts = self.0.gather().await?;
        if let Some(code) = code {
            let names = facts.portals.iter().map(|portal| portal.id.clone());
            let names: Vec<_> = names.collect();
            chains.extend(of_bots(&facts, (portal, code), &names));
        }
        Ok(Report {
            at: facts.at,
            gateway: gateway(&facts),
            chains,
        })
    }
}

/// The chains of the bots of this code; where there is none, that of one that is not there in each of these
/// portals.
fn of_bots(
    facts: &Facts,
    (portal, code): (Option<&PortalId>, &BotCode),
    names: &[PortalId],
) -> Vec<Chain> {
    let here = |id: &PortalId| portal.is_none_or(|portal| portal == id);
    let found = facts.bots.iter().enumerate();
    let found = found.filter(|(_, bot)| bot.code == *code && here(&bot.portal));
    let chains: Vec<_> = found.filter_map(|(index, _)| bot(facts, index)).collect();
    if !chains.is_empty() {
        return chains;
    }
    let names = names.iter().filter(|id| here(id));
    names.map(|id| unknown_bot(facts, id, code)).collect()
}

/// What a store tells of a bot while no gateway runs with it. `names`: portals in which it may be missing.
///
/// # Errors
///
/// When it cannot be read.
pub async fn of_store(
    store: &Store,
    clock: Clock,
    wanted: (Option<&PortalId>, &BotCode),
    names: &[PortalId],
) -> Result<Vec<Chain>, store::Error> {
    let arrivals = store.arrivals().await?;
    let bots = store.bots().await?.into_iter();
    let arrived = arrivals_of(&arrivals);
    let bots: Vec<_> = bots.map(|bot| BotFacts::new(bot, &arrived)).collect();
    let mut readers = Vec::new();
    for kept in store.subscriptions().await? {
        let settings = Settings::from_json(&kept.settings)?;
        readers.push(Reader {
            caller: kept.owner,
            name: Some(kept.name),
            gets: covered(&bots, &settings.view).collect(),
            ..Reader::default()
        });
    }
    let at = clock.now();
    let facts = Facts {
        at,
        process: ProcessFacts {
            started: at,
            failing: Vec::new(),
            stuck: Vec::new(),
            late: SignedDuration::ZERO,
            runs: false,
        },
        portals: Vec::new(),
        bots,
        readers,
        failures: Vec::new(),
    };
    Ok(of_bots(&facts, wanted, names))
}

fn arrivals_of(all: &[Arrivals]) -> impl Fn(&PortalId, &BotCode) -> Option<Arrivals> + use<'_> {
    let known: BTreeMap<_, _> = all.iter().map(|it| ((&it.portal, &it.code), it)).collect();
    move |portal, code| known.get(&(portal, code)).map(|it| (*it).clone())
}

/// The bots whose commands a view shows.
fn covered(bots: &[BotFacts], view: &View) -> impl Iterator<Item = usize> {
    let shown = |(_, bot): &(usize, &BotFacts)| view.shows_commands_of(&bot.portal, &bot.code);
    bots.iter()
        .enumerate()
        .filter(shown)
        .map(|(index, _)| index)
}

impl Inner {
    async fn gather(&self) -> Result<Facts, store::Error> {
        let arrivals = self.store.arrivals().await?;
        let surveys = self.events.subscriptions().survey().await?;
        let portals = self.portals.list();
        let mut bots = Vec::new();
        for portal in &portals {
            bots.extend(self.bots_of(portal.id(), &arrivals));
        }
        let policy = self.callers.policy();
        let mut readers = Vec::new();
        for survey in surveys {
            let (gets, denied) = seen(&bots, &survey.view, &policy, &survey.caller);
            readers.push(Reader {
                caller: survey.caller,
                name: Some(survey.name),
                streams: survey.streams,
                outstanding: survey.outstanding,
                unfinished: survey.unfinished,
                unread: survey.unread,
                oldest: survey.oldest,
                aside: survey.aside,
                gets,
                denied,
            });
        }
        for ear in self.events.ears() {
            let (gets, denied) = seen(&bots, &ear.view, &policy, &ear.caller);
            readers.push(Reader {
                caller: ear.caller,
                streams: 1,
                gets,
                denied,
                ..Reader::default()
            });
        }
        let failing = self.health.failing().borrow().clone();
        let failing = failing
            .into_iter()
            .map(|(part, why)| (part.to_string(), why));
        let late = LATE.max(self.events.idle_pause() * 3);
        Ok(Facts {
            at: self.clock.now(),
            process: ProcessFacts {
                started: self.started,
                failing: failing.collect(),
                stuck: self.health.stuck(),
                late: SignedDuration::try_from(late).unwrap_or(SignedDuration::MAX),
                runs: true,
            },
            portals: portals.iter().map(PortalFacts::of).collect(),
            bots,
            readers,
            failures: self.recent.all(),
        })
    }

    fn bots_of(&self, portal: &PortalId, arrivals: &[Arrivals]) -> Vec<BotFacts> {
        let reachable = self.bots.are_reachable();
        let arrived = arrivals_of(arrivals);
        let bots = self.bots.list(portal).into_iter();
        bots.map(|bot| {
            let name: Name = (bot.portal.clone(), bot.code.clone());
            BotFacts {
                reachable,
                suspected: self.bots.is_suspected(&name.0, &name.1),
                said: self.bots.last_said(&name),
                ..BotFacts::new(bot, &arrived)
            }
        })
        .collect()
    }
}

/// The bots whose commands a view shows to a caller, and those that it would show to another.
fn seen(bots: &[BotFacts], view: &View, policy: &Policy, caller: &str) -> (Vec<usize>, Vec<usize>) {
    let grant = policy.named(caller);
    covered(bots, view).partition(|index| {
        let bot = &bots[*index];
        let may = |grant: &Arc<crate::callers::Grant>| {
            grant.is_open()
                || (grant.portal(&bot.portal) && grant.bot(&bot.code) && grant.owns(&bot.owner))
        };
        grant.is_some_and(may)
    })
}

impl BotFacts {
    fn new(bot: store::Bot, arrived: impl Fn(&PortalId, &BotCode) -> Option<Arrivals>) -> Self {
        let arrived = arrived(&bot.portal, &bot.code);
        Self {
            id: bot.bot_id,
            owner: bot.owner,
            created_at: bot.created_at,
            state: bot.state,
            mode: bot.event_mode,
            next_mode: bot.delivery.next.map(|next| next.mode),
            posted_since: bot.delivery.since,
            reachable: true,
            suspected: false,
            commands: bot.commands.as_object().map_or(0, serde_json::Map::len),
            last_poll: arrived.as_ref().and_then(|it| it.last_polled_at),
            last_event: arrived.as_ref().and_then(|it| it.last_event),
            last_command: arrived.and_then(|it| it.last_command),
            said: None,
            portal: bot.portal,
            code: bot.code,
        }
    }
}

impl PortalFacts {
    fn of(portal: &Portal) -> Self {
        let budget = portal.budget();
        let banned = budget.methods.iter();
        let banned = banned.filter_map(|it| Some((it.method, it.banned_until?)));
        let (by_webhook, ends) = match portal.credential() {
            Credential::Webhook { ends } => (true, ends),
            Credential::OAuth { .. } => (false, None),
        };
        Self {
            id: portal.id().clone(),
            state: portal.state(),
            address: portal.addresses().0,
            by_webhook,
            ends,
            skew: portal.told_time().map(|_| portal.clock_skew()),
            permits: budget.permits.map(|left| (left, budget.rate.burst)),
            banned: banned.collect(),
            waiting: portal.waiting(),
            callers: portal.waiting_callers(),
        }
    }
}
