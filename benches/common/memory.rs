//! Memory by the kernel's own books.

use std::fs;

use crate::common::{Outcome, process::Process};

/// What a process holds in memory, its mapped program included, in megabytes: now (`VmRSS`), or at most
/// since its start (`VmHWM`).
pub(crate) fn megabytes(process: &Process, what: &str) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))
        .ok_or_else(|| format!("no {what}"))?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024.0 / 1e6)
}
