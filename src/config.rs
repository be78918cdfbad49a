//! What the operator decided: defaults < file < environment < flags.
//!
//! Everything is parsed and checked before anything is opened or bound, and each message names the
//! setting. The only place that reads the environment. The manual is `config/default.toml`, which is
//! compiled in.

mod admin;
mod callers;
mod effective;
mod grpc;
mod http;
mod layers;
mod oauth;
mod portals;
mod proxy;
mod reread;
mod telemetry;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use self::{
    oauth::RawOAuth,
    portals::{RawAssume, RawPortal, portals},
};
use crate::{
    callers::{Description, service_account},
    events,
    http::ops,
    ids::PortalId,
    lifecycle::Fault,
    portal, store,
    telemetry::{Config as Telemetry, Format},
};

pub use self::{
    admin::AdminSocket,
    callers::Reload,
    effective::{Setting, effective},
    grpc::no_callers,
    layers::{Flags, Sources},
    portals::no_portal,
    reread::Reread,
};

/// The compiled-in manual and its defaults.
pub const DEFAULTS: &str = include_str!("config/default.toml");

/// Everything the process needs to know, checked.
#[derive(Debug)]
pub struct Config {
    /// The gRPC API.
    pub grpc: crate::grpc::Config,
    /// Where installations and callbacks come in; `None` for nowhere.
    pub http: Option<crate::http::Config>,
    /// Whether nobody may be let in unless there are callers, in the configuration or in the store.
    pub needs_callers: bool,
    /// Who may call, and what.
    pub callers: BTreeMap<String, Description>,
    /// Whose service accounts to believe.
    pub service_accounts: Option<service_account::Config>,
    /// Looks whether the callers in the file were changed; `None` without a file.
    pub reload: Option<Reload>,
    /// Looks whether what lets us into portals was changed; `None` without a file.
    pub reread: Option<Reread>,
    /// The store.
    pub store: store::Config,
    /// Where commands are taken.
    pub admin: Option<AdminSocket>,
    /// Where operators look at health and metrics.
    pub lookout: Option<ops::Config>,
    /// The portals and how to call them.
    pub portals: portal::Config,
    /// Fetching and keeping events.
    pub events: events::Config,
    /// How long we say that we are not ready before we stop.
    pub shutdown_delay: Duration,
    /// What is to break, in a build for tests.
    pub fault: Fault,
    /// Logs, traces and measurements.
    pub telemetry: Telemetry,
}

/// What whoever keeps a gateway needs to know of it, checked; the rest may be wrong.
#[derive(Debug)]
pub struct Keeping {
    /// The store.
    pub store: store::Config,
    /// Where a gateway that runs takes commands.
    pub admin: Option<AdminSocket>,
    /// Where operators look at health and metrics.
    pub lookout: Option<ops::Config>,
    /// Callers and portals that are configured; those whose names can be ones.
    pub names: crate::admin::Names,
}

