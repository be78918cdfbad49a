//! Events of bots in webhook mode: to whom, and in what form (C11).
//!
//! A subscription belongs to the owner of a bot, be it an application or a botToken, and only
//! remembers the bot for which it was made. So an address can hear of other bots, and old
//! addresses can stay.

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::{EventMode, Owner, Stage, State, take};
use crate::clock::UnixTime;
use crate::delivery::Outgoing;
use crate::journal::Effect;
use crate::php::{self, FormStyle};

/// What waits to be sent, and who is to get it.
#[derive(Debug)]
pub(crate) struct Outbox {
    sender: mpsc::UnboundedSender<Outgoing>,
    /// Deliveries kept back; `None` = they leave at once.
    held: Option<Vec<Outgoing>>,
    subscriptions: Vec<Subscription>,
    /// Handlers set by `event.bind`.
    pub(crate) handlers: Vec<Handler>,
}

/// The eight subscriptions of a bot, which come and go together.
#[derive(Clone, Debug)]
struct Subscription {
    id: i64,
    owner: Owner,
    bot_id: i64,
    url: String,
}

/// A handler set by `event.bind`.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    pub(crate) id: i64,
    pub(crate) client_id: String,
    /// In upper case.
    pub(crate) event: String,
    pub(crate) url: String,
    /// For whom it acts; 0 = whoever raises the event.
    pub(crate) user_id: i64,
    /// Its events wait in a queue and are not sent.
    pub(crate) offline: bool,
}

impl Outbox {
    pub(crate) fn new(sender: mpsc::UnboundedSender<Outgoing>) -> Self {
        Self {
            sender,
            held: None,
            subscriptions: Vec::new(),
            handlers: Vec::new(),
        }
    }

    fn put(&mut self, outgoing: Outgoing) {
        match &mut self.held {
            Some(held) => held.push(outgoing),
            // The portal is stopped when nobody takes it.
            None => drop(self.sender.send(outgoing)),
        }
    }

    pub(crate) fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Lets go of what was kept back, each this many times.
    pub(crate) fn release(&mut self, reversed: bool, copies: usize) {
        let mut held = self.held.take().unwrap_or_default();
        if reversed {
            held.reverse();
        }
        for outgoing in held {
            for _ in 0..copies {
                self.put(outgoing.clone());
            }
        }
    }
}

impl State {
    pub(crate) fn next_handler_id(&mut self) -> i64 {
        take(&mut self.ids.handler)
    }

    /// Subscribes a bot in webhook mode to its own address.
    pub(crate) fn subscribe_bot(&mut self, bot_id: i64) {
        let Some(bot) = self.bots.get(&bot_id) else {
            return;
        };
        if bot.event_mode != EventMode::Webhook || bot.webhook_url.is_empty() {
            return;
        }
        let (owner, url) = (bot.owner.clone(), bot.webhook_url.clone());
        let id = self.next_handler_id();
        self.outbox.subscriptions.push(Subscription {
            id,
            owner,
            bot_id,
            url,
        });
    }

    /// Ends the subscriptions of a bot, unless its owner has other bots and that keeps them.
    pub(crate) fn unsubscribe_bot(&mut self, bot_id: i64) {
        let Some(owner) = self.bots.get(&bot_id).map(|bot| bot.owner.clone()) else {
            return;
        };
        let [rest, ..] = self.revision;
        let siblings = self
            .bots
            .values()
            .any(|bot| bot.id != bot_id && bot.owner == owner);
        if (siblings && self.quirks.skipped_cleanup) || rest < 35 {
            return;
        }
        self.outbox.subscriptions.retain(|sub| sub.bot_id != bot_id);
    }

    /// A new token takes the subscriptions of the old one along, those of siblings too.
    pub(crate) fn rebind(&mut self, old: &Owner, new: &Owner) {
        for subscription in &mut self.outbox.subscriptions {
            if subscription.owner == *old {
                subscription.owner = new.clone();
            }
        }
    }

    /// Addresses that hear of events, with the bots for which they were subscribed.
    pub(crate) fn subscriptions(&self) -> Vec<(i64, String)> {
        let all = self.outbox.subscriptions.iter();
        all.map(|sub| (sub.bot_id, sub.url.clone())).collect()
    }

    /// Sends an event of a bot in webhook mode to all who hear of it.
    pub(super) fn deliver_event(
        &mut self,
        bot_id: i64,
        kind: &'static str,
        mut data: Map<String, Value>,
        now: UnixTime,
    ) {
        let Some(bot) = self.bots.get(&bot_id) else {
            return;
        };
        let (owner, code) = (bot.owner.clone(), bot.code.clone());
        let mut targets: Vec<(i64, String)> = Vec::new();
        for subscription in &self.outbox.subscriptions {
            let hears = subscription.owner == owner
                && (self.quirks.shared_subscriptions || subscription.bot_id == bot_id);
            if hears && !targets.iter().any(|(_, url)| *url == subscription.url) {
                targets.push((subscription.id, subscription.url.clone()));
            }
        }
        if targets.is_empty() {
            return;
        }
        let person = data.get("user").and_then(|user| user.get("id"));
        let person = person.and_then(php::int);
        let mut shown = Map::new();
        shown.insert("id".into(), bot_id.into());
        shown.insert("code".into(), code.into());
        let auth = match &owner {
            Owner::Portal => return,
            Owner::Token(token) => self.webhook_auth(token),
            Owner::Application(client_id) => {
                let Ok(application) = self.application(client_id) else {
                    return;
                };
                if application.stage != Stage::Installed || !application.paid {
                    return;
                }
                let acting = application.installed_by;
                shown.insert("auth".into(), self.bot_auth(client_id, acting, now));
                self.application_auth(client_id, person, now)
            }
        };
        data.insert("bot".into(), Value::Object(shown));
        for (handler, url) in targets {
            let data = Value::Object(data.clone());
            self.post_event(kind, Some(handler), &url, data, auth.clone(), now);
            self.record(now, Effect::EventSent { bot_id, kind, url });
        }
    }

    /// Puts one event on its way.
    pub(super) fn post_event(
        &mut self,
        event: &str,
        handler: Option<i64>,
        url: &str,
        data: Value,
        auth: Value,
        now: UnixTime,
    ) {
        let handler = handler.or(self.quirks.posts_are_complete.then_some(0));
        let handler = handler.filter(|_| self.quirks.event_handler_id);
        let pairs = [
            ("event", json!(event)),
            ("event_handler_id", json!(handler)),
            ("data", data),
            ("ts", json!(now.as_secs())),
            ("auth", auth),
        ];
        let known = pairs
            .into_iter()
            .filter(|(name, value)| *name != "event_handler_id" || !value.is_null());
        let pairs: Vec<(&str, Value)> = known.collect();
        let (media, body) = if self.quirks.webhook_bodies_are_json {
            let members = pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value));
            let body = Value::Object(members.collect());
            ("application/json", body.to_string())
        } else {
            let style = FormStyle {
                nulls: self.quirks.form_nulls,
                booleans: self.quirks.form_booleans,
                encoded_brackets: self.quirks.encoded_brackets,
            };
            let body = php::build_query(&pairs, style);
            ("application/x-www-form-urlencoded", body)
        };
        self.put_outgoing(Outgoing {
            at: now,
            url: url.to_owned(),
            event: event.to_owned(),
            media,
            body,
        });
    }

    pub(super) fn put_outgoing(&mut self, outgoing: Outgoing) {
        if self.quirks.deliveries_come_twice {
            self.outbox.put(outgoing.clone());
        }
        self.outbox.put(outgoing);
    }
}
