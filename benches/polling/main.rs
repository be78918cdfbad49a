//! A hundred bots of one portal whose events are fetched, and how soon a command reaches a stream;
//! `benches/README.md` says how to read it.
//!
//! ```text
//! stream, answers ◄──gRPC── gateway ──HTTPS──► simulated portal; both ends in the process that measures
//! ```

#![expect(clippy::print_stdout, reason = "a table for whoever ran it")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/times.rs"]
mod times;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bitrix24_gateway::proto::v1::{
    self as pb, answer_command_request::Target, bot_service_client::BotServiceClient, event::Body,
    subscribe_command_events_response::Item,
};
use bitrix24_sim::{Config, Limits, Portal, PortalConfig, Request, Sim, UnixTime};
use futures_util::future::try_join_all;
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep, timeout},
};
use tonic::{Streaming, transport::Channel};

use self::{
    common::{
        Outcome, end,
        gateway::{BOT_CODE, CA_FILE, Gateway},
        on_one_thread,
        report::{machine, wanted},
    },
    times::percentile,
};

/// How long a bot counts as busy here: nobody waits for an hour, and what is idle is fetched alike
/// however long it was.
const BUSY_FOR: Duration = Duration::from_secs(15);

/// What fetches events.
const POLL: &str = "imbot.v2.Event.get";

/// Requests more than this at once the portal refuses, and takes so many off per second.
const THRESHOLD: u32 = 50;
const PER_SECOND: u32 = 2;

/// Bots that are registered at once.
const TOGETHER: usize = 10;

/// What is wanted: polling requests per second, and times from typing to the stream.
const REQUESTS: f64 = 1.0;
const BUSY_P50: Duration = Duration::from_millis(2500);
const IDLE_P99: Duration = Duration::from_secs(6);

/// The same of answers, from the call to its end: less than a poll's turn.
const ANSWER_P99: Duration = Duration::from_secs(1);

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Size {
    bots: usize,
    /// Of those.
    busy: usize,
    /// Commands to each busy bot, one every ten seconds.
    rounds: usize,
}

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let size = if quick {
        Size {
            bots: 20,
            busy: 5,
            rounds: 1,
        }
    } else {
        Size {
            bots: 100,
            busy: 10,
            rounds: 9,
        }
    };
    end("polling", on_one_thread(measure(size)))
}

