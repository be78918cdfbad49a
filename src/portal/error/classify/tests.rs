use std::time::Duration;

use super::*;
use crate::fault::{Executed, Fault, Kind, Reason};

use Reason as R;

/// The table of system errors, row by row: code, statuses documented or seen, reason, did it run.
const SYSTEM: &[(&str, &[u16], Kind, Reason, Executed)] = &[
    (
        "QUERY_LIMIT_EXCEEDED",
        &[503, 401, 429],
        Kind::Exhausted,
        R::PortalThrottled,
        Executed::No,
    ),
    (
        "OPERATION_TIME_LIMIT",
        &[429],
        Kind::Exhausted,
        R::PortalOperatingLimit,
        Executed::No,
    ),
    (
        "OVERLOAD_LIMIT",
        &[503, 401],
        Kind::Unready,
        R::PortalParked,
        Executed::No,
    ),
    (
        "expired_token",
        &[401],
        Kind::Unready,
        R::ReauthorizationRequired,
        Executed::No,
    ),
    (
        "invalid_token",
        &[401],
        Kind::Unready,
        R::ReauthorizationRequired,
        Executed::No,
    ),
    (
        "NO_AUTH_FOUND",
        &[401],
        Kind::Unready,
        R::ReauthorizationRequired,
        Executed::No,
    ),
    (
        "INVALID_CREDENTIALS",
        &[403, 401],
        Kind::Unready,
        R::ReauthorizationRequired,
        Executed::No,
    ),
    (
        "authorization_error",
        &[401],
        Kind::Unready,
        R::ReauthorizationRequired,
        Executed::No,
    ),
    (
        "user_access_error",
        &[403, 401],
        Kind::Unready,
        R::ReauthorizationRequired,
        Executed::No,
    ),
    (
        "insufficient_scope",
        &[403, 401],
        Kind::Unready,
        R::InsufficientScope,
        Executed::No,
    ),
    (
        "APPLICATION_NOT_FOUND",
        &[401],
        Kind::Unready,
        R::ApplicationNotInstalled,
        Executed::No,
    ),
    (
        "ERROR_OAUTH",
        &[401],
        Kind::Unready,
        R::ApplicationNotInstalled,
        Executed::No,
    ),
    (
        "NOT_INSTALLED",
        &[401],
        Kind::Unready,
        R::ApplicationNotInstalled,
        Executed::No,
    ),
    (
        "PAYMENT_REQUIRED",
        &[401],
        Kind::Unready,
        R::PaymentRequired,
        Executed::No,
    ),
    (
        "PORTAL_DELETED",
        &[500, 403, 410],
        Kind::Unready,
        R::PortalGone,
        Executed::No,
    ),
    (
        "CONNECTION_ERROR",
        &[401],
        Kind::Unavailable,
        R::PortalUnreachable,
        Executed::No,
    ),
    (
        "METHOD_CONFIRM_WAITING",
        &[401],
        Kind::Unready,
        R::MethodConfirmationRequired,
        Executed::No,
    ),
    (
        "METHOD_CONFIRM_DENIED",
        &[403],
        Kind::Denied,
        R::MethodConfirmationRequired,
        Executed::No,
    ),
    (
        "INVALID_REQUEST",
        &[400, 401],
        Kind::Unready,
        R::PortalRefused,
        Executed::No,
    ),
    (
        "ERROR_METHOD_NOT_FOUND",
        &[404],
        Kind::Unsupported,
        R::MethodNotSupported,
        Executed::No,
    ),
    (
        "ERROR_MANIFEST_IS_NOT_AVAILABLE",
        &[404],
        Kind::Unsupported,
        R::MethodNotSupported,
        Executed::No,
    ),
    (
        "INTERNAL_WRONG_TRANSPORT",
        &[401],
        Kind::Unready,
        R::PortalRefused,
        Executed::No,
    ),
    (
        "wrong_client",
        &[200],
        Kind::Unready,
        R::PortalRefused,
        Executed::No,
    ),
    (
        "ERROR_BATCH_METHOD_NOT_ALLOWED",
        &[405],
        Kind::Internal,
        R::InternalError,
        Executed::No,
    ),
    (
        "ERROR_BATCH_LENGTH_EXCEEDED",
        &[400],
        Kind::Internal,
        R::InternalError,
        Executed::No,
    ),
    ("100", &[400], Kind::Invalid, R::PortalRefused, Executed::No),
    (
        "ERROR_ARGUMENT",
        &[400],
        Kind::Invalid,
        R::PortalRefused,
        Executed::No,
    ),
    (
        "ERROR_CORE",
        &[400, 200],
        Kind::Ambiguous,
        R::OutcomeUnknown,
        Executed::Unknown,
    ),
    (
        "INTERNAL_SERVER_ERROR",
        &[500],
        Kind::Ambiguous,
        R::OutcomeUnknown,
        Executed::Unknown,
    ),
    (
        "ERROR_UNEXPECTED_ANSWER",
        &[500],
        Kind::Ambiguous,
        R::OutcomeUnknown,
        Executed::Unknown,
    ),
    (
        "WRONG_ENCODING",
        &[200],
        Kind::Ambiguous,
        R::OutcomeUnknown,
        Executed::Unknown,
    ),
    (
        "SOMETHING_NEW",
        &[400, 403, 404, 409],
        Kind::Unready,
        R::PortalRefused,
        Executed::No,
    ),
    ("", &[400], Kind::Unready, R::PortalRefused, Executed::No),
    (
        "SOMETHING_NEW",
        &[429],
        Kind::Exhausted,
        R::PortalThrottled,
        Executed::No,
    ),
    (
        "SOMETHING_NEW",
        &[500, 502, 503, 200, 408],
        Kind::Ambiguous,
        R::OutcomeUnknown,
        Executed::Unknown,
    ),
];

