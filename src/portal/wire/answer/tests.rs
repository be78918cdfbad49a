use serde_json::json;

use super::*;

#[test]
fn done_comes_bare_or_wrapped() {
    for value in [
        json!(true),
        json!({"result": true}),
        json!("Y"),
        json!(1),
        json!({"result": "1"}),
    ] {
        assert_eq!(done(&value), Ok(true), "{value}");
    }
    assert_eq!(done(&json!({"result": false})), Ok(false));
    for value in [json!({}), json!([]), json!(null), json!("later")] {
        assert!(done(&value).is_err(), "{value}");
    }
}

#[test]
fn forwards_are_found_by_their_keys() {
    let sent = sent(&json!({"id": null, "uuidMap": {"a": 7, "b": "8", "c": []}})).unwrap();
    assert_eq!(sent.id, None);
    assert_eq!(
        sent.uuid_map,
        BTreeMap::from([("a".into(), 7), ("b".into(), 8)])
    );
    assert!(super::sent(&json!(true)).is_err());
}

#[test]
fn a_dismissed_user_has_no_profile() {
    assert_eq!(profile(&json!([])), Ok(None));
    let own = profile(&json!({"ID": "1", "ADMIN": true, "NAME": "Ann"}))
        .unwrap()
        .unwrap();
    assert_eq!((own.id, own.admin), (1, Some(true)));
    assert!(profile(&json!({"NAME": "Ann"})).is_err());
}

#[test]
fn an_application_is_known_in_two_forms() {
    let webhook = app_info(&json!({"SCOPE": ["imbot", "im"], "LICENSE": "de_ent10000"})).unwrap();
    assert_eq!(webhook.scope, ["imbot", "im"]);
    assert_eq!(webhook.license.as_deref(), Some("de_ent10000"));
    let application = app_info(&json!({
        "ID": 12, "CODE": "local.1", "VERSION": 1, "STATUS": "L", "INSTALLED": false,
        "PAYMENT_EXPIRED": "N", "DAYS": -3, "LICENSE_FAMILY": "ent",
    }))
    .unwrap();
    assert_eq!(
        (application.installed, application.payment_expired),
        (Some(false), Some(false))
    );
    assert_eq!(
        (application.version.as_deref(), application.days),
        (Some("1"), Some(-3))
    );
    assert_eq!(application.license_family.as_deref(), Some("ent"));
}

#[test]
fn scopes_are_separated_by_whatever() {
    for value in [
        json!("im,imbot"),
        json!("im imbot"),
        json!("im, imbot "),
        json!(["im", "imbot"]),
    ] {
        assert_eq!(scopes(&value), ["im", "imbot"]);
    }
    assert!(scopes(&json!(null)).is_empty());
}

#[test]
fn members_are_a_bare_list_and_revisions_may_be_texts() {
    let users = members(&json!([{"id": 1}, [], {"id": "2"}])).unwrap();
    assert_eq!(users.iter().map(|user| user.id).collect::<Vec<_>>(), [1, 2]);
    let revision = revision(&json!({"rest": "33", "web": 130})).unwrap();
    assert_eq!(
        (revision.rest, revision.web, revision.mobile),
        (33, Some(130), None)
    );
}

#[test]
fn a_list_with_an_unreadable_item_is_not_taken_for_a_shorter_one() {
    let error = commands(&json!({"commands": [{"id": 1}, {"id": null}]})).unwrap_err();
    assert!(error.to_string().starts_with("`commands[1].id`"), "{error}");
    assert!(commands(&json!({})).is_err());
    assert!(bots(&json!({"bots": []})).unwrap().bots.is_empty());
}
