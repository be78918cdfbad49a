//! Lines that all benchmarks print.

#![expect(clippy::print_stdout, reason = "a table for whoever ran it")]

use std::{fs, thread};

/// A wanted figure, and whether it came about. No time fails a run: a slow machine is not a wrong gateway.
pub(crate) fn wanted(what: &str, found: &str, met: bool) {
    println!(
        "{what:20} {found:42} {}",
        if met { "met" } else { "MISSED" }
    );
}

/// What it ran on.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let processors = thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "{model}, {processors} processors, Linux {}, load before {load}",
        kernel.trim()
    )
}
