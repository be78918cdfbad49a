//! A bot of the competing ones, as a process of its own that can be killed like one.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bitrix24_gateway::proto::v1::{
    self as pb, answer_command_request::Target, bot_service_client::BotServiceClient,
    subscribe_command_events_response::Item,
};
use tokio::time::sleep;
use tonic::{Status, transport::Channel};

use crate::work::reason;

/// The one subscription of all workers.
pub(super) const NAME: &str = "workers";

const PORT: &str = "CRASH_TEST_GATEWAY_PORT";
const RECORD: &str = "CRASH_TEST_RECORD";

/// A process that is killed at the end at the latest.
pub(super) struct Victim(pub(super) Child);

impl Victim {
    pub(super) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have ended, and then nothing is left to do.
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Starts a bot that works through the gateway at `port`, and notes in `record` what it sees.
pub(super) fn start(port: u16, record: &Path) -> Victim {
    let bot = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("subscriptions::worker::works_until_it_is_killed")
        .env(PORT, port.to_string())
        .env(RECORD, record)
        .stdout(Stdio::null())
        .spawn();
    Victim(bot.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no test of its own: the process that others start and kill"]
async fn works_until_it_is_killed() {
    let endpoint = Channel::from_shared(format!("http://127.0.0.1:{}", setting(PORT))).unwrap();
    let record = OpenOptions::new().append(true).open(setting(RECORD));
    let bot = Bot {
        client: BotServiceClient::new(endpoint.connect_lazy()),
        record: Arc::new(record.unwrap()),
    };
    loop {
        let _broken = bot.stream().await;
        sleep(Duration::from_millis(20)).await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "set by whoever started this process"
)]
fn setting(name: &str) -> String {
    std::env::var(name).unwrap()
}

#[derive(Clone)]
struct Bot {
    client: BotServiceClient<Channel>,
    record: Arc<File>,
}

impl Bot {
    async fn stream(&self) -> Result<(), Status> {
        let request = pb::SubscribeCommandEventsRequest {
            subscription: Some(pb::NamedSubscription {
                name: NAME.to_owned(),
                max_outstanding_events: 10,
                ..pb::NamedSubscription::default()
            }),
            ..pb::SubscribeCommandEventsRequest::default()
        };
        let opened = self.client.clone().subscribe_command_events(request).await;
        let mut stream = opened?.into_inner();
        while let Some(response) = stream.message().await? {
            if let Some(Item::Event(event)) = response.item {
                let ack_id = response.delivery.unwrap().ack_id;
                let params = params(&event);
                self.note("handed", &params);
                tokio::spawn(self.clone().work(params, ack_id));
            }
        }
        Ok(())
    }

    /// Answers until the outcome is certain, or certainly unknown.
    async fn work(self, params: String, ack_id: String) {
        let (_, number) = params.split_once('-').unwrap();
        let number: u64 = number.parse().unwrap();
        if number.is_multiple_of(3) {
            // Lost when it fails.
            let _ = self.post(format!("at work {params}"), &ack_id, false).await;
        }
        // Long enough for a kill to fall between taking it on and answering.
        sleep(Duration::from_millis(number * 13 % 70)).await;
        loop {
            match self.post(format!("done {params}"), &ack_id, true).await {
                Ok(()) => return self.note("answered", &params),
                Err(status) if reason(&status).as_deref() == Some("ANSWER_OUTCOME_UNKNOWN") => {
                    return self.note("unknown", &params);
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn post(&self, text: String, ack_id: &str, is_final: bool) -> Result<(), Status> {
        let request = pb::AnswerCommandRequest {
            target: Some(Target::AckId(ack_id.to_owned())),
            content: Some(pb::MessageContent {
                text,
                ..pb::MessageContent::default()
            }),
            r#final: Some(is_final),
            ..pb::AnswerCommandRequest::default()
        };
        self.client.clone().answer_command(request).await.map(drop)
    }

    /// In one write, so that lines of several processes stand in the order in which they were written.
    fn note(&self, what: &str, params: &str) {
        let line = format!("{what} {params}\n");
        (&*self.record).write_all(line.as_bytes()).unwrap();
    }
}

/// What stands behind the command.
pub(super) fn params(event: &pb::Event) -> String {
    let command = match &event.body {
        Some(pb::event::Body::CommandAdded(added)) => added.command.clone(),
        _ => None,
    };
    command.unwrap().params
}
