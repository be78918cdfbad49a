//! Processes that start and end with the benchmark.

use std::process::Stdio;

use tokio::process::{Child, Command};

use super::Outcome;

/// A process, killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) id: u32,
}

impl Process {
    /// Starts a command.
    pub(crate) fn start(mut command: Command) -> Outcome<Self> {
        let child = command.stdin(Stdio::null()).kill_on_drop(true).spawn()?;
        let id = child.id().ok_or("the process ended at once")?;
        Ok(Self { child, id })
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