fn refusal(code: &str) -> NoReply {
    NoReply::Refused(Refusal::new(code))
}

#[test]
fn the_code_decides_and_then_the_status() {
    for (code, statuses, kind, reason, executed) in SYSTEM {
        for status in *statuses {
            for code in [
                (*code).to_owned(),
                code.to_ascii_lowercase(),
                code.to_ascii_uppercase(),
            ] {
                let error = classify(Method::CommandAnswer, *status, refusal(&code));
                let said = (error.kind(), error.reason(), error.executed());
                assert_eq!(said, (*kind, *reason, *executed), "{code} {status}");
                assert_eq!(error.portal_code(), Some(code.as_str()), "verbatim");
            }
        }
    }
}

#[test]
fn a_known_code_means_the_same_with_any_status() {
    for (code, statuses, kind, reason, executed) in SYSTEM {
        if code.is_empty() || *code == "SOMETHING_NEW" || statuses.is_empty() {
            continue;
        }
        for status in [200, 400, 401, 403, 404, 429, 500, 503] {
            let error = classify(Method::CommandAnswer, status, refusal(code));
            let said = (error.kind(), error.reason(), error.executed());
            assert_eq!(said, (*kind, *reason, *executed), "{code} {status}");
        }
    }
}

#[test]
fn denied_by_plan_and_denied_by_chat_are_told_apart() {
    let denied = |method, status, description: &str| {
        let refusal = Refusal {
            code: "ACCESS_DENIED".into(),
            description: description.into(),
            argument: None,
        };
        classify(method, status, refusal.into()).reason()
    };
    let plans = "REST API is available only on commercial plans";
    assert_eq!(
        denied(Method::MessageSend, 400, "Access denied"),
        R::AccessDenied
    );
    assert_eq!(
        denied(Method::MessageSend, 403, "Access denied"),
        R::AccessDenied
    );
    assert_eq!(denied(Method::MessageSend, 400, plans), R::AccessDenied);
    assert_eq!(
        denied(Method::MessageSend, 403, plans),
        R::PortalPlanWithoutRest
    );
    assert_eq!(
        denied(Method::MessageSend, 401, ""),
        R::PortalPlanWithoutRest
    );
    // A method that never says so itself.
    assert_eq!(denied(Method::Profile, 403, ""), R::PortalPlanWithoutRest);
    assert_eq!(
        denied(Method::AppInfo, 400, "Application context required"),
        R::AccessDenied
    );
}

