//! Which portal a call is for, and how portals are doing.
//!
//! The first in two steps, because the form of a name is a rule of the request, told together with every other
//! broken rule, while whether such a portal exists is another question with reasons of its own.

use std::time::Duration;

use super::{check::Check, page::Page, time};
use crate::{
    fault::Reason,
    grpc::{caller::Arrival, status::Refusal},
    ids::PortalId,
    portal::{
        Assumption, Budget, Credential, Health, Portal, Switch, assume::Shown, state::LastFailure,
    },
    proto::v1 as pb,
};

/// Longest code of a portal that is shown, bytes.
const CODE: usize = 200;

/// How long a refresh token lasts (C2).
const REFRESH_TOKEN: Duration = Duration::from_secs(180 * 24 * 3600);

/// The portal a request names.
#[derive(Debug)]
pub(in crate::grpc) enum Named {
    /// This one.
    Portal(PortalId),
    /// None: the caller's default.
    Default,
}

/// Reads the name in a request; `None` when its form is wrong, which is noted.
pub(super) fn named(check: &mut Check, text: &str) -> Option<Named> {
    if text.is_empty() {
        return Some(Named::Default);
    }
    check.parsed("portal", text).map(Named::Portal)
}

/// A page of all portals.
pub(in crate::grpc) fn list(request: &pb::ListPortalsRequest) -> Result<Page, Refusal> {
    let mut check = Check::default();
    let page = Page::parse(&mut check, request.page_size, &request.page_token);
    check.done(page)
}

/// The portal a caller wants to read.
pub(in crate::grpc) fn one(
    arrival: &mut Arrival<'_>,
    request: &pb::GetPortalRequest,
) -> Result<PortalId, Refusal> {
    let mut check = Check::default();
    let named = named(&mut check, &request.portal);
    arrival.portal(check.done(named)?)
}

/// A portal, outwards.
pub(in crate::grpc) fn portal(portal: &Portal) -> pb::Portal {
    let state = portal.state();
    let budget = portal.budget();
    let waiting = portal.waiting();
    let skew = portal.clock_skew();
    let (address, configured_address) = portal.addresses();
    let (credential, member_id, tokens, ends) = match portal.credential() {
        Credential::Webhook { ends } => (pb::PortalCredential::Webhook, String::new(), None, ends),
        Credential::OAuth { member_id, tokens } => {
            (pb::PortalCredential::Oauth, member_id, tokens, None)
        }
    };
    pb::Portal {
        portal: portal.id().to_string(),
        address,
        configured_address,
        member_id,
        state: health(state.health).into(),
        reason: reason(state.reason),
        since: Some(time(state.since)),
        until: state.until.map(time),
        last_success_time: state.last_success.map(time),
        last_failure: state.last_failure.map(failure),
        clock_skew: Some(prost_types::Duration {
            seconds: skew.as_secs(),
            nanos: skew.subsec_nanos(),
        }),
        rate: Some(pb::RateBudget {
            requests_per_second: count(budget.rate.per_second),
            burst: count(budget.rate.burst),
            permits: budget.permits.map(count),
        }),
        waiting: Some(pb::WaitingCalls {
            answers: count(waiting.answers),
            calls: count(waiting.calls),
            polls: count(waiting.polls),
        }),
        methods: methods(budget),
        assumptions: portal.assumptions().map(assumption).into(),
        credential: credential.into(),
        user_id: tokens.as_ref().and_then(|tokens| tokens.user_id),
        token_expire_time: tokens.as_ref().map(|tokens| time(tokens.access_ends)),
        tokens_obtained_time: tokens.as_ref().map(|tokens| time(tokens.obtained_at)),
        webhook_expire_time: ends.map(time),
        scopes: portal.known_scopes().unwrap_or_default(),
        revision: portal.known_revision(),
        refresh_token_expire_time: tokens
            .and_then(|tokens| tokens.obtained_at.checked_add(REFRESH_TOKEN).ok())
            .map(time),
    }
}

fn methods(budget: Budget) -> Vec<pb::MethodBudget> {
    let allowed = Some(budget.operating).filter(|allowed| !allowed.is_zero());
    let methods = budget.methods.into_iter();
    methods
        .map(|method| pb::MethodBudget {
            method: method.method.to_string(),
            spent: Some(duration(method.spent)),
            budget: allowed.map(duration),
            forgiven_time: method.forgiven.map(time),
            banned_until: method.banned_until.map(time),
        })
        .collect()
}

fn assumption(assumption: Assumption) -> pb::Assumption {
    let switch = match assumption.switch {
        Switch::On => pb::AssumptionSwitch::On,
        Switch::Off => pb::AssumptionSwitch::Off,
        Switch::Auto => pb::AssumptionSwitch::Auto,
    };
    let evidence = match assumption.shown {
        Shown::Nothing => pb::AssumptionEvidence::Unspecified,
        Shown::Holds => pb::AssumptionEvidence::Holds,
        Shown::Fails => pb::AssumptionEvidence::Fails,
    };
    pb::Assumption {
        name: assumption.name.to_owned(),
        switch: switch.into(),
        evidence: evidence.into(),
        relied_upon: assumption.relied_upon,
    }
}

fn failure(failure: LastFailure) -> pb::PortalFailure {
    let mut portal_code = failure.portal_code.unwrap_or_default();
    portal_code.truncate(portal_code.floor_char_boundary(CODE));
    pb::PortalFailure {
        time: Some(time(failure.at)),
        method: failure.method.to_string(),
        reason: failure.reason.as_str().to_owned(),
        portal_code,
    }
}

/// The state of a portal, outwards.
pub(super) fn health(health: Health) -> pb::PortalState {
    match health {
        Health::Unknown => pb::PortalState::Unspecified,
        Health::Ok => pb::PortalState::Ok,
        Health::Throttled => pb::PortalState::Throttled,
        Health::Parked => pb::PortalState::Parked,
        Health::ReauthorizationRequired => pb::PortalState::ReauthorizationRequired,
        Health::Unreachable => pb::PortalState::Unreachable,
    }
}

/// Why a portal is not well, outwards.
pub(super) fn reason(reason: Option<Reason>) -> String {
    reason.map_or_else(String::new, |reason| reason.as_str().to_owned())
}

fn duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(span).unwrap_or_default()
}

fn count(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}
