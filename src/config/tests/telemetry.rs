//! Where traces and measurements go.

use super::*;
use crate::telemetry::otlp;

/// With a variable that other programs heed too.
fn usual(mut desk: Desk, name: &str, value: &str) -> Desk {
    let pair = (name.to_owned(), value.to_owned());
    desk.sources.environment.push(pair);
    desk
}

fn sent(desk: &Desk) -> otlp::Config {
    desk.load().telemetry.otlp.expect("there is a collector")
}

fn resource(desk: &Desk) -> Vec<String> {
    let resource = sent(desk).resource.into_iter();
    resource
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[test]
fn nothing_is_sent_unless_there_is_a_collector() {
    assert!(Desk::ready().load().telemetry.otlp.is_none());
    let named = usual(
        Desk::ready(),
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "http://collector:4318",
    );
    assert_eq!(sent(&named).endpoint.as_str(), "http://collector:4318/");
    let own = named.variable("TELEMETRY__OTLP_ENDPOINT", "https://other:4318/x");
    assert_eq!(sent(&own).endpoint.as_str(), "https://other:4318/x");
    let none = own.flag("telemetry.otlp_endpoint", "none");
    assert!(none.load().telemetry.otlp.is_none());
}

#[test]
fn headers_are_secrets() {
    let desk = Desk::ready().variable("TELEMETRY__OTLP_ENDPOINT", "http://collector:4318");
    let desk = usual(
        desk,
        "OTEL_EXPORTER_OTLP_HEADERS",
        "authorization=Bearer%20hushhush,x-tenant=chat",
    );
    let config = sent(&desk);
    let headers = config.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| (name.as_str(), value.expose_secret()))
        .collect();
    assert_eq!(
        headers,
        [("authorization", "Bearer hushhush"), ("x-tenant", "chat")]
    );
    assert!(!format!("{config:?}").contains("hushhush"));
    let error = desk.variable("TELEMETRY__OTLP_HEADERS", "hushhush").error();
    assert!(error.contains("`telemetry.otlp_headers`"), "{error}");
}

#[test]
fn collector_has_a_proxy_of_its_own() {
    let desk = Desk::ready()
        .variable("TELEMETRY__OTLP_ENDPOINT", "http://collector:4318")
        .variable("OUTBOUND__PROXY", "http://one:3128");
    assert!(sent(&desk).proxy.is_none());
    let desk = desk
        .variable("TELEMETRY__PROXY", "http://user:hushhush@two:3128")
        .variable("TELEMETRY__NO_PROXY", "10.0.0.0/8");
    let (url, direct) = sent(&desk).proxy.unwrap();
    assert_eq!(url.expose_secret(), "http://user:hushhush@two:3128/");
    assert_eq!(direct, "10.0.0.0/8");
    assert!(!format!("{:?}", sent(&desk)).contains("hushhush"));
    let usual = usual(Desk::ready(), "HTTPS_PROXY", "three:3128");
    let usual = usual.variable("TELEMETRY__OTLP_ENDPOINT", "http://collector:4318");
    let (url, _) = sent(&usual).proxy.unwrap();
    assert_eq!(url.expose_secret(), "http://three:3128/");
}

#[test]
fn process_is_named_by_our_settings_else_by_the_usual_variables() {
    let desk = Desk::ready().variable("TELEMETRY__OTLP_ENDPOINT", "http://collector:4318");
    assert_eq!(resource(&desk), ["service.name=bitrix24-gateway"]);
    let desk = usual(
        desk,
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.name=one,k8s.pod.name=gw%2D0",
    );
    assert_eq!(resource(&desk), ["service.name=one", "k8s.pod.name=gw-0"]);
    let desk = usual(desk, "OTEL_SERVICE_NAME", "two");
    let desk = desk.variable("TELEMETRY__ENVIRONMENT", "production");
    assert_eq!(
        resource(&desk),
        [
            "service.name=one",
            "k8s.pod.name=gw-0",
            "service.name=two",
            "deployment.environment.name=production"
        ]
    );
}

#[test]
fn ratio_is_a_part_of_one() {
    let ratio = |text: &str| {
        let desk = Desk::ready().variable("TELEMETRY__OTLP_ENDPOINT", "http://collector:4318");
        desk.variable("TELEMETRY__SAMPLE_RATIO", text)
    };
    assert!((sent(&ratio("0.25")).sample_ratio - 0.25).abs() < f64::EPSILON);
    assert!((sent(&ratio("1")).sample_ratio - 1.0).abs() < f64::EPSILON);
    for wrong in ["1.5", "-0.1", "NaN", "much"] {
        let error = ratio(wrong).error();
        assert!(error.contains("telemetry.sample_ratio"), "{wrong}: {error}");
    }
    let file = Desk::ready().file("[telemetry]\nsample_ratio = 1\n");
    assert!(file.load().telemetry.otlp.is_none());
}

#[test]
fn collector_is_an_address_without_credentials() {
    for wrong in [
        "collector:4318",
        "ftp://collector",
        "http://user:hushhush@collector:4318",
        "http://c:4318?x=1",
    ] {
        let error = Desk::ready()
            .variable("TELEMETRY__OTLP_ENDPOINT", wrong)
            .error();
        assert!(
            error.contains("telemetry.otlp_endpoint"),
            "{wrong}: {error}"
        );
    }
    let error = Desk::ready()
        .variable("TELEMETRY__OTLP_ENDPOINT", "http://collector:4318")
        .variable("TELEMETRY__OTLP_CA_FILE", "/nowhere/ca.pem")
        .error();
    assert!(error.contains("telemetry.otlp_ca_file"), "{error}");
}
