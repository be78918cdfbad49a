//! The chain of a portal: how far one gets who calls it.

use jiff::{SignedDuration, Timestamp};

use super::{
    Asked, Chain, Link, Step,
    facts::{PortalFacts, named},
    meaning,
    words::{ago, lasting},
};
use crate::{
    fault::Fault as _,
    portal::{Cause, Error, Health, transport::Obstacle, wire::Unreadable},
};

/// Clocks that differ by more than this are worth a word: answers are judged by the portal's.
const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// The revision from which on the interface of bots is there (C26).
const REVISION: i64 = 33;

/// Whether the portal lets us in, as far as its calls told.
#[must_use]
pub fn credential(portal: &PortalFacts, now: Timestamp) -> Link {
    let step = Step::Credential;
    let state = &portal.state;
    let since = ago(now, state.since);
    match state.health {
        Health::Ok | Health::Throttled => {
            let last = state.last_success.map(|at| ago(now, at));
            let last = last.unwrap_or_else(|| "never".to_owned());
            Link::fine(step, format!("the portal lets us in; last success: {last}"))
        }
        Health::Unknown => Link::unknown(
            step,
            "the portal was not called yet",
            Some("run `doctor --portal`: it asks the portal"),
        ),
        Health::Parked | Health::ReauthorizationRequired | Health::Unreachable => {
            let (means, next) = match state.reason {
                Some(reason) => meaning::of(reason),
                None => ("the portal does not serve us", "see the gateway's log"),
            };
            let until = state.until.map(|at| lasting(at.duration_since(now)));
            let until = until.map_or_else(String::new, |until| format!("; asked again in {until}"));
            let seen = format!("{means}{}, since {since}{until}", named(state.reason));
            Link::broken(step, seen, next)
        }
    }
}

/// What asking a portal told.
#[must_use]
pub fn asked(portal: &str, asked: &Asked, now: Timestamp) -> Chain {
    let mut links = Vec::new();
    match &asked.profile {
        // What comes behind was not tried, and says nothing.
        Err(error) => refused(&mut links, &asked.address, error),
        Ok(()) => {
            let_in(&mut links, asked);
            links.push(match asked.skew {
                Some(skew) => clock(skew),
                None => Link::unknown(Step::Clock, "the portal did not tell its time", None),
            });
            links.push(rate(asked, now));
        }
    }
    Chain {
        portal: portal.to_owned(),
        bot: None,
        links,
    }
}

/// A portal that cannot be asked from here.
#[must_use]
pub fn configured(portal: &str, seen: &str, next: &str) -> Chain {
    Chain {
        portal: portal.to_owned(),
        bot: None,
        links: vec![Link::unknown(Step::Credential, seen, Some(next))],
    }
}

fn let_in(links: &mut Vec<Link>, asked: &Asked) {
    links.push(Link::fine(Step::Address, asked.address.clone()));
    links.push(Link::fine(
        Step::Connection,
        "encrypted, with a certificate that is trusted",
    ));
    links.push(Link::fine(Step::Rest, "a portal answers"));
    links.push(Link::fine(Step::Credential, "the portal lets us in"));
    links.push(scope(asked));
    links.push(revision(asked));
}

fn scope(asked: &Asked) -> Link {
    let step = Step::Scope;
    let scopes = match &asked.scopes {
        Some(Ok(scopes)) => scopes,
        Some(Err(error)) => {
            return Link::unknown(step, failed(error), Some("look again in a minute"));
        }
        None => return Link::unknown(step, "was not asked for", None),
    };
    let has = |scope: &str| scopes.iter().any(|it| it.eq_ignore_ascii_case(scope));
    let (_, next) = meaning::of(crate::fault::Reason::InsufficientScope);
    match (has("imbot"), has("im")) {
        (false, _) => Link::broken(
            step,
            format!(
                "it may not use `imbot`, without which there are no bots; it may use: {}",
                list(scopes)
            ),
            next,
        ),
        (true, false) => Link::fine(
            step,
            "`imbot`; without `im`, so `ExecuteCommand` will be refused",
        ),
        (true, true) => Link::fine(step, "`imbot` and `im`"),
    }
}

