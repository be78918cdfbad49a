//! What streams of events cost and how soon they tell; `benches/README.md` says how to read it.
//!
//! ```text
//!  poster ──HTTP──► gateway ──gRPC──► readers
//!                   bare    ──gRPC──┘
//! ```

#![expect(clippy::print_stdout, reason = "a table for whoever ran it")]

mod answers;
mod bare;
mod post;
mod readers;
mod stalled;
mod world;

#[path = "../webhooks/body.rs"]
mod body;
#[path = "../overhead/commits.rs"]
mod commits;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/cpu.rs"]
mod cpu;
#[path = "../common/memory.rs"]
mod memory;
#[expect(
    dead_code,
    reason = "the readers here tell their numbers several times"
)]
#[path = "../common/roles.rs"]
mod roles;
#[path = "../common/times.rs"]
mod times;

use std::{process::ExitCode, time::Duration};

use tokio::{runtime::Builder, time::sleep};

use self::{
    common::{
        Outcome, end, on_one_thread,
        process::Process,
        report::{machine, wanted},
    },
    memory::megabytes,
    readers::Readers,
    world::World,
};

/// What is wanted: from the arrival of one event to its receipt by every stream, of the rate of a bare
/// broadcast, and of memory in megabytes while nothing happens.
const SOON: Duration = Duration::from_millis(50);
const RATE: f64 = 0.5;
const MEMORY: f64 = 40.0;

/// How much to measure.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Streams that everybody reads, and their connections.
    streams: usize,
    connections: usize,
    /// Events one by one.
    singles: usize,
    /// Events as fast as they are taken.
    burst: usize,
    /// Streams on which nothing happens, and their connections.
    idle: (usize, usize),
    /// For how long, so that what their opening took up was given back and heartbeats were sent.
    quiet: Duration,
    /// Streams that nobody reads, and the events for them.
    stalled: (usize, usize),
    /// Commands that are answered.
    answers: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["role", "readers", address, streams, connections] => {
            on_one_thread(readers::run(address, streams, connections))
        }
        // As many threads as the gateway has.
        ["role", "bare"] => on_all_threads(bare::run()),
        _ if words.contains(&"--quick") => on_one_thread(measure(Plan {
            streams: 200,
            connections: 10,
            singles: 5,
            burst: 50,
            idle: (200, 10),
            quiet: Duration::from_secs(3),
            stalled: (5, 500),
            answers: 200,
        })),
        _ => on_one_thread(measure(Plan {
            streams: 1000,
            connections: 20,
            singles: 40,
            burst: 500,
            idle: (2000, 50),
            quiet: Duration::from_secs(35),
            stalled: (20, 6000),
            answers: 5000,
        })),
    };
    end("streams", outcome)
}

fn on_all_threads(role: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(role)
}

async fn measure(plan: Plan) -> Outcome<()> {
    println!("{}\n", machine());
    let world = World::new().await?;
    fan_out(plan, &world).await?;
    idle(plan, &world).await?;
    let (streams, events) = plan.stalled;
    stalled::measure(streams, events, &world).await?;
    answers::measure(plan.answers, &world).await
}

/// One event to many streams, and many events to them.
async fn fan_out(plan: Plan, world: &World) -> Outcome<()> {
    let gateway = world.gateway().await?;
    let readers = Readers::start(&gateway.address, plan.streams, plan.connections).await?;
    for _ in 0..plan.singles {
        world.poster.post(1).await?;
        sleep(Duration::from_millis(300)).await;
    }
    let single = readers.received(plan.singles).await?;
    let began = tokio::time::Instant::now();
    world.poster.post(plan.burst).await?;
    let burst = readers.received(plan.burst).await?;
    let ours = (plan.burst * plan.streams) as f64 / began.elapsed().as_secs_f64();
    drop(readers);
    gateway.process.stop().await?;

    let (bare, address) = Process::role(&["bare"]).await?;
    let readers = Readers::start(&address, plan.streams, plan.connections).await?;
    let began = tokio::time::Instant::now();
    // The bare one begins when it is asked to.
    bare::begin(&address, plan.burst).await?;
    readers.received(plan.burst).await?;
    let least = (plan.burst * plan.streams) as f64 / began.elapsed().as_secs_f64();
    drop((readers, bare));

    println!(
        "one event to {} streams on {} connections, {} times: p50 {:.1} ms, p99 {:.1} ms",
        plan.streams,
        plan.connections,
        plan.singles,
        single.p50 * 1e3,
        single.p99 * 1e3
    );
    println!(
        "{} events at once to them: {ours:.0} deliveries/s (p99 {:.0} ms), bare {least:.0}\n",
        plan.burst,
        burst.p99 * 1e3
    );
    wanted(
        "arrival to receipt",
        &format!("p99 {:.1} ms, wanted under {SOON:?}", single.p99 * 1e3),
        single.p99 < SOON.as_secs_f64(),
    );
    wanted(
        "deliveries/s",
        &format!("{:.2}x bare, wanted at least {RATE}x", ours / least),
        ours >= RATE * least,
    );
    Ok(())
}

/// Many streams on which nothing happens.
async fn idle(plan: Plan, world: &World) -> Outcome<()> {
    let (streams, connections) = plan.idle;
    let gateway = world.gateway().await?;
    let before = megabytes(&gateway.process, "VmRSS")?;
    let readers = Readers::start(&gateway.address, streams, connections).await?;
    sleep(plan.quiet).await;
    let after = megabytes(&gateway.process, "VmRSS")?;
    drop(readers);
    println!("\n{streams} idle streams on {connections} connections: {before:.1} MB before");
    wanted(
        "memory",
        &format!("{after:.1} MB, wanted under {MEMORY:.0} MB"),
        after < MEMORY,
    );
    gateway.process.stop().await
}
