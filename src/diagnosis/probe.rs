//! What is relied upon without a promise, and what a portal showed of it when it was asked.

use serde::{Deserialize, Serialize};

use super::{Diagnosis, facts::named, meaning};
use crate::{
    bots::{self, Keyed, Probed, Together},
    fault::{Executed, Fault, Reason},
    ids::{BotCode, DialogId, PortalId},
    portal::{self, Assumption, Switch, assume::Shown},
};

/// What asking showed of an assumption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds.
    Holds,
    /// It does not hold.
    Fails,
    /// Nobody can tell: something failed.
    Unsettled,
    /// It was not asked for.
    LeftOut,
}

/// An assumption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The name of its setting.
    pub name: String,
    /// What the operator decided.
    pub switch: Switch,
    /// What asking showed.
    pub verdict: Verdict,
    /// What was seen, as a sentence without its end.
    pub seen: String,
    /// What to do next, unless all was told.
    pub next: Option<String>,
    /// Whether it is relied upon now.
    pub relied_upon: bool,
    /// The line of the configuration that keeps it so beyond a restart; none where it is so without.
    pub keep: Option<String>,
}

/// What was found out of a portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The portal.
    pub portal: String,
    /// The bot that asked.
    pub bot: String,
    /// Its assumptions, each once.
    pub findings: Vec<Finding>,
    /// What is left in the dialog, or may be, a line each.
    pub left: Vec<String>,
}

/// What an assumption showed, what was seen of it, and what to do next.
type Told = (Verdict, String, Option<String>);

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::Unsettled => "unsettled",
            Self::LeftOut => "left out",
        }
    }
}

impl Probe {
    /// What could not be settled.
    pub fn unsettled(&self) -> impl Iterator<Item = &Finding> {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.verdict == Verdict::Unsettled)
    }
}

impl Diagnosis {
    /// The portals in which a bot was registered, of all or of this one.
    #[must_use]
    pub fn portals_of(&self, code: &BotCode, portal: Option<&PortalId>) -> Vec<PortalId> {
        let portals = self.portals().list();
        let ids = portals.iter().map(|it| it.id().clone());
        ids.filter(|id| portal.is_none_or(|portal| portal == id))
            .filter(|id| self.bots().find(id, code).is_ok())
            .collect()
    }

    /// Asks a portal in the name of a bot. `dialog`: where a message may be sent twice; `settings`: where the
    /// portal's switches stand in the configuration.
    ///
    /// # Errors
    ///
    /// Why it cannot be asked at all, and what to do about it.
    pub async fn probe(
        &self,
        (portal, code): (&PortalId, &BotCode),
        dialog: Option<&DialogId>,
        settings: &str,
    ) -> Result<Probe, String> {
        let probed = self.bots().probe(portal, code, dialog).await;
        let probed = probed.map_err(|error| refused(&error))?;
        let here = self.portals().get(portal);
        // Unless it was removed meanwhile.
        let assumptions = here.map(|portal| portal.assumptions());
        let findings = assumptions.iter().flatten();
        Ok(Probe {
            portal: portal.to_string(),
            bot: code.to_string(),
            findings: findings
                .map(|it| finding(it, told(it, &probed, settings), settings))
                .collect(),
            left: match (&probed.keyed, dialog) {
                (Some(keyed), Some(dialog)) => left(keyed, dialog),
                _ => Vec::new(),
            },
        })
    }
}

/// Why nothing could be asked.
fn refused(error: &bots::Error) -> String {
    let bots::Error::Portal(failed) = error else {
        return error.to_string();
    };
    let (means, next) = meaning::of(failed.reason());
    let nothing = match failed.is_held_back() {
        true => "nothing was sent: ",
        false => "",
    };
    let why = coded(failed.reason(), failed.portal_code());
    format!("{nothing}{means}{why}; {next}")
}

