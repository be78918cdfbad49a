use serde_json::json;

use super::*;

fn read(status: u16, body: &str) -> Result<Reply, NoReply> {
    decode(
        status,
        Some("application/json; charset=utf-8"),
        body.as_bytes(),
    )
}

fn refusal(status: u16, body: &str) -> Refusal {
    match read(status, body) {
        Err(NoReply::Refused(refusal)) => refusal,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_result_may_be_anything() {
    for (body, result) in [
        (r#"{"result":{"a":1}}"#, json!({"a": 1})),
        (r#"{"result":[]}"#, json!([])),
        (r#"{"result":true,"time":[]}"#, json!(true)),
        (r#"{"result":"text"}"#, json!("text")),
        (r#"{"result":null}"#, json!(null)),
        (r#"{"result":false,"error":null}"#, json!(false)),
        (r#"{"result":1,"error":[]}"#, json!(1)),
        ("\u{feff} {\"result\":1}\n", json!(1)),
        (r#"{"result":"https:\/\/a\/b"}"#, json!("https://a/b")),
    ] {
        let reply = read(200, body).unwrap();
        assert_eq!((reply.result, reply.time), (result, None), "{body}");
    }
    let html = decode(200, Some("text/html"), br#"{"result":1}"#).unwrap();
    assert_eq!(html.result, json!(1), "PHP labels as it likes");
}

#[test]
fn lists_of_the_old_style_tell_their_length() {
    let reply = read(200, r#"{"result":[],"total":"70","next":50}"#).unwrap();
    assert_eq!((reply.total, reply.next), (Some(70), Some(50)));
}

#[test]
fn costs_are_read_from_numbers_and_texts_alike() {
    let body = r#"{"result":1,"time":{"start":1,"finish":"2.5","processing":0,"operating":"0.25",
        "operating_reset_at":"1778747792"}}"#;
    let time = read(200, body).unwrap().time.unwrap();
    assert_eq!(
        (time.start, time.finish, time.duration),
        (Some(1.0), Some(2.5), None)
    );
    assert_eq!((time.processing, time.operating), (Some(0.0), Some(0.25)));
    assert_eq!(time.operating_reset_at, Some(1_778_747_792));
}

#[test]
fn codes_come_as_texts_numbers_and_objects() {
    for (error, code) in [
        (r#""BOT_NOT_FOUND""#, "BOT_NOT_FOUND"),
        ("100", "100"),
        ("100.0", "100"),
        (r#""0""#, "0"),
        ("0", "0"),
        ("9223372036854775807", "9223372036854775807"),
        (r#""""#, ""),
        (r#"{"code":"NOT_FOUND","message":"m"}"#, "NOT_FOUND"),
        (r#"{"code":404}"#, "404"),
        ("{}", ""),
        ("[]", ""),
        ("null", ""),
        ("false", ""),
        (r#"["X"]"#, ""),
    ] {
        for status in [200, 400, 500] {
            let refusal = refusal(status, &format!(r#"{{"error":{error}}}"#));
            assert_eq!(refusal.code, code, "{error}");
        }
    }
}

#[test]
fn an_error_wins_over_a_result_beside_it_and_extra_keys_are_kept_or_ignored() {
    let refusal = refusal(
        200,
        r#"{"result":true,"error":"ERROR_ARGUMENT","error_description":"no","argument":"botId","x":1}"#,
    );
    assert!(refusal.is("error_argument"));
    assert_eq!(refusal.description, "no");
    assert_eq!(refusal.argument.as_deref(), Some("botId"));
}

#[test]
fn whatever_is_no_answer_is_named_for_what_it_is() {
    let unreadable = |status, content_type, body: &[u8]| match decode(status, content_type, body) {
        Err(NoReply::Unreadable(unreadable)) => unreadable,
        other => panic!("{other:?}"),
    };
    assert_eq!(unreadable(200, None, b""), Unreadable::Empty);
    assert_eq!(unreadable(200, None, b" \r\n"), Unreadable::Empty);
    assert_eq!(unreadable(502, None, b"<!DOCTYPE html>"), Unreadable::Html);
    assert_eq!(
        unreadable(502, Some("text/html"), b"Bad gateway"),
        Unreadable::Html
    );
    assert_eq!(
        unreadable(502, Some("text/plain"), b"Bad gateway"),
        Unreadable::NotJson
    );
    assert_eq!(
        unreadable(200, None, br#"{"result":{"#),
        Unreadable::NotJson
    );
    assert_eq!(
        unreadable(200, Some("text/html"), br#"{"result":{"#),
        Unreadable::NotJson
    );
    assert_eq!(
        unreadable(200, None, br#"{"result":1}{"result":1}"#),
        Unreadable::NotJson
    );
    let deep = "[".repeat(100_000);
    assert_eq!(unreadable(200, None, deep.as_bytes()), Unreadable::NotJson);
    for other in ["[]", "true", "1", "null", r#""ok""#, "{}", r#"{"time":{}}"#] {
        let shape = unreadable(200, None, other.as_bytes());
        assert!(matches!(shape, Unreadable::Shape { .. }), "{other}");
    }
    let shape = unreadable(500, None, br#"{"result":true}"#);
    assert!(
        matches!(shape, Unreadable::Shape { .. }),
        "a success with status 500"
    );
}

#[test]
fn one_broken_character_does_not_cost_the_answer() {
    let reply = decode(200, None, b"{\"result\":\"a\xFFb\"}").unwrap();
    assert_eq!(reply.result, json!("a\u{fffd}b"));
}