fn list(scopes: &[String]) -> String {
    match scopes {
        [] => "nothing".to_owned(),
        scopes => scopes
            .iter()
            .take(20)
            .cloned()
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn revision(asked: &Asked) -> Link {
    let step = Step::Revision;
    let (_, update) = meaning::of(crate::fault::Reason::MethodNotSupported);
    match &asked.revision {
        Some(Ok(revision)) if *revision >= REVISION => Link::fine(step, format!("REST {revision}")),
        Some(Ok(revision)) => Link::broken(step, format!("REST {revision} is too old"), update),
        Some(Err(error)) if matches!(error.cause(), Cause::MethodMissing) => {
            Link::broken(step, format!("it is older than REST {REVISION}"), update)
        }
        Some(Err(error)) => Link::unknown(step, failed(error), Some("look again in a minute")),
        None => Link::unknown(step, "was not asked for", None),
    }
}

fn clock(skew: SignedDuration) -> Link {
    let step = Step::Clock;
    if skew.abs() <= SKEW {
        return Link::fine(step, "the portal's clock and ours agree");
    }
    let (which, by) = (
        if skew.is_positive() {
            "ahead of"
        } else {
            "behind"
        },
        skew.abs(),
    );
    Link::broken(
        step,
        format!("the portal's clock is {} {which} ours", lasting(by)),
        "set the clock of this machine by NTP; if it is right, the portal's is wrong",
    )
}

fn rate(asked: &Asked, now: Timestamp) -> Link {
    let step = Step::Rate;
    if let Some((reason, until)) = asked.throttled {
        let (means, next) = meaning::of(reason);
        let wait = lasting(until.duration_since(now));
        return Link::broken(
            step,
            format!("{means}, for {wait} more{}", named(Some(reason))),
            next,
        );
    }
    match asked.permits {
        Some((left, most)) => Link::fine(
            step,
            format!("{left} of {most} requests could leave at once"),
        ),
        None => Link::unknown(step, "only a gateway that runs counts requests", None),
    }
}

/// How far a call got that failed.
fn refused(links: &mut Vec<Link>, address: &str, error: &Error) {
    let (step, seen, next) = obstacle(address, error);
    for before in [
        Step::Address,
        Step::Connection,
        Step::Rest,
        Step::Credential,
    ] {
        if before == step {
            break;
        }
        links.push(match before {
            Step::Address => Link::fine(before, address),
            Step::Connection => Link::fine(before, "encrypted, with a certificate that is trusted"),
            _ => Link::fine(before, "a portal answers"),
        });
    }
    links.push(Link::broken(step, seen, next));
}

fn obstacle(address: &str, error: &Error) -> (Step, String, String) {
    let of_reason = |step| {
        let (means, next) = meaning::of(error.reason());
        let code = error.portal_code().filter(|code| !code.is_empty());
        let code = code.map_or_else(String::new, |code| format!(", `{code}`"));
        (
            step,
            format!("{means}{}{code}", named(Some(error.reason()))),
            next.to_owned(),
        )
    };
    match error.cause() {
        Cause::Unreachable(failure) | Cause::NoAnswer(failure) => unreachable(address, &failure.obstacle()),
        Cause::Redirected => (
            Step::Rest,
            "it leads us to a page that is no REST interface, such as a login".to_owned(),
            "compare the URL with that of the webhook in Bitrix24; a proxy that wants people to log in first has to \
             let this machine through"
                .to_owned(),
        ),
        Cause::Moved { origin } => (
            Step::Rest,
            format!("the portal has moved to {origin}"),
            "put the new address into the configuration, or its host into `outbound.portal_hosts`".to_owned(),
        ),
        Cause::Blocked => (
            Step::Rest,
            "something in front of the portal turned us away with a page".to_owned(),
            "see whether a proxy or firewall between filters by address, or waits for a person".to_owned(),
        ),
        Cause::Unreadable(Unreadable::Html) => (
            Step::Rest,
            "a web page answers in place of the REST interface, such as a login or maintenance".to_owned(),
            "compare the URL with that of the webhook in Bitrix24; open it in a browser to see what answers".to_owned(),
        ),
        Cause::Unreadable(_) => (
            Step::Rest,
            "what answers is no REST interface of Bitrix24".to_owned(),
            "compare the URL with that of the webhook in Bitrix24".to_owned(),
        ),
        Cause::Plan if error.status().is_some_and(|status| (300..400).contains(&status)) => (
            Step::Rest,
            "it leads us to a page of its own: its licence is over, or somebody wants us to log in".to_owned(),
            "open the portal in a browser: its owner has to renew the licence. A login page means that the URL is not \
             that of a webhook"
                .to_owned(),
        ),
        _ => of_reason(Step::Credential),
    }
}

fn unreachable(address: &str, obstacle: &Obstacle) -> (Step, String, String) {
    let text = |text: &str| text.to_owned();
    match obstacle {
        Obstacle::NoHost => (
            Step::Address,
            format!("the host of {address} is not found"),
            text(
                "compare the URL with that of the webhook in Bitrix24; see whether this machine resolves names",
            ),
        ),
        Obstacle::NotPublic => (
            Step::Address,
            format!("the host of {address} leads to a private address, which is not configured"),
            text("configure that address itself, or set `outbound.private_addresses`"),
        ),
        Obstacle::NobodyThere => (
            Step::Connection,
            format!("nobody listens at {address}"),
            text(
                "see whether the portal runs, and whether a firewall lets this machine through; a proxy is set by `outbound.proxy`",
            ),
        ),
        Obstacle::TooSlow => (
            Step::Connection,
            format!("{address} does not answer in time"),
            text(
                "see whether a firewall drops what this machine sends; a proxy is set by `outbound.proxy`",
            ),
        ),
        Obstacle::Expired => (
            Step::Connection,
            text("the certificate has expired"),
            text(
                "renew it, if the portal is yours; see whether the clock of this machine is right",
            ),
        ),
        Obstacle::NotYetValid => (
            Step::Connection,
            text("the certificate is not valid yet"),
            text("see whether the clock of this machine is right"),
        ),
        Obstacle::OtherName => (
            Step::Connection,
            text("the certificate belongs to another host"),
            text(
                "compare the URL with that of the webhook in Bitrix24; something between may answer in its place",
            ),
        ),
        Obstacle::UnknownIssuer(issuer) => (
            Step::Connection,
            match issuer {
                Some(issuer) => format!(
                    "the certificate was issued by `{issuer}`, which is not trusted: something between may read what we send"
                ),
                None => text(
                    "the certificate was issued by somebody who is not trusted: something between may read what we send",
                ),
            },
            text(
                "if that is your company's proxy or your own portal, put the certificate of the issuer into `outbound.ca_file`",
            ),
        ),
        Obstacle::Tls => (
            Step::Connection,
            text("no encrypted connection comes about"),
            text("see whether HTTPS is spoken at that port; the log says what failed"),
        ),
        Obstacle::Other => (
            Step::Connection,
            format!("the connection to {address} broke off"),
            text("look again in a minute; see whether a proxy between cuts connections"),
        ),
    }
}

fn failed(error: &Error) -> String {
    let (means, _) = meaning::of(error.reason());
    format!("the call failed: {means}{}", named(Some(error.reason())))
}
