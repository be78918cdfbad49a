//! The callers: so many at once, each with one call after another in a dialog of its own.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{
    self as pb, answer_command_request::Target, bot_service_client::BotServiceClient,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{
    common::{Outcome, gateway::BOT_CODE, process::Process},
    roles,
    times::percentile,
};

/// What a bot says: about as long as a short answer.
const TEXT: &str = "Berlin: 14 degrees, light rain until the evening, wind from the west with 20 km/h. \
                    Tomorrow is going to be dry and a little warmer.";

/// What the callers saw in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) calls: f64,
    pub(crate) seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Whether calls carry an idempotency key, each its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    None,
    /// Apart from those of other rounds by this number.
    Of(usize),
}

/// One round against an address, by a process of its own. Within `over` the callers begin one after another.
pub(crate) async fn round(
    address: &str,
    concurrent: usize,
    (over, time): (Duration, Duration),
    keys: Keys,
    token: &str,
) -> Outcome<Seen> {
    let keys = match keys {
        Keys::None => String::new(),
        Keys::Of(round) => format!("round-{round}"),
    };
    let arguments = [
        "load",
        address,
        &concurrent.to_string(),
        &over.as_secs_f64().to_string(),
        &time.as_secs_f64().to_string(),
        &keys,
        token,
    ];
    let [calls, seconds, p50_us, p99_us] = Process::numbers(&arguments).await?;
    Ok(Seen {
        calls,
        seconds,
        p50_us,
        p99_us,
    })
}

/// The process: calls, and tells what it saw. Ends with an error when a call failed.
pub(crate) async fn run(
    address: &str,
    concurrent: &str,
    over: &str,
    seconds: &str,
    keys: &str,
    token: &str,
) -> Outcome<()> {
    let bearer: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
    let bearer = Some(bearer).filter(|_| !token.is_empty());
    let concurrent: u32 = concurrent.parse()?;
    let over = Duration::from_secs_f64(over.parse()?);
    let time = Duration::from_secs_f64(seconds.parse()?);
    let channel = Channel::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .connect()
        .await?;
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for number in 0..concurrent {
        let client = BotServiceClient::new(channel.clone());
        let key = (!keys.is_empty()).then(|| format!("{keys}-{number}"));
        let first = began + over * number / concurrent;
        let calling = caller(client, number, key, bearer.clone(), began + time);
        callers.spawn(async move {
            sleep_until(first).await;
            calling.await
        });
    }
    let mut latencies = Vec::new();
    while let Some(ended) = callers.join_next().await {
        latencies.extend(ended??);
    }
    let elapsed = began.elapsed();
    latencies.sort_unstable();
    roles::tell(&format!(
        "{} {} {} {}",
        latencies.len(),
        elapsed.as_secs_f64(),
        percentile(&latencies, 50).as_secs_f64() * 1e6,
        percentile(&latencies, 99).as_secs_f64() * 1e6,
    ));
    Ok(())
}

/// One caller, until the time is over: how long each of its calls took.
async fn caller(
    mut client: BotServiceClient<Channel>,
    number: u32,
    key: Option<String>,
    bearer: Option<MetadataValue<Ascii>>,
    until: Instant,
) -> Result<Vec<Duration>, tonic::Status> {
    let mut latencies = Vec::new();
    loop {
        let began = Instant::now();
        if began >= until {
            return Ok(latencies);
        }
        let mut request = Request::new(pb::AnswerCommandRequest {
            bot_code: BOT_CODE.to_owned(),
            // Calls of one dialog leave one at a time.
            target: Some(Target::Invocation(pb::CommandInvocation {
                command_id: 42,
                message_id: 789,
                dialog_id: format!("chat{}", number + 1),
            })),
            content: Some(pb::MessageContent {
                text: TEXT.to_owned(),
                ..pb::MessageContent::default()
            }),
            idempotency_key: key
                .as_ref()
                .map(|key| format!("{key}-{}", latencies.len()))
                .unwrap_or_default(),
            ..pb::AnswerCommandRequest::default()
        });
        if let Some(bearer) = &bearer {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", bearer.clone());
        }
        client.answer_command(request).await?;
        latencies.push(began.elapsed());
    }
}
