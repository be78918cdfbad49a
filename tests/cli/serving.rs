//! A gateway that runs, and how it ends.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use bitrix24_gateway::{
    config::DEFAULTS,
    proto::v1::{
        self as pb, bot_service_client::BotServiceClient, subscribe_command_events_response::Item,
    },
};
use bitrix24_sim::Fault;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

use crate::process::{Desk, Ended, Running, SECRET};

/// More than a stop may take when nothing is under way.
const QUICKLY: Duration = Duration::from_secs(10);

#[tokio::test]
async fn help_and_version_are_printed() {
    let desk = Desk::new().await;
    let version = Ended::of(desk.bare(&["--version"])).await;
    assert_eq!(version.code, Some(0));
    assert_eq!(
        version.out,
        format!("bitrix24-gateway {}\n", env!("CARGO_PKG_VERSION"))
    );
    let help = Ended::of(desk.bare(&["--help"])).await;
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    for command in [
        "serve",
        "healthcheck",
        "demo",
        "sim",
        "defaults",
        "store",
        "keys",
        "callers",
        "portals",
    ] {
        assert!(help.out.contains(command), "{}", help.out);
    }
    let help = Ended::of(desk.bare(&["serve", "--help"])).await;
    assert_eq!(help.code, Some(0));
    assert!(help.out.contains("BITRIX24_GATEWAY_CONFIG"), "{}", help.out);
}

