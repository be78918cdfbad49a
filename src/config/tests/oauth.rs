//! Our application, and the portals that it is installed in.

use super::*;
use crate::{ids::PortalId, portal::Access};

const MEMBER: &str = "a223c6b3710f85df22e9377d6c4f7553";

/// With an application and nothing else.
fn applied() -> Desk {
    Desk::new()
        .variable("OAUTH__CLIENT_ID", "app.1")
        .variable("OAUTH__CLIENT_SECRET", "hushhush")
}

fn names(config: &Config) -> Vec<&str> {
    config
        .portals
        .portals
        .keys()
        .map(PortalId::as_str)
        .collect()
}

#[test]
fn portal_is_named_by_its_member_id() {
    let desk = applied().file(&format!("[portals.acme]\nmember_id = \"{MEMBER}\"\n"));
    let config = desk.load();
    assert_eq!(names(&config), ["acme"]);
    let access = config.portals.portals.values().next().unwrap();
    assert!(matches!(access, Access::OAuth(member) if member == MEMBER));
    let application = config.portals.application.as_ref().unwrap();
    let servers: Vec<_> = application
        .servers
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        servers,
        ["oauth.bitrix.info:443", "oauth.bitrix24.tech:443"]
    );
    assert!(!format!("{config:?}").contains("hushhush"));
}

#[test]
fn application_alone_is_enough_for_it_may_be_installed_anywhere() {
    let config = applied().load();
    assert!(names(&config).is_empty());
    assert!(config.portals.default.is_none());
}

#[test]
fn secret_of_the_application_comes_from_one_place() {
    let desk = Desk::new().variable("OAUTH__CLIENT_ID", "app.1");
    let file = desk.write("secret", "  hushhush \nmore\n");
    let file = file.display().to_string();
    let desk = desk.variable("OAUTH__CLIENT_SECRET_FILE", &file);
    let application = desk.load().portals.application.unwrap();
    assert_eq!(application.client_secret.expose_secret(), "hushhush");
    let error = desk.variable("OAUTH__CLIENT_SECRET", "hushhush").error();
    assert!(
        error.contains("`oauth.client_secret_file` is given beside"),
        "{error}"
    );
    let desk = Desk::new().variable("OAUTH__CLIENT_ID", "app.1");
    let empty = desk.write("empty", "\n").display().to_string();
    let error = desk.variable("OAUTH__CLIENT_SECRET_FILE", &empty).error();
    assert!(error.contains("first line is empty"), "{error}");
}

#[test]
fn half_an_application_says_what_is_missing() {
    all_wrong(&[
        (
            "OAUTH__CLIENT_ID",
            "app.1",
            "`oauth.client_id` is given without",
        ),
        (
            "OAUTH__CLIENT_SECRET",
            "hushhush",
            "`oauth.client_id` is missing",
        ),
        (
            "OAUTH__CLIENT_SECRET_FILE",
            "/nowhere/x",
            "`oauth.client_secret_file` names /nowhere/x",
        ),
        ("OAUTH__HOSTS", "", "`oauth.hosts` must name at least one"),
        (
            "OAUTH__HOSTS",
            "a.b, https://c.d",
            "`oauth.hosts` holds \"https://c.d\"",
        ),
    ]);
}

#[test]
fn portal_has_exactly_one_way_in() {
    let portal = |text: &str| format!("[portals.acme]\n{text}\n");
    let error = applied().file(&portal("")).error();
    assert!(
        error.contains("`portals.acme` needs `webhook_url`"),
        "{error}"
    );
    let both = format!("member_id = \"{MEMBER}\"\nwebhook_url = \"{URL}\"");
    let error = applied().file(&portal(&both)).error();
    assert!(
        error.contains("`portals.acme.member_id` is given beside"),
        "{error}"
    );
    let wrong = applied().file(&portal("member_id = \"a b\"")).error();
    assert!(
        wrong.contains("`portals.acme.member_id` must be"),
        "{wrong}"
    );
    let member = format!("member_id = \"{MEMBER}\"");
    let error = Desk::new().file(&portal(&member)).error();
    assert!(error.contains("needs an application"), "{error}");
    let twice = format!("{}[portals.zeta]\n{member}\n", portal(&member));
    let error = applied().file(&twice).error();
    assert!(
        error.contains("`portals.zeta.member_id` is that of `portals.acme`"),
        "{error}"
    );
}
