//! CPU time by the kernel's own books.

use std::{fs, time::Duration};

use crate::common::{Outcome, process::Process};

/// The kernel tells CPU time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of a process so far, of all its threads.
pub(crate) fn cpu_time(process: &Process) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id))?;
    // Behind the name, which may hold anything: user and system time are the 12th and 13th.
    let (_, fields) = stat.rsplit_once(')').ok_or("an odd stat file")?;
    let mut ticks = 0;
    for field in fields.split_whitespace().skip(11).take(2) {
        ticks += field.parse::<u32>()?;
    }
    Ok(TICK * ticks)
}
