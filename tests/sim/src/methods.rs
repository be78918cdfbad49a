//! The methods a portal serves.
//!
//! A method is a plain function of the portal and the call. This table is the only list of them:
//! name, scope, and the REST revision it appeared with.

mod attach;
mod basic;
mod bot;
mod bot_update;
mod command;
mod common;
mod event;
mod handlers;
mod keyboard;
mod message;
mod picture;
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

const fn free(name: &'static str, run: Run) -> Method {
    Method {
        name,
        scope: None,
        since: 0,
        run,
    }
}

static METHODS: [Method; 26] = [
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
    Method {
        since: 33,
        ..imbot("imbot.v2.Revision.get", basic::revision)
    },
    Method {
        scope: Some("im"),
        ..free("im.message.command", user_command::execute)
    },
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
