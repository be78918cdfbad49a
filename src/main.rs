//! The `bitrix24-gateway` binary.

use std::process::ExitCode;

use bitrix24_gateway::cli::Cli;
use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().run().await
}