#[tokio::test]
async fn printed_defaults_are_a_configuration_to_start_from() {
    let desk = Desk::new().await;
    let defaults = Ended::of(desk.bare(&["defaults"])).await;
    assert_eq!((defaults.code, defaults.out.as_str()), (Some(0), DEFAULTS));
    let file = desk.write("config.toml", &defaults.out);
    let ended = Running::of(desk.serve(&["--config", &file], &[]))
        .await
        .stop("TERM")
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn demo_tells_its_story_and_ends_well() {
    let desk = Desk::new().await;
    let ended = Ended::of(desk.bare(&["demo"])).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.out.contains("exactly once") && ended.out.contains("stopped in order"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn first_start_makes_keys_for_the_owner_alone_and_says_so() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let keys = desk.path("bitrix24-gateway-data/keys");
    assert_eq!(
        fs::metadata(&keys).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(
        running.said.contains("new keys were made") && running.said.contains("keep a copy"),
        "{}",
        running.said
    );
    assert!(
        running.said.contains("bitrix24-gateway-data/keys"),
        "{}",
        running.said
    );
    let ended = running.stop("TERM").await;
    assert!(
        !ended.err.contains('\u{1b}'),
        "colours are for terminals: {}",
        ended.err
    );
    let again = Running::of(desk.serve(&[], &[])).await;
    assert!(!again.said.contains("new keys"), "{}", again.said);
    again.stop("TERM").await;
}

#[tokio::test]
async fn signals_end_it_well_and_quickly_also_with_an_open_stream() {
    let desk = Desk::new().await;
    for signal in ["TERM", "INT"] {
        let running = Running::of(desk.serve(&[], &[])).await;
        let mut bots = BotServiceClient::connect(format!("http://{}", running.address))
            .await
            .unwrap();
        let request = pb::SubscribeCommandEventsRequest::default();
        let mut stream = bots
            .subscribe_command_events(request)
            .await
            .unwrap()
            .into_inner();
        let began = Instant::now();
        let (ended, last) = tokio::join!(running.stop(signal), stream.message());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(began.elapsed() < QUICKLY, "{:?}", began.elapsed());
        assert_eq!(last.unwrap_err().code(), Code::Unavailable);
        assert!(ended.err.contains("gateway stopped"), "{ended:?}");
        assert_eq!(ended.out, "");
    }
}

#[tokio::test]
async fn second_signal_does_not_wait_for_calls_under_way() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let mut bots = BotServiceClient::connect(format!("http://{}", running.address))
        .await
        .unwrap();
    let faults = desk.portal.faults();
    faults.next(Fault::hang());
    let bot = pb::RegisterBotRequest {
        bot_code: "helper".to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Helper".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    };
    let calling = tokio::spawn(async move { bots.register_bot(bot).await.map(drop) });
    let sent = async {
        while faults.waiting() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(QUICKLY, sent).await.expect("the call is sent");
    running.signal("TERM").await;
    let began = Instant::now();
    sleep(Duration::from_millis(500)).await;
    assert!(!calling.is_finished(), "one signal lets calls finish");
    let ended = running.stop("TERM").await;
    assert!(ended.failure(1).contains("second signal"), "{ended:?}");
    assert!(began.elapsed() < QUICKLY, "{:?}", began.elapsed());
}

#[tokio::test]
async fn insecure_lets_it_listen_beyond_this_machine() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&["--listen", "0.0.0.0:0", "--insecure"], &[])).await;
    assert!(running.address.ip().is_unspecified());
    running.stop("TERM").await;
}

#[tokio::test]
async fn even_the_loudest_log_holds_no_secret() {
    let desk = Desk::new().await;
    let loud = [("LOG__LEVEL", "trace"), ("LOG__FORMAT", "text")];
    let running = Running::of(desk.serve(&[], &loud)).await;
    let mut bots = BotServiceClient::connect(format!("http://{}", running.address))
        .await
        .unwrap();
    let bot = pb::RegisterBotRequest {
        bot_code: "helper".to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Helper".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    };
    let bot_id = bots
        .register_bot(bot)
        .await
        .unwrap()
        .into_inner()
        .bot
        .unwrap()
        .id;
    let command = pb::RegisterCommandRequest {
        bot_code: "helper".to_owned(),
        command: "help".to_owned(),
        title: [("en".to_owned(), "Help".to_owned())].into(),
        ..pb::RegisterCommandRequest::default()
    };
    bots.register_command(command).await.unwrap();
    let request = pb::SubscribeCommandEventsRequest::default();
    let mut stream = bots
        .subscribe_command_events(request)
        .await
        .unwrap()
        .into_inner();
    desk.portal
        .user(1)
        .types_to_bot(bot_id, "/help private-words")
        .unwrap();
    let event = loop {
        let response = timeout(QUICKLY, stream.message())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        if let Some(Item::Event(event)) = response.item {
            break event;
        }
    };
    let answer = pb::AnswerCommandRequest {
        target: Some(pb::answer_command_request::Target::EventId(event.event_id)),
        content: Some(pb::MessageContent {
            text: "private-answer".to_owned(),
            ..pb::MessageContent::default()
        }),
        ..pb::AnswerCommandRequest::default()
    };
    bots.answer_command(answer).await.unwrap();
    // A failing portal makes more noise than a well one.
    desk.portal.stop();
    let get = pb::GetBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::GetBotRequest::default()
    };
    bots.get_bot(get).await.unwrap_err();
    let token = desk.portal.bot_by_code("helper").unwrap().token.unwrap();
    let keys = fs::read_to_string(desk.path("bitrix24-gateway-data/keys")).unwrap();
    let keys: Vec<_> = keys
        .lines()
        .filter_map(|line| line.strip_prefix("bot:").or(line.strip_prefix("seal:")))
        .collect();
    assert_eq!(keys.len(), 2);
    drop(stream);
    let ended = running.stop("TERM").await;
    assert_eq!(ended.code, Some(0));
    for secret in [
        &[SECRET, &token, "private-words", "private-answer"],
        &keys[..],
    ]
    .concat()
    {
        let line = ended.err.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{line:?}");
    }
    drop(desk.sim);
}

#[tokio::test]
async fn second_process_waits_for_the_store_and_says_who_holds_it() {
    let desk = Desk::new().await;
    let first = Running::of(desk.serve(&[], &[])).await;
    let second = Running::of(desk.serve(&[], &[]));
    tokio::pin!(second);
    assert!(
        timeout(Duration::from_secs(2), &mut second).await.is_err(),
        "two processes are ready on one store"
    );
    first.stop("TERM").await;
    let second = second.await;
    let said = &second.said;
    assert!(said.contains("held by another process"), "{said}");
    assert!(said.contains("holder=\"process "), "{said}");
    let ended = second.stop("TERM").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn process_that_waits_for_the_store_can_be_stopped() {
    let desk = Desk::new().await;
    let _first = Running::of(desk.serve(&[], &[])).await;
    let mut second = desk.serve(&[], &[]).spawn().unwrap();
    let err = second.stderr.take().unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(err));
    loop {
        let line = timeout(QUICKLY, lines.next_line()).await.unwrap().unwrap();
        if line.expect("it waits").contains("held by another process") {
            break;
        }
    }
    let pid = second.id().unwrap().to_string();
    let kill = tokio::process::Command::new("kill").arg(pid).status().await;
    assert!(kill.unwrap().success());
    let status = timeout(QUICKLY, second.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}
