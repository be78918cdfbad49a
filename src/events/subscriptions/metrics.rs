//! What is measured of named subscriptions.
//!
//! Their names are made up by callers, so only the first [`NAMED`] that this process sees have labels of
//! their own; all others are told together as `other`. Each subscription counts for itself: an event that
//! two of them hand out counts in both.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};

use crate::{bots, ids::PortalId, store::Aside};

/// Subscriptions that have labels of their own.
const NAMED: usize = 200;

/// What the others are called.
const OTHER: &str = "other";

/// The caller and the name of a subscription, as they are told.
pub(super) type Label = (Arc<str>, Arc<str>);

/// The instruments of all subscriptions. Cheap to clone.
#[derive(Clone)]
pub(super) struct Instruments(Arc<Shared>);

struct Shared {
    deliveries: Counter<u64>,
    aside: Counter<u64>,
    commands: Counter<u64>,
    named: Mutex<BTreeMap<(String, String), Label>>,
    other: Label,
}

/// The instruments with the labels of one subscription.
pub(super) struct Metrics {
    instruments: Instruments,
    caller: KeyValue,
    subscription: KeyValue,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        let deliveries = meter
            .u64_counter("bitrix24.gateway.deliveries")
            .with_description("Handings-out of events, the first of an event and repeated ones.")
            .with_unit("{delivery}");
        let aside = meter
            .u64_counter("bitrix24.gateway.events.set_aside")
            .with_description(
                "Events that a subscription hands out no more although they are not done.",
            )
            .with_unit("{event}");
        let other: Arc<str> = OTHER.into();
        Self(Arc::new(Shared {
            deliveries: deliveries.build(),
            aside: aside.build(),
            commands: bots::commands(meter),
            named: Mutex::default(),
            other: (Arc::clone(&other), other),
        }))
    }

    /// What a subscription is told as. A label is given for good: whoever makes and deletes subscriptions
    /// without end gets no more of them.
    pub(super) fn label(&self, owner: &str, name: &str) -> Label {
        let named = &self.0.named;
        let mut named = named.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (owner.to_owned(), name.to_owned());
        if !named.contains_key(&key) && named.len() >= NAMED {
            return self.0.other.clone();
        }
        let label = named.entry(key);
        let label = label.or_insert_with(|| (owner.into(), name.into()));
        label.clone()
    }

    /// Those of a subscription.
    pub(super) fn of(&self, owner: &str, name: &str) -> Metrics {
        let [caller, subscription] = labels(&self.label(owner, name));
        Metrics {
            instruments: self.clone(),
            caller,
            subscription,
        }
    }
}

/// The labels of a subscription.
pub(super) fn labels((owner, name): &Label) -> [KeyValue; 2] {
    [
        KeyValue::new("bitrix24.caller", Arc::clone(owner)),
        KeyValue::new("bitrix24.subscription", Arc::clone(name)),
    ]
}

impl Metrics {
    /// An event was handed out for the so-manieth time.
    pub(super) fn handed_out(&self, attempt: u32) {
        let which = if attempt > 1 { "repeated" } else { "first" };
        let labels = [
            self.caller.clone(),
            self.subscription.clone(),
            KeyValue::new("bitrix24.delivery", which),
        ];
        self.instruments.0.deliveries.add(1, &labels);
    }

    /// An event is handed out no more. `command`: where it is one, and the portal is known.
    pub(super) fn set_aside(&self, why: Aside, command: Option<&PortalId>) {
        let shared = &self.instruments.0;
        let labels = [
            self.caller.clone(),
            self.subscription.clone(),
            KeyValue::new("bitrix24.reason", why.as_str()),
        ];
        shared.aside.add(1, &labels);
        let outcome = match why {
            Aside::Expired => "expired",
            Aside::AttemptsExhausted => "set_aside",
            // The first is counted where it is answered, the second is no outcome of ours.
            Aside::AnswerUnknown | Aside::Restored => return,
        };
        if let Some(portal) = command {
            let labels = [
                KeyValue::new("bitrix24.portal", portal.to_string()),
                KeyValue::new("bitrix24.outcome", outcome),
                KeyValue::new("bitrix24.command.named_by", "event"),
                KeyValue::new("bitrix24.reason", why.as_str()),
            ];
            shared.commands.add(1, &labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Measurements;

    #[test]
    fn names_without_end_are_told_as_other_and_known_ones_as_before() {
        let measurements = Measurements::new(|readers| readers).unwrap();
        let instruments = Instruments::new(&measurements.meter());
        let label = |number: usize| instruments.label("caller", &format!("name-{number}"));
        for number in 0..NAMED {
            assert_eq!(&*label(number).1, format!("name-{number}"));
        }
        assert_eq!(label(NAMED), (OTHER.into(), OTHER.into()));
        assert_eq!(&*label(0).1, "name-0");
    }
}
