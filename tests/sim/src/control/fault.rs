//! Faults: added, counted, forgotten.

use std::time::Duration;

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::input::Input;
use super::{Answer, Refused, Request, no_such_verb};
use crate::fault::{Fault, FaultKind, Faults};

pub(super) fn faults(faults: &Faults, request: &Request<'_>) -> Answer {
    match *request.method {
        Method::GET => {}
        Method::DELETE => faults.clear(),
        Method::POST => {
            let input = &request.input;
            let fault = times(when(kind(input)?, input)?, input)?;
            match input.optional_text("method")? {
                Some(method) => faults.on(method, fault),
                None => faults.next(fault),
            }
        }
        _ => return Err(no_such_verb(request)),
    }
    Ok(json!({"waiting": faults.waiting()}))
}

/// The members every fault may have.
const COMMON: [&str; 4] = ["kind", "method", "when", "times"];

fn kind(input: &Input<'_>) -> Result<Fault, Refused> {
    let only = |own: &[&str]| input.only(&[&COMMON[..], own].concat());
    let millis = |name| {
        let time = input.count(name)?.map(Duration::from_millis);
        time.ok_or_else(|| Refused::field(name, "is required"))
    };
    match input.text("kind")? {
        "error" => {
            only(&["status", "code", "description"])?;
            let code = input
                .get("code")
                .filter(|code| code.is_string() || code.is_i64());
            let rule = "has to be a text or a whole number";
            Ok(Fault::new(FaultKind::Error {
                status: status(input, 400)?,
                code: code.cloned().ok_or_else(|| Refused::field("code", rule))?,
                description: input
                    .optional_text("description")?
                    .unwrap_or_default()
                    .into(),
            }))
        }
        "raw" => {
            only(&["status", "headers", "body"])?;
            Ok(Fault::new(FaultKind::Raw {
                status: status(input, 200)?,
                headers: headers(input)?,
                body: input.optional_text("body")?.unwrap_or_default().into(),
            }))
        }
        "html" => {
            only(&["status"])?;
            Ok(Fault::html(status(input, 502)?))
        }
        "redirect" => {
            only(&["location"])?;
            let location = input.text("location")?;
            let fits = HeaderValue::from_str(location);
            fits.map_err(|_| Refused::field("location", "cannot stand in a header"))?;
            Ok(Fault::redirect(location))
        }
        "cut" => only(&[]).map(|()| Fault::cut_body()),
        "reset" => only(&[]).map(|()| Fault::reset()),
        "hang" => only(&[]).map(|()| Fault::hang()),
        "latency" => {
            only(&["ms"])?;
            Ok(Fault::latency(millis("ms")?))
        }
        "drip" => {
            only(&["bytes", "pause_ms"])?;
            let bytes = input.count("bytes")?.unwrap_or(1);
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            Ok(Fault::drip(bytes, millis("pause_ms")?))
        }
        "enormous" => {
            only(&["bytes"])?;
            let bytes = input.count("bytes")?;
            let bytes = bytes.ok_or_else(|| Refused::field("bytes", "is required"))?;
            Ok(Fault::enormous(bytes))
        }
        _ => Err(Refused::field("kind", "there is no such fault")),
    }
}

fn status(input: &Input<'_>, standard: u64) -> Result<u16, Refused> {
    let status = input.count("status")?.unwrap_or(standard);
    let status = u16::try_from(status)
        .ok()
        .filter(|s| (200..600).contains(s));
    status.ok_or_else(|| Refused::field("status", "has to be from 200 to 599"))
}

fn headers(input: &Input<'_>) -> Result<Vec<(String, String)>, Refused> {
    let Some(given) = input.object("headers")? else {
        return Ok(Vec::new());
    };
    let header = |(name, value): (&String, &Value)| {
        let named = HeaderName::from_bytes(name.as_bytes()).ok();
        // The length is counted from the body; two of them would be a broken answer, not a fault.
        let named = named.filter(|name| *name != "content-length" && *name != "transfer-encoding");
        let value = value.as_str().filter(|v| HeaderValue::from_str(v).is_ok());
        match (named, value) {
            (Some(_), Some(value)) => Ok((name.clone(), value.to_owned())),
            _ => Err(Refused::field(
                format!("headers.{name}"),
                "is no header to send",
            )),
        }
    };
    given.all().iter().map(header).collect()
}

fn when(fault: Fault, input: &Input<'_>) -> Result<Fault, Refused> {
    match input.optional_text("when")? {
        None => Ok(fault),
        Some("before") => Ok(fault.before_effect()),
        Some("after") => Ok(fault.after_effect()),
        Some(_) => Err(Refused::field("when", "has to be `before` or `after`")),
    }
}

fn times(fault: Fault, input: &Input<'_>) -> Result<Fault, Refused> {
    let rule = "has to be a number from 1, or `always`";
    match input.get("times") {
        None => Ok(fault),
        Some(Value::String(always)) if always == "always" => Ok(fault.always()),
        Some(value) => {
            let times = value.as_u64().and_then(|times| u32::try_from(times).ok());
            let times = times.filter(|times| *times > 0);
            times
                .map(|times| fault.times(times))
                .ok_or_else(|| Refused::field("times", rule))
        }
    }
}
