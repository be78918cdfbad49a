//! How portals are doing, told when somebody asks: nothing is counted meanwhile.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use opentelemetry::{KeyValue, metrics::Meter};

use super::{
    Credential, Health, Portal, Portals,
    metrics::{ANSWERS, CALLS_LANE, POLLS},
};

/// How long a refresh token lasts (C2).
const REFRESH_TOKEN: Duration = Duration::from_secs(180 * 24 * 3600);

impl Portals {
    /// Tells how portals are doing for as long as they are there.
    pub fn measured_by(&self, meter: &Meter) {
        let each = {
            let all = Arc::downgrade(&self.0);
            move || -> Vec<Portal> {
                let portals = all.upgrade().map(|all| Self(all).list());
                portals.unwrap_or_default()
            }
        };
        let portals = each.clone();
        meter
            .u64_observable_gauge("bitrix24.gateway.portal.state")
            .with_description("1 with the state that the portal is in, and why unless it is well.")
            .with_callback(move |told| {
                for portal in portals() {
                    let state = portal.state();
                    let labels = [
                        portal.label(),
                        KeyValue::new("bitrix24.portal.state", name(state.health)),
                        KeyValue::new(
                            "bitrix24.reason",
                            state.reason.map_or("", |reason| reason.as_str()),
                        ),
                    ];
                    told.observe(1, &labels);
                }
            })
            .build();
        let portals = each.clone();
        meter
            .u64_observable_gauge("bitrix24.gateway.queue.calls")
            .with_description("Calls that wait for their turn.")
            .with_unit("{call}")
            .with_callback(move |told| {
                for portal in portals() {
                    let waiting = portal.waiting();
                    for (lane, calls) in [
                        (ANSWERS, waiting.answers),
                        (CALLS_LANE, waiting.calls),
                        (POLLS, waiting.polls),
                    ] {
                        let labels = [portal.label(), KeyValue::new("bitrix24.lane", lane)];
                        told.observe(calls as u64, &labels);
                    }
                }
            })
            .build();
        let portals = each.clone();
        meter
            .u64_observable_gauge("bitrix24.gateway.limit.permits")
            .with_description("Requests that could leave at once.")
            .with_unit("{request}")
            .with_callback(move |told| {
                for portal in portals() {
                    if let Some(permits) = portal.budget().permits {
                        told.observe(permits.into(), &[portal.label()]);
                    }
                }
            })
            .build();
        let portals = each.clone();
        meter
            .f64_observable_gauge("bitrix24.gateway.limit.operating.left")
            .with_description(
                "Part of a method's operating time that is left, 0 while it is banned.",
            )
            .with_unit("1")
            .with_callback(move |told| {
                for portal in portals() {
                    for (method, left) in operating(&portal) {
                        let labels = [portal.label(), KeyValue::new("bitrix24.method", method)];
                        told.observe(left, &labels);
                    }
                }
            })
            .build();
        meter
            .f64_observable_gauge("bitrix24.gateway.credential.left")
            .with_description("Time until a webhook or a refresh token ends, negative afterwards.")
            .with_unit("s")
            .with_callback(move |told| {
                for portal in each() {
                    if let Some((credential, left)) = credential(&portal) {
                        let credential = KeyValue::new("bitrix24.credential", credential);
                        told.observe(left.as_secs_f64(), &[portal.label(), credential]);
                    }
                }
            })
            .build();
    }
}

fn operating(portal: &Portal) -> Vec<(&'static str, f64)> {
    let budget = portal.budget();
    let allowed = budget.operating.as_secs_f64();
    if allowed <= 0.0 {
        return Vec::new();
    }
    let methods = budget.methods.into_iter();
    methods
        .map(|method| {
            let left = 1.0 - method.spent.as_secs_f64() / allowed;
            let left = if method.banned_until.is_some() {
                0.0
            } else {
                left.max(0.0)
            };
            (method.method.as_str(), left)
        })
        .collect()
}

/// What ends, and how long it lasts from now.
fn credential(portal: &Portal) -> Option<(&'static str, SignedDuration)> {
    let (credential, ends): (_, Timestamp) = match portal.credential() {
        Credential::Webhook { ends } => ("webhook", ends?),
        Credential::OAuth { tokens, .. } => {
            let obtained = tokens?.obtained_at;
            ("refresh_token", obtained.checked_add(REFRESH_TOKEN).ok()?)
        }
    };
    Some((credential, ends.duration_since(portal.0.clock.now())))
}

/// As the API calls it.
const fn name(health: Health) -> &'static str {
    match health {
        Health::Unknown => "UNKNOWN",
        Health::Ok => "OK",
        Health::Throttled => "THROTTLED",
        Health::Parked => "PARKED",
        Health::ReauthorizationRequired => "REAUTHORIZATION_REQUIRED",
        Health::Unreachable => "UNREACHABLE",
    }
}
