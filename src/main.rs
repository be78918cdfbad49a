//! The `bitrix24-gateway` binary.

use std::process::ExitCode;

use bitrix24_gateway::cli::{self, Cli};
use clap::Parser as _;
use tikv_jemallocator::Jemalloc;

/// Most of a call is small pieces of memory that one thread takes and another gives back.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => cli::misused(&error),
    }
}
