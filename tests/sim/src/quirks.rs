//! Behaviours on which the sources of the contract disagree, or which vary between portals.
//!
//! The default is what the inspected server code does; [`Quirks::documented`] follows the pages
//! instead. A client has to live with every combination.

mod choices;

use serde::{Deserialize, Serialize};

pub use choices::*;

/// One choice per contradiction (C10, C25).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Quirks {
    /// Ids in answers and events.
    pub ids: IdShape,
    /// How an empty map is written.
    pub empty_maps: EmptyMap,
    /// `{"result": true}` inside `result` of `Command.answer`; a bare `true` when off.
    pub answer_is_object: bool,
    /// Answers carry `time`.
    pub time: bool,
    /// HTTP status of errors of bot methods.
    pub method_error_status: ErrorStatus,
    /// Authorization errors come with 401 whatever the pages say.
    pub auth_errors_are_401: bool,
    /// What a wrong webhook code is called.
    pub wrong_code: WrongCode,
    /// What an access token that nobody issued is called.
    pub unknown_token: UnknownToken,
    /// What a token of a removed application is called.
    pub removed_application: RemovedApplication,
    /// HTTP status of `PORTAL_DELETED`.
    pub closed_portal: ClosedPortal,
    /// Errors of methods come with HTTP 200.
    pub errors_with_200: bool,
    /// Errors of methods carry a number in place of their name.
    pub numeric_error_codes: bool,
    /// HTTP status of `QUERY_LIMIT_EXCEEDED`.
    pub rate_limit_status: RateLimitStatus,
    /// `Command.update` stores a new name.
    pub rename_is_stored: bool,
    /// `Bot.update` with partial properties empties the others.
    pub partial_properties_reset: bool,
    /// What `app.info` says to a webhook.
    pub app_info: AppInfo,
    /// When `Bot.register` looks at the length of the token.
    pub token_length: TokenLengthCheck,
    /// Entities carry fields nobody documented.
    pub unknown_fields: bool,
    /// `uuid` of a message sent without a key.
    pub missing_uuid: MissingUuid,
    /// The forward mark of a message.
    pub forward: ForwardShape,
    /// `chat` in events.
    pub event_chat: EntityShape,
    /// `user` in events.
    pub event_user: EntityShape,
    /// `message` in events.
    pub event_message: EntityShape,
    /// Messages in events repeat their ids as `chat_id` and `author_id`.
    pub duplicate_message_keys: bool,
    /// `im.message.command` reads the command of a private dialog from form variables only.
    pub private_command_needs_form: bool,
    /// The brief form of a foreign bot.
    pub foreign_bot: BotForm,
    /// JSON null as `backgroundId` in `Bot.update`.
    pub background_null: BackgroundNull,
    /// `parentChatId` and `parentMessageId` of what has no parent.
    pub no_parent: NothingIs,
    /// Chats have a colour; null when off.
    pub chat_color: bool,
    /// `lastActivityDate` in events.
    pub last_activity: LastActivity,
    /// `Bot.list` with an unknown type answers an empty list; the filter is ignored when off.
    pub unknown_type_lists_nothing: bool,
    /// Oversized attachments are called `ATTACH_OVERSIZE`; `ATTACH_ERROR` when off.
    pub oversize_has_own_code: bool,
    /// Updating or deleting an absent message is `ACCESS_DENIED`; `MESSAGE_NOT_FOUND` when off.
    pub absent_message_is_denied: bool,
    /// `templateId` is the key of a message; otherwise it protects from nothing.
    pub template_id_is_a_key: bool,
    /// Slashes in JSON strings are escaped, as PHP does.
    pub escaped_slashes: bool,
    /// Null in the form of a webhook event.
    pub form_nulls: FormNull,
    /// Truth in the form of a webhook event.
    pub form_booleans: FormBoolean,
    /// Brackets in the names of a form are percent-encoded.
    pub encoded_brackets: bool,
    /// Webhook events come as JSON, as some samples expect; as a form when off.
    pub webhook_bodies_are_json: bool,
    /// Webhook events carry `event_handler_id`.
    pub event_handler_id: bool,
    /// What is posted with an access token carries its `expires` and `user_id`, and also a
    /// callback that nothing was bound for carries `event_handler_id`, as an official SDK relies
    /// on; samples of the documentation have none of them.
    pub posts_are_complete: bool,
    /// `data[bot][auth]` has a refresh token, as in one sample.
    pub bot_auth_can_refresh: bool,
    /// An event of a bot goes to the addresses of all bots of its owner; to its own when off.
    pub shared_subscriptions: bool,
    /// Old subscriptions of a bot stay while its owner has other bots.
    pub skipped_cleanup: bool,
    /// Every webhook event comes twice.
    pub deliveries_come_twice: bool,
    /// Callbacks other than install and update need `event.bind`; otherwise they come to the
    /// application's handler as well.
    pub callbacks_need_binding: bool,
    /// Unsubscribing from a person's events deletes them at once; they wait for a day when off.
    pub unsubscribe_deletes: bool,
    /// Setting a reaction again is `REACTION_ALREADY_SET`; it is just set when off.
    pub repeated_reaction_is_refused: bool,
    /// Changing somebody else's message is `MESSAGE_ACCESS_DENIED`; `ACCESS_DENIED` when off.
    pub foreign_message_has_own_code: bool,
    /// Deleting a message without the right to answers true and does nothing.
    pub powerless_delete_is_true: bool,
    /// A webhook address needs a host with a dot.
    pub callback_needs_dot: bool,
    /// A wrong webhook address in `Bot.update` is noticed before anything is saved; after
    /// everything else when off.
    pub callback_is_checked_first: bool,
    /// A switch to webhook mode needs an address; without one nothing is delivered when off.
    pub webhook_mode_needs_address: bool,
    /// A switch to webhook mode deletes pending events.
    pub mode_switch_drops_events: bool,
    /// `hasMore` is exact; it only says that the page is full when off.
    pub has_more_is_exact: bool,
    /// Equal commands of one message, and those after the tenth, are heard too.
    pub repeated_commands_are_heard: bool,
    /// A message in which a command matched is told to nobody as a message.
    pub commands_hide_messages: bool,
    /// `Message.update` sets the bot of a keyboard; the keyboard has to name it when off.
    pub update_forces_keyboard_bot: bool,
    /// Two owners may use the same code; a code belongs to the whole portal when off.
    pub codes_are_per_owner: bool,
    /// `Bot.register` prefers a top-level token to the documented place; ignores it when off.
    pub top_level_token_wins: bool,
    /// A late `Command.answer` posts nothing; it is posted like any other when off.
    pub late_answers_are_dropped: bool,
    /// A key in use is `SENDING_FAILED`; `MESSAGE_DUPLICATED_BY_UUID` when off.
    pub unfinished_key_is_sending_failed: bool,
    /// Largest gap between two event ids.
    pub event_id_gap: u64,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            ids: IdShape::Numbers,
            empty_maps: EmptyMap::List,
            answer_is_object: true,
            time: true,
            method_error_status: ErrorStatus::BadRequest,
            auth_errors_are_401: true,
            wrong_code: WrongCode::InvalidCredentials,
            unknown_token: UnknownToken::NoAuthFound,
            removed_application: RemovedApplication::ApplicationNotFound,
            closed_portal: ClosedPortal::Forbidden,
            errors_with_200: false,
            numeric_error_codes: false,
            rate_limit_status: RateLimitStatus::ServiceUnavailable,
            rename_is_stored: false,
            partial_properties_reset: true,
            app_info: AppInfo::ScopeAndLicense,
            token_length: TokenLengthCheck::First,
            unknown_fields: false,
            missing_uuid: MissingUuid::Null,
            forward: ForwardShape::Coded,
            event_chat: EntityShape::Full,
            event_user: EntityShape::Full,
            event_message: EntityShape::Full,
            duplicate_message_keys: true,
            private_command_needs_form: true,
            foreign_bot: BotForm::Brief,
            background_null: BackgroundNull::Ignored,
            no_parent: NothingIs::Zero,
            chat_color: true,
            last_activity: LastActivity::False,
            unknown_type_lists_nothing: false,
            oversize_has_own_code: false,
            absent_message_is_denied: false,
            template_id_is_a_key: true,
            escaped_slashes: true,
            form_nulls: FormNull::Absent,
            form_booleans: FormBoolean::Digits,
            encoded_brackets: true,
            webhook_bodies_are_json: false,
            event_handler_id: true,
            posts_are_complete: false,
            bot_auth_can_refresh: false,
            shared_subscriptions: true,
            skipped_cleanup: true,
            deliveries_come_twice: false,
            callbacks_need_binding: true,
            unsubscribe_deletes: true,
            repeated_reaction_is_refused: false,
            foreign_message_has_own_code: true,
            powerless_delete_is_true: false,
            callback_needs_dot: true,
            callback_is_checked_first: false,
            webhook_mode_needs_address: false,
            mode_switch_drops_events: true,
            has_more_is_exact: false,
            repeated_commands_are_heard: false,
            commands_hide_messages: true,
            update_forces_keyboard_bot: false,
            codes_are_per_owner: false,
            top_level_token_wins: true,
            late_answers_are_dropped: true,
            unfinished_key_is_sending_failed: false,
            event_id_gap: 3,
        }
    }
}

impl Quirks {
    /// What the documentation pages say wherever the server code differs.
    #[must_use]
    pub fn documented() -> Self {
        Self {
            empty_maps: EmptyMap::Object,
            answer_is_object: true,
            auth_errors_are_401: false,
            wrong_code: WrongCode::NoAuthFound,
            closed_portal: ClosedPortal::ServerError,
            rename_is_stored: true,
            partial_properties_reset: false,
            app_info: AppInfo::Denied,
            missing_uuid: MissingUuid::EmptyString,
            forward: ForwardShape::Documented,
            duplicate_message_keys: false,
            private_command_needs_form: false,
            background_null: BackgroundNull::Resets,
            no_parent: NothingIs::Null,
            unknown_type_lists_nothing: true,
            oversize_has_own_code: true,
            absent_message_is_denied: true,
            template_id_is_a_key: false,
            escaped_slashes: false,
            form_nulls: FormNull::Empty,
            unsubscribe_deletes: false,
            repeated_reaction_is_refused: true,
            foreign_message_has_own_code: false,
            codes_are_per_owner: true,
            top_level_token_wins: false,
            ..Self::default()
        }
    }
}
