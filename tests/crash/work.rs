//! Killed while a bot is at work.
//!
//! Every command ends up answered once, or its answer is known to be unknown; none is answered twice
//! and none disappears. The same holds for messages that carry a key. `GATEWAY_KILLS` sets how often
//! the process is killed.

use std::{
    collections::HashMap,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bitrix24_gateway::proto::v1::{
    self as pb, answer_command_request::Target, bot_service_client::BotServiceClient,
    message_service_client::MessageServiceClient, stream_start::Position,
    subscribe_command_events_response::Item,
};
use bitrix24_sim::{Chat, Limits, Portal, PortalConfig, Quirks, Sim, UserConfig};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{free_port, number};

/// How often the gateway is killed, unless the environment says otherwise.
const KILLS: usize = 6;

/// Commands typed between two kills.
const COMMANDS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn killed_gateway_loses_no_command_and_answers_none_twice() {
    let kills = number("GATEWAY_KILLS").unwrap_or(KILLS);
    let sim = Sim::start(bitrix24_sim::Config::default()).await.unwrap();
    let config = PortalConfig {
        limits: Limits::none(),
        ..PortalConfig::default()
    };
    let portal = sim.add_portal(config).await.unwrap();
    // Long enough for a kill to fall between sending and recording.
    portal.set_latency(Some("imbot.v2.Command.answer"), Duration::from_millis(20));
    let anna = portal.add_user(UserConfig::named("Anna", "Weber"));
    let chat = portal.add_group_chat("Support", &[1, anna]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), sim.ca_pem()).unwrap();
    let port = free_port();

    let mut gateway = start(&portal, folder.path(), port);
    let mut bot = Bot::connect(port);
    bot.register(&portal, anna, &chat).await;
    for round in 0..kills {
        for command in 0..COMMANDS {
            let text = format!("/help {round}-{command}");
            portal.user(anna).types(&chat.dialog_id(), &text).unwrap();
        }
        // Somewhere in the middle of the work: at another point each time.
        let wanted = round * COMMANDS + round % COMMANDS + 1;
        bot.work_until(wanted).await;
        sleep(Duration::from_millis(
            7 * u64::try_from(round).unwrap() % 40,
        ))
        .await;
        gateway.kill().unwrap();
        gateway.wait().unwrap();
        gateway = start(&portal, folder.path(), port);
    }
    bot.work_until(kills * COMMANDS).await;
    gateway.kill().unwrap();
    gateway.wait().unwrap();

    let posted = posted(&portal, &chat);
    for (params, count) in &posted {
        assert!(*count == 1, "{params} was answered {count} times");
    }
    let missing = (0..kills)
        .flat_map(|round| (0..COMMANDS).map(move |command| format!("{round}-{command}")))
        .filter(|params| !posted.contains_key(params) && !bot.unknown.contains(params));
    assert_eq!(
        missing.collect::<Vec<_>>(),
        Vec::<String>::new(),
        "commands without an answer"
    );
    assert!(
        bot.unknown.len() <= kills,
        "more unknown outcomes than kills: {:?}",
        bot.unknown
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_gateway_posts_no_message_of_one_key_twice() {
    let kills = number("GATEWAY_KILLS").unwrap_or(KILLS);
    let sim = Sim::start(bitrix24_sim::Config::default()).await.unwrap();
    let config = PortalConfig {
        limits: Limits::none(),
        // The gateway must do without the portal's help.
        quirks: Quirks {
            template_id_is_a_key: false,
            ..Quirks::default()
        },
        ..PortalConfig::default()
    };
    let portal = sim.add_portal(config).await.unwrap();
    portal.set_latency(
        Some("imbot.v2.Chat.Message.send"),
        Duration::from_millis(20),
    );
    let anna = portal.add_user(UserConfig::named("Anna", "Weber"));
    let chat = portal.add_group_chat("Support", &[1, anna]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), sim.ca_pem()).unwrap();
    let port = free_port();

    let mut gateway = start(&portal, folder.path(), port);
    let mut bot = Bot::connect(port);
    bot.register(&portal, anna, &chat).await;
    let channel = Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    let client = MessageServiceClient::new(channel.connect_lazy());
    let sending = tokio::spawn(send_all(client, chat, kills * COMMANDS));
    let mut killed = 0;
    while killed < kills && !sending.is_finished() {
        let wanted = killed * COMMANDS + killed % COMMANDS + 1;
        let seen = async {
            while posted(&portal, &chat).len() < wanted && !sending.is_finished() {
                sleep(Duration::from_millis(3)).await;
            }
        };
        timeout(Duration::from_secs(60), seen).await.unwrap();
        sleep(Duration::from_millis(
            7 * u64::try_from(killed).unwrap() % 30,
        ))
        .await;
        gateway.kill().unwrap();
        gateway.wait().unwrap();
        killed += 1;
        gateway = start(&portal, folder.path(), port);
    }
    let unknown = timeout(Duration::from_secs(60), sending)
        .await
        .unwrap()
        .unwrap();
    gateway.kill().unwrap();
    gateway.wait().unwrap();

    let posted = posted(&portal, &chat);
    for (number, count) in &posted {
        assert!(*count == 1, "{number} was posted {count} times");
    }
    for number in (0..kills * COMMANDS).map(|number| number.to_string()) {
        let known = posted.contains_key(&number) || unknown.contains(&number);
        assert!(known, "{number} is missing");
    }
    assert!(
        unknown.len() <= killed,
        "more unknown outcomes than kills: {unknown:?}"
    );
}

/// Sends numbered messages one by one, each until its outcome is told. Those that stay unknown.
async fn send_all(client: MessageServiceClient<Channel>, chat: Chat, count: usize) -> Vec<String> {
    let mut unknown = Vec::new();
    for number in (0..count).map(|number| number.to_string()) {
        let request = pb::SendMessageRequest {
            bot_code: "helper".to_owned(),
            dialog_id: chat.dialog_id(),
            content: Some(pb::MessageContent {
                text: format!("done {number}"),
                ..pb::MessageContent::default()
            }),
            idempotency_key: number.clone(),
            ..pb::SendMessageRequest::default()
        };
        loop {
            match client.clone().send_message(request.clone()).await {
                Ok(_) => break,
                Err(status) if reason(&status).as_deref() == Some("OUTCOME_UNKNOWN") => {
                    unknown.push(number);
                    break;
                }
                // The connection broke: nobody knows, so ask again.
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }
    unknown
}

/// How often each command was answered in the chat.
fn posted(portal: &Portal, chat: &Chat) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for message in portal.messages(&chat.dialog_id()) {
        if let Some(params) = message.text.strip_prefix("done ") {
            *counts.entry(params.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// A bot that remembers its cursor and goes on after every failure.
pub(crate) struct Bot {
    client: BotServiceClient<Channel>,
    cursor: Option<String>,
    settled: usize,
    unknown: Vec<String>,
}

impl Bot {
    pub(crate) fn connect(port: u16) -> Self {
        let channel = Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
        Self {
            client: BotServiceClient::new(channel.connect_lazy()),
            cursor: None,
            settled: 0,
            unknown: Vec::new(),
        }
    }

    pub(crate) async fn register(&mut self, portal: &Portal, anna: i64, chat: &Chat) {
        let wish = pb::RegisterBotRequest {
            bot_code: "helper".to_owned(),
            properties: Some(pb::BotProperties {
                name: Some("Helper".to_owned()),
                ..pb::BotProperties::default()
            }),
            ..pb::RegisterBotRequest::default()
        };
        let registered = patiently(|| {
            let (mut client, wish) = (self.client.clone(), wish.clone());
            async move { client.register_bot(wish).await }
        });
        let bot_id = registered.await.into_inner().bot.unwrap().id;
        let command = pb::RegisterCommandRequest {
            bot_code: "helper".to_owned(),
            command: "help".to_owned(),
            title: [("en".to_owned(), "Help".to_owned())].into(),
            ..pb::RegisterCommandRequest::default()
        };
        self.client.register_command(command).await.unwrap();
        portal.add_bot_to_chat(bot_id, chat.id, anna).unwrap();
    }

    /// Answers events until so many are settled, whatever happens to the connection.
    async fn work_until(&mut self, settled: usize) {
        let work = async {
            while self.settled < settled {
                // A broken stream is opened again behind what was settled.
                let _broken = self.stream(settled).await;
                sleep(Duration::from_millis(20)).await;
            }
        };
        let done = timeout(Duration::from_secs(60), work).await.is_ok();
        assert!(
            done,
            "{} of {settled} commands were settled in time",
            self.settled
        );
    }

    async fn stream(&mut self, settled: usize) -> Result<(), Status> {
        let position = match &self.cursor {
            Some(cursor) => Position::AfterCursor(cursor.clone()),
            None => Position::Point(pb::StreamStartPoint::Earliest.into()),
        };
        let request = pb::SubscribeCommandEventsRequest {
            start: Some(pb::StreamStart {
                position: Some(position),
            }),
            ..pb::SubscribeCommandEventsRequest::default()
        };
        let mut stream = self
            .client
            .subscribe_command_events(request)
            .await?
            .into_inner();
        while self.settled < settled {
            let Some(response) = stream.message().await? else {
                return Ok(());
            };
            if let Some(Item::Event(event)) = &response.item {
                self.answer(event).await?;
                self.settled += 1;
            }
            self.cursor = Some(response.cursor);
        }
        Ok(())
    }

    async fn answer(&mut self, event: &pb::Event) -> Result<(), Status> {
        let Some(pb::event::Body::CommandAdded(added)) = &event.body else {
            return Ok(());
        };
        let params = added.command.clone().unwrap().params;
        let request = pb::AnswerCommandRequest {
            target: Some(Target::EventId(event.event_id.clone())),
            content: Some(pb::MessageContent {
                text: format!("done {params}"),
                ..pb::MessageContent::default()
            }),
            ..pb::AnswerCommandRequest::default()
        };
        match self.client.answer_command(request).await {
            Ok(_) => Ok(()),
            Err(status) if reason(&status).as_deref() == Some("ANSWER_OUTCOME_UNKNOWN") => {
                self.unknown.push(params);
                Ok(())
            }
            Err(status) => Err(status),
        }
    }
}

pub(crate) fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// Repeats while the gateway is not there yet.
async fn patiently<T, F: Future<Output = Result<T, Status>>>(call: impl Fn() -> F) -> T {
    let repeated = async {
        loop {
            match call().await {
                Err(status) if status.code() == Code::Unavailable => {
                    sleep(Duration::from_millis(20)).await
                }
                outcome => return outcome.unwrap(),
            }
        }
    };
    timeout(Duration::from_secs(30), repeated).await.unwrap()
}

pub(crate) fn start(portal: &Portal, folder: &Path, port: u16) -> Child {
    let path = |name: &str| folder.join(name);
    Command::new(env!("CARGO_BIN_EXE_bitrix24-gateway"))
        .arg("serve")
        .env("BITRIX24_GATEWAY__WEBHOOK_URL", portal.webhook_url())
        .env("BITRIX24_GATEWAY__OUTBOUND__CA_FILE", path("ca.pem"))
        .env("BITRIX24_GATEWAY__STORE__DIR", path("store"))
        .env("BITRIX24_GATEWAY__STORE__KEY_FILE", path("keys"))
        .env(
            "BITRIX24_GATEWAY__GRPC__LISTEN",
            format!("127.0.0.1:{port}"),
        )
        .env("BITRIX24_GATEWAY__ADMIN__LISTEN", "")
        .env("BITRIX24_GATEWAY__POLLING__BUSY_PAUSE", "100ms")
        .env("BITRIX24_GATEWAY__RATE__REQUESTS_PER_SECOND", "0")
        .env("BITRIX24_GATEWAY__LOG__LEVEL", "error")
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
