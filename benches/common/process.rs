//! Processes that start and end with the benchmark.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::Outcome;

/// A process, killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) id: u32,
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

    /// A role that ends by itself, and the numbers it tells.
    pub(crate) async fn numbers<const COUNT: usize>(arguments: &[&str]) -> Outcome<[f64; COUNT]> {
        let (process, told) = Self::role(arguments).await?;
        process.ended().await?;
        let numbers: Vec<f64> = told
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        numbers
            .try_into()
            .map_err(|_| format!("{} said {told:?}", arguments[0]).into())
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
}
