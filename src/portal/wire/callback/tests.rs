use secrecy::ExposeSecret;
use serde_json::json;

use super::*;

fn read(event: &str, data: Value) -> AppEvent {
    let callback = json!({"event": event, "data": data, "auth": {"application_token": "t"}});
    Callback::from_value(&callback).unwrap().app.unwrap()
}

#[test]
fn an_update_names_both_versions() {
    let data = json!({"VERSION": 2, "PREVIOUS_VERSION": "1", "LANGUAGE_ID": "de"});
    let AppEvent::Update {
        version,
        previous_version,
        ..
    } = read("OnAppUpdate", data)
    else {
        panic!("an update");
    };
    assert_eq!(
        (version.as_deref(), previous_version.as_deref()),
        (Some("2"), Some("1"))
    );
}

#[test]
fn a_payment_says_how_it_stands() {
    let data = json!({"CODE": "x", "STATUS": "S", "PAYMENT_EXPIRED": "Y", "DAYS": "-2"});
    let AppEvent::Payment {
        status,
        payment_expired,
        days,
        ..
    } = read("ONAPPPAYMENT", data)
    else {
        panic!("a payment");
    };
    assert_eq!(
        (status.as_deref(), payment_expired, days),
        (Some("S"), Some(true), Some(-2))
    );
}

#[test]
fn a_decision_about_a_method_hides_its_token() {
    let data = json!({"TOKEN": "very-secret", "METHOD": "imbot.v2.bot.register", "CONFIRMED": "1"});
    let event = read("ONAPPMETHODCONFIRM", data);
    assert!(!format!("{event:?}").contains("very-secret"));
    let AppEvent::MethodConfirm {
        token,
        confirmed: true,
        method,
        ..
    } = event
    else {
        panic!("a decision");
    };
    assert_eq!(token.unwrap().expose_secret(), "very-secret");
    assert_eq!(method.as_deref(), Some("imbot.v2.bot.register"));
}

#[test]
fn data_are_kept_unless_their_removal_was_asked_for() {
    for (data, expected) in [
        (json!({"CLEAN": "0"}), false),
        (json!({"CLEAN": 1}), true),
        (json!([]), false),
    ] {
        let AppEvent::Uninstall { clean, .. } = read("ONAPPUNINSTALL", data) else {
            panic!("a removal");
        };
        assert_eq!(clean, expected);
    }
}

#[test]
fn a_call_that_is_no_callback_is_refused_and_other_events_are_not_ours() {
    for body in [
        json!({}),
        json!([]),
        json!("x"),
        json!({"event": ""}),
        json!({"event": []}),
    ] {
        assert!(Callback::from_value(&body).is_err(), "{body}");
    }
    let other = json!({"event": "ONIMBOTV2DELETE", "ts": "5", "auth": []});
    let other = Callback::from_value(&other).unwrap();
    assert!(other.app.is_none() && other.auth.application_token.is_none());
}
