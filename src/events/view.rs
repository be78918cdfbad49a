//! Which part of the log a reader sees.

use serde::{Deserialize, Serialize};

use super::entry::{LogEntry, LogItem};
use crate::{
    ids::{BotCode, CommandName, PortalId},
    portal::wire::event::Kind,
    store::Filter,
};

/// Which part of the log a reader sees. Gaps are seen by everybody whose events they may concern.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Only this portal.
    pub portal: Option<PortalId>,
    /// Only these bots; empty for all.
    pub bots: Vec<BotCode>,
    /// Only events of these types; empty for all.
    pub kinds: Vec<Kind>,
    /// Only these commands; empty for all.
    pub commands: Vec<CommandName>,
}

/// A view as it is written down.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    portal: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bots: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    types: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
}

impl View {
    /// Whether it is one of commands alone.
    #[must_use]
    pub fn commands_only(&self) -> bool {
        self.kinds == [Kind::CommandAdd]
    }

    /// The same, whatever the order in which it was said.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.bots.sort();
        self.bots.dedup();
        self.kinds.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        self.kinds.dedup();
        self.commands.sort();
        self.commands.dedup();
        self
    }

    /// Whether commands of a bot are among it, or some of them.
    #[must_use]
    pub fn shows_commands_of(&self, portal: &PortalId, code: &BotCode) -> bool {
        self.portal.as_ref().is_none_or(|it| it == portal)
            && self.shows_bot(code)
            && (self.kinds.is_empty() || self.kinds.contains(&Kind::CommandAdd))
    }

    pub(super) fn shows_bot(&self, code: &BotCode) -> bool {
        self.bots.is_empty() || self.bots.contains(code)
    }

    pub(super) fn wants(&self, entry: &LogEntry) -> bool {
        let here = self.portal.as_ref().is_none_or(|it| *it == entry.portal)
            && self.shows_bot(&entry.code);
        let LogItem::Event(event) = &entry.item else {
            return here;
        };
        here && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.as_str() == event.kind))
            && (self.commands.is_empty()
                || event
                    .command()
                    .is_some_and(|called| self.commands.iter().any(|name| name.as_str() == called)))
    }

    /// As much of it as the store can judge.
    pub(super) fn filter(&self) -> Filter {
        Filter {
            portal: self.portal.clone(),
            // One bot is the store's business, several are ours.
            code: match &self.bots[..] {
                [only] => Some(only.clone()),
                _ => None,
            },
            commands_only: self.commands_only(),
        }
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        let texts = |names: &[CommandName]| names.iter().map(ToString::to_string).collect();
        serde_json::json!(Written {
            portal: self.portal.as_ref().map(ToString::to_string),
            bots: self.bots.iter().map(ToString::to_string).collect(),
            types: self.kinds.iter().map(|it| it.as_str().to_owned()).collect(),
            commands: texts(&self.commands),
        })
    }

    pub(super) fn from_json(value: serde_json::Value) -> Option<Self> {
        let written: Written = serde_json::from_value(value).ok()?;
        let portal = match written.portal {
            Some(name) => Some(name.parse().ok()?),
            None => None,
        };
        Some(Self {
            portal,
            bots: all(&written.bots)?,
            kinds: written.types.iter().map(|it| Kind::from_name(it)).collect(),
            commands: all(&written.commands)?,
        })
    }
}

fn all<T: std::str::FromStr>(texts: &[String]) -> Option<Vec<T>> {
    texts.iter().map(|text| text.parse().ok()).collect()
}
