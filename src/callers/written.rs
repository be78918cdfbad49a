//! What an operator writes down of a caller, and what it means.

use serde::{Deserialize, Serialize};

use super::{GROUPS, Patterns, Rpcs, Terms};
use crate::ids::PortalId;

/// What a caller may do, in the words of the settings `[callers.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    /// Portals: names, beginnings followed by `*`, or `*`.
    pub portals: Vec<String>,
    /// Codes of bots, likewise.
    pub bots: Vec<String>,
    /// RPCs by name or in groups, or `*`.
    pub rpcs: Vec<String>,
    /// Whether it may use ExecuteCommand.
    pub execute: bool,
    /// What an empty `portal` means; empty for the general one.
    pub default_portal: String,
    /// Callers that may use its bots, like portals.
    pub shares: Vec<String>,
    /// Whether it may say from which pods its calls come, for the audit. Left out where it is not so:
    /// earlier releases do not know it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub names_pods: bool,
}

/// A word that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {rule}")]
pub struct Wrong {
    /// The setting.
    pub field: &'static str,
    /// The rule, as the rest of a sentence.
    pub rule: String,
}

impl Written {
    /// What is granted, and with whom it shares its bots.
    ///
    /// # Errors
    ///
    /// The first word that breaks a rule.
    pub fn read(&self) -> Result<(Terms, Patterns), Wrong> {
        let terms = Terms {
            portals: patterns("portals", &self.portals)?,
            bots: patterns("bots", &self.bots)?,
            rpcs: Rpcs::new(self.rpcs.iter().map(String::as_str), self.execute).map_err(
                |(wrong, rule)| {
                    let known = GROUPS.join(", ");
                    let rule = format!("names \"{wrong}\", which {rule}; groups: {known}, or `*`");
                    Wrong {
                        field: "rpcs",
                        rule,
                    }
                },
            )?,
            default_portal: self.default_portal()?,
            names_pods: self.names_pods,
            ..Terms::default()
        };
        if let Some(portal) = &terms.default_portal
            && !terms.portals.has(portal.as_str())
        {
            return Err(Wrong {
                field: "default_portal",
                rule: "is not one of the caller's `portals`".to_owned(),
            });
        }
        Ok((terms, patterns("shares", &self.shares)?))
    }

    fn default_portal(&self) -> Result<Option<PortalId>, Wrong> {
        match self.default_portal.as_str() {
            "" => Ok(None),
            name => name.parse().map(Some).map_err(|rule| Wrong {
                field: "default_portal",
                rule: format!("is wrong: {rule}"),
            }),
        }
    }
}

fn patterns(field: &'static str, list: &[String]) -> Result<Patterns, Wrong> {
    Patterns::new(list.iter().map(String::as_str)).map_err(|wrong| Wrong {
        field,
        rule: format!("must be names, beginnings followed by `*`, or `*` for all, not \"{wrong}\""),
    })
}
