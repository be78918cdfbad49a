//! Events as they come, over whatever happens to the connection: after each loss it goes on behind the last
//! item that was seen, so nothing is left out and nothing comes twice.

use std::{collections::HashMap, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use jiff::Timestamp;
use prost_reflect::DynamicMessage;
use serde_json::Value;
use tokio::time::sleep;

use super::{
    Refused, Screen, Session, Unfit, UnknownRpc, Unwritten, Way, escaped, json, line, read,
};
use crate::{
    clock::Clock,
    proto::v1::{self as pb, subscribe_events_response::Item},
};

/// The RPC that it reads from.
const RPC: &str = "bitrix24.gateway.v1.EventService/SubscribeEvents";

/// The first pause between two attempts, and the longest.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// Which events, and how they are shown.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Only this portal; empty means every one.
    pub portal: String,
    /// Only these bots; none means all.
    pub bots: Vec<String>,
    /// Only events of these types, as `EventType` names them; none means all.
    pub types: Vec<String>,
    /// As JSON, one item of the stream in a line.
    pub json: bool,
    /// Go on when everything that was kept has been shown.
    pub follow: bool,
    /// Tell of each heartbeat.
    pub verbose: bool,
}

/// Where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// With what comes from now on.
    Now,
    /// With the oldest event that is kept.
    Earliest,
    /// With what the gateway received from a time on.
    At(Timestamp),
    /// Behind the item that carried this cursor.
    After(String),
}

/// Why it does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The gateway is not reached, or refuses.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It is older than its events.
    #[error(transparent)]
    UnknownRpc(#[from] UnknownRpc),
    /// It takes other requests than ours.
    #[error(
        "the gateway is of another version: {0}; see what it takes with `call --describe SubscribeEvents`"
    )]
    Unfit(#[from] Unfit),
    /// The lines cannot be written.
    #[error(transparent)]
    Unwritten(#[from] Unwritten),
}

/// Follows events.
#[derive(Debug)]
pub struct Tail {
    way: Way,
    wish: Wish,
    begin: Begin,
    screen: Screen,
    clock: Clock,
    /// What was said of each portal.
    portals: HashMap<String, String>,
}

/// Whether there is more to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    Out,
}

impl Tail {
    /// Follows from a place.
    #[must_use]
    pub fn new(way: Way, wish: Wish, begin: Begin, screen: Screen, clock: Clock) -> Self {
        Self {
            way,
            wish,
            begin,
            screen,
            clock,
            portals: HashMap::new(),
        }
    }

