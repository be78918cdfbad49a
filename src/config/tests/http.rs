//! Where installations come in.

use super::*;

fn listening(at: &str) -> Desk {
    Desk::new()
        .variable("OAUTH__CLIENT_ID", "app.1")
        .variable("OAUTH__CLIENT_SECRET", "hushhush")
        .variable("HTTP__LISTEN", at)
        .variable("HTTP__PUBLIC_URL", "https://b24.example.com/")
}

#[test]
fn nobody_is_listened_to_unless_an_address_is_given() {
    let desk = Desk::ready();
    assert!(desk.load().http.is_none());
    let config = listening("127.0.0.1:0").load().http.unwrap();
    assert_eq!(config.public_url.to_string(), "https://b24.example.com");
    assert_eq!((config.connections, config.tls.is_none()), (256, true));
}

#[test]
fn beyond_this_machine_it_needs_tls_or_the_word_that_something_in_front_speaks_it() {
    let refused = listening("0.0.0.0:8080").error();
    assert!(
        refused.contains("`http.listen` is 0.0.0.0:8080"),
        "{refused}"
    );
    assert!(refused.contains("`http.insecure`"), "{refused}");
    let insecure = listening("0.0.0.0:8080").variable("HTTP__INSECURE", "true");
    assert!(insecure.load().http.is_some());
    let secure = listening("0.0.0.0:8080")
        .variable("HTTP__TLS__CERT_FILE", "cert.pem")
        .variable("HTTP__TLS__KEY_FILE", "key.pem");
    assert!(secure.load().http.unwrap().tls.is_some());
}

#[test]
fn settings_that_cannot_work_are_named() {
    for (variable, value, key) in [
        ("HTTP__LISTEN", "everywhere", "`http.listen`"),
        ("HTTP__PUBLIC_URL", "", "`http.public_url`"),
        (
            "HTTP__PUBLIC_URL",
            "http://b24.example.com",
            "`http.public_url`",
        ),
        (
            "HTTP__PUBLIC_URL",
            "https://b24.example.com/base",
            "`http.public_url`",
        ),
        ("HTTP__MAX_CONNECTIONS", "0", "`http.max_connections`"),
        ("HTTP__TLS__CERT_FILE", "cert.pem", "`http.tls.key_file`"),
        ("HTTP__TLS__KEY_FILE", "key.pem", "`http.tls.cert_file`"),
    ] {
        let refused = listening("127.0.0.1:0").variable(variable, value).error();
        assert!(refused.contains(key), "{variable}={value}: {refused}");
    }
}

#[test]
fn portals_post_events_to_a_gateway_that_has_no_application() {
    let desk = Desk::new()
        .variable("WEBHOOK_URL", URL)
        .variable("HTTP__LISTEN", "127.0.0.1:0")
        .variable("HTTP__PUBLIC_URL", "https://b24.example.com");
    let http = desk.load().http.unwrap();
    assert_eq!(http.hooks(), "https://b24.example.com/bitrix24/bots/");
}