impl Keeping {
    /// Reads all layers, and checks only this.
    ///
    /// # Errors
    ///
    /// The first setting that is unknown or of the wrong type, or of these breaks a rule.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        let raw: Raw = layers::merge(sources)?;
        let short = !raw.webhook_url.expose_secret().is_empty()
            || grpc::given(&raw.webhook_url_file).is_some();
        let named = raw.portals.keys().filter_map(|name| name.parse().ok());
        let portals = named.chain(short.then(PortalId::default_portal)).collect();
        Ok(Self {
            admin: raw.admin.socket(&raw.store.dir),
            lookout: raw.admin.lookout()?,
            store: raw.store.check(),
            names: crate::admin::Names {
                callers: raw.callers.into_keys().collect(),
                portals,
            },
        })
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting has the wrong type or is not known.
    #[error("configuration: {0}")]
    Malformed(String),
    /// A setting breaks a rule.
    #[error("configuration: `{key}` {rule}")]
    Invalid {
        /// Path of the setting.
        key: String,
        /// The rule, as the rest of a sentence.
        rule: String,
    },
    /// A file named by a setting cannot be read.
    #[error("configuration: `{key}` names {path}, which cannot be read: {cause}")]
    File {
        /// Path of the setting.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
}

impl Config {
    /// Reads and checks all layers.
    ///
    /// # Errors
    ///
    /// The first setting that is unknown, of the wrong type or breaks a rule.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        let raw: Raw = layers::merge(sources)?;
        let reload = Reload::of(sources);
        let reread = Reread::of(&raw, sources);
        let service_accounts = raw.service_accounts.check()?;
        let callers = callers::callers(&raw.callers, service_accounts.is_some())?;
        // It may hold callers and portals, which whoever opens it sees.
        let has_store = store::backup::expect(&raw.store.dir).is_ok();
        let grpc = raw.grpc.check(!callers.is_empty() || has_store)?;
        let mut portals = portals(&raw, sources, has_store)?;
        portals.transport.tells_traces = raw.telemetry.propagate_to_portal;
        Ok(Self {
            needs_callers: !(grpc.door.listen.ip().is_loopback() || raw.grpc.insecure),
            grpc,
            http: raw.http.check()?,
            portals,
            callers,
            service_accounts,
            reload,
            admin: raw.admin.socket(&raw.store.dir),
            lookout: raw.admin.lookout()?,
            reread,
            store: raw.store.check(),
            events: events::Config {
                busy_pause: raw
                    .polling
                    .busy_pause
                    .within("polling.busy_pause", "100ms", "60s")?,
                idle_pause: raw
                    .polling
                    .idle_pause
                    .within("polling.idle_pause", "100ms", "10m")?,
                busy_for: raw
                    .polling
                    .busy_for
                    .within("polling.busy_for", "0s", "1h")?,
                retention: raw
                    .events
                    .retention
                    .within("events.retention", "1h", "8760h")?,
                retention_bytes: within(
                    "events.retention_bytes",
                    raw.events.retention_bytes,
                    1 << 20..=u64::MAX,
                )?,
            },
            shutdown_delay: raw.shutdown.delay.within("shutdown.delay", "0s", "5m")?,
            fault: sources.fault(),
            telemetry: Telemetry {
                otlp: raw.telemetry.check(sources)?,
                level: raw.log.level,
                format: raw.log.format,
                meter: None,
                tracer: None,
            },
        })
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    webhook_url: SecretString,
    webhook_url_file: PathBuf,
    webhook_expires_at: String,
    default_portal: String,
    oauth: RawOAuth,
    portals: BTreeMap<String, RawPortal>,
    assume: RawAssume,
    callers: BTreeMap<String, callers::RawCaller>,
    service_accounts: callers::RawServiceAccounts,
    grpc: grpc::RawGrpc,
    http: http::RawHttp,
    store: RawStore,
    admin: admin::RawAdmin,
    outbound: RawOutbound,
    rate: RawRate,
    calls: RawCalls,
    polling: RawPolling,
    events: RawEvents,
    shutdown: RawShutdown,
    log: RawLog,
    telemetry: telemetry::RawTelemetry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawShutdown {
    delay: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStore {
    dir: PathBuf,
    key_file: PathBuf,
    keys: SecretString,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutbound {
    proxy: SecretString,
    no_proxy: String,
    ca_file: PathBuf,
    connect_timeout: Span,
    request_timeout: Span,
    max_answer_bytes: u64,
    portal_hosts: String,
    private_addresses: bool,
    hosts: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRate {
    requests_per_second: u64,
    burst: u64,
    operating_budget: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCalls {
    attempts: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolling {
    busy_pause: Span,
    idle_pause: Span,
    busy_for: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvents {
    retention: Span,
    retention_bytes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    level: String,
    format: Format,
}

/// A duration as text.
#[derive(Deserialize)]
#[serde(transparent)]
struct Span(String);

impl Span {
    fn within(&self, key: &str, min: &str, max: &str) -> Result<Duration, Error> {
        let parse = |text: &str| {
            text.parse::<SignedDuration>()
                .ok()
                .and_then(|span| Duration::try_from(span).ok())
        };
        match (parse(&self.0), parse(min), parse(max)) {
            (Some(span), Some(min), Some(max)) if (min..=max).contains(&span) => Ok(span),
            _ => Err(invalid(
                key,
                format!(
                    "must be a duration from {min} to {max} such as \"15s\", not \"{}\"",
                    self.0
                ),
            )),
        }
    }
}

impl RawStore {
    fn check(self) -> store::Config {
        let keys = if self.keys.expose_secret().is_empty() {
            store::KeySource::File(self.key_file)
        } else {
            store::KeySource::Text(self.keys)
        };
        store::Config {
            dir: self.dir,
            keys,
        }
    }
}

fn transport(raw: &RawOutbound, sources: &Sources) -> Result<portal::transport::Config, Error> {
    let (key, file) = match proxy::usual(sources, &proxy::CA_FILE) {
        Some((name, file)) if raw.ca_file.as_os_str().is_empty() => (name, Path::new(file)),
        _ => ("outbound.ca_file", raw.ca_file.as_path()),
    };
    let extra_roots = if file.as_os_str().is_empty() {
        None
    } else {
        Some(read(key, file)?.into_bytes())
    };
    Ok(portal::transport::Config {
        connect_timeout: raw
            .connect_timeout
            .within("outbound.connect_timeout", "100ms", "60s")?,
        timeout: raw
            .request_timeout
            .within("outbound.request_timeout", "1s", "10m")?,
        answer_limit: size("outbound.max_answer_bytes", raw.max_answer_bytes)?,
        extra_roots,
        proxy: proxy::proxy("outbound.proxy", &raw.proxy, &raw.no_proxy, sources)?,
        names: names(raw)?,
        ..portal::transport::Config::default()
    })
}

/// Hosts that portals may move to.
fn portal_hosts(raw: &RawOutbound) -> Result<portal::Hosts, Error> {
    portal::Hosts::new(listed(&raw.portal_hosts)).map_err(|name| {
        let rule = format!("must be names such as bitrix24.com, not \"{name}\"");
        invalid("outbound.portal_hosts", rule)
    })
}

fn names(raw: &RawOutbound) -> Result<portal::transport::Names, Error> {
    let fixed = listed(&raw.hosts).map(|entry| {
        let (name, ip) = entry.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), ip.trim().parse().ok()?))
    });
    let fixed = fixed.collect::<Option<_>>().ok_or_else(|| {
        let rule = "must be names with their addresses, such as acme.bitrix24.com=10.0.0.7";
        invalid("outbound.hosts", rule)
    })?;
    Ok(portal::transport::Names {
        fixed,
        private: raw.private_addresses,
        ..portal::transport::Names::default()
    })
}

/// What is written with commas between.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

fn read(key: &str, path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|cause| Error::File {
        key: key.to_owned(),
        path: path.to_owned(),
        cause,
    })
}

fn invalid(key: &str, rule: impl Into<String>) -> Error {
    Error::Invalid {
        key: key.to_owned(),
        rule: rule.into(),
    }
}

fn within<T: PartialOrd + Display>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<T, Error> {
    if range.contains(&value) {
        return Ok(value);
    }
    let rule = format!("must be {} to {}, not {value}", range.start(), range.end());
    Err(invalid(key, rule))
}

fn size(key: &str, bytes: u64) -> Result<usize, Error> {
    let bytes = within(key, bytes, 64 << 10..=64 << 20)?;
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}
