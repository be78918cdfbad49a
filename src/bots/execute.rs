//! Calls a slash command as the user of our credential.

use super::{Bots, Error};
use crate::{
    ids::{CommandName, PortalId},
    portal::{
        self, Call, Cause, Patience, Portal,
        wire::{Method, Reply, answer},
    },
};

/// Which command to call, and where.
#[derive(Debug, Clone)]
pub struct Execution {
    /// The portal.
    pub portal: PortalId,
    /// Any bot of the portal.
    pub bot_id: i64,
    /// Any message of the dialog.
    pub message_id: i64,
    /// The command.
    pub command: CommandName,
    /// The rest of the line.
    pub params: String,
}

impl Bots {
    /// Calls a slash command.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownPortal`], or whatever the portal says.
    pub async fn execute(&self, wish: Execution, patience: &Patience) -> Result<(), Error> {
        let portal = self.portal(&wish.portal)?;
        let mut call = Call::new(Method::MessageCommand)
            .with("MESSAGE_ID", wish.message_id)
            .with("BOT_ID", wish.bot_id)
            .with("COMMAND", wish.command.as_str());
        if !wish.params.is_empty() {
            call = call.with("COMMAND_PARAMS", wish.params);
        }
        let reply = portal.call(call, patience).await?;
        done(&portal, Method::MessageCommand, &reply)
    }
}

/// `true`, or `{result: true}`: both are documented for some methods.
pub(super) fn done(portal: &Portal, method: Method, reply: &Reply) -> Result<(), Error> {
    let cause = match answer::done(&reply.result) {
        Ok(true) => return Ok(()),
        Ok(false) => Cause::Refused,
        Err(unreadable) => Cause::Unreadable(unreadable),
    };
    Err(portal::Error::new(method, cause).at(portal.id()).into())
}
