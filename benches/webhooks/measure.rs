//! Lets both sides take the same events in turns, and tells the middle of the rounds.

#![expect(clippy::print_stdout, reason = "a table for whoever ran it")]

use std::{fs, net::TcpListener, path::Path, time::Duration};

use bitrix24_gateway::proto::v1::EventMode;
use bitrix24_sim::{Limits, PortalConfig, Sim};

use crate::{
    commits::commits,
    common::{
        Outcome,
        gateway::{BOT_CODE, CA_FILE, Gateway},
        process::Process,
        report::{machine, wanted},
    },
    cpu::cpu_time,
    load,
};

/// Where the gateway is said to be reached.
const PUBLIC: &str = "https://gateway.example.com";

/// What is wanted of the gateway's rate beside the least that could keep events.
const RATE: f64 = 0.5;

/// Senders at once.
const CONCURRENT: [usize; 2] = [16, 64];

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    rounds: usize,
    round: Duration,
}

/// One side at one concurrency: of a round, or the middle of several.
#[derive(Debug, Clone, Copy)]
struct Figures {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
    per_commit: f64,
}

impl Plan {
    /// As the command line wishes.
    pub(crate) fn of(words: &[&str]) -> Self {
        match words.contains(&"--quick") {
            true => Self {
                rounds: 1,
                round: Duration::from_secs(1),
            },
            false => Self {
                rounds: 9,
                round: Duration::from_secs(3),
            },
        }
    }
}

/// A process that takes events.
struct Side<'a> {
    process: &'a Process,
    store: &'a Path,
    address: String,
    path: String,
    /// `{bot id}:{token}`.
    bot: String,
}

impl Side<'_> {
    async fn round(&self, concurrent: usize, plan: Plan, number: usize) -> Outcome<Figures> {
        let (cpu, committed) = (cpu_time(self.process)?, commits(self.store)?);
        let place = (&*self.address, &*self.path, &*self.bot);
        let seen = load::round(place, concurrent, plan.round, number).await?;
        let cpu = cpu_time(self.process)? - cpu;
        let committed = commits(self.store)?.wrapping_sub(committed);
        Ok(Figures {
            per_second: seen.events / seen.seconds,
            p50_us: seen.p50_us,
            p99_us: seen.p99_us,
            cpu_us: cpu.as_secs_f64() * 1e6 / seen.events,
            per_commit: seen.events / f64::from(committed.max(1)),
        })
    }
}

/// Measures, and prints.
pub(crate) async fn run(plan: Plan) -> Outcome<()> {
    // On a disk: a store in memory would commit for nothing.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let sim = Sim::start(bitrix24_sim::Config::default()).await?;
    let config = PortalConfig {
        limits: Limits::none(),
        ..PortalConfig::default()
    };
    let portal = sim.add_portal(config).await?;
    fs::write(folder.path().join(CA_FILE), sim.ca_pem())?;
    let address = free_address()?;
    let settings = [
        ("HTTP__LISTEN", address.as_str()),
        ("HTTP__PUBLIC_URL", PUBLIC),
    ];
    let gateway = Gateway::start(folder.path(), &portal.webhook_url(), &settings).await?;
    gateway.register("", BOT_CODE, EventMode::Webhook).await?;
    let bot = portal.bot_by_code(BOT_CODE).ok_or("no bot")?;
    let path = bot
        .webhook_url
        .strip_prefix(PUBLIC)
        .ok_or("another address")?;
    let bare_folder = folder.path().join("bare");
    fs::create_dir(&bare_folder)?;
    let bare_text = bare_folder.display().to_string();
    let (bare_process, bare_address) = Process::role(&["bare", &bare_text]).await?;
    let bot = format!("{}:{}", bot.id, bot.token.ok_or("no token")?);
    let store = folder.path().join("store");
    let ours = Side {
        process: &gateway.process,
        store: &store,
        address,
        path: path.to_owned(),
        bot: bot.clone(),
    };
    let bare = Side {
        process: &bare_process,
        store: &bare_folder,
        address: bare_address,
        path: "/bitrix24/bots/x".to_owned(),
        bot,
    };
    println!(
        "the documented command, posted; the middle of {} rounds of {:?} a side",
        plan.rounds, plan.round
    );
    println!("{}\n", machine());
    println!("at once  side     events/s   p50 us   p99 us  CPU us/event  events/commit");
    let mut verdicts = Vec::new();
    let mut number = 1;
    for concurrent in CONCURRENT {
        let (mut of_bare, mut of_ours) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            of_bare.push(bare.round(concurrent, plan, number).await?);
            of_ours.push(ours.round(concurrent, plan, number).await?);
            number += 1;
        }
        let (bare, ours) = (middle(&of_bare), middle(&of_ours));
        row(concurrent, "bare", &bare);
        row(concurrent, "gateway", &ours);
        println!(
            "{concurrent:7}  ratio    {:7.2}x {:7.2}x {:7.2}x {:12.2}x {:13.2}x",
            ours.per_second / bare.per_second,
            ours.p50_us / bare.p50_us,
            ours.p99_us / bare.p99_us,
            ours.cpu_us / bare.cpu_us,
            ours.per_commit / bare.per_commit,
        );
        verdicts.push((concurrent, ours.per_second / bare.per_second));
    }
    println!();
    for (concurrent, rate) in verdicts {
        wanted(
            &format!("events/s at {concurrent}"),
            &format!("{rate:.2}x bare, wanted at least {RATE}x"),
            rate >= RATE,
        );
    }
    gateway.process.stop().await
}

fn row(concurrent: usize, name: &str, figures: &Figures) {
    println!(
        "{concurrent:7}  {name:8} {:8.0} {:8.0} {:8.0} {:13.1} {:14.1}",
        figures.per_second, figures.p50_us, figures.p99_us, figures.cpu_us, figures.per_commit,
    );
}

/// Each figure's middle.
fn middle(rounds: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    Figures {
        per_second: of(|it| it.per_second),
        p50_us: of(|it| it.p50_us),
        p99_us: of(|it| it.p99_us),
        cpu_us: of(|it| it.cpu_us),
        per_commit: of(|it| it.per_commit),
    }
}

/// One that was free a moment ago.
fn free_address() -> Outcome<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