fn heard(method: Method, status: u16, content_type: &str, body: &str) -> Error {
    let answer = Answer {
        status,
        content_type: Some(content_type.into()),
        body: body.to_owned().into(),
        ..Answer::default()
    };
    judge(method, &asked(), Ok(answer)).unwrap_err()
}

fn asked() -> SecretUrl {
    "https://old.bitrix24.com/rest/1/secretcode/profile"
        .parse()
        .unwrap()
}

#[test]
fn what_is_no_answer_of_a_portal_leaves_the_outcome_open() {
    let page = "<html><body>Sorry</body></html>";
    for (status, content_type, body) in [
        (404, "text/html", page),
        (500, "text/html", page),
        (502, "text/html", page),
        (504, "text/html", page),
        (200, "text/html", page),
        (502, "text/plain", "Bad Gateway"),
        (200, "application/json", ""),
        (200, "application/json", r#"{"result":{"id":7"#),
        (200, "application/json", "[]"),
        (200, "application/json", "{}"),
        (500, "application/json", r#"{"result":true}"#),
    ] {
        let error = heard(Method::CommandAnswer, status, content_type, body);
        assert_eq!(error.reason(), R::UnreadableAnswer, "{status} {body}");
        assert_eq!(error.kind(), Kind::Ambiguous);
        assert_eq!(error.executed(), Executed::Unknown);
        assert_eq!(error.method(), Some("imbot.v2.Command.answer"));

        let error = heard(Method::BotGet, status, content_type, body);
        assert_eq!(
            (error.kind(), error.executed()),
            (Kind::Unavailable, Executed::No)
        );
    }
}

#[test]
fn a_page_that_forbids_kept_the_call_from_running() {
    let error = heard(
        Method::CommandAnswer,
        403,
        "text/html",
        "<h1>403 Forbidden</h1>",
    );
    assert_eq!(
        (error.kind(), error.executed()),
        (Kind::Unavailable, Executed::No)
    );
    assert_eq!(error.reason(), R::PortalUnreachable);
}

#[test]
fn a_bare_429_is_a_rate_limit_whatever_its_body() {
    for body in ["", "<html>", "slow down", "{}"] {
        let error = heard(Method::CommandAnswer, 429, "text/html", body);
        assert_eq!(
            (error.reason(), error.executed()),
            (R::PortalThrottled, Executed::No)
        );
        assert!(error.retry_after().is_some());
    }
}

#[test]
fn the_wait_a_proxy_asks_for_is_honoured() {
    let answer = Answer {
        status: 503,
        retry_after: Some(Duration::from_secs(7)),
        body: r#"{"error":"QUERY_LIMIT_EXCEEDED"}"#.into(),
        ..Answer::default()
    };
    let error = judge(Method::MessageSend, &asked(), Ok(answer)).unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
}

#[test]
fn only_another_hosts_rest_interface_is_a_new_address() {
    let sent_to = |location: Option<&str>| {
        let answer = Answer {
            status: 302,
            location: location.map(str::to_owned),
            ..Answer::default()
        };
        let error = judge(Method::MessageSend, &asked(), Ok(answer)).unwrap_err();
        assert_eq!(error.executed(), Executed::No);
        error
    };
    let moved = sent_to(Some("https://new.bitrix24.com/rest/1/secretcode/profile"));
    let Cause::Moved { origin } = moved.cause() else {
        panic!("moved, not {:?}", moved.cause());
    };
    assert_eq!(origin, "https://new.bitrix24.com");
    assert!(!format!("{moved:?}").contains("secretcode"));
    for elsewhere in [
        None,
        Some("http://new.bitrix24.com/rest/1/secretcode/profile"),
        Some("https://auth.bitrix24.net/login/?backurl=/rest/"),
        Some("https://user@new.bitrix24.com/rest/1/x"),
        Some("https://10.0.0.1/rest/1/x"),
        Some("https://[::1]/rest/1/x"),
        Some("https://localhost/rest/1/x"),
        Some("https://"),
    ] {
        let error = sent_to(elsewhere);
        assert!(matches!(error.cause(), Cause::Redirected), "{elsewhere:?}");
    }
    for same_host in [
        "/license_expired.php",
        "https://OLD.bitrix24.com/rest/1/secretcode/profile",
    ] {
        assert_eq!(sent_to(Some(same_host)).reason(), R::PortalPlanWithoutRest);
    }
}

#[test]
fn the_methods_own_codes_name_what_a_caller_can_act_on() {
    for (code, kind, reason) in [
        ("BOT_NOT_FOUND", Kind::Missing, R::BotNotFound),
        ("BOT_OWNERSHIP_ERROR", Kind::Unready, R::BotTokenRejected),
        (
            "CLIENT_ID_NOT_SPECIFIED",
            Kind::Unready,
            R::BotTokenRejected,
        ),
        ("BOT_CODE_ALREADY_TAKEN", Kind::Exists, R::BotCodeTaken),
        ("COMMAND_ALREADY_EXISTS", Kind::Exists, R::CommandExists),
        ("MESSAGE_NOT_FOUND", Kind::Missing, R::MessageNotFound),
        ("CHAT_NOT_FOUND", Kind::Missing, R::ChatNotFound),
        ("EMPTY_MESSAGE", Kind::Invalid, R::PortalRefused),
        ("KEYBOARD_ERROR", Kind::Invalid, R::PortalRefused),
        ("ATTACH_ERROR", Kind::Invalid, R::PortalRefused),
        ("ATTACH_OVERSIZE", Kind::Invalid, R::PortalRefused),
        ("COMMAND_TITLE_REQUIRED", Kind::Invalid, R::PortalRefused),
    ] {
        for status in [400, 403] {
            let error = classify(Method::MessageSend, status, refusal(code));
            let said = (error.kind(), error.reason(), error.executed());
            assert_eq!(said, (kind, reason, Executed::No), "{code}");
        }
    }
    for code in [
        "MESSAGE_DUPLICATED_BY_UUID",
        "BOT_REGISTER_FAILED",
        "REST_SERVER_NOT_FOUND",
    ] {
        let error = classify(Method::MessageSend, 400, refusal(code));
        assert_eq!(error.executed(), Executed::Unknown, "{code}");
    }
}

#[test]
fn an_error_says_where_but_never_more_than_its_level() {
    let portal = "acme".parse().unwrap();
    let error = classify(Method::Profile, 401, refusal("expired_token")).at(&portal);
    assert_eq!(error.to_string(), "`profile` failed in portal `acme`");
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(
        cause.to_string(),
        "the portal refuses our credential: it has expired"
    );
    assert_eq!(error.portal(), Some("acme"));
}

#[test]
fn a_lost_batch_leaves_open_what_its_effects_did_but_not_its_reads() {
    let batch = heard(Method::Batch, 504, "text/html", "<html>");
    assert_eq!(batch.executed(), Executed::Unknown);
    assert_eq!(
        batch.of(Method::CommandAnswer).executed(),
        Executed::Unknown
    );
    assert_eq!(batch.of(Method::EventGet).executed(), Executed::No);
    assert_eq!(batch.of(Method::EventGet).status(), Some(504));
}
