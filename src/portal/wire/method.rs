//! Every method we call, and what is known of it without calling it.
//!
//! Above all: what a repeat would do when nobody knows whether the first call ran (C16.3).

use std::fmt;

/// What a repeat does after a call that may or may not have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// Class S: the same effect and result.
    Safe,
    /// Class K: safe with the same key, without a key like [`Repeat::Never`].
    Keyed,
    /// Class C: harmless, but may be refused with an error that means "already done".
    Converges,
    /// Class N: may duplicate something people see.
    Never,
}

/// Where a call with webhook authorization carries the token of its bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BotToken {
    /// Nowhere.
    None,
    /// Top level, as `botToken`.
    Top,
    /// In `fields.botToken`.
    Fields,
}

/// What a call leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing: whether it ran does not matter to anyone.
    Reads,
    /// Something.
    Writes,
}

macro_rules! methods {
    ($($variant:ident = $name:literal, $effect:ident, $repeat:ident, $token:ident;)*) => {
        /// A method of the portal's REST interface.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the name is the documentation of the portal")]
        pub enum Method { $($variant,)* }

        impl Method {
            /// Every method.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name, spelled as the portal documents it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What a repeat does.
            #[must_use]
            pub const fn repeat(self) -> Repeat {
                match self { $(Self::$variant => Repeat::$repeat,)* }
            }

            /// What a call leaves behind.
            #[must_use]
            pub const fn effect(self) -> Effect {
                match self { $(Self::$variant => Effect::$effect,)* }
            }

            /// Where the token of the bot goes.
            #[must_use]
            pub const fn bot_token(self) -> BotToken {
                match self { $(Self::$variant => BotToken::$token,)* }
            }
        }
    };
}

// variant = name, what a call leaves behind, what a repeat does, where the token of the bot goes
methods! {
    BotRegister = "imbot.v2.Bot.register", Writes, Safe, Fields;
    BotUpdate = "imbot.v2.Bot.update", Writes, Safe, Top;
    BotGet = "imbot.v2.Bot.get", Reads, Safe, Top;
    BotList = "imbot.v2.Bot.list", Reads, Safe, Top;
    BotUnregister = "imbot.v2.Bot.unregister", Writes, Converges, Top;
    CommandRegister = "imbot.v2.Command.register", Writes, Safe, Top;
    CommandUpdate = "imbot.v2.Command.update", Writes, Safe, Top;
    CommandList = "imbot.v2.Command.list", Reads, Safe, Top;
    CommandUnregister = "imbot.v2.Command.unregister", Writes, Converges, Top;
    CommandAnswer = "imbot.v2.Command.answer", Writes, Never, Top;
    MessageCommand = "im.message.command", Writes, Never, None;
    EventGet = "imbot.v2.Event.get", Reads, Safe, Top;
    MessageSend = "imbot.v2.Chat.Message.send", Writes, Keyed, Top;
    MessageUpdate = "imbot.v2.Chat.Message.update", Writes, Safe, Top;
    MessageDelete = "imbot.v2.Chat.Message.delete", Writes, Converges, Top;
    MessageRead = "imbot.v2.Chat.Message.read", Writes, Safe, Top;
    MessageGet = "imbot.v2.Chat.Message.get", Reads, Safe, Top;
    MessageGetContext = "imbot.v2.Chat.Message.getContext", Reads, Safe, Top;
    ReactionAdd = "imbot.v2.Chat.Message.Reaction.add", Writes, Converges, Top;
    ReactionDelete = "imbot.v2.Chat.Message.Reaction.delete", Writes, Converges, Top;
    ChatAdd = "imbot.v2.Chat.add", Writes, Never, Top;
    ChatGet = "imbot.v2.Chat.get", Reads, Safe, Top;
    ChatUpdate = "imbot.v2.Chat.update", Writes, Safe, Top;
    ChatLeave = "imbot.v2.Chat.leave", Writes, Converges, Top;
    ChatSetOwner = "imbot.v2.Chat.setOwner", Writes, Converges, Top;
    ChatUserAdd = "imbot.v2.Chat.User.add", Writes, Safe, Top;
    ChatUserDelete = "imbot.v2.Chat.User.delete", Writes, Safe, Top;
    ChatUserList = "imbot.v2.Chat.User.list", Reads, Safe, Top;
    ChatManagerAdd = "imbot.v2.Chat.Manager.add", Writes, Safe, Top;
    ChatManagerDelete = "imbot.v2.Chat.Manager.delete", Writes, Safe, Top;
    InputActionNotify = "imbot.v2.Chat.InputAction.notify", Writes, Safe, Top;
    TextFieldEnabled = "imbot.v2.Chat.TextField.enabled", Writes, Safe, Top;
    FileUpload = "imbot.v2.File.upload", Writes, Never, Top;
    FileDownload = "imbot.v2.File.download", Reads, Safe, Top;
    RevisionGet = "imbot.v2.Revision.get", Reads, Safe, None;
    AppInfo = "app.info", Reads, Safe, None;
    Scope = "scope", Reads, Safe, None;
    MethodGet = "method.get", Reads, Safe, None;
    ServerTime = "server.time", Reads, Safe, None;
    Profile = "profile", Reads, Safe, None;
    UserCurrent = "user.current", Reads, Safe, None;
    EventBind = "event.bind", Writes, Converges, None;
    EventUnbind = "event.unbind", Writes, Safe, None;
    EventBindings = "event.get", Reads, Safe, None;
    Batch = "batch", Writes, Never, None;
}

