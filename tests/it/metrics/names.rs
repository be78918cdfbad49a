//! Which metrics there are, by the README, the dashboard and the alerts; all of them must agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use bitrix24_gateway::{fault::Reason, portal::wire::Method, proto::v1 as pb};

/// What names of our metrics begin with.
const OURS: [&str; 4] = [
    "bitrix24_gateway_",
    "rpc_server_",
    "http_client_",
    "process_",
];

/// What a histogram adds to its name.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// One line of a scrape.
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// The lines of a scrape.
pub(super) fn samples(scrape: &str) -> impl Iterator<Item = Sample> + '_ {
    let lines = scrape.lines();
    lines.filter(|line| !line.starts_with('#')).map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        // No value of ours has a quote or a comma in it, which `check` holds.
        let labels = labels.trim_end_matches('}').split(',');
        let labels = labels.filter(|label| !label.is_empty()).map(|label| {
            let (name, value) = label.split_once('=').unwrap();
            (name.to_owned(), value.trim_matches('"').to_owned())
        });
        Sample {
            name: name.to_owned(),
            labels: labels.collect(),
            value: value.parse().unwrap(),
        }
    })
}

/// The metric that a series belongs to.
pub(super) fn family(name: &str) -> &str {
    let part = PARTS.iter().find_map(|part| name.strip_suffix(part));
    // Only histograms have parts, and they are durations, delays and sizes of batches.
    part.filter(|name| name.ends_with("_seconds") || name.ends_with("_batch_size"))
        .unwrap_or(name)
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// All metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| OURS.iter().any(|prefix| word.starts_with(prefix)));
    ours.map(|word| family(word).to_owned()).collect()
}

/// Those of the README's table.
pub(super) fn declared() -> BTreeSet<String> {
    let readme = read("README.md");
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    named(&cells.collect::<Vec<_>>().join("\n"))
}

/// For `promtool check metrics`, where somebody asks for it.
#[expect(
    clippy::disallowed_methods,
    reason = "how to test is not the gateway's configuration"
)]
pub(super) fn write_down(scrape: &str) {
    if let Some(path) = std::env::var_os("GATEWAY_SCRAPE") {
        fs::write(path, scrape).unwrap();
    }
}

/// Fails where a label could have more values than those that we know.
pub(super) fn check(metric: &str, label: &str, value: &str) {
    let is_reason = || {
        let aside = ["EXPIRED", "ATTEMPTS_EXHAUSTED", "RESTORED"];
        let all = Reason::ALL.iter().map(|reason| reason.as_str());
        all.chain(aside).chain(["", "OK"]).any(|it| it == value)
    };
    let one_of = |all: &[&str]| all.contains(&value);
    let known = match label {
        "bitrix24_portal" => one_of(&["acme"]),
        "bitrix24_caller" => one_of(&["", "other"]),
        "bitrix24_subscription" => one_of(&["work", "support", "billing", "other"]),
        "bitrix24_reason" | "error_type" => is_reason() || tonic_code(value),
        "rpc_response_status_code" => tonic_code(value),
        "rpc_system_name" => one_of(&["grpc"]),
        "rpc_method" => value == "_OTHER" || value.starts_with("bitrix24.gateway.v1."),
        "bitrix24_outcome" => one_of(&["answered", "expired", "unknown", "refused"]),
        "bitrix24_command_named_by" => one_of(&["event", "ids"]),
        "bitrix24_event_kind" => one_of(&["command", "other"]),
        "bitrix24_delivery" => one_of(&["first", "repeated"]),
        "bitrix24_lane" => one_of(&["answers", "calls", "polls"]),
        "bitrix24_limit" => one_of(&["rate", "operating_time"]),
        "bitrix24_credential" => one_of(&["webhook", "refresh_token"]),
        "bitrix24_bot_state" => one_of(&["ACTIVE"]),
        "bitrix24_portal_state" => {
            pb::PortalState::from_str_name(&format!("PORTAL_STATE_{value}")).is_some()
        }
        "bitrix24_method" | "url_template" => Method::ALL.iter().any(|it| it.as_str() == value),
        "http_request_method" => one_of(&["POST"]),
        "http_response_status_code" => value.parse::<u16>().is_ok(),
        "service_version" => value == env!("CARGO_PKG_VERSION"),
        "bitrix24_build_sim" => one_of(&["true", "false"]),
        "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
        _ => false,
    };
    assert!(known, "{metric} has {label}={value:?}");
}

fn tonic_code(value: &str) -> bool {
    let codes = (0..17)
        .map(tonic::Code::from_i32)
        .map(|code| format!("{code:?}"));
    let plain = value.replace('_', "");
    codes
        .into_iter()
        .any(|code| code.eq_ignore_ascii_case(&plain))
}

#[test]
fn dashboard_shows_every_metric_and_none_that_there_is_not() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana/dashboard.json")).unwrap();
    let shown = named(&dashboard.to_string());
    let declared = declared();
    assert!(declared.len() > 40, "{declared:?}");
    assert_eq!(shown, declared);
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(
        panels[0]["title"]
            .as_str()
            .unwrap()
            .starts_with("Golden signal"),
        "it comes first"
    );
}

#[test]
fn alerts_and_runbook_name_only_metrics_that_there_are() {
    let declared = declared();
    for file in [
        "deploy/prometheus/rules.yaml",
        "deploy/prometheus/rules_test.yaml",
        "deploy/RUNBOOK.md",
    ] {
        for name in named(&read(file)) {
            assert!(declared.contains(&name), "{file} names {name}");
        }
    }
}

#[test]
fn every_alert_is_tried_and_stands_in_the_runbook_and_no_other_does() {
    let after = |file: &str, mark: &str| -> BTreeSet<String> {
        let text = read(file);
        let lines = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix(mark));
        lines.map(|name| name.trim().to_owned()).collect()
    };
    let alerts = after("deploy/prometheus/rules.yaml", "- alert:");
    assert!(alerts.len() > 20, "{alerts:?}");
    assert_eq!(after("deploy/RUNBOOK.md", "### "), alerts);
    let tried = after("deploy/prometheus/rules_test.yaml", "alertname:");
    assert_eq!(tried, alerts);
}