fn told(assumption: &Assumption, probed: &Probed, settings: &str) -> Told {
    match assumption.name {
        "batched_calls" => calls(&probed.calls),
        "batched_polls" => polls(&probed.polls, probed.posted),
        "message_keys" => match &probed.keyed {
            Some(keyed) => keys(keyed, assumption.shown),
            None => (
                Verdict::LeftOut,
                "it takes a message that people may see".to_owned(),
                Some(
                    "say in which dialog with --dialog: it is sent twice and deleted again"
                        .to_owned(),
                ),
            ),
        },
        // The portal answers `true` whether it posts or not (C18.5).
        _ => (
            Verdict::LeftOut,
            "the portal answers the same whether it posts a late answer or not".to_owned(),
            // In a private dialog a typed command is always answered.
            Some(format!(
                "see it by hand: start the gateway with `{settings}.answer_window = \"off\"`, type a command of the \
                 bot in a group chat, and let it answer 11 minutes later, without another command there meanwhile; \
                 if people see that answer, keep the line, else take it out again"
            )),
        ),
    }
}

fn calls(seen: &Together) -> Told {
    let holds = || "two calls in one request were each answered as they are alone".to_owned();
    together(seen, holds)
}

fn polls(seen: &Together, posted: bool) -> Told {
    let holds = || {
        let empty = match posted {
            true => ", though a fetch finds nothing: events of this bot are posted",
            false => "",
        };
        format!("two fetches in one request were taken, and acknowledged nothing{empty}")
    };
    together(seen, holds)
}

fn together(seen: &Together, holds: impl FnOnce() -> String) -> Told {
    match seen {
        Together::Alike => (Verdict::Holds, holds(), None),
        Together::Otherwise(method) => {
            let seen = format!("in one request with another call `{method}` is answered otherwise");
            (Verdict::Fails, seen, None)
        }
        Together::Refused(error) => {
            let code = code(error.portal_code());
            let seen = format!("the portal refuses to take them in one request{code}");
            (Verdict::Fails, seen, None)
        }
        Together::Failed(error) => unsettled("", error),
    }
}

fn keys(keyed: &Keyed, shown: Shown) -> Told {
    match (&keyed.first, &keyed.second) {
        (Ok(first), Some(Ok(second))) if first != second => (
            Verdict::Fails,
            "a message that was sent twice under one key was posted twice".to_owned(),
            None,
        ),
        (Ok(_), Some(Ok(_))) if shown == Shown::Fails => (
            Verdict::Fails,
            "a message that was sent twice under one key was posted once, but the portal posted another twice \
             before"
                .to_owned(),
            Some("start the gateway anew and probe again if the portal was updated since".to_owned()),
        ),
        (Ok(_), Some(Ok(_))) => (
            Verdict::Holds,
            "a message that was sent twice under one key was posted once".to_owned(),
            None,
        ),
        (Ok(_), Some(Err(error))) => unsettled("the message was posted, not its repeat: ", error),
        (Ok(_), None) => (Verdict::Unsettled, "it was not sent twice".to_owned(), None),
        (Err(error), None) => unsettled("nothing was posted: ", error),
        (Err(error), Some(_)) => unsettled("nobody knows what became of the message: ", error),
    }
}

fn unsettled(what: &str, error: &portal::Error) -> Told {
    let (means, next) = meaning::of(error.reason());
    let why = coded(error.reason(), error.portal_code());
    let seen = format!("{what}{means}{why}");
    (Verdict::Unsettled, seen, Some(next.to_owned()))
}

fn finding(assumption: &Assumption, (verdict, seen, next): Told, settings: &str) -> Finding {
    let name = assumption.name;
    let keep = lasting(assumption, verdict);
    Finding {
        name: name.to_owned(),
        switch: assumption.switch,
        verdict,
        seen,
        next,
        relied_upon: assumption.relied_upon,
        keep: keep.map(|switch| format!("{settings}.{name} = \"{}\"", switch.as_str())),
    }
}

/// The switch that makes the next start rely on what was shown, or not, if that takes another one than now.
fn lasting(assumption: &Assumption, verdict: Verdict) -> Option<Switch> {
    let holds = match verdict {
        Verdict::Holds => true,
        Verdict::Fails => false,
        Verdict::Unsettled | Verdict::LeftOut => return None,
    };
    let needs_proof = assumption.name == "message_keys";
    let relied_upon = match assumption.switch {
        Switch::On => true,
        Switch::Off => false,
        Switch::Auto => !needs_proof,
    };
    match holds {
        _ if holds == relied_upon => None,
        false => Some(Switch::Off),
        true if needs_proof => Some(Switch::On),
        true => Some(Switch::Auto),
    }
}