    /// How to say that it is to go on where it is now, if it ever got there.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        match &self.begin {
            Begin::After(cursor) => Some(format!("--cursor {cursor}")),
            Begin::At(time) => Some(format!("--since {time:.3}")),
            Begin::Now | Begin::Earliest => None,
        }
    }

    /// Shows events until everything was, or for ever. To be dropped at any moment.
    ///
    /// # Errors
    ///
    /// The first attempt fails, a later one in a way that another would as well, or nobody reads any more.
    pub async fn run(&mut self) -> Result<(), Ended> {
        let mut pauses = pauses();
        let mut opened = false;
        loop {
            let lost = match self.attempt(&mut opened, &mut pauses).await {
                Ok(Goes::Out) => return Ok(()),
                Ok(Goes::On) => "the stream ended".to_owned(),
                Err(Ended::Refused(Refused::Unreached(error))) if opened => error.to_string(),
                Err(Ended::Refused(Refused::Failed(failure))) if opened && failure.passes() => {
                    format!("{} {}: {}", failure.code, failure.reason, failure.message)
                }
                Err(error) => return Err(error),
            };
            let pause = pauses.next().unwrap_or(LONGEST);
            let lost = escaped(&lost);
            self.screen
                .note(&format!("{lost}; trying again in {pause:.1?}"));
            sleep(pause).await;
        }
    }

    async fn attempt(
        &mut self,
        opened: &mut bool,
        pauses: &mut ExponentialBackoff,
    ) -> Result<Goes, Ended> {
        let session = Session::open(&self.way).await?;
        let rpc = session.schema().rpc(RPC)?;
        let request = read(&rpc.input(), &self.request().to_string())?;
        let since = self.clock.now();
        if self.begin == Begin::Now {
            // Should it be lost before anything came, it goes on from here.
            self.begin = Begin::At(since);
        }
        let mut items = session.call(&rpc, request, None).await?;
        if *opened {
            self.screen.note("connected again");
        }
        *opened = true;
        while let Some(item) = items.next().await? {
            *pauses = self::pauses();
            if self.show(&item, since)? == Goes::Out {
                return Ok(Goes::Out);
            }
        }
        Ok(Goes::On)
    }

    fn request(&self) -> Value {
        let types: Vec<_> = self.wish.types.iter().collect();
        let types = types
            .iter()
            .map(|name| format!("EVENT_TYPE_{}", name.to_uppercase()));
        let start = match &self.begin {
            Begin::Now => serde_json::json!({"point": "STREAM_START_POINT_NOW"}),
            Begin::Earliest => serde_json::json!({"point": "STREAM_START_POINT_EARLIEST"}),
            Begin::At(time) => serde_json::json!({"time": time.to_string()}),
            Begin::After(cursor) => serde_json::json!({"after_cursor": cursor}),
        };
        serde_json::json!({
            "portal": self.wish.portal,
            "bot_codes": self.wish.bots,
            "types": types.collect::<Vec<_>>(),
            "start": start,
            // The first one tells that everything which was kept has been shown.
            "heartbeat_interval": if self.wish.follow { "5s" } else { "1s" },
        })
    }

    fn show(&mut self, message: &DynamicMessage, since: Timestamp) -> Result<Goes, Ended> {
        // What this version does not know of it, JSON shows all the same.
        let item: pb::SubscribeEventsResponse = message.transcode_to().unwrap_or_default();
        let is_heartbeat = matches!(item.item, Some(Item::Heartbeat(_)));
        let mut goes = Goes::On;
        if self.wish.json && !is_heartbeat {
            let json = json(message, false);
            let json = json.map_err(|error| Unwritten::Failed(error.into()))?;
            self.screen.line(&json)?;
        }
        match &item.item {
            Some(Item::Event(event)) => {
                if !self.wish.json {
                    self.screen.line(&line::event(event, self.screen.paint()))?;
                }
                // In a busy gateway no heartbeat may come.
                let received = event.received_at.map_or(0, |at| at.seconds);
                if !self.wish.follow && received > since.as_second() {
                    goes = Goes::Out;
                }
            }
            Some(Item::Gap(gap)) => self.screen.note(&line::gap(gap)),
            Some(Item::Heartbeat(heartbeat)) => {
                self.tell(heartbeat);
                if !self.wish.follow {
                    goes = Goes::Out;
                }
            }
            None => {}
        }
        if !item.cursor.is_empty() {
            self.begin = Begin::After(item.cursor);
        }
        Ok(goes)
    }

    /// Tells of each portal when that changes, unless it is well from the beginning.
    fn tell(&mut self, heartbeat: &pb::Heartbeat) {
        if self.wish.verbose {
            let at = heartbeat.sent_at.map(line::time).unwrap_or_default();
            let portals: Vec<_> = heartbeat.portals.iter().map(line::portal).collect();
            let portals = portals.join(", ");
            self.screen.note(&format!("heartbeat {at}: {portals}"));
            return;
        }
        for health in &heartbeat.portals {
            let now = line::portal(health);
            let before = self.portals.insert(health.portal.clone(), now.clone());
            let is_well = health.state() == pb::PortalState::Ok;
            if before.as_ref() != Some(&now) && (before.is_some() || !is_well) {
                self.screen.note(&format!("portal {now}"));
            }
        }
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(SHORTEST)
        .with_max_delay(LONGEST)
        .with_jitter()
        .without_max_times()
        .build()
}
