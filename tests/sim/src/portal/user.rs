//! What a person does in the messenger.

use super::{Portal, Refusal};

/// One person of a portal, to act as.
#[derive(Clone, Debug)]
pub struct User {
    portal: Portal,
    id: i64,
}

impl User {
    pub(super) fn of(portal: Portal, id: i64) -> Self {
        Self { portal, id }
    }

    /// The person's id.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Writes `text` into a dialog: `chatN`, or the id of the other person or bot, whose private
    /// dialog is opened on demand. Slash commands in it are dispatched. Answers the message's id.
    ///
    /// # Errors
    /// When user or dialog do not exist, or the user is not in the chat.
    pub fn types(&self, dialog_id: &str, text: &str) -> Result<i64, Refusal> {
        let now = self.portal.inner.clock.now();
        self.portal
            .state()
            .user_types(self.id, dialog_id, text, now)
    }

    /// Writes `text` into the private dialog with a bot. Answers the message's id.
    ///
    /// # Errors
    /// When user or bot do not exist.
    pub fn types_to_bot(&self, bot_id: i64, text: &str) -> Result<i64, Refusal> {
        self.types(&bot_id.to_string(), text)
    }

    /// Presses the button of this text under a message. A command is dispatched with context
    /// `keyboard`, `ACTION: SEND` writes its value into the chat, other buttons act in the
    /// person's own client only.
    ///
    /// # Errors
    /// When there is no such message or button, it is disabled, or the user is not in the chat.
    pub fn presses(&self, message_id: i64, button_text: &str) -> Result<(), Refusal> {
        let now = self.portal.inner.clock.now();
        self.portal
            .state()
            .user_presses(self.id, message_id, button_text, now)
    }

    /// Changes the text of an own message.
    ///
    /// # Errors
    /// When there is no such message or it is somebody else's.
    pub fn edits(&self, message_id: i64, text: &str) -> Result<(), Refusal> {
        let now = self.portal.inner.clock.now();
        self.portal
            .state()
            .user_edits(self.id, message_id, text, now)
    }

    /// Deletes an own message softly: it stays as a note that it was deleted.
    ///
    /// # Errors
    /// When there is no such message or it is somebody else's.
    pub fn deletes(&self, message_id: i64) -> Result<(), Refusal> {
        let now = self.portal.inner.clock.now();
        self.portal.state().user_deletes(self.id, message_id, now)
    }

    /// Sets a reaction such as `like` on a message; setting it again takes it away.
    ///
    /// # Errors
    /// When there is no such message, or the user is not in the chat.
    pub fn reacts(&self, message_id: i64, reaction: &str) -> Result<(), Refusal> {
        let now = self.portal.inner.clock.now();
        self.portal
            .state()
            .user_reacts(self.id, message_id, reaction, now)
    }
}
