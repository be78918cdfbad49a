//! A part of a gateway that panics ends it in order, so that whoever started it starts it again.

use futures_util::future::join_all;

use crate::process::{Desk, Ended};

/// Background tasks that every gateway has.
const EVERY: [&str; 16] = [
    "admin HTTP",
    "admin socket",
    "ends of webhooks",
    "gRPC",
    "gRPC door",
    "health",
    "limits",
    "poller",
    "probes",
    "queue",
    "retention",
    "rotation",
    "sealing",
    "settling",
    "settling of modes",
    "watch of the store",
];

async fn breaks(task: &str, arguments: &[&str], more: &[(&str, &str)]) {
    let desk = Desk::new().await;
    let more = [&[("ADMIN__LISTEN", "127.0.0.1:0")], more].concat();
    let file = desk.write("config.toml", "");
    let mut command = desk.serve(&[&["--config", &file], arguments].concat(), &more);
    command.env("BITRIX24_GATEWAY_TEST_PANIC", task);
    let ended = Ended::of(command).await;
    assert_eq!(ended.code, Some(1), "{task}: {ended:?}");
    for told in [
        "panicked panic.place=src/lifecycle.rs",
        "a task panicked: the gateway stops",
        "gateway stopped",
        &format!("bitrix24-gateway: a part of the gateway broke: {task}\n"),
    ] {
        assert!(ended.err.contains(told), "{task}: {told}: {}", ended.err);
    }
    // The store was closed as it should be.
    let again = Ended::of(desk.bare(&["store", "check"])).await;
    assert_eq!(again.code, Some(0), "{task}: {again:?}");
}

#[tokio::test]
async fn every_background_task_that_panics_ends_the_gateway_with_exit_code_one() {
    for some in EVERY.chunks(4) {
        join_all(some.iter().map(|task| breaks(task, &[], &[]))).await;
    }
}

#[tokio::test]
async fn tasks_that_some_gateways_have_do_so_too() {
    let http = [
        ("HTTP__LISTEN", "127.0.0.1:0"),
        ("HTTP__PUBLIC_URL", "https://gateway.example.com"),
    ];
    for task in ["HTTP", "listening", "end of listening"] {
        breaks(task, &[], &http).await;
    }
    for task in ["callers", "credentials"] {
        breaks(task, &[], &[]).await;
    }
}
