//! Settings of traces and measurements: our own, else the variables that OpenTelemetry agrees upon.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::{
    Error, Span, invalid,
    layers::Sources,
    listed,
    proxy::{CA_FILE, proxy, usual},
    read, within,
};
use crate::telemetry::otlp::Config;

/// Means that there is no collector, whatever the environment says.
const NONE: &str = "none";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTelemetry {
    otlp_endpoint: String,
    otlp_headers: SecretString,
    otlp_ca_file: PathBuf,
    proxy: SecretString,
    no_proxy: String,
    sample_ratio: f64,
    metrics_interval: Span,
    pub(super) propagate_to_portal: bool,
    service_name: String,
    environment: String,
    resource_attributes: String,
}

impl RawTelemetry {
    /// Checks them; `None` where there is no collector.
    pub(super) fn check(&self, sources: &Sources) -> Result<Option<Config>, Error> {
        let sample_ratio = within("telemetry.sample_ratio", self.sample_ratio, 0.0..=1.0)?;
        let interval = &self.metrics_interval;
        let metrics_interval = interval.within("telemetry.metrics_interval", "1s", "1h")?;
        let own = self.otlp_endpoint.trim();
        let (key, endpoint) = given(
            ("telemetry.otlp_endpoint", own),
            sources,
            &["OTEL_EXPORTER_OTLP_ENDPOINT"],
        );
        let endpoint = match endpoint {
            "" | NONE => return Ok(None),
            endpoint => collector(key, endpoint)?,
        };
        let own = self.otlp_headers.expose_secret().trim();
        let (key, headers) = given(
            ("telemetry.otlp_headers", own),
            sources,
            &["OTEL_EXPORTER_OTLP_HEADERS"],
        );
        let headers = pairs(key, headers)?.into_iter();
        let headers = headers.map(|(name, value)| (name, SecretString::from(value)));
        let out = proxy("telemetry.proxy", &self.proxy, &self.no_proxy, sources)?;
        let out = out.map(|proxy| {
            (
                SecretString::from(proxy.url.expose().as_str()),
                proxy.direct,
            )
        });
        Ok(Some(Config {
            endpoint,
            headers: headers.collect(),
            extra_roots: self.roots(sources)?,
            proxy: out,
            sample_ratio,
            metrics_interval,
            resource: self.resource(sources)?,
        }))
    }

    fn roots(&self, sources: &Sources) -> Result<Option<Vec<u8>>, Error> {
        let own = self.otlp_ca_file.as_path();
        let (key, file) = match own.to_str() {
            Some("") => {
                let usual = usual(sources, &["OTEL_EXPORTER_OTLP_CERTIFICATE"]);
                let usual = usual.or_else(|| super::proxy::usual(sources, &CA_FILE));
                match usual {
                    Some((name, file)) => (name, Path::new(file)),
                    None => return Ok(None),
                }
            }
            _ => ("telemetry.otlp_ca_file", own),
        };
        Ok(Some(read(key, file)?.into_bytes()))
    }

    /// What was said last of a name counts.
    fn resource(&self, sources: &Sources) -> Result<Vec<(String, String)>, Error> {
        let (key, attributes) = given(
            ("telemetry.resource_attributes", &self.resource_attributes),
            sources,
            &["OTEL_RESOURCE_ATTRIBUTES"],
        );
        let mut all = pairs(key, attributes)?;
        let (_, name) = given(
            ("telemetry.service_name", &self.service_name),
            sources,
            &["OTEL_SERVICE_NAME"],
        );
        let named = all.iter().any(|(key, _)| key == "service.name");
        if !(name.is_empty() && named) {
            let name = if name.is_empty() {
                env!("CARGO_PKG_NAME")
            } else {
                name
            };
            all.push(("service.name".to_owned(), name.to_owned()));
        }
        let environment = self.environment.trim();
        if !environment.is_empty() {
            let name = "deployment.environment.name".to_owned();
            all.push((name, environment.to_owned()));
        }
        Ok(all)
    }
}

/// Our own setting, or else the first of these variables that is set; empty for neither.
fn given<'a>(
    (key, own): (&'static str, &'a str),
    sources: &'a Sources,
    names: &[&'static str],
) -> (&'static str, &'a str) {
    match own.trim() {
        "" => usual(sources, names).unwrap_or((key, "")),
        own => (key, own),
    }
}

fn collector(key: &str, endpoint: &str) -> Result<Url, Error> {
    let fits = |url: &Url| {
        let web = ["http", "https"].contains(&url.scheme()) && url.has_host();
        let bare = url.query().is_none() && url.fragment().is_none();
        web && bare && url.username().is_empty() && url.password().is_none()
    };
    let url = Url::parse(endpoint).ok().filter(fits);
    // The text itself may hold a password.
    let rule =
        "must be the address of a collector such as http://collector:4318, without credentials";
    url.ok_or_else(|| invalid(key, rule))
}

/// `name=value, name=value`; a value may hold what it needs percent-encoded.
fn pairs(key: &str, text: &str) -> Result<Vec<(String, String)>, Error> {
    let pair = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
    };
    let pairs: Option<_> = listed(text).map(pair).collect();
    // Not the text itself, which may hold a secret.
    let rule = "must be names with values, such as \"name=value, other=value\"";
    pairs.ok_or_else(|| invalid(key, rule))
}
