//! What an operator sees of named subscriptions and does about them, whether or not the gateway runs.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{
    self as pb, bot_service_client::BotServiceClient, event_service_client::EventServiceClient,
    subscribe_command_events_response::Item,
};
use bitrix24_sim::UserConfig;
use tokio::time::timeout;
use tonic::{Streaming, transport::Channel};

use crate::process::{Desk, Ended, Running};

/// A text that no command shows.
const TEXT: &str = "the-text-of-a-person";

async fn done(desk: &Desk, arguments: &[&str]) -> String {
    let ended = Ended::of(desk.bare(arguments)).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    assert!(!ended.out.contains(TEXT), "{ended:?}");
    ended.out
}

async fn client(running: &Running) -> BotServiceClient<Channel> {
    let address = format!("http://{}", running.address);
    BotServiceClient::connect(address).await.unwrap()
}

/// A stream of the subscription `work`, which tries an event once.
async fn work(running: &Running) -> Streaming<pb::SubscribeCommandEventsResponse> {
    let request = pb::SubscribeCommandEventsRequest {
        subscription: Some(pb::NamedSubscription {
            name: "work".to_owned(),
            max_attempts: 1,
            ..pb::NamedSubscription::default()
        }),
        ..pb::SubscribeCommandEventsRequest::default()
    };
    let opened = client(running)
        .await
        .subscribe_command_events(request)
        .await;
    opened.unwrap().into_inner()
}

async fn handed(stream: &mut Streaming<pb::SubscribeCommandEventsResponse>) -> String {
    let next = async {
        loop {
            let response = stream.message().await.unwrap().unwrap();
            if let (Some(Item::Event(_)), Some(delivery)) = (response.item, response.delivery) {
                return delivery.ack_id;
            }
        }
    };
    timeout(Duration::from_secs(60), next).await.unwrap()
}

/// A gateway with a command in its subscription that was set aside.
async fn with_one_aside(desk: &Desk) -> Running {
    let running = Running::of(desk.serve(&[], &[])).await;
    let mut bots = client(&running).await;
    let bot = pb::RegisterBotRequest {
        bot_code: "helper".to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Helper".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    };
    let bot = bots
        .register_bot(bot)
        .await
        .unwrap()
        .into_inner()
        .bot
        .unwrap();
    let command = pb::RegisterCommandRequest {
        bot_code: "helper".to_owned(),
        command: "help".to_owned(),
        title: [("en".to_owned(), "Help".to_owned())].into(),
        ..pb::RegisterCommandRequest::default()
    };
    bots.register_command(command).await.unwrap();
    let anna = desk.portal.add_user(UserConfig::named("Anna", "Weber"));
    let chat = desk.portal.add_group_chat("Support", &[1, anna]);
    desk.portal.add_bot_to_chat(bot.id, chat.id, anna).unwrap();
    let mut stream = work(&running).await;
    let typed = desk.portal.user(anna);
    typed
        .types(&chat.dialog_id(), &format!("/help {TEXT}"))
        .unwrap();
    let ack_id = handed(&mut stream).await;
    give_back(&running, ack_id).await;
    running
}

async fn give_back(running: &Running, ack_id: String) {
    let address = format!("http://{}", running.address);
    let mut events = EventServiceClient::connect(address).await.unwrap();
    let back = pb::ModifyAckDeadlinesRequest {
        ack_ids: vec![ack_id],
        ack_deadline: Some(prost_types::Duration::default()),
    };
    events.modify_ack_deadlines(back).await.unwrap();
}

/// Waits until the list of subscriptions says this.
async fn lists(desk: &Desk, words: &str) -> String {
    let listed = async {
        loop {
            let said = done(desk, &["subscriptions", "list"]).await;
            if said.contains(words) {
                return said;
            }
        }
    };
    timeout(Duration::from_secs(60), listed).await.unwrap()
}

#[tokio::test]
async fn what_was_set_aside_is_told_redriven_and_dropped_while_the_gateway_runs_and_while_not() {
    let desk = Desk::new().await;
    let running = with_one_aside(&desk).await;
    let said = lists(&desk, "set_aside=1").await;
    assert!(said.starts_with("work streams="), "{said}");
    let aside = done(&desk, &["subscriptions", "aside", "work"]).await;
    assert!(
        aside.contains("ATTEMPTS_EXHAUSTED portal=default bot=helper"),
        "{aside}"
    );
    let event = aside.split(' ').next().unwrap();

    let mut stream = work(&running).await;
    let redrive = ["subscriptions", "redrive", "work", "--event", event];
    assert_eq!(done(&desk, &redrive).await, "1 handed out again\n");
    let ack_id = handed(&mut stream).await;
    give_back(&running, ack_id).await;
    lists(&desk, "set_aside=1").await;
    drop(stream);
    running.stop("TERM").await;

    let said = done(&desk, &["subscriptions", "list"]).await;
    assert!(
        said.starts_with("work unfinished=0 unread=0 set_aside=1"),
        "{said}"
    );
    assert_eq!(done(&desk, &redrive).await, "1 handed out again\n");
    let running = Running::of(desk.serve(&[], &[])).await;
    let mut stream = work(&running).await;
    let ack_id = handed(&mut stream).await;
    give_back(&running, ack_id).await;
    lists(&desk, "set_aside=1").await;
    let forget = ["subscriptions", "drop", "work", "--all"];
    assert_eq!(done(&desk, &forget).await, "1 forgotten\n");
    lists(&desk, "set_aside=0").await;
    let delete = ["subscriptions", "delete", "work"];
    assert_eq!(done(&desk, &delete).await, "work is deleted\n");
    assert_eq!(done(&desk, &["subscriptions", "list"]).await, "");
    let ended = Ended::of(desk.bare(&delete)).await;
    let told = ended.failure(1);
    assert!(told.contains("there is no subscription `work`"), "{told}");
    running.stop("TERM").await;
}

#[tokio::test]
async fn which_events_are_meant_must_be_said() {
    let desk = Desk::new().await;
    let ended = Ended::of(desk.bare(&["subscriptions", "drop", "work"])).await;
    let told = ended.failure(2);
    assert!(told.contains("--event") && told.contains("--all"), "{told}");
}
