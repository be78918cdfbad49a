//! Every system error of the contract (C4): what it means, and whether the call can have run.

use bitrix24_sim::Fault;
use tonic::Code;

use super::{Call, Stage};

/// Status, code, and what the caller is told. A later status of the same code must change nothing.
const REFUSALS: &[(u16, &str, Code, &str)] = &[
    (
        503,
        "QUERY_LIMIT_EXCEEDED",
        Code::ResourceExhausted,
        "PORTAL_THROTTLED",
    ),
    (
        401,
        "QUERY_LIMIT_EXCEEDED",
        Code::ResourceExhausted,
        "PORTAL_THROTTLED",
    ),
    (
        429,
        "QUERY_LIMIT_EXCEEDED",
        Code::ResourceExhausted,
        "PORTAL_THROTTLED",
    ),
    (
        429,
        "OPERATION_TIME_LIMIT",
        Code::ResourceExhausted,
        "PORTAL_OPERATING_LIMIT",
    ),
    (
        503,
        "OVERLOAD_LIMIT",
        Code::FailedPrecondition,
        "PORTAL_PARKED",
    ),
    (
        401,
        "OVERLOAD_LIMIT",
        Code::FailedPrecondition,
        "PORTAL_PARKED",
    ),
    (
        401,
        "expired_token",
        Code::FailedPrecondition,
        "REAUTHORIZATION_REQUIRED",
    ),
    (
        401,
        "invalid_token",
        Code::FailedPrecondition,
        "REAUTHORIZATION_REQUIRED",
    ),
    (
        401,
        "NO_AUTH_FOUND",
        Code::FailedPrecondition,
        "REAUTHORIZATION_REQUIRED",
    ),
    (
        403,
        "INVALID_CREDENTIALS",
        Code::FailedPrecondition,
        "REAUTHORIZATION_REQUIRED",
    ),
    (
        401,
        "INVALID_CREDENTIALS",
        Code::FailedPrecondition,
        "REAUTHORIZATION_REQUIRED",
    ),
    (
        401,
        "authorization_error",
        Code::FailedPrecondition,
        "REAUTHORIZATION_REQUIRED",
    ),
    (
        403,
        "user_access_error",
        Code::FailedPrecondition,
        "REAUTHORIZATION_REQUIRED",
    ),
    (
        403,
        "insufficient_scope",
        Code::FailedPrecondition,
        "INSUFFICIENT_SCOPE",
    ),
    (
        401,
        "insufficient_scope",
        Code::FailedPrecondition,
        "INSUFFICIENT_SCOPE",
    ),
    (
        401,
        "ACCESS_DENIED",
        Code::FailedPrecondition,
        "PORTAL_PLAN_WITHOUT_REST",
    ),
    (
        401,
        "APPLICATION_NOT_FOUND",
        Code::FailedPrecondition,
        "APPLICATION_NOT_INSTALLED",
    ),
    (
        401,
        "ERROR_OAUTH",
        Code::FailedPrecondition,
        "APPLICATION_NOT_INSTALLED",
    ),
    (
        401,
        "NOT_INSTALLED",
        Code::FailedPrecondition,
        "APPLICATION_NOT_INSTALLED",
    ),
    (
        401,
        "PAYMENT_REQUIRED",
        Code::FailedPrecondition,
        "PAYMENT_REQUIRED",
    ),
    (
        500,
        "PORTAL_DELETED",
        Code::FailedPrecondition,
        "PORTAL_GONE",
    ),
    (
        410,
        "PORTAL_DELETED",
        Code::FailedPrecondition,
        "PORTAL_GONE",
    ),
    (
        401,
        "CONNECTION_ERROR",
        Code::Unavailable,
        "PORTAL_UNREACHABLE",
    ),
    (
        401,
        "METHOD_CONFIRM_WAITING",
        Code::FailedPrecondition,
        "METHOD_CONFIRMATION_REQUIRED",
    ),
    (
        403,
        "METHOD_CONFIRM_DENIED",
        Code::PermissionDenied,
        "METHOD_CONFIRMATION_REQUIRED",
    ),
    (
        400,
        "INVALID_REQUEST",
        Code::FailedPrecondition,
        "PORTAL_REFUSED",
    ),
    (
        404,
        "ERROR_METHOD_NOT_FOUND",
        Code::Unimplemented,
        "METHOD_NOT_SUPPORTED",
    ),
    (
        404,
        "ERROR_MANIFEST_IS_NOT_AVAILABLE",
        Code::Unimplemented,
        "METHOD_NOT_SUPPORTED",
    ),
    (
        401,
        "INTERNAL_WRONG_TRANSPORT",
        Code::FailedPrecondition,
        "PORTAL_REFUSED",
    ),
    (
        200,
        "wrong_client",
        Code::FailedPrecondition,
        "PORTAL_REFUSED",
    ),
    (400, "100", Code::InvalidArgument, "PORTAL_REFUSED"),
    (
        400,
        "ERROR_ARGUMENT",
        Code::InvalidArgument,
        "PORTAL_REFUSED",
    ),
    (
        400,
        "SOMETHING_NEW",
        Code::FailedPrecondition,
        "PORTAL_REFUSED",
    ),
    (
        409,
        "SOMETHING_NEW",
        Code::FailedPrecondition,
        "PORTAL_REFUSED",
    ),
    (
        429,
        "SOMETHING_NEW",
        Code::ResourceExhausted,
        "PORTAL_THROTTLED",
    ),
];