async fn measure(size: Size) -> Outcome<()> {
    // On a disk: a store in memory would commit for nothing.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let config = Config {
        journal_capacity: 100_000,
        ..Config::default()
    };
    let sim = Sim::start(config).await?;
    let config = PortalConfig {
        limits: Limits {
            threshold: Some(THRESHOLD),
            drain_per_second: PER_SECOND,
            ..Limits::default()
        },
        ..PortalConfig::default()
    };
    let portal = sim.add_portal(config).await?;
    fs::write(folder.path().join(CA_FILE), sim.ca_pem())?;
    let busy_for = format!("{}s", BUSY_FOR.as_secs());
    let settings = [("POLLING__BUSY_FOR", busy_for.as_str())];
    let gateway = Gateway::start(folder.path(), &portal.webhook_url(), &settings).await?;
    let client = BotServiceClient::connect(format!("http://{}", gateway.address)).await?;
    let bots: Vec<usize> = (0..size.bots).collect();
    for bots in bots.chunks(TOGETHER) {
        let registrations = bots
            .iter()
            .map(|bot| register(&gateway, client.clone(), *bot));
        try_join_all(registrations).await?;
    }
    let rooms = rooms(&portal, size.bots)?;
    let request = pb::SubscribeCommandEventsRequest::default();
    let stream = client.clone().subscribe_command_events(request).await?;
    let arrivals = Arrivals::default();
    let reader = tokio::spawn(
        arrivals
            .clone()
            .read(stream.into_inner(), client, size.busy),
    );
    // Everybody is idle, and what the registrations used up is there again.
    sleep(BUSY_FOR + Duration::from_secs(15)).await;

    portal.journal().clear();
    let began = sim.clock().now();
    type_commands(&portal, &rooms, size, &arrivals).await?;
    let ended = sim.clock().now();
    let typed = arrivals.lock().typed.len();
    let all = timeout(Duration::from_secs(60), arrivals.all_came(typed)).await;
    all.map_err(|_| "a command never came")?;
    reader.abort();
    let seconds = (ended - began).as_secs_f64();
    let requests = polling_requests(&portal, began, ended);
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let per_second = requests as f64 / seconds;

    println!(
        "{} bots, {} of them busy; the portal takes {THRESHOLD} requests at once and {PER_SECOND} per second; \
         a bot counts as idle after {BUSY_FOR:?}",
        size.bots, size.busy
    );
    println!("{}\n", machine());
    let times = arrivals.times(size.busy);
    println!("{:18} {:>6} {:>8} {:>8}", "", "count", "p50 s", "p99 s");
    for (name, times) in &times {
        let [p50, p99] = [50, 99].map(|percent| percentile(times, percent).as_secs_f64());
        println!("{name:18} {:6} {p50:8.2} {p99:8.2}", times.len());
    }
    println!("{requests} requests fetched events within {seconds:.0} s\n");
    wanted(
        "polling",
        &format!("{per_second:.2} requests/s, wanted at most {REQUESTS}"),
        per_second <= REQUESTS + 0.05,
    );
    let [busy, idle, answers] = times;
    for (name, times, percent, most) in [
        ("busy bots p50", busy.1, 50, BUSY_P50),
        ("idle bots p99", idle.1, 99, IDLE_P99),
        ("answers p99", answers.1, 99, ANSWER_P99),
    ] {
        let found = percentile(&times, percent);
        let text = format!("{:.2} s, wanted under {most:?}", found.as_secs_f64());
        wanted(name, &text, found < most);
    }
    let requests = portal.journal().requests();
    let errors = requests.iter().filter_map(Request::error);
    let refused = errors.filter(|code| code == "QUERY_LIMIT_EXCEEDED").count();
    if refused > 0 {
        return Err(format!("the portal refused {refused} times for its request rate").into());
    }
    gateway.process.stop().await
}

fn code(bot: usize) -> String {
    format!("{BOT_CODE}_{bot}")
}

/// Makes a bot with the command `/ask`.
async fn register(
    gateway: &Gateway,
    mut client: BotServiceClient<Channel>,
    bot: usize,
) -> Outcome<()> {
    gateway
        .register("", &code(bot), pb::EventMode::Fetch)
        .await?;
    let mut request = tonic::Request::new(pb::RegisterCommandRequest {
        bot_code: code(bot),
        command: "ask".to_owned(),
        title: [("en".to_owned(), "Ask".to_owned())].into(),
        ..pb::RegisterCommandRequest::default()
    });
    request.set_timeout(Duration::from_secs(60));
    client.register_command(request).await?;
    Ok(())
}

/// A room for each bot, by its place.
fn rooms(portal: &Portal, bots: usize) -> Outcome<Vec<String>> {
    let room = |bot| {
        let id = portal.bot_by_code(&code(bot)).ok_or("no bot")?.id;
        Ok(portal.add_group_chat("Room", &[1, id]).dialog_id())
    };
    (0..bots).map(room).collect()
}

/// One command a second to the busy bots, in turn, and meanwhile one to each idle bot.
async fn type_commands(
    portal: &Portal,
    rooms: &[String],
    size: Size,
    arrivals: &Arrivals,
) -> Outcome<()> {
    let mut seconds = interval(Duration::from_secs(10) / u32::try_from(size.busy)?);
    let turns = size.busy * size.rounds;
    let idle = size.bots - size.busy;
    let mut next_idle = size.busy;
    for turn in 0..turns {
        seconds.tick().await;
        let bot = turn % size.busy;
        arrivals.type_to(portal, &rooms[bot], &format!("{bot} {turn}"))?;
        // Not always at the same moment between two fetches.
        let until = size.busy + idle * (turn + 1) / turns;
        while next_idle < until {
            sleep(Duration::from_millis(37 * (next_idle as u64 % 20))).await;
            arrivals.type_to(portal, &rooms[next_idle], &format!("{next_idle} first"))?;
            next_idle += 1;
        }
    }
    seconds.tick().await;
    Ok(())
}

