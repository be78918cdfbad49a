//! Applications: known, installed, used and removed.

use hyper::Method;
use serde_json::json;

use super::input::Input;
use super::settings::written;
use super::{Answer, Refused, Request, no_such_verb};
use crate::config::ApplicationConfig;
use crate::portal::Portal;

pub(super) fn applications(portal: &Portal, rest: &[&str], request: &Request<'_>) -> Answer {
    let input = &request.input;
    let absent = || Refused::absent("application", "is not known");
    match (request.method, rest) {
        (&Method::GET, []) => Ok(json!({"applications": written(&portal.applications())})),
        (&Method::POST, []) => {
            let client_id = portal.add_application(config(input)?);
            Ok(written(&portal.application(&client_id)))
        }
        (&Method::GET, [client_id]) => {
            let application = portal.application(client_id).ok_or_else(absent)?;
            Ok(written(&application))
        }
        (&Method::POST, [client_id, action]) => {
            portal.application(client_id).ok_or_else(absent)?;
            act(portal, client_id, action, input)
        }
        _ => Err(no_such_verb(request)),
    }
}

fn act(portal: &Portal, client_id: &str, action: &str, input: &Input<'_>) -> Answer {
    let person = || {
        input.only(&["user_id"])?;
        Ok::<_, Refused>(input.optional_id("user_id")?.unwrap_or(1))
    };
    match action {
        "install" => return Ok(written(&portal.install(client_id, person()?)?)),
        "tokens" => return Ok(written(&portal.issue_tokens(client_id, person()?)?)),
        "code" => return Ok(json!({"code": portal.issue_code(client_id, person()?)?})),
        "finish" => {
            input.only(&[])?;
            portal.finish_install(client_id)?;
        }
        "uninstall" => {
            input.only(&["clean"])?;
            portal.uninstall(client_id, input.flag("clean")?.unwrap_or(false))?;
        }
        "update" => {
            input.only(&["new_token"])?;
            let new_token = input.flag("new_token")?.unwrap_or(false);
            return Ok(written(&portal.update_application(client_id, new_token)?));
        }
        "open_page" => portal.open_page(client_id, person()?)?,
        "expire" => {
            input.only(&["access_token"])?;
            match input.optional_text("access_token")? {
                None => portal.expire_tokens_of(client_id),
                Some(token) if portal.expire_token(token) => {}
                Some(_) => return Err(Refused::field("access_token", "was never issued")),
            }
        }
        "pay" => {
            input.only(&["paid"])?;
            portal.set_paid(client_id, input.flag("paid")?.unwrap_or(true))?;
        }
        "restrict" => {
            input.only(&["users"])?;
            let everybody = input.get("users").is_none();
            let people = (!everybody).then(|| input.ids("users")).transpose()?;
            portal.restrict(client_id, people)?;
        }
        "require_confirmation" => {
            input.only(&["method"])?;
            portal.require_confirmation(client_id, input.text("method")?)?;
        }
        "confirm" => {
            input.only(&["method", "approved"])?;
            let approved = input.flag("approved")?.unwrap_or(true);
            let asked = portal.confirm(client_id, input.text("method")?, approved)?;
            return Ok(json!({"asked_by": asked}));
        }
        _ => return Err(Refused::absent("path", "nothing does this")),
    }
    Ok(json!({}))
}

fn config(input: &Input<'_>) -> Result<ApplicationConfig, Refused> {
    input.only(&[
        "client_id",
        "client_secret",
        "scopes",
        "status",
        "handler_url",
        "redirect_url",
        "page_url",
    ])?;
    let standard = ApplicationConfig::default();
    let text = |name| {
        let text = input.optional_text(name)?;
        Ok::<_, Refused>(text.map(ToOwned::to_owned))
    };
    let url = |name| match text(name)? {
        Some(url) if url.parse::<hyper::Uri>().is_err() => {
            Err(Refused::field(name, "has to be an address"))
        }
        url => Ok(url),
    };
    Ok(ApplicationConfig {
        client_id: text("client_id")?,
        client_secret: text("client_secret")?,
        scopes: input.texts("scopes")?.unwrap_or(standard.scopes),
        status: text("status")?.unwrap_or(standard.status),
        handler_url: url("handler_url")?,
        redirect_url: url("redirect_url")?,
        page_url: url("page_url")?,
    })
}
