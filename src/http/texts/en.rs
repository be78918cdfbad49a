//! English.

use crate::http::page::Page;

pub(super) const STUCK: &str = "The portal could not be told. Allow scripts of api.bitrix24.com in this browser, and open the application again.";

/// The title of a page, what happened, and what to do next.
pub(super) fn texts(page: Page) -> [&'static str; 3] {
    match page {
        Page::Finish => [
            "The application is connected",
            "The gateway has access to this portal now.",
            "You need not do anything: the portal finishes the installation by itself, and this page may be loaded again.",
        ],
        Page::Installed => [
            "The application is installed",
            "It works in the background, for the chat-bots of this portal.",
            "There is nothing to do here.",
        ],
        Page::NotConnected => [
            "The application is installed, but not connected",
            "The gateway holds no access to this portal.",
            "Ask the operator of the gateway for an authorization link, or let an administrator remove the application and install it again.",
        ],
        Page::Authorized => [
            "The portal is connected",
            "The gateway has access to the portal now.",
            "You can close this page.",
        ],
        Page::NotVerified => [
            "The request could not be verified",
            "Bitrix24 did not confirm that this page was opened from the portal. Nothing was changed.",
            "Open the application from the portal again. If that does not help, tell the operator of the gateway.",
        ],
        Page::OtherApplication => [
            "This is another application",
            "The request belongs to an application that this gateway does not serve. Nothing was changed.",
            "Compare the address and the client_id in the settings of the application with those of the gateway.",
        ],
        Page::OtherServer => [
            "The authorization server is not allowed",
            "The portal names an authorization server that this gateway does not speak to. Nothing was changed.",
            "Ask the operator of the gateway to look at the setting oauth.hosts.",
        ],
        Page::Unanswered => [
            "Bitrix24 does not answer",
            "The authorization server did not answer in time. Nothing was changed.",
            "Wait a few minutes and try again. If a link was used, ask for a new one.",
        ],
        Page::OtherUser => [
            "Another user has connected this portal",
            "The gateway works with the access of another user and keeps it.",
            "To put yours in its place, ask the operator of the gateway for an authorization link that replaces the user.",
        ],
        Page::CannotStore => [
            "The access could not be kept",
            "The gateway cannot store the access to this portal just now.",
            "Tell the operator of the gateway, whose log says why, and try again afterwards.",
        ],
        Page::LinkOver => [
            "This link does not work any more",
            "A link works once, and for 15 minutes.",
            "Ask the operator of the gateway for a new one.",
        ],
        Page::StateUsed => [
            "This was done already",
            "The answer of the portal was used before. Nothing was changed this time.",
            "If the portal is not connected, ask the operator of the gateway for a new link.",
        ],
        Page::StateLate => [
            "That took too long",
            "The authorization was begun more than ten minutes ago. Nothing was changed.",
            "Ask the operator of the gateway for a new link.",
        ],
        Page::StateForeign => [
            "This authorization was not begun here",
            "It belongs to another browser, or to none. Nothing was changed.",
            "Open the link in the browser in which you agree, and allow cookies there.",
        ],
        Page::OtherPortal => [
            "This is another portal",
            "The link is for another portal than the one that answered. Nothing was changed.",
            "Sign in to the right portal, and ask the operator of the gateway for a new link.",
        ],
        Page::CodeRefused => [
            "Bitrix24 gave no access",
            "The authorization was not confirmed, or its code was too old. Nothing was changed.",
            "Ask the operator of the gateway for a new link, and see that the application is installed in the portal.",
        ],
    }
}
