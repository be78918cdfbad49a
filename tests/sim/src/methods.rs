//! The methods a portal serves.
//!
//! A method is a plain function of the portal and the call. This table is the only list of them:
//! name, scope, and the REST revision it appeared with.

mod attach;
mod basic;
mod bot;
mod bot_update;
mod chat;
mod chat_people;
mod command;
mod common;
mod event;
mod file;
mod handlers;
mod keyboard;
mod message;
mod picture;
mod reaction;
mod reading;
mod send;
mod user_command;

use serde_json::Value;

use crate::core::Call;
use crate::failure::Failure;
use crate::params::Params;
use crate::state::State;

/// A method of the REST interface.
#[derive(Debug)]
pub(crate) struct Method {
    /// As documented; calls may write it in any case.
    pub(crate) name: &'static str,
    /// What a credential needs to call it.
    pub(crate) scope: Option<&'static str>,
    /// The first REST revision that has it.
    pub(crate) since: u32,
    pub(crate) run: Run,
}

type Run = fn(&mut State, &Call<'_>) -> Result<Value, Failure>;

impl Method {
    /// Whether one of these scopes lets it be called.
    pub(crate) fn is_open_to(&self, scopes: &[String]) -> bool {
        let opens = |wanted: &str, scope: &str| {
            // The scope `user` comes in three sizes; each opens what is served of it here.
            scope == wanted || (wanted == "user" && matches!(scope, "user_brief" | "user_basic"))
        };
        self.scope
            .is_none_or(|wanted| scopes.iter().any(|scope| opens(wanted, scope)))
    }

    pub(crate) fn is_batch(&self) -> bool {
        self.name == "batch"
    }
}

const fn imbot(name: &'static str, run: Run) -> Method {
    Method {
        name,
        scope: Some("imbot"),
        since: 0,
        run,
    }
}

const fn im(name: &'static str, run: Run) -> Method {
    Method {
        name,
        scope: Some("im"),
        since: 0,
        run,
    }
}

const fn free(name: &'static str, run: Run) -> Method {
    Method {
        name,
        scope: None,
        since: 0,
        run,
    }
}

static METHODS: [Method; 51] = [
    imbot("imbot.v2.Event.get", event::get),
    imbot("imbot.v2.Command.answer", command::answer),
    imbot("imbot.v2.Chat.Message.send", send::send),
    free("batch", basic::batch),
    imbot("imbot.v2.Bot.register", bot::register),
    imbot("imbot.v2.Bot.update", bot_update::update),
    imbot("imbot.v2.Bot.get", bot::get),
    imbot("imbot.v2.Bot.list", bot::list),
    imbot("imbot.v2.Bot.unregister", bot::unregister),
    imbot("imbot.v2.Command.register", command::register),
    imbot("imbot.v2.Command.update", command::update),
    imbot("imbot.v2.Command.list", command::list),
    imbot("imbot.v2.Command.unregister", command::unregister),
    imbot("imbot.v2.Chat.Message.update", message::update),
    imbot("imbot.v2.Chat.Message.delete", message::delete),
    imbot("imbot.v2.Chat.InputAction.notify", message::notify),
    imbot("imbot.v2.Chat.Message.read", reading::read),
    imbot("imbot.v2.Chat.Message.get", reading::get),
    imbot("imbot.v2.Chat.Message.getContext", reading::context),
    imbot("imbot.v2.Chat.Message.Reaction.add", reaction::add),
    imbot("imbot.v2.Chat.Message.Reaction.delete", reaction::delete),
    imbot("imbot.v2.Chat.add", chat::add),
    imbot("imbot.v2.Chat.get", chat::get),
    imbot("imbot.v2.Chat.update", chat::update),
    imbot("imbot.v2.Chat.leave", chat::leave),
    imbot("imbot.v2.Chat.setOwner", chat::set_owner),
    imbot("imbot.v2.Chat.Manager.add", chat_people::add_managers),
    imbot("imbot.v2.Chat.Manager.delete", chat_people::delete_managers),
    imbot("imbot.v2.Chat.User.add", chat_people::add),
    imbot("imbot.v2.Chat.User.delete", chat_people::delete),
    imbot("imbot.v2.Chat.User.list", chat_people::list),
    imbot("imbot.v2.Chat.TextField.enabled", chat::text_field),
    imbot("imbot.v2.File.upload", file::upload),
    imbot("imbot.v2.File.download", file::download),
    im("im.v2.File.upload", file::upload_own),
    im("im.v2.File.download", file::download_own),
    im("im.v2.Event.subscribe", event::subscribe),
    im("im.v2.Event.unsubscribe", event::unsubscribe),
    im("im.v2.Event.get", event::get_own),
    im("im.v2.Chat.Bot.sendContext", event::send_context),
    Method {
        scope: Some("user"),
        ..free("user.current", basic::user_current)
    },
    Method {
        since: 33,
        ..imbot("imbot.v2.Revision.get", basic::revision)
    },
    im("im.message.command", user_command::execute),
    free("profile", basic::profile),
    free("scope", basic::scope),
    free("app.info", basic::app_info),
    free("server.time", basic::server_time),
    free("event.bind", handlers::bind),
    free("event.unbind", handlers::unbind),
    free("event.get", handlers::get),
    free("events", handlers::events),
];

/// Described by the table, so it cannot stand in it.
static METHOD_GET: Method = free("method.get", basic::method_get);

/// The key of the message this call sends, if it sends one with a key.
pub(crate) fn message_key(method: &Method, params: &Params) -> Option<String> {
    if method.name != "imbot.v2.Chat.Message.send" {
        return None;
    }
    send::key_of(&params.fields().inner("fields")?)
}

/// The method of this name, whatever case it is written in.
pub(crate) fn find(name: &str) -> Option<&'static Method> {
    let mut all = METHODS.iter().chain([&METHOD_GET]);
    all.find(|method| method.name.eq_ignore_ascii_case(name))
}