/// What a person has to see to.
fn left(keyed: &Keyed, dialog: &DialogId) -> Vec<String> {
    let there = keyed.left.iter().map(|(id, error)| {
        let (means, _) = meaning::of(error.reason());
        let why = coded(error.reason(), error.portal_code());
        format!(
            "message {id} in dialog {dialog} could not be deleted, {means}{why}: delete it by hand"
        )
    });
    let lost = |sent: &Result<i64, portal::Error>| {
        let error = sent.as_ref().err();
        error.is_some_and(|error| error.executed() == Executed::Unknown)
    };
    let perhaps = lost(&keyed.first) || keyed.second.as_ref().is_some_and(lost);
    let perhaps = perhaps.then(|| {
        format!("an answer was lost: look whether a test message is left in dialog {dialog}, and delete it")
    });
    there.chain(perhaps).collect()
}

fn coded(reason: Reason, told: Option<&str>) -> String {
    format!("{}{}", named(Some(reason)), code(told))
}

fn code(told: Option<&str>) -> String {
    let code = told.filter(|code| !code.is_empty());
    code.map_or_else(String::new, |code| format!(", `{code}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assumption(name: &'static str, switch: Switch) -> Assumption {
        Assumption {
            name,
            switch,
            shown: Shown::Nothing,
            relied_upon: false,
        }
    }

    #[test]
    fn line_for_the_configuration_is_told_only_where_a_start_would_forget_what_was_shown() {
        use Switch::{Auto, Off, On};
        for (name, verdict, switch, line) in [
            ("message_keys", Verdict::Holds, Auto, Some(On)),
            ("message_keys", Verdict::Holds, On, None),
            ("message_keys", Verdict::Holds, Off, Some(On)),
            ("message_keys", Verdict::Fails, Auto, None),
            ("message_keys", Verdict::Fails, On, Some(Off)),
            ("batched_calls", Verdict::Holds, Auto, None),
            ("batched_calls", Verdict::Holds, Off, Some(Auto)),
            ("batched_polls", Verdict::Fails, Auto, Some(Off)),
            ("batched_polls", Verdict::Fails, Off, None),
            ("batched_polls", Verdict::Unsettled, On, None),
            ("answer_window", Verdict::LeftOut, Off, None),
        ] {
            let lasting = lasting(&assumption(name, switch), verdict);
            assert_eq!(lasting, line, "{name} {verdict:?} {switch:?}");
        }
    }

    #[test]
    fn key_that_was_posted_twice_before_is_not_relied_upon_for_one_that_was_not() {
        let keyed = Keyed {
            first: Ok(5),
            second: Some(Ok(5)),
            left: Vec::new(),
        };
        assert_eq!(keys(&keyed, Shown::Holds).0, Verdict::Holds);
        assert_eq!(keys(&keyed, Shown::Fails).0, Verdict::Fails);
    }

    #[test]
    fn fetch_of_a_bot_whose_events_are_posted_is_said_to_find_nothing() {
        let (verdict, seen, _) = polls(&Together::Alike, true);
        assert_eq!(verdict, Verdict::Holds);
        assert!(seen.contains("posted"), "{seen}");
        assert!(!polls(&Together::Alike, false).1.contains("posted"));
    }

    #[test]
    fn what_may_be_left_in_a_dialog_is_told_whenever_an_answer_was_lost() {
        let lost = || {
            let method = portal::wire::Method::MessageSend;
            portal::Error::new(method, portal::Cause::Ambiguous)
        };
        let dialog: DialogId = "chat5".parse().unwrap();
        for (first, second, lines) in [
            (Ok(1), Some(Ok(1)), 0),
            (Ok(1), Some(Err(lost())), 1),
            (Err(lost()), Some(Ok(1)), 1),
            (Err(lost()), Some(Err(lost())), 1),
        ] {
            let keyed = Keyed {
                first,
                second,
                left: Vec::new(),
            };
            assert_eq!(left(&keyed, &dialog).len(), lines, "{keyed:?}");
        }
    }
}
