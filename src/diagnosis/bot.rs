//! The chain of a bot, from the credential to its last answer.

use jiff::{SignedDuration, Timestamp};

use super::{
    Chain, Facts, Link, Step,
    facts::{BotFacts, PortalFacts, ProcessFacts, Reader, named},
    meaning, portal,
    words::{ago, count, lasting},
};
use crate::{
    fault::Executed,
    ids::{BotCode, PortalId},
    portal::wire::Method,
    store::{BotState, EventMode},
};

/// What waits for longer than this although somebody takes it waits too long.
const PROMPT: SignedDuration = SignedDuration::from_secs(60);

/// The chain of the bot at this place.
#[must_use]
pub fn bot(facts: &Facts, index: usize) -> Option<Chain> {
    let bot = facts.bots.get(index)?;
    let now = facts.at;
    let credential = match facts.portal(&bot.portal) {
        Some(portal) => portal::credential(portal, now),
        None if !facts.process.runs => {
            Link::unknown(Step::Credential, "is told of the portal itself", None)
        }
        None => Link::broken(
            Step::Credential,
            format!("there is no portal `{}` any more", bot.portal),
            "configure it again, or forget the bot with `UnregisterBot`",
        ),
    };
    let readers: Vec<_> = facts
        .readers
        .iter()
        .filter(|reader| reader.gets.contains(&index))
        .collect();
    let denied = facts
        .readers
        .iter()
        .find(|reader| reader.denied.contains(&index));
    let links = vec![
        credential,
        registered(bot),
        poll(bot, &facts.process, facts.portal(&bot.portal), now),
        event(bot, now),
        subscription(bot, &readers, denied),
        stream(&readers, &facts.process, now),
        answer(bot, now),
    ];
    Some(Chain {
        portal: bot.portal.to_string(),
        bot: Some(bot.code.to_string()),
        links,
    })
}

/// The chain of a bot that is not there.
#[must_use]
pub fn unknown_bot(facts: &Facts, portal: &PortalId, code: &BotCode) -> Chain {
    let mut links = Vec::new();
    if let Some(portal) = facts.portal(portal) {
        links.push(portal::credential(portal, facts.at));
    }
    let known: Vec<_> = facts
        .bots
        .iter()
        .filter(|bot| bot.portal == *portal)
        .map(|bot| bot.code.as_str())
        .take(20)
        .collect();
    let others = match &known[..] {
        [] => "no bot is registered there".to_owned(),
        known => format!("registered there: {}", known.join(", ")),
    };
    links.push(Link::broken(
        Step::Registered,
        format!("no bot `{code}` was registered in portal `{portal}` through this gateway; {others}"),
        "start the bot's service: it calls `RegisterBot`. Compare the code and the portal with those that it names",
    ));
    Chain {
        portal: portal.to_string(),
        bot: Some(code.to_string()),
        links,
    }
}

fn registered(bot: &BotFacts) -> Link {
    let step = Step::Registered;
    match bot.state {
        BotState::Active => {
            let id = bot.id.map_or_else(String::new, |id| format!(" as {id}"));
            let commands = match bot.commands {
                0 => "no command".to_owned(),
                number => count(number as u64, "command"),
            };
            Link::fine(step, format!("the portal knows it{id}, with {commands}"))
        }
        BotState::Pending => Link::broken(
            step,
            "its registration was begun, and the portal did not confirm it",
            "have the service call `RegisterBot` again: it may be repeated at any time",
        ),
        BotState::Gone => Link::broken(
            step,
            "the portal has no such bot any more: somebody deleted it there",
            "have the service call `RegisterBot`, or forget the bot with `UnregisterBot`",
        ),
        BotState::Foreign => Link::broken(
            step,
            "the portal refuses our token of the bot: another program took it over",
            "stop the other program, then call `RegisterBot` (with `adopt`, if it has a token of its own)",
        ),
    }
}

