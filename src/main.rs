//! The `bitrix24-gateway` binary.

use std::process::ExitCode;

use bitrix24_gateway::cli::{self, Cli};
use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.run().await,
        Err(error) => cli::misused(&error),
    }
}
