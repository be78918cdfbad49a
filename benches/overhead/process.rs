//! Processes, and what they cost by the kernel's own books.

use std::{fs, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::Outcome;

/// The kernel tells CPU time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// A process, killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    id: u32,
}

/// Says the one thing that whoever started this role waits for.
#[expect(
    clippy::print_stdout,
    reason = "standard output is what the other process reads"
)]
pub(crate) fn tell(line: &str) {
    println!("{line}");
}

impl Process {
    /// Starts a command.
    pub(crate) fn start(mut command: Command) -> Outcome<Self> {
        let child = command.stdin(Stdio::null()).kill_on_drop(true).spawn()?;
        let id = child.id().ok_or("the process ended at once")?;
        Ok(Self { child, id })
    }

    /// Starts a role of this binary and waits for what it tells.
    pub(crate) async fn role(arguments: &[&str]) -> Outcome<(Self, String)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("role").args(arguments).stdout(Stdio::piped());
        let mut process = Self::start(command)?;
        let out = process.child.stdout.take().ok_or("no standard output")?;
        let told = BufReader::new(out).lines().next_line().await?;
        let told = told.ok_or_else(|| format!("{} said nothing", arguments[0]))?;
        Ok((process, told))
    }

    /// What it writes to standard error, if that was piped.
    pub(crate) fn stderr(&mut self) -> Outcome<tokio::process::ChildStderr> {
        Ok(self.child.stderr.take().ok_or("no standard error")?)
    }

    /// Waits for its end, which must be a good one.
    pub(crate) async fn ended(mut self) -> Outcome<()> {
        let status = self.child.wait().await?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("a process ended with {status}").into())
        }
    }

    /// Asks it to stop, and waits until it did.
    pub(crate) async fn stop(self) -> Outcome<()> {
        let id = self.id.to_string();
        Command::new("kill").arg(id).status().await?;
        self.ended().await
    }

    /// CPU time so far, of all its threads.
    pub(crate) fn cpu_time(&self) -> Outcome<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id))?;
        // Behind the name, which may hold anything: user and system time are the 12th and 13th.
        let (_, fields) = stat.rsplit_once(')').ok_or("an odd stat file")?;
        let mut ticks = 0;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u32>()?;
        }
        Ok(TICK * ticks)
    }

    /// The most memory it ever held, in megabytes.
    pub(crate) fn peak_megabytes(&self) -> Outcome<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .ok_or("no VmHWM")?;
        let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kibibytes * 1024.0 / 1e6)
    }
}
