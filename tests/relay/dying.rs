//! Processes of both, killed under load without warning.

use std::{
    collections::HashMap,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bitrix24_gateway::proto::v1::{
    self as pb, bot_service_client::BotServiceClient, message_service_client::MessageServiceClient,
    stream_start::Position, subscribe_command_events_response::Item,
};
use bitrix24_sim::{Chat, Limits, Portal, PortalConfig, Sim, UserConfig};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::bare::PATIENCE;

/// How often each side is killed.
const KILLS: usize = 3;

/// Callers side by side, and what each of them sends.
const CALLERS: usize = 4;
const MESSAGES: usize = 40;

/// Commands that are typed meanwhile.
const COMMANDS: usize = 12;

/// A process, killed when dropped.
struct Process(Child);

impl Process {
    fn start(arguments: &[&str], settings: &[(&str, String)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitrix24-gateway"));
        command.args(arguments).env_clear().stderr(Stdio::null());
        for (name, value) in settings {
            command.env(format!("BITRIX24_GATEWAY__{name}"), value);
        }
        Self(command.spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A port that was free a moment ago: the process must come back on the same one.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn gateway(portal: &Portal, folder: &Path, port: u16) -> Process {
    let path = |name: &str| folder.join(name).display().to_string();
    let settings = [
        ("WEBHOOK_URL", portal.webhook_url()),
        ("OUTBOUND__CA_FILE", path("ca.pem")),
        ("STORE__DIR", path("store")),
        ("STORE__KEY_FILE", path("keys")),
        ("GRPC__LISTEN", format!("127.0.0.1:{port}")),
        ("ADMIN__LISTEN", String::new()),
        ("POLLING__BUSY_PAUSE", "100ms".to_owned()),
        ("POLLING__IDLE_PAUSE", "100ms".to_owned()),
        ("RATE__REQUESTS_PER_SECOND", "0".to_owned()),
    ];
    Process::start(&["serve"], &settings)
}

fn relay(port: u16, upstream: u16) -> Process {
    let (listen, upstream) = (
        format!("127.0.0.1:{port}"),
        format!("http://127.0.0.1:{upstream}"),
    );
    let arguments = ["relay", "--listen", &listen, "--upstream", &upstream];
    Process::start(&arguments, &[])
}

/// That a call may be repeated: it was told so, or the connection broke, of which the client library
/// makes a status of its own with the cause in it.
fn passing(status: &Status) {
    let own = std::error::Error::source(status).is_some();
    assert!(own || status.code() == Code::Unavailable, "{status:?}");
}

async fn patiently<T, F: Future<Output = Result<T, Status>>>(call: impl Fn() -> F) -> T {
    let repeated = async {
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(status) => passing(&status),
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, repeated)
        .await
        .expect("an answer in time")
}

/// Sends messages, each with a key, until the outcome of each is told. How many of them have one that the
/// gateway itself says is lost, since it ended in the middle of them.
async fn send(channel: Channel, dialog_id: String, caller: usize) -> usize {
    let client = MessageServiceClient::new(channel);
    let mut lost = 0;
    for number in 0..MESSAGES {
        let request = pb::SendMessageRequest {
            bot_code: "helper".to_owned(),
            dialog_id: dialog_id.clone(),
            content: Some(pb::MessageContent {
                text: format!("sent {caller}-{number}"),
                ..pb::MessageContent::default()
            }),
            idempotency_key: format!("{caller}-{number}"),
            ..pb::SendMessageRequest::default()
        };
        let told = patiently(|| {
            let (mut client, request) = (client.clone(), request.clone());
            async move {
                match client.send_message(request).await {
                    Ok(_) => Ok(0),
                    Err(status) if is_lost(&status) => Ok(1),
                    Err(status) => Err(status),
                }
            }
        });
        lost += told.await;
        sleep(Duration::from_millis(10)).await;
    }
    lost
}

/// What the gateway says of a key whose call it may have made before it was killed.
fn is_lost(status: &Status) -> bool {
    let reason = status.get_details_error_info().map(|info| info.reason);
    status.code() == Code::Unknown && reason.as_deref() == Some("OUTCOME_UNKNOWN")
}

/// Reads commands, going on behind the last one whenever the stream ends, until all came.
async fn read(channel: Channel) -> Vec<String> {
    let mut client = BotServiceClient::new(channel);
    let mut cursor = None;
    let mut params = Vec::new();
    while params.len() < COMMANDS {
        let position = match &cursor {
            Some(cursor) => Position::AfterCursor(String::clone(cursor)),
            None => Position::Point(pb::StreamStartPoint::Earliest.into()),
        };
        let request = pb::SubscribeCommandEventsRequest {
            start: Some(pb::StreamStart {
                position: Some(position),
            }),
            ..pb::SubscribeCommandEventsRequest::default()
        };
        let ended = async {
            let mut stream = client.subscribe_command_events(request).await?.into_inner();
            while params.len() < COMMANDS {
                let Some(response) = stream.message().await? else {
                    panic!("a stream ended without a status");
                };
                if let Some(Item::Event(event)) = response.item
                    && let Some(pb::event::Body::CommandAdded(added)) = event.body
                {
                    params.push(added.command.unwrap().params);
                }
                cursor = Some(response.cursor);
            }
            Ok::<_, Status>(())
        };
        if let Err(status) = ended.await {
            passing(&status);
            sleep(Duration::from_millis(20)).await;
        }
    }
    params
}

/// How often each message was posted.
fn posted(portal: &Portal, chat: &Chat) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for message in portal.messages(&chat.dialog_id()) {
        if message.text.starts_with("sent ") {
            *counts.entry(message.text).or_default() += 1;
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_killed_under_load_tells_callers_nothing_but_to_try_again() {
    let sim = Sim::start(bitrix24_sim::Config::default()).await.unwrap();
    let config = PortalConfig {
        limits: Limits::none(),
        ..PortalConfig::default()
    };
    let portal = sim.add_portal(config).await.unwrap();
    // Long enough for a kill to fall between sending and recording.
    let send_message = Some("imbot.v2.Chat.Message.send");
    portal.set_latency(send_message, Duration::from_millis(10));
    let anna = portal.add_user(UserConfig::named("Anna", "Weber"));
    let chat = portal.add_group_chat("Support", &[1, anna]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), sim.ca_pem()).unwrap();
    let (behind, front) = (free_port(), free_port());
    let mut central = gateway(&portal, folder.path(), behind);
    let mut beside = relay(front, behind);

    let connect = || {
        let channel = Channel::from_shared(format!("http://127.0.0.1:{front}")).unwrap();
        channel.connect_lazy()
    };
    let bots = BotServiceClient::new(connect());
    let registered = patiently(|| {
        let mut bots = bots.clone();
        let wish = pb::RegisterBotRequest {
            bot_code: "helper".to_owned(),
            properties: Some(pb::BotProperties {
                name: Some("Helper".to_owned()),
                ..pb::BotProperties::default()
            }),
            ..pb::RegisterBotRequest::default()
        };
        async move { bots.register_bot(wish).await }
    });
    let bot_id = registered.await.into_inner().bot.unwrap().id;
    patiently(|| {
        let mut bots = bots.clone();
        let command = pb::RegisterCommandRequest {
            bot_code: "helper".to_owned(),
            command: "help".to_owned(),
            title: [("en".to_owned(), "Help".to_owned())].into(),
            ..pb::RegisterCommandRequest::default()
        };
        async move { bots.register_command(command).await }
    })
    .await;
    portal.add_bot_to_chat(bot_id, chat.id, anna).unwrap();

    let reading = tokio::spawn(read(connect()));
    let sending: Vec<_> = (0..CALLERS)
        .map(|caller| tokio::spawn(send(connect(), chat.dialog_id(), caller)))
        .collect();
    for round in 0..COMMANDS {
        let text = format!("/help {round}");
        portal.user(anna).types(&chat.dialog_id(), &text).unwrap();
        sleep(Duration::from_millis(150)).await;
        if round < 2 * KILLS {
            if round % 2 == 0 {
                drop(beside);
                beside = relay(front, behind);
            } else {
                drop(central);
                central = gateway(&portal, folder.path(), behind);
            }
        }
    }
    let mut lost = 0;
    for sent in sending {
        lost += timeout(PATIENCE, sent).await.unwrap().unwrap();
    }
    assert!(lost <= KILLS * CALLERS, "{lost} outcomes were lost");
    let read = timeout(PATIENCE, reading).await.unwrap().unwrap();
    let typed: Vec<_> = (0..COMMANDS).map(|round| round.to_string()).collect();
    assert_eq!(read, typed);
    let posted = posted(&portal, &chat);
    assert!(
        (CALLERS * MESSAGES - lost..=CALLERS * MESSAGES).contains(&posted.len()),
        "{} messages were posted, {lost} outcomes lost",
        posted.len()
    );
    let twice: Vec<_> = posted.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    drop((beside, central));
}