impl Method {
    /// A method by its name, in any case: the portal does not mind it either.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let same = |method: &&Self| method.as_str().eq_ignore_ascii_case(name);
        Self::ALL.iter().find(same).copied()
    }

    /// Whether a call may travel in a batch. `im.message.command` does not work there in private
    /// dialogs, files are too large, and a batch holds no batch (C6, C19).
    #[must_use]
    pub const fn batchable(self) -> bool {
        !matches!(
            self,
            Self::Batch | Self::MessageCommand | Self::FileUpload | Self::FileDownload
        )
    }

    /// Whether `ACCESS_DENIED` is one of the method's own answers, beside being the system's way to
    /// say that the plan has no REST.
    #[must_use]
    pub const fn denies(self) -> bool {
        matches!(
            self,
            Self::MessageSend
                | Self::MessageUpdate
                | Self::MessageDelete
                | Self::MessageRead
                | Self::ReactionAdd
                | Self::ReactionDelete
                | Self::ChatGet
                | Self::ChatUpdate
                | Self::ChatLeave
                | Self::ChatSetOwner
                | Self::ChatUserAdd
                | Self::ChatUserDelete
                | Self::ChatUserList
                | Self::ChatManagerAdd
                | Self::ChatManagerDelete
                | Self::InputActionNotify
                | Self::TextFieldEnabled
                | Self::AppInfo
                | Self::EventBind
                | Self::EventUnbind
        )
    }

    /// Whether a repeat that is refused with `code` says that the first call was done.
    #[must_use]
    pub fn already_done(self, code: &str) -> bool {
        let means_done = match self {
            Self::BotUnregister => "BOT_NOT_FOUND",
            Self::CommandUnregister => "COMMAND_NOT_FOUND",
            Self::MessageDelete => "MESSAGE_NOT_FOUND",
            Self::ReactionAdd => "REACTION_ALREADY_SET",
            Self::ReactionDelete => "REACTION_NOT_FOUND",
            _ => return false,
        };
        code.eq_ignore_ascii_case(means_done)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_may_always_be_repeated() {
        for method in Method::ALL {
            if method.effect() == Effect::Reads {
                assert_eq!(method.repeat(), Repeat::Safe, "{method}");
            }
        }
    }

    #[test]
    fn a_method_is_found_by_its_name_in_any_case() {
        for method in Method::ALL {
            let name = method.as_str().to_ascii_uppercase();
            assert_eq!(Method::from_name(&name), Some(*method));
        }
        assert_eq!(Method::from_name("imbot.v2.Bot.forget"), None);
    }

    #[test]
    fn what_is_gone_already_was_unregistered() {
        assert!(Method::BotUnregister.already_done("bot_not_found"));
        assert!(!Method::BotUpdate.already_done("BOT_NOT_FOUND"));
        assert!(!Method::MessageDelete.already_done("ACCESS_DENIED"));
    }
}
