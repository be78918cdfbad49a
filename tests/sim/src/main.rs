//! Runs one simulated portal until it is told to stop.
//!
//! The first line of output is one JSON object with the addresses; nothing else is printed.

use std::error::Error as _;
use std::io::Write;
use std::process::ExitCode;

use bitrix24_sim::standalone::{self, Options};
use clap::Parser;

/// A simulated Bitrix24 portal.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match standalone::run(Arguments::parse().options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut message = error.to_string();
            let mut cause = error.source();
            while let Some(inner) = cause {
                message = format!("{message}: {inner}");
                cause = inner.source();
            }
            drop(writeln!(std::io::stderr(), "bitrix24-sim: {message}"));
            ExitCode::FAILURE
        }
    }
}
