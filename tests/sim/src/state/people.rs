//! People, bots and the credentials that act for them.

use std::sync::Arc;

use serde_json::Map;

use super::{State, take};
use crate::clock::UnixTime;
use crate::config::{UserConfig, WebhookConfig};
use crate::journal::Effect;

/// A person, or the account of a bot.
#[derive(Clone, Debug, Default)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) work_position: String,
    pub(crate) color: String,
    pub(crate) avatar: String,
    pub(crate) gender: String,
    pub(crate) extranet: bool,
    pub(crate) admin: bool,
    pub(crate) bot: bool,
    pub(crate) active: bool,
}

impl User {
    pub(crate) fn full_name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
            .trim()
            .to_owned()
    }
}

/// How a bot hears of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventMode {
    Fetch,
    Webhook,
}

impl EventMode {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "fetch" => Some(Self::Fetch),
            "webhook" => Some(Self::Webhook),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Webhook => "webhook",
        }
    }
}

/// Whose a bot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The portal's own.
    Portal,
    /// Whoever shows this token.
    Token(String),
    /// The application of this client id.
    Application(String),
}

/// What makes an account a bot.
#[derive(Clone, Debug)]
pub(crate) struct Bot {
    pub(crate) id: i64,
    pub(crate) code: String,
    /// `bot`, `supervisor`, `personal` or `openline`.
    pub(crate) kind: String,
    pub(crate) owner: Owner,
    pub(crate) event_mode: EventMode,
    pub(crate) webhook_url: String,
    pub(crate) hidden: bool,
    pub(crate) openline_support: bool,
    pub(crate) reactions_enabled: bool,
    pub(crate) background_id: Option<String>,
    pub(crate) messages_heard: u64,
    pub(crate) commands_heard: u64,
}

impl Bot {
    pub(crate) fn is_owned_by(&self, owner: &Owner) -> bool {
        self.owner == *owner
    }

    pub(crate) fn hears_by_webhook(&self) -> bool {
        self.event_mode == EventMode::Webhook
    }

    /// It belongs to the portal itself.
    pub(crate) fn is_builtin(&self) -> bool {
        self.owner == Owner::Portal
    }

    /// Whether it hears every message of its chats.
    pub(crate) fn hears_everything(&self) -> bool {
        matches!(self.kind.as_str(), "supervisor" | "personal")
    }
}

/// An incoming webhook, or an application with an access token.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    /// Names the credential where execution time is summed.
    pub(crate) number: u32,
    pub(crate) user_id: i64,
    pub(crate) scopes: Vec<String>,
    /// The application; `None` for a webhook.
    pub(crate) client_id: Option<String>,
    /// The access token, or the code of the webhook.
    pub(crate) secret: String,
}

impl State {
    pub(crate) fn add_user(&mut self, config: UserConfig) -> i64 {
        let id = take(&mut self.ids.user);
        let user = User {
            id,
            first_name: config.first_name,
            last_name: config.last_name,
            work_position: config.work_position,
            color: "#df532d".into(),
            gender: "M".into(),
            extranet: config.extranet,
            admin: config.admin,
            active: true,
            ..User::default()
        };
        self.users.insert(id, user);
        id
    }

    pub(crate) fn set_active(&mut self, user_id: i64, active: bool) -> bool {
        let user = self.users.get_mut(&user_id);
        user.map(|user| user.active = active).is_some()
    }

    /// A bot that belongs to the portal and not to any client.
    pub(super) fn add_builtin_bot(&mut self, code: &str, name: &str) {
        let account = User {
            first_name: name.into(),
            ..User::default()
        };
        let bot = Bot {
            id: 0,
            code: code.into(),
            kind: "bot".into(),
            owner: Owner::Portal,
            event_mode: EventMode::Fetch,
            webhook_url: String::new(),
            hidden: false,
            openline_support: false,
            reactions_enabled: false,
            background_id: None,
            messages_heard: 0,
            commands_heard: 0,
        };
        self.insert_bot(account, bot);
    }

    /// Gives a new bot its id and its account.
    pub(crate) fn insert_bot(&mut self, account: User, bot: Bot) -> i64 {
        let id = take(&mut self.ids.user);
        self.users.insert(
            id,
            User {
                id,
                bot: true,
                active: true,
                ..account
            },
        );
        self.bots.insert(id, Bot { id, ..bot });
        id
    }

    /// Removes a bot with all that hangs on it; its account stays as a dismissed one.
    pub(crate) fn remove_bot(&mut self, bot_id: i64, now: UnixTime) -> bool {
        if !self.bots.contains_key(&bot_id) {
            return false;
        }
        // Its log goes with it, so only webhooks ever hear of this.
        if self.bots.get(&bot_id).is_some_and(Bot::hears_by_webhook) {
            self.deliver_event(bot_id, "ONIMBOTV2DELETE", Map::new(), now);
        }
        self.unsubscribe_bot(bot_id);
        self.bots.remove(&bot_id);
        if let Some(account) = self.users.get_mut(&bot_id) {
            account.active = false;
        }
        self.drop_events(bot_id, now);
        self.logs.remove(&bot_id);
        self.commands.retain(|_, command| command.bot_id != bot_id);
        self.answer_windows.retain(|(bot, _), _| *bot != bot_id);
        for chat in self.chats.values_mut() {
            chat.members.retain(|member| *member != bot_id);
        }
        self.record(now, Effect::BotRemoved { bot_id });
        true
    }

    pub(crate) fn add_webhook(&mut self, config: WebhookConfig) -> String {
        let number = self.ids.credential;
        self.ids.credential += 1;
        let code = config
            .code
            .unwrap_or_else(|| format!("wh{number:04}k3v9z0q7m5"));
        let credential = Arc::new(Credential {
            number,
            user_id: config.user_id,
            scopes: config.scopes,
            client_id: None,
            secret: code.clone(),
        });
        self.credentials
            .insert((config.user_id, code.clone()), credential);
        code
    }

    pub(crate) fn remove_webhook(&mut self, url: &str) {
        let code = url.trim_end_matches('/').rsplit('/').next().unwrap_or(url);
        self.credentials.retain(|(_, known), _| known != code);
    }
}
