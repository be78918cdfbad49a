//! Processes that are a role of the benchmark's own binary.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::common::{Outcome, process::Process};

/// Says the one thing that whoever started this role waits for.
#[expect(
    clippy::print_stdout,
    reason = "standard output is what the other process reads"
)]
pub(crate) fn tell(line: &str) {
    println!("{line}");
}

impl Process {
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
}
