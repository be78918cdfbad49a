//! What a named subscription is fixed to when it is made.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{events::view::View, store};

/// What a named subscription is fixed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What it shows.
    pub view: View,
    /// How long a delivery may take.
    pub max_processing: Duration,
    /// After how many attempts an event is set aside.
    pub max_attempts: u32,
    /// Commands older than this are not handed out.
    pub max_age: Duration,
}

/// What a caller wants of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What it shows.
    pub view: View,
    /// How long a delivery may take; as it is when not said.
    pub max_processing: Option<Duration>,
    /// After how many attempts an event is set aside; as it is when not said.
    pub max_attempts: Option<u32>,
    /// Commands older than this are not handed out; as it is when not said.
    pub max_age: Option<Duration>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Written {
    view: serde_json::Value,
    max_processing_ms: u64,
    max_attempts: u32,
    max_age_ms: u64,
}

/// How long a delivery may take, unless the caller says otherwise.
pub const MAX_PROCESSING: Duration = Duration::from_secs(600);
/// How often an event is handed out, unless the caller says otherwise.
pub const MAX_ATTEMPTS: u32 = 5;
/// How old a command may be, unless the caller says otherwise.
pub const MAX_AGE: Duration = Duration::from_secs(600);

impl Wish {
    /// The settings of a subscription that is made for it.
    pub(super) fn settings(self) -> Settings {
        Settings {
            view: self.view.sorted(),
            max_processing: self.max_processing.unwrap_or(MAX_PROCESSING),
            max_attempts: self.max_attempts.unwrap_or(MAX_ATTEMPTS),
            max_age: self.max_age.unwrap_or(MAX_AGE),
        }
    }

    /// What of it a subscription is not; the names of the fields as published.
    pub(super) fn differs(&self, settings: &Settings) -> Vec<&'static str> {
        let view = self.view.clone().sorted();
        let differs = [
            ("portal", view.portal != settings.view.portal),
            ("bot_codes", view.bots != settings.view.bots),
            ("types", view.kinds != settings.view.kinds),
            ("commands", view.commands != settings.view.commands),
            (
                "max_processing",
                self.max_processing
                    .is_some_and(|it| it != settings.max_processing),
            ),
            (
                "max_attempts",
                self.max_attempts
                    .is_some_and(|it| it != settings.max_attempts),
            ),
            (
                "max_age",
                self.max_age.is_some_and(|it| it != settings.max_age),
            ),
        ];
        let differs = differs.into_iter().filter(|(_, differs)| *differs);
        differs.map(|(name, _)| name).collect()
    }
}

impl Settings {
    pub(super) fn to_json(&self) -> serde_json::Value {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        serde_json::json!(Written {
            view: self.view.to_json(),
            max_processing_ms: millis(self.max_processing),
            max_attempts: self.max_attempts,
            max_age_ms: millis(self.max_age),
        })
    }

    pub(crate) fn from_json(json: &serde_json::Value) -> Result<Self, store::Error> {
        let bad = || store::Error::BadRow {
            table: "subscriptions",
            what: "its `settings`".to_owned(),
        };
        let written: Written = serde_json::from_value(json.clone()).map_err(|_| bad())?;
        Ok(Self {
            view: View::from_json(written.view).ok_or_else(bad)?,
            max_processing: Duration::from_millis(written.max_processing_ms),
            max_attempts: written.max_attempts,
            max_age: Duration::from_millis(written.max_age_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portal::wire::event::Kind;

    fn wish() -> Wish {
        Wish {
            view: View {
                portal: Some("acme".parse().unwrap()),
                bots: vec!["b".parse().unwrap(), "a".parse().unwrap()],
                kinds: vec![Kind::CommandAdd],
                commands: vec!["help".parse().unwrap()],
            },
            max_processing: Some(Duration::from_secs(30)),
            max_attempts: None,
            max_age: None,
        }
    }

    #[test]
    fn settings_read_back_as_written() {
        let settings = wish().settings();
        assert_eq!(Settings::from_json(&settings.to_json()).unwrap(), settings);
    }

    #[test]
    fn order_and_silence_make_no_difference_and_other_values_do() {
        let settings = wish().settings();
        let mut again = wish();
        again.view.bots.reverse();
        again.max_processing = None;
        assert_eq!(again.differs(&settings), Vec::<&str>::new());
        again.max_attempts = Some(4);
        again.view.commands.clear();
        assert_eq!(again.differs(&settings), ["commands", "max_attempts"]);
    }
}
