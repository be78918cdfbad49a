//! `subscriptions`: what waits in the named subscriptions, and what was set aside.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Trouble, place::Place, say};
use crate::admin::{AsideLine, Command, Done, SubscriptionLine};

#[derive(Debug, Subcommand)]
pub(super) enum SubscriptionsCommand {
    /// Tell which named subscriptions there are, what waits in them, and who reads them.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Tell which events a subscription hands out no more, oldest first, and why.
    Aside {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        place: Place,
    },
    /// Hand out events again that were set aside, with new attempts.
    Redrive {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        events: Events,
        #[command(flatten)]
        place: Place,
    },
    /// Forget events that were set aside.
    Drop {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        events: Events,
        #[command(flatten)]
        place: Place,
    },
    /// Forget a subscription with all that waits in it; its streams end.
    Delete {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The subscription.
    name: String,
    /// The caller it belongs to; none where callers are not told apart.
    #[arg(long, default_value = "")]
    caller: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Events {
    /// An event, as `subscriptions aside` names it; may be said several times.
    #[arg(long = "event", value_name = "EVENT_ID")]
    events: Vec<String>,
    /// All that were set aside.
    #[arg(long)]
    all: bool,
}

impl SubscriptionsCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Trouble> {
        match self {
            Self::List { place } => {
                let done = place.have_done(Command::SubscriptionsList {}).await?;
                if let Done::Subscriptions { subscriptions } = done {
                    subscriptions.iter().for_each(|it| say(&line(it)));
                }
            }
            Self::Aside { which, place } => {
                let Which { name, caller } = which;
                let aside = Command::SubscriptionsAside { caller, name };
                if let Done::SetAside { events } = place.have_done(aside).await? {
                    events.iter().for_each(|event| say(&aside_line(event)));
                }
            }
            Self::Redrive {
                which,
                events: Events { events, .. },
                place,
            } => {
                let Which { name, caller } = which;
                let redrive = Command::SubscriptionsRedrive {
                    caller,
                    name,
                    events,
                };
                if let Done::EventsRedriven { count } = place.have_done(redrive).await? {
                    say(&format!("{count} handed out again"));
                }
            }
            Self::Drop {
                which,
                events: Events { events, .. },
                place,
            } => {
                let Which { name, caller } = which;
                let forget = Command::SubscriptionsDrop {
                    caller,
                    name,
                    events,
                };
                if let Done::EventsDropped { count } = place.have_done(forget).await? {
                    say(&format!("{count} forgotten"));
                }
            }
            Self::Delete { which, place } => {
                let Which { name, caller } = which;
                let deleted = format!("{name} is deleted");
                let delete = Command::SubscriptionsDelete { caller, name };
                place.have_done(delete).await?;
                say(&deleted);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(it: &SubscriptionLine) -> String {
    let mut words = vec![it.name.clone()];
    if !it.caller.is_empty() {
        words.push(format!("caller={}", it.caller));
    }
    if let Some((streams, outstanding)) = it.streams.zip(it.outstanding) {
        words.push(format!("streams={streams} outstanding={outstanding}"));
    }
    words.push(format!(
        "unfinished={} unread={} set_aside={} expired={}",
        it.unfinished, it.unread, it.set_aside, it.expired
    ));
    words.extend(it.oldest_received.map(|at| format!("oldest={at}")));
    words.join(" ")
}

fn aside_line(event: &AsideLine) -> String {
    let of = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    format!(
        "{} {} portal={} bot={} {} attempts={} at={}",
        event.event_id,
        event.why,
        of(&event.portal),
        of(&event.bot),
        of(&event.kind),
        event.attempts,
        event.at
    )
}