fn poll(
    bot: &BotFacts,
    process: &ProcessFacts,
    portal: Option<&PortalFacts>,
    now: Timestamp,
) -> Link {
    let step = Step::Poll;
    if bot.state != BotState::Active {
        return Link::unknown(
            step,
            "its events are not fetched while it is not registered",
            None,
        );
    }
    if bot.next_mode.is_some() {
        return Link::unknown(
            step,
            "the way in which its events come is being changed",
            Some("wait a minute; the log says what holds it up"),
        );
    }
    match bot.mode {
        EventMode::Webhook if !bot.reachable => Link::broken(
            step,
            "the portal posts its events, and nobody listens",
            "set `http.listen` and `http.public_url`, or call `RegisterBot` with the mode `FETCH`",
        ),
        EventMode::Webhook => {
            let since = bot
                .posted_since
                .map(|at| format!(", since {}", ago(now, at)));
            Link::fine(
                step,
                format!("the portal posts its events{}", since.unwrap_or_default()),
            )
        }
        EventMode::Fetch => fetched(bot, process, portal, now),
    }
}

fn fetched(
    bot: &BotFacts,
    process: &ProcessFacts,
    portal: Option<&PortalFacts>,
    now: Timestamp,
) -> Link {
    let step = Step::Poll;
    if !process.runs {
        let last = bot
            .last_poll
            .map_or_else(|| "never".to_owned(), |at| ago(now, at));
        return Link::broken(
            step,
            format!("no gateway runs with this store; its events were last fetched: {last}"),
            "start the gateway: portals keep events for 24 hours",
        );
    }
    let since = bot.last_poll.unwrap_or(bot.created_at);
    let late = now.duration_since(since.max(process.started)) > process.late;
    match bot.last_poll {
        _ if late => Link::broken(
            step,
            match bot.last_poll {
                Some(at) => format!(
                    "its events were last fetched {}{}",
                    ago(now, at),
                    why(portal, since, now)
                ),
                None => format!("its events were never fetched{}", why(portal, since, now)),
            },
            "see the state of the portal, what is left of its limits, and whether the store can be written; the log \
             says why fetches fail",
        ),
        Some(at) => Link::fine(step, format!("its events were fetched {}", ago(now, at))),
        None => Link::unknown(
            step,
            "its events were not fetched yet",
            Some("wait some seconds"),
        ),
    }
}

/// How the portal's last call failed, where that was a fetch since then.
fn why(portal: Option<&PortalFacts>, since: Timestamp, now: Timestamp) -> String {
    let failure = portal.and_then(|portal| portal.state.last_failure.as_ref());
    match failure {
        Some(it) if it.method == Method::EventGet && it.at > since => {
            format!(
                "; a fetch failed {}{}",
                ago(now, it.at),
                named(Some(it.reason))
            )
        }
        _ => String::new(),
    }
}

fn event(bot: &BotFacts, now: Timestamp) -> Link {
    let step = Step::Event;
    if bot.suspected {
        return Link::broken(
            step,
            "another program seems to read its events, which the portal hands out once",
            "look for a second gateway or an older integration with this credential, stop it, and call `RegisterBot`",
        );
    }
    let command = bot.last_command.map(|it| it.received_at);
    match (bot.last_event, command) {
        (_, Some(at)) => Link::fine(step, format!("its last command came {}", ago(now, at))),
        (Some(at), None) => Link::unknown(
            step,
            format!(
                "its last event came {}, and no command lately",
                ago(now, at)
            ),
            Some(
                "type one of its commands; people find them only in chats that the bot is in, and in its own",
            ),
        ),
        (None, None) if bot.commands == 0 => Link::unknown(
            step,
            "nothing ever came for it, and no command was registered",
            Some(
                "have the service call `RegisterCommand`, and type that command in a chat with the bot",
            ),
        ),
        (None, None) => Link::unknown(
            step,
            "nothing ever came for it",
            Some("type one of its commands in the chat with the bot, and look again"),
        ),
    }
}

fn subscription(bot: &BotFacts, readers: &[&Reader], denied: Option<&Reader>) -> Link {
    let step = Step::Subscription;
    let named_readers: Vec<_> = readers.iter().filter(|it| it.name.is_some()).collect();
    if let [first, rest @ ..] = &named_readers[..] {
        let more = match rest.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        return Link::fine(step, format!("its commands go to {}{more}", first.label()));
    }
    if let Some(first) = readers.first() {
        let seen = format!(
            "its commands go to {} only, and what comes while that is away is not kept for it",
            first.label()
        );
        return Link::fine(step, seen);
    }
    if let Some(denied) = denied {
        return Link::broken(
            step,
            format!(
                "{} asks for its commands and may not see the bot",
                denied.label()
            ),
            format!(
                "the bot belongs to `{}`: let that caller share it (`shares_with`), or allow portal and bot in the policy",
                bot.owner
            ),
        );
    }
    Link::broken(
        step,
        "nobody asks for its commands: there is no subscription and no stream",
        "start the bot's service; it opens `SubscribeCommandEvents`, best with the name of a subscription. Where it \
         runs, compare the portal, the bots and the types that it asks for",
    )
}

