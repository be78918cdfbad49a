//! Methods about the portal and the credential (C22, C24).

use serde_json::{Map, Value, json};

use crate::core::Call;
use crate::failure::Failure;
use crate::quirks::AppInfo;
use crate::state::{Stage, State};

/// A batch inside a batch; the outer one never comes here.
pub(super) fn batch(_: &mut State, _: &Call<'_>) -> Result<Value, Failure> {
    let description = "Method is not allowed for batch usage";
    Err(Failure::core(
        405,
        "ERROR_BATCH_METHOD_NOT_ALLOWED",
        description,
    ))
}

pub(super) fn revision(state: &mut State, _: &Call<'_>) -> Result<Value, Failure> {
    let [rest, web, mobile, desktop] = state.revision;
    Ok(json!({"rest": rest, "web": web, "mobile": mobile, "desktop": desktop}))
}

pub(super) fn profile(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let user = state
        .users
        .get(&call.credential.user_id)
        .filter(|user| user.active);
    let Some(user) = user else {
        return Ok(state.written_map(Map::new()));
    };
    Ok(json!({
        "ID": user.id.to_string(),
        "ADMIN": user.admin,
        "NAME": user.first_name,
        "LAST_NAME": user.last_name,
        "PERSONAL_GENDER": user.gender,
        "TIME_ZONE": "",
    }))
}

pub(super) fn user_current(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let user = state.users.get(&call.credential.user_id);
    let Some(user) = user.filter(|user| user.active) else {
        return Ok(state.written_map(Map::new()));
    };
    Ok(json!({
        "ID": user.id.to_string(),
        "ACTIVE": user.active,
        "NAME": user.first_name,
        "LAST_NAME": user.last_name,
        "WORK_POSITION": user.work_position,
        "PERSONAL_GENDER": user.gender,
        "IS_ONLINE": "Y",
        "UF_DEPARTMENT": [1],
        "USER_TYPE": if user.extranet { "extranet" } else { "employee" },
    }))
}

pub(super) fn scope(_: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    if call.params.fields().truth("full").unwrap_or(false) {
        return Ok(json!([
            "im",
            "imbot",
            "user",
            "user_basic",
            "user_brief",
            "disk",
            "crm",
            "task"
        ]));
    }
    Ok(json!(call.credential.scopes))
}

pub(super) fn app_info(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let client_id = call.credential.client_id.as_deref().unwrap_or_default();
    if let Ok(application) = state.application(client_id) {
        return Ok(json!({
            "ID": application.number,
            "CODE": application.client_id,
            "VERSION": application.version,
            "STATUS": application.config.status,
            "INSTALLED": application.stage == Stage::Installed,
            "PAYMENT_EXPIRED": if application.paid { "N" } else { "Y" },
            "DAYS": null,
            "LANGUAGE_ID": state.language,
            "LICENSE": state.license,
            "LICENSE_TYPE": state.license.rsplit('_').next(),
            "LICENSE_FAMILY": license_family(&state.license),
        }));
    }
    match state.quirks.app_info {
        AppInfo::ScopeAndLicense => Ok(json!({
            "SCOPE": call.credential.scopes,
            "LICENSE": state.license,
        })),
        AppInfo::Denied => Err(Failure::method(
            "ACCESS_DENIED",
            "Application context required",
        )),
    }
}

/// `de_ent10000` is of the family `ent`.
fn license_family(license: &str) -> String {
    let kind = license.rsplit('_').next().unwrap_or_default();
    kind.chars().take_while(|c| !c.is_ascii_digit()).collect()
}

pub(super) fn server_time(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    Ok(state.date(call.now).into())
}

pub(super) fn method_get(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let fields = call.params.fields();
    let name = fields.text("name").unwrap_or_default();
    let [rest, ..] = state.revision;
    let exists = super::find(&name).is_some_and(|method| method.since <= rest);
    let available = state.find(&name, call.credential).is_ok();
    Ok(json!({"isExisting": exists, "isAvailable": available}))
}
