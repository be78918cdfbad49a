//! Each layer over the one below, and each rule with its message.

mod callers;
mod http;
mod oauth;
mod readme;
mod telemetry;

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::*;

const URL: &str = "https://acme.bitrix24.com/rest/1/hushhush/";

/// A place for files, and sources of settings.
struct Desk {
    folder: TempDir,
    sources: Sources,
}

impl Desk {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            sources: Sources::default(),
        }
    }

    /// With a portal, so that all is well.
    fn ready() -> Self {
        Self::new().variable("WEBHOOK_URL", URL)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn file(mut self, text: &str) -> Self {
        self.sources.file = Some(self.write("config.toml", text));
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        let name = format!("BITRIX24_GATEWAY__{name}");
        self.sources.environment.push((name, value.to_owned()));
        self
    }

    fn flag(mut self, path: &'static str, value: &str) -> Self {
        self.sources.flags.0.push((path, value.to_owned()));
        self
    }

    fn load(&self) -> Config {
        Config::load(&self.sources).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What is wrong, in one line and without the secret.
    fn error(&self) -> String {
        let error = Config::load(&self.sources).unwrap_err().to_string();
        assert!(error.starts_with("configuration: "), "{error}");
        assert!(
            !error.contains('\n') && !error.contains("hushhush"),
            "{error}"
        );
        error
    }
}

/// The errors of settings, one at a time, each naming what it should.
fn all_wrong(rows: &[(&str, &str, &str)]) {
    for (name, value, told) in rows {
        let error = Desk::ready().variable(name, value).error();
        assert!(error.contains(told), "{name}={value}: {error}");
    }
}

#[test]
fn defaults_are_complete_but_for_a_portal() {
    let error = Desk::new().error();
    assert!(error.contains("`webhook_url` is missing"), "{error}");
    assert!(error.contains("BITRIX24_GATEWAY__WEBHOOK_URL"), "{error}");
    let config = Desk::ready().load();
    assert_eq!(config.grpc.door.listen.to_string(), "127.0.0.1:50051");
    assert_eq!(config.events.idle_pause, Duration::from_secs(5));
    assert!(!config.lookout.unwrap().asked_for);
    assert_eq!(config.portals.transport.timeout, Duration::from_secs(65));
}

#[test]
fn printed_defaults_are_a_configuration_file() {
    let config = Desk::ready().file(DEFAULTS).load();
    assert_eq!(config.grpc.max_request_bytes, 4 << 20);
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let burst = |desk: &Desk| desk.load().portals.rate.burst;
    let desk = Desk::ready();
    assert_eq!(burst(&desk), 50);
    let desk = desk.file("[rate]\nburst = 51\nrequests_per_second = 3\n");
    assert_eq!(burst(&desk), 51);
    let desk = desk.variable("RATE__BURST", "52");
    assert_eq!(burst(&desk), 52);
    let desk = desk.flag("rate.burst", "53");
    assert_eq!(burst(&desk), 53);
    // What a higher layer does not name stays.
    assert_eq!(desk.load().portals.rate.per_second, 3);
}

#[test]
fn environment_of_others_does_not_matter() {
    let mut desk = Desk::ready();
    for (name, value) in [
        // As Kubernetes injects for a service of our name.
        ("BITRIX24_GATEWAY_PORT", "tcp://10.0.0.7:50051"),
        ("BITRIX24_GATEWAY_SERVICE_HOST", "10.0.0.7"),
        ("BITRIX24_GATEWAY_PORT_50051_TCP_ADDR", "10.0.0.7"),
        ("BITRIX24_GATEWAY_CONFIG", "read elsewhere"),
        ("bitrix24_gateway__grpc__listen", "0.0.0.0:1"),
        ("GRPC__LISTEN", "0.0.0.0:1"),
        ("HTTP_PROXY", "http://10.0.0.7"),
        ("", ""),
    ] {
        desk.sources
            .environment
            .push((name.to_owned(), value.to_owned()));
    }
    assert_eq!(desk.load().grpc.door.listen.to_string(), "127.0.0.1:50051");
}

#[test]
fn proxy_is_ours_else_the_one_of_the_environment_else_none() {
    let proxy = |desk: &Desk| {
        let proxy = desk.load().portals.transport.proxy?;
        Some((proxy.url.expose().to_string(), proxy.direct))
    };
    let environment = |pairs: &[(&str, &str)]| {
        let mut desk = Desk::ready();
        let pairs = pairs.iter().map(|(name, value)| (*name, *value));
        desk.sources
            .environment
            .extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        desk
    };
    assert_eq!(proxy(&Desk::ready()), None);
    let desk = environment(&[
        ("HTTPS_PROXY", ""),
        ("all_proxy", "proxy.acme.com:3128"),
        ("no_proxy", "acme.com"),
    ]);
    let usual = (
        "http://proxy.acme.com:3128/".to_owned(),
        "acme.com".to_owned(),
    );
    assert_eq!(proxy(&desk), Some(usual));
    let desk = desk
        .variable("OUTBOUND__NO_PROXY", "10.0.0.0/8")
        .variable("OUTBOUND__PROXY", "http://us:secret@10.1.2.3:8080");
    let own = (
        "http://us:secret@10.1.2.3:8080/".to_owned(),
        "10.0.0.0/8".to_owned(),
    );
    assert_eq!(proxy(&desk), Some(own));
    assert!(!format!("{:?}", desk.load()).contains("secret"));
    assert_eq!(proxy(&desk.variable("OUTBOUND__PROXY", "none")), None);
}

#[test]
fn useless_proxy_is_named_by_where_it_came_from_and_not_shown() {
    let error = Desk::ready()
        .variable("OUTBOUND__PROXY", "socks5://us:secret@10.1.2.3")
        .error();
    assert!(error.contains("`outbound.proxy`"), "{error}");
    assert!(!error.contains("secret"), "{error}");
    let mut desk = Desk::ready();
    let usual = ("HTTPS_PROXY".to_owned(), "http://:secret@".to_owned());
    desk.sources.environment.push(usual);
    let error = desk.error();
    assert!(error.contains("`HTTPS_PROXY`"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn unknown_settings_are_named_with_the_known_ones() {
    let error = Desk::ready().file("[grpc]\nlistn = \"x\"\n").error();
    assert!(
        error.contains("`grpc.listn`") && error.contains("listen"),
        "{error}"
    );
    let error = Desk::ready().file("gprc = 1\n").error();
    assert!(
        error.contains("`gprc`") && error.contains("grpc"),
        "{error}"
    );
    let error = Desk::ready().variable("GRPC__LISTN", "x").error();
    assert!(
        error.contains("`grpc.listn`") && error.contains("listen"),
        "{error}"
    );
    let error = Desk::ready().variable("POLING__IDLE_PAUSE", "x").error();
    assert!(
        error.contains("`poling`") && error.contains("polling"),
        "{error}"
    );
    let error = Desk::ready()
        .file("[portals.acme]\nwebhook = \"hushhush\"\n")
        .error();
    assert!(
        error.contains("`portals.acme.webhook`") && error.contains("webhook_url"),
        "{error}"
    );
    for name in ["", "__", "__GRPC", "GRPC__", "GRPC____LISTEN"] {
        Desk::ready().variable(name, "x").error();
    }
}

#[test]
fn wrong_types_are_named_by_setting() {
    all_wrong(&[
        ("GRPC__INSECURE", "perhaps", "`grpc.insecure` must be"),
        (
            "GRPC__MAX_REQUEST_BYTES",
            "4 MB",
            "`grpc.max_request_bytes` must be",
        ),
        ("RATE__BURST", "-1", "`rate.burst` must be"),
        ("RATE__BURST", "1.5", "`rate.burst` must be"),
        ("GRPC", "hushhush", "`grpc` must be"),
        (
            "LOG__FORMAT",
            "xml",
            "`log.format` must be one of text, json",
        ),
        ("PORTALS", "hushhush", "`portals` must be"),
    ]);
    let error = Desk::ready().file("[grpc]\nlisten = 50051\n").error();
    assert!(error.contains("`grpc.listen` must be"), "{error}");
    let error = Desk::new().file("webhook_url = [\"hushhush\"]\n").error();
    assert!(error.contains("`webhook_url` must be"), "{error}");
}

#[test]
fn settings_outside_their_range_say_the_range() {
    all_wrong(&[
        ("GRPC__LISTEN", "localhost", "127.0.0.1:50051"),
        ("GRPC__LISTEN", "50051", "127.0.0.1:50051"),
        ("GRPC__LISTEN", "127.0.0.1:99999", "127.0.0.1:50051"),
        ("GRPC__MAX_REQUEST_BYTES", "65535", "65536 to 67108864"),
        ("GRPC__MAX_REQUEST_BYTES", "67108865", "65536 to 67108864"),
        ("OUTBOUND__MAX_ANSWER_BYTES", "0", "65536 to 67108864"),
        ("OUTBOUND__CONNECT_TIMEOUT", "99ms", "100ms to 60s"),
        ("OUTBOUND__REQUEST_TIMEOUT", "11m", "1s to 10m"),
        ("OUTBOUND__REQUEST_TIMEOUT", "65", "1s to 10m"),
        ("OUTBOUND__REQUEST_TIMEOUT", "-65s", "1s to 10m"),
        ("RATE__REQUESTS_PER_SECOND", "1001", "0 to 1000"),
        ("RATE__BURST", "0", "1 to 10000"),
        ("RATE__BURST", "10001", "1 to 10000"),
        ("POLLING__BUSY_PAUSE", "0s", "100ms to 60s"),
        ("POLLING__IDLE_PAUSE", "soon", "100ms to 10m"),
        ("POLLING__BUSY_FOR", "2h", "0s to 1h"),
        ("EVENTS__RETENTION", "59m", "1h to 8760h"),
        ("EVENTS__RETENTION_BYTES", "1048575", "1048576"),
    ]);
    for (name, value) in [
        ("OUTBOUND__REQUEST_TIMEOUT", "1m 5s"),
        ("RATE__REQUESTS_PER_SECOND", "0"),
        ("POLLING__BUSY_FOR", "0s"),
        ("EVENTS__RETENTION", "8760h"),
    ] {
        Desk::ready().variable(name, value).load();
    }
}

#[test]
fn text_that_looks_like_a_number_is_still_text() {
    let desk = Desk::new()
        .file(&format!("[portals.42]\nwebhook_url = \"{URL}\"\n"))
        .variable("DEFAULT_PORTAL", "42")
        .variable("STORE__DIR", "7")
        .flag("store.key_file", "true");
    let config = desk.load();
    assert_eq!(config.portals.default.unwrap().as_str(), "42");
    assert_eq!(config.store.dir, PathBuf::from("7"));
}

#[test]
fn beyond_loopback_needs_the_word_insecure() {
    for listen in ["0.0.0.0:50051", "[::]:50051", "192.0.2.1:50051"] {
        let desk = Desk::ready().flag("grpc.listen", listen);
        assert!(desk.error().contains("--insecure"), "{listen}");
        desk.flag("grpc.insecure", "true").load();
    }
    Desk::ready().flag("grpc.listen", "[::1]:0").load();
}

#[test]
fn webhook_url_comes_from_one_place() {
    let desk = Desk::new();
    let file = desk.write("webhook", &format!("  {URL}  \nsecond line\n"));
    let file = file.to_str().unwrap();
    let config = desk.variable("WEBHOOK_URL_FILE", file).load();
    assert_eq!(config.portals.default.unwrap().as_str(), "default");

    let both = Desk::ready();
    both.write("webhook", URL);
    let file = both.folder.path().join("webhook");
    let error = both
        .variable("WEBHOOK_URL_FILE", file.to_str().unwrap())
        .error();
    assert!(
        error.contains("`webhook_url_file`") && error.contains("beside `webhook_url`"),
        "{error}"
    );

    let error = Desk::new()
        .variable("WEBHOOK_URL_FILE", "/nowhere/webhook")
        .error();
    assert!(
        error.contains("`webhook_url_file`") && error.contains("/nowhere/webhook"),
        "{error}"
    );

    let empty = Desk::new();
    let file = empty.write("webhook", "");
    let error = empty
        .variable("WEBHOOK_URL_FILE", file.to_str().unwrap())
        .error();
    assert!(
        error.contains("`webhook_url_file` is not the URL"),
        "{error}"
    );
}

#[test]
fn malformed_webhook_url_is_not_shown() {
    for url in [
        "hushhush",
        "http://acme.bitrix24.com/rest/1/hushhush/",
        "https://acme.bitrix24.com/rest/hushhush/1/",
        "https://acme.bitrix24.com/rest/1/hushhush/profile.json",
        "https://user:hushhush@acme.bitrix24.com/rest/1/x/",
        "https://acme.bitrix24.com/rest/1/x/?auth=hushhush",
    ] {
        let error = Desk::new().variable("WEBHOOK_URL", url).error();
        assert!(
            error.contains("`webhook_url` is not the URL of an incoming webhook"),
            "{error}"
        );
    }
}

#[test]
fn webhook_may_have_an_end() {
    let ends = |text: &str| {
        let config = Desk::ready().variable("WEBHOOK_EXPIRES_AT", text).load();
        config.portals.webhook_ends.values().next().copied()
    };
    for (text, end) in [
        ("2027-01-31T12:00:00+02:00", Some("2027-01-31T10:00:00Z")),
        ("2027-01-31", Some("2027-01-31T00:00:00Z")),
        ("", None),
    ] {
        let end = end.map(|end| end.parse().unwrap());
        assert_eq!(ends(text), end, "{text}");
    }
    for wrong in ["soon", "2027-02-31", "31.01.2027"] {
        let error = Desk::ready().variable("WEBHOOK_EXPIRES_AT", wrong).error();
        assert!(
            error.contains("`webhook_expires_at` must be a time"),
            "{error}"
        );
    }
    let alone = "[portals.acme]\nwebhook_url = \"https://a.bitrix24.com/rest/1/x/\"\n";
    let error = Desk::new()
        .file(alone)
        .variable("WEBHOOK_EXPIRES_AT", "2027-01-31");
    assert!(error.error().contains("without `webhook_url`"));
    let named = format!("{alone}webhook_expires_at = \"2027-01-31\"\n");
    assert_eq!(
        Desk::new().file(&named).load().portals.webhook_ends.len(),
        1
    );
}

#[test]
fn portals_have_names_and_one_may_be_the_default() {
    let acme = format!("[portals.acme]\nwebhook_url = \"{URL}\"\n");
    let two = format!("{acme}[portals.other]\nwebhook_url = \"{URL}\"\n");
    let config = Desk::new().file(&two).load();
    assert_eq!(config.portals.portals.len(), 2);
    assert!(config.portals.default.is_none());
    // Not inferred from there being only one.
    assert!(Desk::new().file(&acme).load().portals.default.is_none());
    let config = Desk::new()
        .file(&two)
        .variable("DEFAULT_PORTAL", "other")
        .load();
    assert_eq!(config.portals.default.unwrap().as_str(), "other");
    let config = Desk::ready().file(&two).load();
    assert_eq!(config.portals.portals.len(), 3);
    assert_eq!(config.portals.default.unwrap().as_str(), "default");
    let one = Desk::new()
        .variable("PORTALS__ACME__WEBHOOK_URL", URL)
        .load();
    assert_eq!(one.portals.portals.keys().next().unwrap().as_str(), "acme");

    let error = Desk::new()
        .file(&two)
        .variable("DEFAULT_PORTAL", "third")
        .error();
    assert!(
        error.contains("`default_portal` names \"third\""),
        "{error}"
    );
    let error = Desk::new().file("[portals.Acme]\n").error();
    assert!(error.contains("`portals.Acme` is named wrongly"), "{error}");
    let error = Desk::new().file("[portals.acme]\n").error();
    assert!(
        error.contains("`portals.acme` needs `webhook_url`"),
        "{error}"
    );
    let error = Desk::ready()
        .file(&format!("[portals.default]\nwebhook_url = \"{URL}\"\n"))
        .error();
    assert!(
        error.contains("`portals.default` is given twice"),
        "{error}"
    );
}

#[test]
fn malformed_file_is_told_without_its_lines() {
    for text in [
        "webhook_url = \"https://acme.bitrix24.com/rest/1/hushhush/\n",
        "webhook_url = hushhush\n",
        "[hushhush\n",
        "webhook_url = \"a\"\nwebhook_url = \"hushhush\"\n",
        "hushhush",
        "\"hushhush\" = \u{0}\n",
    ] {
        let error = Desk::new().file(text).error();
        assert!(error.contains("TOML"), "{error}");
    }
    let mut missing = Desk::ready();
    missing.sources.file = Some("/nowhere/config.toml".into());
    assert!(missing.error().contains("/nowhere/config.toml"));
    missing.sources.file = Some(missing.folder.path().to_owned());
    missing.error();
}

#[test]
fn unreadable_certificates_name_their_setting() {
    let error = Desk::ready()
        .variable("OUTBOUND__CA_FILE", "/nowhere/ca.pem")
        .error();
    assert!(
        error.contains("`outbound.ca_file` names /nowhere/ca.pem"),
        "{error}"
    );
}

#[test]
fn secrets_do_not_show_in_the_loaded_configuration() {
    let keys = "bot:hushhush seal:hushhush";
    let desk = Desk::ready().variable("STORE__KEYS", keys).file("");
    let shown = format!("{:?}", desk.load());
    assert!(!shown.contains("hushhush"), "{shown}");
}
