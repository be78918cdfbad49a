use secrecy::ExposeSecret;
use serde_json::json;

use super::*;

fn read(status: u16, body: &Value) -> Result<Tokens, Error> {
    tokens(
        status,
        Some("application/json"),
        body.to_string().as_bytes(),
    )
}

#[test]
fn a_pair_is_enough_and_numbers_may_be_texts() {
    let pair = read(
        200,
        &json!({"access_token": "a", "refresh_token": "r", "expires_in": "1800",
        "scope": "im imbot", "user_id": "1"}),
    );
    let pair = pair.unwrap();
    assert_eq!(pair.access_token.expose_secret(), "a");
    assert_eq!(pair.expires_in.as_secs(), 1800);
    assert_eq!(pair.scope, ["im", "imbot"]);
    assert_eq!(pair.user_id, Some(1));
    let pair = read(
        200,
        &json!({"access_token": "a", "refresh_token": "r", "expires_in": -1}),
    );
    assert_eq!(pair.unwrap().expires_in.as_secs(), 3600);
}

#[test]
fn half_a_pair_is_none() {
    for body in [
        json!({"access_token": "a"}),
        json!({"access_token": "", "refresh_token": "r"}),
        json!([]),
        json!({}),
    ] {
        assert_eq!(read(200, &body).unwrap_err().denial(), Denial::Unclear);
    }
}

#[test]
fn only_a_definitive_refusal_ends_a_pair() {
    for (status, code, denial) in [
        (400, "invalid_grant", Denial::Spent),
        (400, "bad_verification_code", Denial::Spent),
        (200, "invalid_grant", Denial::Spent),
        (400, "INVALID_CLIENT", Denial::Misconfigured),
        (403, "insufficient_scope", Denial::Misconfigured),
        (401, "NOT_INSTALLED", Denial::NotInstalled),
        (401, "PAYMENT_REQUIRED", Denial::PaymentRequired),
        (404, "something_about_the_portal", Denial::PortalGone),
        (400, "something_new", Denial::Unclear),
        (401, "something_new", Denial::Unclear),
        (200, "something_new", Denial::Unclear),
        (429, "something_new", Denial::Unavailable),
        (503, "something_new", Denial::Unavailable),
    ] {
        let error = read(
            status,
            &json!({"error": code, "access_token": "a", "refresh_token": "r"}),
        );
        assert_eq!(error.unwrap_err().denial(), denial, "{status} {code}");
    }
    for (status, denial) in [
        (502, Denial::Unavailable),
        (404, Denial::Unclear),
        (200, Denial::Unclear),
    ] {
        let error = tokens(status, Some("text/html"), b"<html>").unwrap_err();
        assert_eq!(error.denial(), denial, "{status}");
    }
}

#[test]
fn an_installation_is_read_from_the_trusted_side() {
    let body = json!({"result": {
        "client_id": "app.1", "scope": "im,imbot", "expires": "2025-01-15T10:30:00+00:00", "user_id": 1,
        "install": {"installed": true, "version": 1, "status": "F", "domain": "p.bitrix24.com",
            "client_endpoint": "https://p.bitrix24.com/rest/", "member_id": "m", "member_type": 0},
    }});
    let info = app_info(200, None, body.to_string().as_bytes()).unwrap();
    assert_eq!(info.client_id.as_deref(), Some("app.1"));
    assert_eq!(info.scope, ["im", "imbot"]);
    assert_eq!(
        (info.installed, info.member_id.as_deref()),
        (Some(true), Some("m"))
    );
    assert_eq!(info.domain.as_deref(), Some("p.bitrix24.com"));
    assert!(app_info(200, None, b"{}").is_err());
    assert!(app_info(401, None, br#"{"error":"expired_token"}"#).is_err());
}