/// How many requests fetched in a stretch of time.
fn polling_requests(portal: &Portal, from: UnixTime, until: UnixTime) -> usize {
    let fetches = portal.journal().calls(POLL).into_iter();
    let fetches: Vec<Request> = fetches
        .filter(|fetch| fetch.at >= from && fetch.at < until)
        .collect();
    let alone = fetches.iter().filter(|fetch| fetch.batch.is_none()).count();
    let batches: BTreeSet<_> = fetches.iter().filter_map(|fetch| fetch.batch).collect();
    alone + batches.len()
}

/// When what was typed, came and was answered.
#[derive(Debug, Clone, Default)]
struct Arrivals(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    typed: HashMap<String, Instant>,
    came: HashMap<String, Duration>,
    answered: Vec<Duration>,
}

impl Arrivals {
    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn type_to(&self, portal: &Portal, room: &str, params: &str) -> Outcome<()> {
        self.lock().typed.insert(params.to_owned(), Instant::now());
        portal.user(1).types(room, &format!("/ask {params}"))?;
        Ok(())
    }

    /// Notes what comes, and answers for the busy bots.
    async fn read(
        self,
        mut stream: Streaming<pb::SubscribeCommandEventsResponse>,
        client: BotServiceClient<Channel>,
        busy: usize,
    ) -> Outcome<()> {
        let mut answers = JoinSet::new();
        while let Some(response) = stream.message().await? {
            let Some(Item::Event(event)) = response.item else {
                continue;
            };
            let Some(Body::CommandAdded(added)) = event.body else {
                continue;
            };
            let params = added.command.unwrap_or_default().params;
            let is_busy = bot_of(&params) < busy;
            let mut seen = self.lock();
            if let Some(typed) = seen.typed.get(&params).copied() {
                seen.came.insert(params, typed.elapsed());
            }
            drop(seen);
            if is_busy {
                answers.spawn(self.clone().answer(client.clone(), event.event_id));
            }
        }
        Ok(())
    }

    async fn answer(self, mut client: BotServiceClient<Channel>, event_id: String) -> Outcome<()> {
        let began = Instant::now();
        let answer = pb::AnswerCommandRequest {
            target: Some(Target::EventId(event_id)),
            content: Some(pb::MessageContent {
                text: "An answer".to_owned(),
                ..pb::MessageContent::default()
            }),
            ..pb::AnswerCommandRequest::default()
        };
        client.answer_command(answer).await?;
        self.lock().answered.push(began.elapsed());
        Ok(())
    }

    async fn all_came(&self, typed: usize) {
        while self.lock().came.len() < typed {
            sleep(Duration::from_millis(50)).await;
        }
        // The last answers.
        sleep(Duration::from_secs(2)).await;
    }

    /// Times to the stream of busy and of idle bots, and of answers, in order.
    fn times(&self, busy: usize) -> [(&'static str, Vec<Duration>); 3] {
        let seen = self.lock();
        let of = |is_busy: bool| {
            let came = seen.came.iter();
            let of = came.filter(|(params, _)| (bot_of(params) < busy) == is_busy);
            let mut times: Vec<_> = of.map(|(_, time)| *time).collect();
            times.sort_unstable();
            times
        };
        let mut answered = seen.answered.clone();
        answered.sort_unstable();
        [
            ("busy bots", of(true)),
            ("idle bots, first", of(false)),
            ("answers", answered),
        ]
    }
}

/// Which bot it was typed to.
fn bot_of(params: &str) -> usize {
    let bot = params.split(' ').next().unwrap_or_default();
    bot.parse().unwrap_or(usize::MAX)
}
