//! Clock, quirks, limits and latency.

use std::time::Duration;

use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Answer, Refused, Request, no_such_verb};
use crate::clock::{Clock, FASTEST};
use crate::oauth::OAuth;
use crate::portal::Portal;
use crate::written::patched;

pub(super) fn clock(clock: &Clock, request: &Request<'_>) -> Answer {
    if request.is(&Method::POST) {
        let input = &request.input;
        input.only(&["advance_ms", "scale"])?;
        let by = input.count("advance_ms")?;
        let scale = input.number("scale")?;
        if scale.is_some_and(|scale| !(0.0..=FASTEST).contains(&scale)) {
            return Err(Refused::field("scale", "has to be from 0 to 1000000"));
        }
        clock.advance(Duration::from_millis(by.unwrap_or(0)));
        if let Some(scale) = scale {
            clock.set_scale(scale);
        }
    } else if !request.is(&Method::GET) {
        return Err(no_such_verb(request));
    }
    let now = clock.now();
    Ok(json!({
        "now": now.as_secs_f64(),
        "iso": crate::clock::iso(now, 0),
        "scale": clock.scale(),
    }))
}

pub(super) fn quirks(portal: &Portal, request: &Request<'_>) -> Answer {
    if request.is(&Method::PATCH) {
        let new = changed(&portal.quirks(), request.input.all())?;
        portal.set_quirks(|quirks| *quirks = new);
    } else if !request.is(&Method::GET) {
        return Err(no_such_verb(request));
    }
    Ok(written(&portal.quirks()))
}

pub(super) fn oauth_quirks(oauth: &OAuth, request: &Request<'_>) -> Answer {
    if request.is(&Method::PATCH) {
        let new = changed(&oauth.quirks(), request.input.all())?;
        oauth.set_quirks(|quirks| *quirks = new);
    } else if !request.is(&Method::GET) {
        return Err(no_such_verb(request));
    }
    Ok(written(&oauth.quirks()))
}

pub(super) fn limits(portal: &Portal, request: &Request<'_>) -> Answer {
    if request.is(&Method::PATCH) {
        portal.set_limits(changed(&portal.limits(), request.input.all())?);
    } else if !request.is(&Method::GET) {
        return Err(no_such_verb(request));
    }
    Ok(written(&portal.limits()))
}

pub(super) fn condition(portal: &Portal, request: &Request<'_>) -> Answer {
    if request.is(&Method::POST) {
        request.input.only(&["condition"])?;
        let wanted = request.input.text("condition")?;
        let condition = serde_json::from_value(wanted.into());
        let condition = condition
            .map_err(|error: serde_json::Error| Refused::field("condition", error.to_string()))?;
        portal.set_condition(condition);
    } else if !request.is(&Method::GET) {
        return Err(no_such_verb(request));
    }
    Ok(json!({"condition": written(&portal.condition())}))
}

pub(super) fn latency(portal: &Portal, request: &Request<'_>) -> Answer {
    if !request.is(&Method::POST) {
        return Err(no_such_verb(request));
    }
    request.input.only(&["method", "ms"])?;
    let by = request.input.count("ms")?;
    let by = by.ok_or_else(|| Refused::field("ms", "is required"))?;
    let method = request.input.optional_text("method")?;
    portal.set_latency(method, Duration::from_millis(by));
    Ok(json!({}))
}

/// Settings with these changes; a refusal names the setting.
pub(super) fn changed<T>(current: &T, changes: &Map<String, Value>) -> Result<T, Refused>
where
    T: Clone + Serialize + DeserializeOwned,
{
    patched(current, changes).map_err(|wrong| Refused::field(wrong.name, wrong.rule))
}

pub(super) fn written(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
