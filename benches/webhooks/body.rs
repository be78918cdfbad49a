//! The documented sample of a posted command, each time of another message.

/// As the documentation has it.
const SAMPLE: &str =
    include_str!("../../tests/fixtures/bitrix24/ONIMBOTV2COMMANDADD.webhook-bottoken-bot.form");

/// The sample with the bot and the token of somebody: `{bot id}:{token}`.
pub(crate) struct Body(String);

impl Body {
    pub(crate) fn of(bot: &str) -> Option<Self> {
        let (id, token) = bot.split_once(':')?;
        let synthetic: String = format!("custom{token}").chars().take(50).collect();
        let body = SAMPLE.trim().replace("=456&", &format!("={id}&"));
        Some(Self(
            body.replace("=custommy_bot_token", &format!("={synthetic}")),
        ))
    }

    /// That of another message.
    pub(crate) fn numbered(&self, number: &str) -> String {
        self.0.replace("=790&", &format!("={number}&"))
    }
}