/// Errors that leave open whether the call took place.
const OPEN: &[(u16, &str)] = &[
    (400, "ERROR_CORE"),
    (200, "ERROR_CORE"),
    (500, "INTERNAL_SERVER_ERROR"),
    (500, "ERROR_UNEXPECTED_ANSWER"),
    (200, "WRONG_ENCODING"),
    (500, "SOMETHING_NEW"),
    (503, "SOMETHING_NEW"),
    (408, "SOMETHING_NEW"),
];

#[tokio::test(start_paused = true)]
async fn system_refusal_did_not_run_the_call() {
    let mut stage = Stage::new().await;
    for call in Call::ALL {
        for (status, code, grpc, reason) in REFUSALS {
            let fault = Fault::error(*status, code, "Plain words, not for logic");
            let told = stage.troubled(call, code, fault).await.expect_err(code);
            let seen = (told.code, told.reason.as_str(), told.executed.as_str());
            assert_eq!(seen, (*grpc, *reason, "no"), "{call:?}: {status} {code}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn failure_inside_the_portal_leaves_open_whether_the_call_ran() {
    let mut stage = Stage::new().await;
    for call in Call::ALL {
        for (status, code) in OPEN {
            let fault = Fault::error(*status, code, "Something broke");
            for fault in [fault.clone(), fault.after_effect()] {
                let told = stage.troubled(call, code, fault).await.expect_err(code);
                let expected = if call.reads() {
                    (Code::Unavailable, "PORTAL_REFUSED", "no")
                } else {
                    (Code::Unknown, "OUTCOME_UNKNOWN", "unknown")
                };
                let seen = (told.code, told.reason.as_str(), told.executed.as_str());
                assert_eq!(seen, expected, "{call:?}: {status} {code}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn portal_code_comes_verbatim_but_not_without_end() {
    use tonic_types::StatusExt as _;
    let mut stage = Stage::new().await;
    let faults = stage.scene.portal.faults();
    faults.on(Call::GetBot.method(), Fault::error(400, "Some_Code", "x"));
    let status = stage.call(Call::GetBot).await.unwrap_err();
    let code = |status: &tonic::Status| {
        status.get_details_error_info().unwrap().metadata["portal_code"].clone()
    };
    assert_eq!(code(&status), "Some_Code");

    faults.on(
        Call::GetBot.method(),
        Fault::error(400, &"X".repeat(1 << 20), "x"),
    );
    let status = stage.call(Call::GetBot).await.unwrap_err();
    assert_eq!(crate::scene::told(&status).reason, "PORTAL_REFUSED");
    assert!(code(&status).starts_with("XXXX") && code(&status).len() < 1000);
}

#[tokio::test(start_paused = true)]
async fn throttled_caller_is_told_when_to_come_again() {
    use tonic_types::StatusExt as _;
    let mut stage = Stage::new().await;
    for code in ["QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT"] {
        stage
            .scene
            .portal
            .faults()
            .on(Call::GetBot.method(), Fault::error(503, code, "x"));
        let status = stage.call(Call::GetBot).await.unwrap_err();
        let wait = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        assert!(wait.is_some_and(|wait| !wait.is_zero()), "{code}");
    }
}
