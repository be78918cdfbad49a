//! One caller that keeps the queue full, and those beside it; `benches/README.md` says how to read it.
//!
//! ```text
//! busy ───gRPC──► gateway ──HTTPS──► simulated portal, in the process that measures
//! quiet ──gRPC──┘
//! ```

#![expect(clippy::print_stdout, reason = "a table for whoever ran it")]

#[path = "../common/calls.rs"]
mod calls;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/roles.rs"]
mod roles;
#[path = "../common/scene.rs"]
mod scene;
#[path = "../common/times.rs"]
mod times;

use std::{process::ExitCode, time::Duration};

use bitrix24_gateway::proto::v1::EventMode;
use bitrix24_sim::{Portal, Request, UnixTime};
use serde_json::Value;
use tokio::time::sleep;

use self::{
    calls::Crowd,
    common::{
        Outcome, end, on_one_thread,
        report::{machine, wanted},
    },
    scene::{PER_SECOND, POLL, THRESHOLD, WORK, World},
};

/// Calls that the busy caller keeps in the queue.
const QUEUED: usize = 1000;

/// A bot that nobody talks to.
const QUIET_BOT: &str = "quiet_bot";

/// What is wanted: of the quiet caller, and of the pauses between fetches of a bot's events.
const ANSWERED: f64 = 2.0;
const PAUSE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["role", "calls", address, dialogs, a, b, c, d, e] => {
            on_one_thread(calls::run(address, dialogs, [a, b, c, d, e]))
        }
        // Cargo adds words of its own.
        _ if words.contains(&"--quick") => on_one_thread(measure(Duration::from_secs(3))),
        _ => on_one_thread(measure(Duration::from_secs(60))),
    };
    end("fairness", outcome)
}

async fn measure(time: Duration) -> Outcome<()> {
    let world = World::start().await?;
    let scene = world.scene("fair").await?;
    scene
        .gateway
        .register("", QUIET_BOT, EventMode::Fetch)
        .await?;
    let quiet_bot = scene.portal.bot_by_code(QUIET_BOT).ok_or("no bot")?.id;
    // The crowd's first, since it is there until the end.
    let busy = Crowd {
        callers: 1,
        at_once: QUEUED,
        each: usize::MAX,
        time,
        pause: Duration::ZERO,
    };
    let quiet = Crowd {
        at_once: 1,
        pause: Duration::from_secs(1),
        ..busy
    };
    let address = &scene.gateway.address;
    let (of_busy, of_quiet) = (scene.dialogs("busy", QUEUED)?, scene.dialogs("quiet", 1)?);
    scene.portal.journal().clear();
    let began = world.sim.clock().now();
    let (busy, quiet) = tokio::try_join!(busy.call(address, &of_busy), async {
        // Not before the queue is full.
        sleep(Duration::from_secs(1)).await;
        quiet.call(address, &of_quiet).await
    })?;
    let ended = world.sim.clock().now();
    let arrived = scene.arrived();

    println!(
        "One caller keeps {QUEUED} answers queued for {time:?}, another one wants one per second; the portal \
         takes {WORK:?} for each, {THRESHOLD} requests at once and {PER_SECOND} per second"
    );
    println!("{}\n", machine());
    println!("caller   answers  per s   p50 s   p99 s");
    for (name, seen) in [("busy", busy), ("quiet", quiet)] {
        let per_second = seen.calls / seen.seconds;
        println!(
            "{name:7} {:8} {per_second:6.1} {:7.2} {:7.2}",
            seen.calls, seen.p50, seen.p99
        );
    }
    println!("{arrived}, within {:.0} s\n", (ended - began).as_secs_f64());
    let pause_of = |bot_id| longest_pause(&scene.portal, bot_id, began, ended);
    let pauses = [
        ("answering bot", pause_of(scene.bot_id)),
        ("quiet bot", pause_of(quiet_bot)),
    ];
    wanted(
        "quiet caller p99",
        &format!("{:.2} s, wanted under {ANSWERED} s", quiet.p99),
        quiet.p99 < ANSWERED,
    );
    for (name, pause) in pauses {
        wanted(
            &format!("{name} fetched"),
            &format!(
                "after at most {:.1} s, wanted {PAUSE:?}",
                pause.as_secs_f64()
            ),
            pause <= PAUSE,
        );
    }
    wanted(
        "rate refusals",
        &format!("{}, wanted none", arrived.refused),
        arrived.refused == 0,
    );
    if arrived.refused > 0 {
        return Err("the portal refused for its request rate".into());
    }
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let posted = arrived.posted as f64;
    if posted < busy.calls + quiet.calls {
        return Err(format!("only {posted} answers posted").into());
    }
    scene.gateway.process.stop().await
}

/// The longest stretch of the measurement in which a bot's events were not fetched.
fn longest_pause(portal: &Portal, bot_id: i64, from: UnixTime, until: UnixTime) -> Duration {
    // A number or, in a batch, a text.
    let is_of_bot = |fetch: &&Request| match &fetch.params["botId"] {
        Value::String(text) => *text == bot_id.to_string(),
        other => *other == bot_id,
    };
    let fetches = portal.journal().calls(POLL);
    let fetched = fetches.iter().filter(is_of_bot).map(|fetch| fetch.at);
    let times: Vec<UnixTime> = [from].into_iter().chain(fetched).chain([until]).collect();
    let pauses = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    pauses.max().unwrap_or_default()
}
