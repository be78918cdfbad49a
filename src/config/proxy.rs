//! The way out: a proxy by our own settings, else by the variables that other programs heed too.

use secrecy::{ExposeSecret as _, SecretString};

use super::{Error, invalid, layers::Sources};
use crate::portal::transport::{Proxy, SecretUrl};

/// Means that there is none, whatever the environment says.
const NONE: &str = "none";

/// The variables that programs agree upon, in either case; the first one that is set counts.
const PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The file of certificates that programs agree upon.
pub(super) const CA_FILE: [&str; 1] = ["SSL_CERT_FILE"];

/// The proxy to go through, if any; `key` is the path of its setting.
pub(super) fn proxy(
    key: &'static str,
    own: &SecretString,
    own_direct: &str,
    sources: &Sources,
) -> Result<Option<Proxy>, Error> {
    let (key, url) = match own.expose_secret().trim() {
        "" => match usual(sources, &PROXY) {
            Some((name, url)) => (name, url),
            None => return Ok(None),
        },
        NONE => return Ok(None),
        own => (key, own),
    };
    // As other programs do, who may name a host alone.
    let whole = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    let url: Option<SecretUrl> = whole.parse().ok();
    let url = url.filter(|url| ["http", "https"].contains(&url.expose().scheme()));
    // The text itself may hold a password.
    let rule = "must be the address of an HTTP proxy such as http://user:password@proxy.acme.com:3128, or \"none\"";
    let url = url.ok_or_else(|| invalid(key, rule))?;
    let direct = match own_direct {
        "" => usual(sources, &NO_PROXY).map_or("", |(_, hosts)| hosts),
        own => own,
    };
    Ok(Some(Proxy {
        url,
        direct: direct.to_owned(),
    }))
}

/// The first of these variables that is set.
pub(super) fn usual<'a>(
    sources: &'a Sources,
    names: &[&'static str],
) -> Option<(&'static str, &'a str)> {
    names.iter().find_map(|name| {
        let mut set = sources.environment.iter();
        let (_, value) = set.find(|(key, value)| key == name && !value.trim().is_empty())?;
        Some((*name, value.trim()))
    })
}

/// The usual variable that stands for a setting that is not given, and its value.
pub(super) fn usual_for<'a>(path: &str, sources: &'a Sources) -> Option<(&'static str, &'a str)> {
    let names: &[&str] = match path {
        "outbound.proxy" | "telemetry.proxy" => &PROXY,
        "outbound.no_proxy" | "telemetry.no_proxy" => &NO_PROXY,
        "outbound.ca_file" => &CA_FILE,
        "telemetry.otlp_endpoint" => &["OTEL_EXPORTER_OTLP_ENDPOINT"],
        "telemetry.otlp_headers" => &["OTEL_EXPORTER_OTLP_HEADERS"],
        "telemetry.otlp_ca_file" => &["OTEL_EXPORTER_OTLP_CERTIFICATE", "SSL_CERT_FILE"],
        "telemetry.service_name" => &["OTEL_SERVICE_NAME"],
        "telemetry.resource_attributes" => &["OTEL_RESOURCE_ATTRIBUTES"],
        _ => &[],
    };
    usual(sources, names)
}
