//! What reasons mean to an operator, and what to do about them.

use crate::fault::Reason;

/// What is seen where a portal is not called or a call failed for this reason, and what to do.
pub(super) const fn of(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::ReauthorizationRequired => (
            "the portal refuses our credential",
            "make another incoming webhook (or authorize the application again with `portals authorize`) and \
             put its URL into the configuration: a changed file is read again by itself",
        ),
        Reason::WebhookExpired => (
            "the webhook has ended by `webhook_expires_at`",
            "make another incoming webhook, and put its URL and its end into the configuration",
        ),
        Reason::ApplicationNotInstalled => (
            "our application is not installed in the portal",
            "install it there, or have an administrator open the link of `portals authorize`",
        ),
        Reason::ApplicationRefused => (
            "the authorization server does not accept our application",
            "compare `oauth.client_id` and `oauth.client_secret` with those of the application in Bitrix24",
        ),
        Reason::AuthorizationServerUnavailable => (
            "the authorization server gives no tokens just now",
            "wait: it is tried again by itself; see whether `oauth.bitrix.info` can be reached from this machine",
        ),
        Reason::PaymentRequired => (
            "our application is not paid for in the portal",
            "have the portal's owner pay for it or extend its trial",
        ),
        Reason::PortalPlanWithoutRest => (
            "the portal's plan or licence does not include REST",
            "have the portal's owner renew the licence or choose a plan with REST: it goes on by itself then",
        ),
        Reason::PortalGone => (
            "the portal is closed or deleted",
            "take it out of the configuration, or have its owner open it again",
        ),
        Reason::PortalParked => (
            "the portal is blocked for overload",
            "write to the support of Bitrix24: only they lift that",
        ),
        Reason::PortalUnreachable => (
            "the portal does not answer",
            "run `doctor --portal` from this machine: it tells how far one gets",
        ),
        Reason::UnreadableAnswer => (
            "what answers does not speak the portal's language",
            "something between may answer in its place, such as a proxy or a login page: run `doctor --portal`",
        ),
        Reason::Restored => (
            "the store was restored, and nothing leaves for any portal",
            "make sure that no other gateway uses this portal, then run `store activate`",
        ),
        Reason::InsufficientScope => (
            "our credential lacks a scope",
            "edit the webhook (or the application) in Bitrix24 and allow `imbot`; for `ExecuteCommand` also `im`",
        ),
        Reason::MethodNotSupported => (
            "the portal does not have the method",
            "update the portal: bots need REST revision 33 or later",
        ),
        Reason::MethodConfirmationRequired => (
            "an administrator of the portal has to allow the method",
            "have an administrator confirm it in the portal",
        ),
        Reason::PortalThrottled => (
            "the portal asks for less",
            "see who else calls it from this address; lower `rate.requests_per_second` if it goes on",
        ),
        Reason::PortalOperatingLimit => (
            "a method has used up its execution time",
            "wait up to ten minutes; call it less, or have fewer bots on one credential",
        ),
        Reason::BotTokenRejected => (
            "the portal refuses our token of the bot",
            "another program has the bot: call `RegisterBot` with `adopt`, or choose another bot code",
        ),
        Reason::BotNotFound => (
            "the portal has no such bot",
            "call `RegisterBot`: services do so at their start",
        ),
        Reason::AnswerWindowClosed => (
            "the answer came more than ten minutes after the command",
            "answer sooner, or set `if_window_closed` to send an ordinary message",
        ),
        Reason::AnswerOutcomeUnknown | Reason::OutcomeUnknown => (
            "nobody knows whether it was posted",
            "look into the chat; `subscriptions aside` names the event, and `redrive` or `drop` settles it",
        ),
        Reason::AccessDenied => (
            "the portal does not let the bot do this here",
            "see whether the bot is still a member of the chat",
        ),
        Reason::ChatNotFound | Reason::MessageNotFound | Reason::CommandNotFound => (
            "the portal does not find what the call names",
            "see whether the chat, the message or the command was deleted",
        ),
        Reason::QueueFull | Reason::DeadlineTooShort => (
            "too many calls wait for the portal",
            "send less, or with longer deadlines; the queue below says whose calls wait",
        ),
        Reason::StoreUnavailable => (
            "the store cannot be read or written",
            "see whether its disk is full or fails: the log says what the system told",
        ),
        _ => (
            "the call failed",
            "the reasons are explained in `errors.proto`; the log has a line for the call",
        ),
    }
}
