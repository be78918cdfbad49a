//! `doctor --probe`: what a portal shows of what is relied upon without a promise.

use bitrix24_gateway::proto::v1::{self as pb, bot_service_client::BotServiceClient};

use crate::process::{Desk, Ended, Running, SECRET};

/// A gateway that runs, with a bot.
async fn with_bot(desk: &Desk) -> Running {
    let running = Running::of(desk.serve(&[], &[])).await;
    let address = format!("http://{}", running.address);
    let mut bots = BotServiceClient::connect(address).await.unwrap();
    let bot = pb::RegisterBotRequest {
        bot_code: "helper".to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Helper".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    };
    bots.register_bot(bot).await.unwrap();
    running
}

async fn doctor(desk: &Desk, arguments: &[&str]) -> Ended {
    Ended::of(desk.bare(&[&["doctor"], arguments].concat())).await
}

/// What is told, with this exit code and nothing beside.
async fn told(desk: &Desk, arguments: &[&str], code: i32) -> String {
    let ended = doctor(desk, arguments).await;
    let (ended_with, err) = (ended.code, ended.err.as_str());
    assert_eq!((ended_with, err), (Some(code), ""), "{ended:?}");
    assert!(
        !ended.out.contains(SECRET) && !ended.out.contains('\u{1b}'),
        "{ended:?}"
    );
    ended.out
}

fn has(out: &str, verdict: &str, name: &str) {
    let line = out.lines().find(|line| line.contains(&format!(" {name} ")));
    let line = line.unwrap_or_else(|| panic!("no {name} in {out}"));
    assert!(line.trim_start().starts_with(verdict), "{out}");
}

#[tokio::test]
async fn each_assumption_is_told_with_the_line_that_keeps_it() {
    let desk = Desk::new().await;
    let running = with_bot(&desk).await;
    let out = told(&desk, &["--probe", "--bot", "helper"], 0).await;
    assert!(
        out.starts_with("portal default, asked by its bot helper\n"),
        "{out}"
    );
    has(&out, "holds", "batched_calls");
    has(&out, "holds", "batched_polls");
    has(&out, "left out", "answer_window");
    has(&out, "left out", "message_keys");
    assert!(
        out.contains("11 minutes") && out.contains("--dialog"),
        "{out}"
    );
    assert!(
        out.ends_with("settled, but for what was left out\n"),
        "{out}"
    );

    let asked = ["--probe", "--bot", "helper", "--dialog", "1"];
    let out = told(&desk, &asked, 0).await;
    has(&out, "holds", "message_keys");
    let keep = "to keep it beyond a restart: assume.message_keys = \"on\"";
    assert!(out.contains(keep), "{out}");

    // The bot is not in there.
    let chat = desk.portal.add_group_chat("Others", &[1]).dialog_id();
    let asked = ["--probe", "--bot", "helper", "--dialog", &chat];
    let out = told(&desk, &asked, 1).await;
    has(&out, "unsettled", "message_keys");
    assert!(out.ends_with("not settled: message_keys\n"), "{out}");

    let ended = running.stop("TERM").await;
    let audit = ended.err.lines();
    let audit: Vec<_> = audit
        .filter(|line| line.contains("doctor --probe"))
        .collect();
    assert_eq!(audit.len(), 3, "{ended:?}");
    for part in [" audit: ", "portal=default", "bot=\"helper\"", &chat] {
        assert!(audit[2].contains(part), "{part}: {}", audit[2]);
    }
    assert!(!ended.err.contains("Test message"), "{}", ended.err);
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_with_what_to_do() {
    let desk = Desk::new().await;
    let probe = ["--probe", "--bot", "helper"];
    let ended = doctor(&desk, &probe).await;
    assert!(ended.failure(1).contains("`serve` makes one"), "{ended:?}");

    let running = Running::of(desk.serve(&[], &[])).await;
    let ended = doctor(&desk, &probe).await;
    let why = ended.failure(1);
    assert!(why.contains("no bot `helper` was registered"), "{why}");
    let ended = doctor(&desk, &["--probe", "--bot", "helper", "--portal", "other"]).await;
    let why = ended.failure(1);
    assert!(why.contains("there is no portal `other`"), "{why}");
    running.stop("TERM").await;

    let ended = doctor(&desk, &probe).await;
    let why = ended.failure(1);
    assert!(why.contains("start it with `serve`"), "{why}");
    for (arguments, missing) in [
        (&["--probe"][..], "--bot"),
        (&["--bot", "helper", "--dialog", "1"], "--probe"),
    ] {
        let ended = doctor(&desk, arguments).await;
        assert!(ended.failure(2).contains(missing), "{ended:?}");
    }
}
