//! People, chats and webhooks, and what people do.

use hyper::Method;
use serde_json::json;

use super::input::Input;
use super::portals::code_of;
use super::{Answer, Refused, Request, no_such_verb};
use crate::config::{UserConfig, WebhookConfig};
use crate::portal::{Portal, User};

pub(super) fn users(portal: &Portal, rest: &[&str], request: &Request<'_>) -> Answer {
    if !request.is(&Method::POST) {
        return Err(no_such_verb(request));
    }
    let input = &request.input;
    let unknown = || Refused::absent("path", "there is nothing at this address");
    match rest {
        [] => Ok(json!({"id": portal.add_user(person(input)?)})),
        [id, action] => {
            let id = id.parse().map_err(|_| unknown())?;
            match *action {
                "dismiss" | "restore" => {
                    input.only(&[])?;
                    if !portal.set_active(id, *action == "restore") {
                        return Err(Refused::absent("user", "does not exist"));
                    }
                    Ok(json!({}))
                }
                action => acts(&portal.user(id), action, input),
            }
        }
        _ => Err(unknown()),
    }
}

fn acts(user: &User, action: &str, input: &Input<'_>) -> Answer {
    match action {
        "types" => {
            input.only(&["dialog", "text"])?;
            let id = user.types(input.text("dialog")?, input.text("text")?)?;
            return Ok(json!({"message_id": id}));
        }
        "presses" => {
            input.only(&["message_id", "button"])?;
            user.presses(input.id("message_id")?, input.text("button")?)?;
        }
        "edits" => {
            input.only(&["message_id", "text"])?;
            user.edits(input.id("message_id")?, input.text("text")?)?;
        }
        "deletes" => {
            input.only(&["message_id"])?;
            user.deletes(input.id("message_id")?)?;
        }
        "reacts" => {
            input.only(&["message_id", "reaction"])?;
            user.reacts(input.id("message_id")?, input.text("reaction")?)?;
        }
        _ => return Err(Refused::absent("path", "nobody can do this")),
    }
    Ok(json!({}))
}

pub(super) fn person(input: &Input<'_>) -> Result<UserConfig, Refused> {
    input.only(&[
        "first_name",
        "last_name",
        "work_position",
        "extranet",
        "admin",
    ])?;
    let text = |name| input.optional_text(name).map(Option::unwrap_or_default);
    Ok(UserConfig {
        first_name: input.text("first_name")?.to_owned(),
        last_name: text("last_name")?.to_owned(),
        work_position: text("work_position")?.to_owned(),
        extranet: input.flag("extranet")?.unwrap_or(false),
        admin: input.flag("admin")?.unwrap_or(false),
    })
}

pub(super) fn chats(portal: &Portal, rest: &[&str], request: &Request<'_>) -> Answer {
    if !request.is(&Method::POST) {
        return Err(no_such_verb(request));
    }
    let input = &request.input;
    let unknown = || Refused::absent("path", "there is nothing at this address");
    match rest {
        [] => {
            input.only(&["title", "members"])?;
            let chat = portal.add_group_chat(input.text("title")?, &input.ids("members")?);
            Ok(json!({"id": chat.id, "dialog_id": chat.dialog_id()}))
        }
        [id, action] => {
            let id = id.parse().map_err(|_| unknown())?;
            match *action {
                "bots" => {
                    input.only(&["bot_id", "by_user"])?;
                    let by = input.optional_id("by_user")?.unwrap_or(1);
                    portal.add_bot_to_chat(input.id("bot_id")?, id, by)?;
                    Ok(json!({}))
                }
                "remove" => {
                    input.only(&["user_id"])?;
                    portal.remove_from_chat(input.id("user_id")?, id)?;
                    Ok(json!({}))
                }
                "system" => {
                    input.only(&["text"])?;
                    let message_id = portal.posts_system(id, input.text("text")?)?;
                    Ok(json!({"message_id": message_id}))
                }
                _ => Err(unknown()),
            }
        }
        _ => Err(unknown()),
    }
}

pub(super) fn webhooks(portal: &Portal, request: &Request<'_>) -> Answer {
    let input = &request.input;
    match *request.method {
        Method::POST => {
            input.only(&["user_id", "scopes", "code"])?;
            let standard = WebhookConfig::default();
            let code = input.optional_text("code")?.map(code_of).transpose()?;
            let url = portal.add_webhook(WebhookConfig {
                user_id: input.optional_id("user_id")?.unwrap_or(1),
                scopes: input.texts("scopes")?.unwrap_or(standard.scopes),
                code: code.map(ToOwned::to_owned),
            });
            Ok(json!({"webhook_url": url}))
        }
        Method::DELETE => {
            input.only(&["webhook_url"])?;
            portal.remove_webhook(input.text("webhook_url")?);
            Ok(json!({}))
        }
        _ => Err(no_such_verb(request)),
    }
}
