//! Callers in a process of their own, each with a connection of its own: that is what the gateway takes
//! turns by.

use std::{fs, path::Path, time::Duration};

use bitrix24_gateway::proto::v1::{
    self as pb, answer_command_request::Target, bot_service_client::BotServiceClient,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tonic::{Request, Status, transport::Channel};

use crate::{
    common::{Outcome, gateway::BOT_CODE, process::Process},
    roles,
    times::percentile,
};

/// What a bot says: about as long as a short answer.
const TEXT: &str = "Berlin: 14 degrees, light rain until the evening, wind from the west with 20 km/h. \
                    Tomorrow is going to be dry and a little warmer.";

/// Longer than anything here takes, so that nothing is refused for its deadline.
const PATIENCE: Duration = Duration::from_secs(500);

/// Who calls how often. Every call under way has a dialog of its own, since answers to one dialog leave
/// one after another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    pub(crate) callers: usize,
    /// Calls that each caller keeps under way.
    pub(crate) at_once: usize,
    /// Calls one after another in each place, at most.
    pub(crate) each: usize,
    /// No call begins after this.
    pub(crate) time: Duration,
    /// From the beginning of a call to the beginning of the next one, at least.
    pub(crate) pause: Duration,
}

/// What they saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) calls: f64,
    pub(crate) seconds: f64,
    /// Seconds until a caller had its answer.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Crowd {
    /// Lets them call in the dialogs of a file, by a process of its own. Fails when one call did.
    pub(crate) async fn call(self, address: &str, dialogs: &Path) -> Outcome<Seen> {
        let arguments = [
            "calls",
            address,
            dialogs.to_str().ok_or("a file whose name is no text")?,
            &self.callers.to_string(),
            &self.at_once.to_string(),
            &self.each.to_string(),
            &self.time.as_secs_f64().to_string(),
            &self.pause.as_secs_f64().to_string(),
        ];
        let [calls, seconds, p50, p99] = Process::numbers(&arguments).await?;
        Ok(Seen {
            calls,
            seconds,
            p50,
            p99,
        })
    }

    fn parse(words: [&str; 5]) -> Outcome<Self> {
        let [callers, at_once, each, time, pause] = words;
        Ok(Self {
            callers: callers.parse()?,
            at_once: at_once.parse()?,
            each: each.parse()?,
            time: Duration::from_secs_f64(time.parse()?),
            pause: Duration::from_secs_f64(pause.parse()?),
        })
    }
}

/// The process: calls, and tells what it saw.
pub(crate) async fn run(address: &str, dialogs: &str, crowd: [&str; 5]) -> Outcome<()> {
    let crowd = Crowd::parse(crowd)?;
    let requests: Vec<_> = fs::read_to_string(dialogs)?
        .lines()
        .map(request)
        .collect::<Result<_, _>>()?;
    let mut requests = requests.into_iter();
    let mut places = Vec::new();
    for _ in 0..crowd.callers {
        let client = connect(address).await?;
        for request in requests.by_ref().take(crowd.at_once) {
            places.push((client.clone(), request));
        }
    }
    if places.len() < crowd.callers * crowd.at_once {
        return Err("too few dialogs".into());
    }
    let began = Instant::now();
    let mut calling = JoinSet::new();
    for (client, request) in places {
        calling.spawn(one_after_another(client, request, crowd, began));
    }
    let mut latencies = Vec::new();
    while let Some(ended) = calling.join_next().await {
        latencies.extend(ended??);
    }
    let elapsed = began.elapsed();
    latencies.sort_unstable();
    roles::tell(&format!(
        "{} {} {} {}",
        latencies.len(),
        elapsed.as_secs_f64(),
        percentile(&latencies, 50).as_secs_f64(),
        percentile(&latencies, 99).as_secs_f64(),
    ));
    Ok(())
}

/// A connection of its own: to the gateway another caller.
pub(crate) async fn connect(address: &str) -> Outcome<BotServiceClient<Channel>> {
    let channel = Channel::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .connect()
        .await?;
    Ok(BotServiceClient::new(channel))
}

/// An answer in the dialog of a line: the ids of its command and its message, and its name.
pub(crate) fn request(line: &str) -> Outcome<pb::AnswerCommandRequest> {
    let words: Vec<&str> = line.split(' ').collect();
    let [command, message, dialog] = words[..] else {
        return Err(format!("no dialog: {line:?}").into());
    };
    Ok(pb::AnswerCommandRequest {
        bot_code: BOT_CODE.to_owned(),
        target: Some(Target::Invocation(pb::CommandInvocation {
            command_id: command.parse()?,
            message_id: message.parse()?,
            dialog_id: dialog.to_owned(),
        })),
        content: Some(pb::MessageContent {
            text: TEXT.to_owned(),
            ..pb::MessageContent::default()
        }),
        ..pb::AnswerCommandRequest::default()
    })
}

/// One call.
pub(crate) async fn answer(
    client: &mut BotServiceClient<Channel>,
    request: pb::AnswerCommandRequest,
) -> Result<(), Status> {
    let mut request = Request::new(request);
    request.set_timeout(PATIENCE);
    client.answer_command(request).await?;
    Ok(())
}

/// How long each call of a place took.
async fn one_after_another(
    mut client: BotServiceClient<Channel>,
    request: pb::AnswerCommandRequest,
    crowd: Crowd,
    start: Instant,
) -> Result<Vec<Duration>, Status> {
    let mut latencies = Vec::new();
    let mut began = Instant::now();
    while latencies.len() < crowd.each && began <= start + crowd.time {
        answer(&mut client, request.clone()).await?;
        latencies.push(began.elapsed());
        if !crowd.pause.is_zero() {
            sleep_until(began + crowd.pause).await;
        }
        began = Instant::now();
    }
    Ok(latencies)
}
