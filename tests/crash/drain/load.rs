//! Clients that work and come back.

use std::{
    collections::BTreeSet,
    error::Error as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bitrix24_gateway::proto::v1::{
    self as pb, bot_service_client::BotServiceClient, event_service_client::EventServiceClient,
    message_service_client::MessageServiceClient, stream_start::Position,
    subscribe_command_events_response::Item,
};
use bitrix24_sim::{Chat, Portal};
use tokio::{task::JoinHandle, time::sleep};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::work::reason;

/// How many send messages at once.
pub(super) const SENDERS: usize = 4;

/// Pause between two commands.
const TYPING: Duration = Duration::from_millis(25);

/// Pause before a call is repeated.
const PAUSE: Duration = Duration::from_millis(20);

/// What all share.
#[derive(Debug)]
struct Notes {
    over: Arc<AtomicBool>,
    /// Commands typed so far; all of them once it is over.
    typed: AtomicUsize,
    all_typed: AtomicBool,
    failures: Mutex<Vec<String>>,
    /// Streams that ended as they should.
    stopped: AtomicUsize,
}

pub(super) struct Load {
    notes: Arc<Notes>,
    typing: JoinHandle<()>,
    senders: Vec<JoinHandle<Vec<String>>>,
    by_cursor: JoinHandle<Vec<usize>>,
    by_name: JoinHandle<Vec<usize>>,
}

/// What came of it.
pub(super) struct Done {
    pub(super) failures: Vec<String>,
    pub(super) typed: usize,
    pub(super) sent: Vec<String>,
    pub(super) by_cursor: Vec<usize>,
    pub(super) by_name: Vec<usize>,
    pub(super) stopped: usize,
}

impl Load {
    pub(super) async fn start(
        port: u16,
        portal: &Portal,
        anna: i64,
        chat: &Chat,
        over: &Arc<AtomicBool>,
    ) -> Self {
        let notes = Arc::new(Notes {
            over: Arc::clone(over),
            typed: AtomicUsize::new(0),
            all_typed: AtomicBool::new(false),
            failures: Mutex::default(),
            stopped: AtomicUsize::new(0),
        });
        let channel = || {
            let endpoint = Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
            endpoint.connect_lazy()
        };
        let dialog = chat.dialog_id();
        let (person, typist, into) = (portal.user(anna), Arc::clone(&notes), dialog.clone());
        let typing = async move {
            while !typist.over.load(Ordering::Relaxed) {
                let number = typist.typed.load(Ordering::Relaxed);
                person.types(&into, &format!("/help {number}")).unwrap();
                typist.typed.store(number + 1, Ordering::Relaxed);
                sleep(TYPING).await;
            }
            typist.all_typed.store(true, Ordering::Relaxed);
        };
        let sender = |which| {
            let client = MessageServiceClient::new(channel());
            tokio::spawn(send(client, dialog.clone(), which, Arc::clone(&notes)))
        };
        let senders = (0..SENDERS).map(sender).collect();
        let by_cursor = read(BotServiceClient::new(channel()), Arc::clone(&notes));
        let events = EventServiceClient::new(channel());
        let by_name = take(BotServiceClient::new(channel()), events, Arc::clone(&notes));
        let (by_cursor, by_name) = (tokio::spawn(by_cursor), tokio::spawn(by_name));
        Self {
            notes,
            typing: tokio::spawn(typing),
            senders,
            by_cursor,
            by_name,
        }
    }

    pub(super) async fn ended(self) -> Done {
        self.typing.await.unwrap();
        let mut sent = Vec::new();
        for sender in self.senders {
            sent.extend(sender.await.unwrap());
        }
        let (by_cursor, by_name) = (self.by_cursor.await.unwrap(), self.by_name.await.unwrap());
        Done {
            failures: self.notes.failures.lock().unwrap().clone(),
            typed: self.notes.typed.load(Ordering::Relaxed),
            sent,
            by_cursor,
            by_name,
            stopped: self.notes.stopped.load(Ordering::Relaxed),
        }
    }
}

impl Notes {
    fn failed(&self, what: &str, status: &Status) {
        self.failures
            .lock()
            .unwrap()
            .push(format!("{what}: {status:?}"));
    }

    /// Whether a reader has all there will be.
    fn has_all(&self, read: usize) -> bool {
        self.all_typed.load(Ordering::Relaxed) && read == self.typed.load(Ordering::Relaxed)
    }

    /// A stream ended: with UNAVAILABLE, and when the gateway said so itself then with when to come back.
    fn ended(&self, status: &Status) {
        if !is_away(status) {
            self.failed("stream", status);
        }
        if reason(status).as_deref() == Some("GATEWAY_STOPPING") {
            match status.get_details_retry_info() {
                Some(retry) if retry.retry_delay.is_some() => {
                    self.stopped.fetch_add(1, Ordering::Relaxed);
                }
                _ => self.failed("stream without RetryInfo", status),
            }
        }
    }
}

/// Whether nobody was there. A connection that closes before a call is sent makes this client say
/// CANCELLED by itself where others say UNAVAILABLE.
fn is_away(status: &Status) -> bool {
    let by_itself = status.code() == Code::Cancelled && status.source().is_some();
    status.code() == Code::Unavailable || by_itself
}

/// Sends messages one by one. Only UNAVAILABLE is repeated, with the same key.
async fn send(
    mut client: MessageServiceClient<Channel>,
    dialog_id: String,
    which: usize,
    notes: Arc<Notes>,
) -> Vec<String> {
    let mut sent = Vec::new();
    while !notes.over.load(Ordering::Relaxed) {
        let name = format!("{which}-{}", sent.len());
        let request = pb::SendMessageRequest {
            bot_code: "helper".to_owned(),
            dialog_id: dialog_id.clone(),
            content: Some(pb::MessageContent {
                text: format!("sent {name}"),
                ..pb::MessageContent::default()
            }),
            idempotency_key: name.clone(),
            ..pb::SendMessageRequest::default()
        };
        loop {
            match client.send_message(request.clone()).await {
                Ok(_) => break,
                Err(status) if is_away(&status) => sleep(PAUSE).await,
                Err(status) => {
                    notes.failed("send", &status);
                    break;
                }
            }
        }
        sent.push(name);
    }
    sent
}

/// The number of the command that somebody typed.
fn number(event: &pb::Event) -> usize {
    let command = match &event.body {
        Some(pb::event::Body::CommandAdded(added)) => added.command.clone(),
        _ => None,
    };
    command.unwrap().params.parse().unwrap()
}

/// Reads all commands, each time behind the cursor that was seen last.
async fn read(mut bots: BotServiceClient<Channel>, notes: Arc<Notes>) -> Vec<usize> {
    let mut seen = Vec::new();
    let mut position = Position::Point(pb::StreamStartPoint::Earliest.into());
    while !notes.has_all(seen.len()) {
        let request = pb::SubscribeCommandEventsRequest {
            start: Some(pb::StreamStart {
                position: Some(position.clone()),
            }),
            ..pb::SubscribeCommandEventsRequest::default()
        };
        let mut stream = match bots.subscribe_command_events(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => {
                notes.ended(&status);
                sleep(PAUSE).await;
                continue;
            }
        };
        while !notes.has_all(seen.len()) {
            let response = match stream.message().await {
                Ok(response) => response.expect("streams never end with OK"),
                Err(status) => {
                    notes.ended(&status);
                    break;
                }
            };
            if let Some(Item::Event(event)) = &response.item {
                seen.push(number(event));
            }
            position = Position::AfterCursor(response.cursor);
        }
    }
    seen
}

/// Takes all commands by a named subscription, and says of each that it is done.
async fn take(
    mut bots: BotServiceClient<Channel>,
    mut events: EventServiceClient<Channel>,
    notes: Arc<Notes>,
) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    while !notes.has_all(seen.len()) {
        let request = pb::SubscribeCommandEventsRequest {
            subscription: Some(pb::NamedSubscription {
                name: "takers".to_owned(),
                ..pb::NamedSubscription::default()
            }),
            ..pb::SubscribeCommandEventsRequest::default()
        };
        let mut stream = match bots.subscribe_command_events(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => {
                notes.ended(&status);
                sleep(PAUSE).await;
                continue;
            }
        };
        while !notes.has_all(seen.len()) {
            let response = match stream.message().await {
                Ok(response) => response.expect("streams never end with OK"),
                Err(status) => {
                    notes.ended(&status);
                    break;
                }
            };
            let Some(Item::Event(event)) = &response.item else {
                continue;
            };
            let ack_id = response.delivery.unwrap().ack_id;
            let done = pb::AcknowledgeEventsRequest {
                ack_ids: vec![ack_id],
            };
            loop {
                match events.acknowledge_events(done.clone()).await {
                    Ok(_) => break,
                    Err(status) if is_away(&status) => sleep(PAUSE).await,
                    Err(status) => {
                        notes.failed("acknowledge", &status);
                        break;
                    }
                }
            }
            // At least once: it may have come before.
            seen.insert(number(event));
        }
    }
    seen.into_iter().collect()
}