fn stream(readers: &[&Reader], process: &ProcessFacts, now: Timestamp) -> Link {
    let step = Step::Stream;
    if !process.runs {
        return Link::unknown(step, "no gateway runs, so there are no streams", None);
    }
    let Some(first) = readers.first() else {
        return Link::unknown(step, "nobody asks for its commands", None);
    };
    let open: usize = readers.iter().map(|reader| reader.streams).sum();
    let waiting: u64 = readers.iter().map(|it| it.unfinished + it.unread).sum();
    if open == 0 {
        let waits = match waiting {
            0 => String::new(),
            waiting => format!("; about {} not done", count(waiting, "event")),
        };
        return Link::broken(
            step,
            format!("{} has no open stream{waits}", first.label()),
            "start the bot's service, or see why it cannot connect: its own log, and the `audit` lines of the gateway's",
        );
    }
    let late = readers.iter().filter_map(|reader| {
        let oldest = reader.oldest?;
        (reader.streams > 0 && now.duration_since(oldest) > PROMPT).then_some((reader, oldest))
    });
    if let Some((reader, oldest)) = late.min_by_key(|(_, oldest)| *oldest) {
        return Link::broken(
            step,
            format!(
                "{} has about {} not done, {} handed out, the oldest for {}",
                reader.label(),
                count(reader.unfinished + reader.unread, "event"),
                reader.outstanding,
                lasting(now.duration_since(oldest))
            ),
            "the service takes events and does not finish them: it answers or acknowledges each; see whether it \
             hangs, and run more of it if it is too slow",
        );
    }
    Link::fine(step, format!("{} open", count(open as u64, "stream")))
}

fn answer(bot: &BotFacts, now: Timestamp) -> Link {
    let step = Step::Answer;
    let what = |answer: bool| if answer { "answer" } else { "message" };
    if let Some(said) = bot.said
        && let Some((reason, executed)) = said.failed
    {
        let (means, next) = meaning::of(reason);
        let how = match executed {
            Executed::Unknown => "may have failed",
            Executed::No | Executed::Yes => "failed",
        };
        let seen = format!(
            "its last {} {how} {}: {means}{}",
            what(said.answer),
            ago(now, said.at),
            named(Some(reason))
        );
        return Link::broken(step, seen, next);
    }
    let unanswered = bot.last_command.filter(|command| {
        let by_message = bot.said.is_some_and(|said| said.at >= command.received_at);
        command.answered != Some(true) && !by_message
    });
    match (bot.said, unanswered) {
        (_, Some(command)) if command.answered == Some(false) => Link::broken(
            step,
            format!(
                "nobody knows whether its command of {} was answered",
                ago(now, command.received_at)
            ),
            "look into the chat; `subscriptions aside` names the event, and `redrive` or `drop` settles it",
        ),
        (_, Some(command)) if now.duration_since(command.received_at) > PROMPT => Link::unknown(
            step,
            format!(
                "its command of {} was not answered with `AnswerCommand`",
                ago(now, command.received_at)
            ),
            Some(
                "see in the service's log what it did with it: perhaps it acknowledged it, or answered before our start",
            ),
        ),
        (_, Some(command)) => Link::unknown(
            step,
            format!(
                "its command of {} is not answered yet",
                ago(now, command.received_at)
            ),
            None,
        ),
        (Some(said), None) => Link::fine(
            step,
            format!(
                "its last {} was taken {}",
                what(said.answer),
                ago(now, said.at)
            ),
        ),
        (None, None) => match bot.last_command {
            Some(command) => Link::fine(
                step,
                format!(
                    "its command of {} was answered",
                    ago(now, command.received_at)
                ),
            ),
            None => Link::unknown(step, "there was nothing to answer yet", None),
        },
    }
}
