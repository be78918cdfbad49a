//! What is printed. No time fails a run: a slow machine is not a wrong gateway.

#![expect(clippy::print_stdout, reason = "a table for whoever ran it")]

use std::time::Duration;

use crate::{
    common::report::{machine, wanted},
    measure::{Figures, Plan},
};

/// What is wanted of the gateway beside the barest proxy.
const CPU: f64 = 1.5;
const THROUGHPUT: f64 = 0.75;
const WATCHED: f64 = 1.1;
const MEGABYTES: f64 = 30.0;
const READY: Duration = Duration::from_millis(100);

pub(crate) fn head(plan: Plan) {
    println!(
        "AnswerCommand by raw ids, no pacing; the middle of {} rounds of {:?} a side",
        plan.rounds, plan.round
    );
    println!("{}\n", machine());
    println!("at once  side       calls/s   p50 us   p99 us  CPU us/call  peak MB");
}

/// Both sides at one concurrency, and their ratios.
pub(crate) fn compared(concurrent: usize, bare: &Figures, gateway: &Figures) {
    side(concurrent, "bare", bare);
    side(concurrent, "gateway", gateway);
    println!(
        "{concurrent:7}  ratio    {:8.2}x {:7.2}x {:7.2}x {:11.2}x {:7.2}x",
        gateway.per_second / bare.per_second,
        gateway.p50_us / bare.p50_us,
        gateway.p99_us / bare.p99_us,
        gateway.cpu_us / bare.cpu_us,
        gateway.peak_megabytes / bare.peak_megabytes,
    );
}

fn side(concurrent: usize, name: &str, figures: &Figures) {
    println!(
        "{concurrent:7}  {name:8} {:8.0} {:8.0} {:8.0} {:12.1} {:8.1}",
        figures.per_second, figures.p50_us, figures.p99_us, figures.cpu_us, figures.peak_megabytes,
    );
}

pub(crate) fn keyed_head() {
    println!("\ngateway, every call with an idempotency_key of its own");
    println!("at once    calls/s   p50 us   p99 us  CPU us/call  peak MB  commits/call");
}

pub(crate) fn keyed(concurrent: usize, figures: &Figures) {
    println!(
        "{concurrent:7}  {:9.0} {:8.0} {:8.0} {:12.1} {:8.1} {:13.2}",
        figures.per_second,
        figures.p50_us,
        figures.p99_us,
        figures.cpu_us,
        figures.peak_megabytes,
        figures.commits,
    );
}

pub(crate) fn guarded_head() {
    println!("\ngateway that knows its callers by token, beside one that lets everybody in");
    println!("at once  CPU us/call  of it for callers");
}

pub(crate) fn guarded(concurrent: usize, open: &Figures, guarded: &Figures) {
    let own = guarded.cpu_us - open.cpu_us;
    println!("{concurrent:7} {:12.1} {own:18.1}", guarded.cpu_us);
}

pub(crate) fn watched_head() {
    println!(
        "\ngateway of which one trace in ten is sent and whose metrics are read every second, beside one alone"
    );
    println!("at once  CPU us/call    alone");
}

pub(crate) fn watched(concurrent: usize, alone: &Figures, watched: &Figures) {
    println!(
        "{concurrent:7} {:12.1} {:8.1}",
        watched.cpu_us, alone.cpu_us
    );
    let ratio = watched.cpu_us / alone.cpu_us;
    wanted(
        &format!("telemetry at {concurrent}"),
        &format!("{ratio:.2}x CPU per call, wanted at most {WATCHED}x"),
        ratio <= WATCHED,
    );
}

/// What was wanted, and whether it came about.
pub(crate) fn verdict(compared: &[(usize, Figures, Figures)], ready: Duration) {
    println!();
    for (concurrent, bare, gateway) in compared.iter().filter(|(concurrent, ..)| *concurrent > 1) {
        let cpu = gateway.cpu_us / bare.cpu_us;
        wanted(
            &format!("CPU per call at {concurrent}"),
            &format!("{cpu:.2}x bare, wanted at most {CPU}x"),
            cpu <= CPU,
        );
        let throughput = gateway.per_second / bare.per_second;
        wanted(
            &format!("calls/s at {concurrent}"),
            &format!("{throughput:.2}x bare, wanted at least {THROUGHPUT}x"),
            throughput >= THROUGHPUT,
        );
    }
    let peaks = compared
        .iter()
        .map(|(_, _, gateway)| gateway.peak_megabytes);
    let peak = peaks.fold(0.0, f64::max);
    wanted(
        "peak memory",
        &format!("{peak:.1} MB, wanted under {MEGABYTES} MB"),
        peak < MEGABYTES,
    );
    wanted(
        "start to ready",
        &format!(
            "{:.1} ms, wanted under {READY:?}",
            ready.as_secs_f64() * 1e3
        ),
        ready < READY,
    );
}
