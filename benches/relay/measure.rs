//! What is measured, in which order, and what is printed.
//!
//! The sides take turns in short rounds, and the middle of each figure counts: what else happens on the
//! machine then hits all alike.

#![expect(clippy::print_stdout, reason = "a table for whoever ran it")]

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::{
    central::PORTAL,
    common::{
        Outcome,
        gateway::CA_FILE,
        process::Process,
        report::{machine, wanted},
    },
    cpu,
    load::{self, Keys},
    memory,
};

/// Calls at once.
const CONCURRENT: [usize; 3] = [1, 16, 64];

/// What is wanted of the relay at 64 calls at once: how much later an answer comes than without it, and its
/// CPU time beyond the barest, by that of the barest.
const LATER_US: f64 = 200.0;
const CPU_BEYOND: f64 = 0.5;

/// One side at one concurrency.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    calls: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
    peak_megabytes: f64,
}

/// A place that takes calls, and the process whose cost counts.
struct Side<'a> {
    name: &'static str,
    address: &'a str,
    process: Option<&'a Process>,
}

impl Side<'_> {
    async fn round(&self, concurrent: usize, time: Duration, keys: Keys) -> Outcome<Figures> {
        let spent = || self.process.map_or(Ok(Duration::ZERO), cpu::cpu_time);
        let before = spent()?;
        let seen = load::round(self.address, concurrent, (PORTAL, time), keys, "").await?;
        let cpu = spent()? - before;
        let peak = self
            .process
            .map_or(Ok(0.0), |it| memory::megabytes(it, "VmHWM"))?;
        Ok(Figures {
            calls: seen.calls / seen.seconds,
            p50_us: seen.p50_us,
            p99_us: seen.p99_us,
            cpu_us: cpu.as_secs_f64() * 1e6 / seen.calls,
            peak_megabytes: peak,
        })
    }
}

/// The middle of each figure.
fn median(rounds: &[Figures]) -> Figures {
    let median = |figure: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(figure).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Figures {
        calls: median(|it| it.calls),
        p50_us: median(|it| it.p50_us),
        p99_us: median(|it| it.p99_us),
        cpu_us: median(|it| it.cpu_us),
        peak_megabytes: median(|it| it.peak_megabytes),
    }
}

/// The relay itself, as an operator starts it, and where it takes calls.
async fn relay(folder: &Path, port: &str) -> Outcome<(Process, String)> {
    let token = folder.join("token");
    std::fs::write(&token, "b24gw_benchmark")?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitrix24-gateway"));
    command
        .args(["relay", "--listen", "127.0.0.1:0", "--upstream"])
        .arg(format!("https://localhost:{port}"))
        .env_clear()
        .env("BITRIX24_GATEWAY__RELAY__CA_FILE", folder.join(CA_FILE))
        .env("BITRIX24_GATEWAY__RELAY__TOKEN_FILE", token)
        .env("BITRIX24_GATEWAY__RELAY__POD", "bench/relay-0")
        .stderr(Stdio::piped());
    let mut process = Process::start(command)?;
    let mut said = BufReader::new(process.stderr()?).lines();
    let address = loop {
        let line = said.next_line().await?.ok_or("the relay ended")?;
        if let Some((_, rest)) = line.split_once("relay.address=\"") {
            break rest.split('"').next().unwrap_or_default().to_owned();
        }
    };
    tokio::spawn(async move {
        while let Ok(Some(line)) = said.next_line().await {
            if !line.contains(" INFO ") {
                eprintln!("{line}");
            }
        }
    });
    Ok((process, address))
}

/// Measures everything and prints it.
pub(crate) async fn run(quick: bool) -> Outcome<()> {
    let (rounds, time) = match quick {
        true => (3, Duration::from_millis(700)),
        false => (9, Duration::from_secs(4)),
    };
    let folder = tempfile::tempdir()?;
    let text = folder
        .path()
        .to_str()
        .ok_or("a folder whose name is no text")?;
    let (_central, ports) = Process::role(&["central", text]).await?;
    let (plain, secret) = ports.split_once(' ').ok_or("two ports were to be told")?;
    let (bare, bare_address) = Process::role(&["bare", secret, text]).await?;
    let (relay, relay_address) = relay(folder.path(), secret).await?;
    let direct = format!("127.0.0.1:{plain}");
    let side = |name, address, process| Side {
        name,
        address,
        process,
    };
    let sides = [
        side("direct", direct.as_str(), None),
        side("bare", &bare_address, Some(&bare)),
        side("relay", &relay_address, Some(&relay)),
    ];
    println!(
        "AnswerCommand, answered after {PORTAL:?}; the middle of {rounds} rounds of {time:?} a side"
    );
    println!("{}\n", machine());
    println!("at once  side     calls/s   p50 us   p99 us  CPU us/call  peak MB");
    for side in &sides {
        side.round(CONCURRENT[2], time / 2, Keys::Of(0)).await?;
    }
    let mut last = [Figures::default(); 3];
    for concurrent in CONCURRENT {
        let mut all = [const { Vec::new() }; 3];
        for round in 0..rounds {
            // Who goes first has the disadvantage of whatever another left behind.
            for turn in 0..sides.len() {
                let turn = (turn + round) % sides.len();
                all[turn].push(sides[turn].round(concurrent, time, Keys::None).await?);
            }
        }
        last = all.map(|rounds| median(&rounds));
        for (side, it) in sides.iter().zip(&last) {
            println!(
                "{concurrent:7}  {:6} {:9.0} {:8.0} {:8.0} {:12.1} {:8.1}",
                side.name, it.calls, it.p50_us, it.p99_us, it.cpu_us, it.peak_megabytes
            );
        }
    }
    let [direct, bare, ours] = last;
    println!();
    let later = ours.p99_us - direct.p99_us;
    wanted(
        "p99 at 64",
        &format!("{later:.0} us later than direct, wanted under {LATER_US:.0}"),
        later < LATER_US,
    );
    let beyond = ours.cpu_us / bare.cpu_us - 1.0;
    wanted(
        "CPU per call at 64",
        &format!("{beyond:.2}x bare beyond it, wanted under {CPU_BEYOND}x"),
        beyond < CPU_BEYOND,
    );
    relay.stop().await
}
