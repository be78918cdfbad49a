//! The portals, and what lets us in there.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{Error, Raw, Sources, invalid, oauth, portal_hosts, read, transport, within};
use crate::{
    ids::PortalId,
    portal::{self, Access, WebhookUrl},
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPortal {
    webhook_url: SecretString,
    pub(super) webhook_url_file: PathBuf,
    webhook_expires_at: String,
    member_id: String,
    assume: RawAssume,
}

/// What to rely on; what is not given here is taken from the level above.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAssume {
    batched_calls: Option<portal::Switch>,
    batched_polls: Option<portal::Switch>,
    answer_window: Option<portal::Switch>,
    message_keys: Option<portal::Switch>,
}

impl RawAssume {
    fn or(self, general: Self) -> portal::Assume {
        let given = |own: Option<_>, general: Option<_>| own.or(general).unwrap_or_default();
        portal::Assume {
            batched_calls: given(self.batched_calls, general.batched_calls),
            batched_polls: given(self.batched_polls, general.batched_polls),
            answer_window: given(self.answer_window, general.answer_window),
            message_keys: given(self.message_keys, general.message_keys),
        }
    }
}

/// All configured portals, the short form among them.
pub(super) fn portals(
    raw: &Raw,
    sources: &Sources,
    has_store: bool,
) -> Result<portal::Config, Error> {
    let mut portals = BTreeMap::new();
    let short = RawPortal {
        webhook_url: raw.webhook_url.clone(),
        webhook_url_file: raw.webhook_url_file.clone(),
        webhook_expires_at: raw.webhook_expires_at.clone(),
        ..RawPortal::default()
    };
    let mut assume = BTreeMap::new();
    let mut webhook_ends = BTreeMap::new();
    let application = raw.oauth.application()?;
    let short_ends = short.ends("webhook_expires_at")?;
    if short_ends.is_some() && short.is_no_webhook() {
        let rule = "is given without `webhook_url` or `webhook_url_file`";
        return Err(invalid("webhook_expires_at", rule));
    }
    if let Some(url) = short.webhook("")? {
        webhook_ends.extend(short_ends.map(|ends| (PortalId::default_portal(), ends)));
        portals.insert(PortalId::default_portal(), Access::Webhook(url));
        assume.insert(PortalId::default_portal(), short.assume.or(raw.assume));
    }
    for (name, portal) in &raw.portals {
        let key = format!("portals.{name}");
        let id: PortalId = name
            .parse()
            .map_err(|rule| invalid(&key, format!("is named wrongly: {rule}")))?;
        let access = portal.access(&key)?;
        if let Access::OAuth(member) = &access {
            oauth::check_member(&key, member, &portals, application.is_some())?;
        }
        let ends_key = format!("{key}.webhook_expires_at");
        if let Some(ends) = portal.ends(&ends_key)? {
            if portal.is_no_webhook() {
                return Err(invalid(&ends_key, "is given beside `member_id`"));
            }
            webhook_ends.insert(id.clone(), ends);
        }
        assume.insert(id.clone(), portal.assume.or(raw.assume));
        if portals.insert(id, access).is_some() {
            return Err(invalid(
                &key,
                "is given twice, here and by the short form `webhook_url`",
            ));
        }
    }
    if portals.is_empty() && application.is_none() && !has_store {
        return Err(no_portal());
    }
    let default = match raw.default_portal.as_str() {
        "" => Some(PortalId::default_portal()).filter(|id| portals.contains_key(id)),
        name => {
            let id = name.parse().ok().filter(|id| portals.contains_key(id));
            Some(id.ok_or_else(|| {
                invalid(
                    "default_portal",
                    format!("names \"{name}\", which is not configured"),
                )
            })?)
        }
    };
    let rate = u32::try_from(within(
        "rate.requests_per_second",
        raw.rate.requests_per_second,
        0..=1000,
    )?);
    let burst = u32::try_from(within("rate.burst", raw.rate.burst, 1..=10_000)?);
    Ok(portal::Config {
        portals,
        webhook_ends,
        application,
        default,
        rate: portal::Rate {
            per_second: rate.unwrap_or(u32::MAX),
            burst: burst.unwrap_or(u32::MAX),
        },
        attempts: within("calls.attempts", raw.calls.attempts, 1..=10)?,
        operating_budget: raw
            .rate
            .operating_budget
            .within("rate.operating_budget", "0s", "10m")?,
        assume,
        assume_of_others: RawAssume::default().or(raw.assume),
        hosts: portal_hosts(&raw.outbound)?,
        transport: transport(&raw.outbound, sources)?,
    })
}

/// There is nobody to call.
#[must_use]
pub fn no_portal() -> Error {
    let rule = "is missing, and there is no other portal: set BITRIX24_GATEWAY__WEBHOOK_URL to the URL of an \
                incoming webhook, or name portals in a file given with --config";
    invalid("webhook_url", rule)
}

impl RawPortal {
    /// What lets us in: one of three settings.
    fn access(&self, key: &str) -> Result<Access, Error> {
        let webhook = self.webhook(&format!("{key}."))?;
        match (webhook, self.member_id.is_empty()) {
            (Some(url), true) => Ok(Access::Webhook(url)),
            (None, false) => Ok(Access::OAuth(self.member_id.clone())),
            (None, true) => Err(invalid(
                key,
                "needs `webhook_url`, `webhook_url_file` or `member_id`",
            )),
            (Some(_), false) => Err(invalid(
                &format!("{key}.member_id"),
                "is given beside the URL of a webhook: one of them is enough",
            )),
        }
    }

    fn is_no_webhook(&self) -> bool {
        self.webhook_url.expose_secret().is_empty() && self.webhook_url_file.as_os_str().is_empty()
    }

    /// When the webhook ends.
    fn ends(&self, key: &str) -> Result<Option<Timestamp>, Error> {
        let text = self.webhook_expires_at.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let day = || {
            let day: Date = text.parse().ok()?;
            day.to_zoned(TimeZone::UTC).ok()
        };
        let time = match text.parse::<Timestamp>() {
            Ok(time) => Some(time),
            Err(_) => day().map(|day| day.timestamp()),
        };
        let rule = || {
            format!(
                "must be a time such as 2027-01-31T00:00:00Z or a date such as 2027-01-31, not \"{text}\""
            )
        };
        time.map(Some).ok_or_else(|| invalid(key, rule()))
    }

    /// The URL, wherever it is written; `prefix` is the path of the settings.
    fn webhook(&self, prefix: &str) -> Result<Option<WebhookUrl>, Error> {
        let inline = self.webhook_url.expose_secret();
        let (key, text) = match (
            inline.is_empty(),
            self.webhook_url_file.as_os_str().is_empty(),
        ) {
            (true, true) => return Ok(None),
            (false, false) => {
                let key = format!("{prefix}webhook_url_file");
                return Err(invalid(
                    &key,
                    format!("is given beside `{prefix}webhook_url`: one of them is enough"),
                ));
            }
            (false, true) => (format!("{prefix}webhook_url"), self.webhook_url.clone()),
            (true, false) => {
                let key = format!("{prefix}webhook_url_file");
                let text = read(&key, &self.webhook_url_file)?;
                let line = text.lines().next().unwrap_or_default().trim().to_owned();
                (key, line.into())
            }
        };
        match WebhookUrl::parse(&text) {
            Ok(url) => Ok(Some(url)),
            // The text itself is a secret and stays out of the message.
            Err(rule) => Err(invalid(
                &key,
                format!("is not the URL of an incoming webhook: {rule}"),
            )),
        }
    }
}
