//! As many calls as the gateway holds, and what it says to the next ones.

#![expect(clippy::print_stdout, reason = "a table for whoever ran it")]

use std::time::Duration;

use bitrix24_gateway::proto::v1::bot_service_client::BotServiceClient;
use bitrix24_sim::Fault;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    Plan,
    calls::{self, request},
    common::{Outcome, process::Process, report::wanted},
    memory::megabytes,
    roles,
    scene::{ANSWER, World},
    times::percentile,
};

/// What the gateway holds: so many callers with so many calls each.
const CALLERS: usize = 10;
const PER_CALLER: usize = 1000;

/// What is wanted.
const MEGABYTES: f64 = 64.0;
const REFUSAL: Duration = Duration::from_millis(5);

pub(crate) async fn measure(world: &World, plan: Plan) -> Outcome<()> {
    let inside = CALLERS * PER_CALLER;
    let (holder, address) = Process::role(&["hold", &inside.to_string()]).await?;
    let bare = fill_up(&holder, &address).await?;
    let (least, least_said) = (bare.growth, bare.said());
    // The callers first, who would take its end for a failure.
    drop(bare);
    drop(holder);

    let scene = world.scene("full").await?;
    for method in [ANSWER, "batch"] {
        scene.portal.faults().on(method, Fault::hang().always());
    }
    let gateway = &scene.gateway;
    let full = fill_up(&gateway.process, &gateway.address).await?;
    let count = plan.refusals.to_string();
    let [p50, p99] = Process::numbers(&["refused", &gateway.address, &count]).await?;

    println!("\n{inside} calls inside, of {CALLERS} callers, while the portal answers nothing");
    println!("  the gateway    grew by {}", full.said());
    println!("  a bare server  grew by {least_said}");
    println!(
        "  the next {}  refused: p50 {:.2} ms, p99 {:.2} ms",
        plan.refusals,
        p50 * 1e3,
        p99 * 1e3
    );
    let growth = full.growth - least;
    wanted(
        "growth beyond bare",
        &format!("{growth:.1} MB, wanted under {MEGABYTES} MB"),
        growth < MEGABYTES,
    );
    wanted(
        "refusal p99",
        &format!("{:.2} ms, wanted under {REFUSAL:?}", p99 * 1e3),
        p99 < REFUSAL.as_secs_f64(),
    );
    Ok(())
}

/// What taking in all the calls did to a server, which holds them until this is dropped.
struct Filled {
    _callers: Process,
    growth: f64,
    held: f64,
    /// How long it took, in words.
    took: String,
}

impl Filled {
    fn said(&self) -> String {
        let Self {
            growth, held, took, ..
        } = self;
        format!("{growth:.1} MB to {held:.1} MB, {took}")
    }
}

async fn fill_up(server: &Process, address: &str) -> Outcome<Filled> {
    let held = || megabytes(server, "VmRSS");
    let peak = || megabytes(server, "VmHWM");
    let (held_before, peak_before) = (held()?, peak()?);
    let (callers, took) = Process::role(&["fill", address, &CALLERS.to_string()]).await?;
    // What arrived last finds its place.
    sleep(Duration::from_millis(200)).await;
    Ok(Filled {
        _callers: callers,
        growth: (held()? - held_before).max(peak()? - peak_before),
        held: held()?,
        took,
    })
}

/// The process: each caller calls once more than it may. Tells when just these were refused, and keeps
/// the others waiting until killed.
pub(crate) async fn fill(address: &str, callers: &str) -> Outcome<()> {
    let callers: usize = callers.parse()?;
    let began = Instant::now();
    let mut waiting = JoinSet::new();
    for caller in 0..callers {
        let client = calls::connect(address).await?;
        for number in 0..=PER_CALLER {
            let dialog = caller * (PER_CALLER + 1) + number + 1;
            waiting.spawn(call(client.clone(), dialog));
        }
    }
    for _ in 0..callers {
        let ended = waiting.join_next().await.ok_or("nothing waits")??;
        must_be_full(ended?)?;
    }
    roles::tell(&format!(
        "filled within {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    match waiting.join_next().await {
        Some(ended) => Err(format!("a call that was to wait ended: {:?}", ended??).into()),
        None => Err("nothing waits".into()),
    }
}

/// The process: calls that are refused, one after another. Tells how long that took, in seconds.
pub(crate) async fn refused(address: &str, count: &str) -> Outcome<()> {
    let client = calls::connect(address).await?;
    let mut latencies = Vec::new();
    for number in 0..count.parse()? {
        let began = Instant::now();
        let outcome = call(client.clone(), 1_000_000 + number).await?;
        latencies.push(began.elapsed());
        must_be_full(outcome)?;
    }
    latencies.sort_unstable();
    roles::tell(&format!(
        "{} {}",
        percentile(&latencies, 50).as_secs_f64(),
        percentile(&latencies, 99).as_secs_f64(),
    ));
    Ok(())
}

/// A call in a dialog of its own. The portal never looks at it.
async fn call(mut client: BotServiceClient<Channel>, dialog: usize) -> Outcome<Result<(), Status>> {
    let request = request(&format!("1 1 chat{dialog}"))?;
    Ok(calls::answer(&mut client, request).await)
}

fn must_be_full(outcome: Result<(), Status>) -> Outcome<()> {
    let Err(status) = outcome else {
        return Err("a call was taken by a full gateway".into());
    };
    let reason = status.get_details_error_info().map(|info| info.reason);
    match (status.code(), reason.as_deref()) {
        (Code::ResourceExhausted, Some("QUEUE_FULL")) => Ok(()),
        _ => Err(status.into()),
    }
}
