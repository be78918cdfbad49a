//! What the benchmarks share: processes, the gateway as one of them, and how figures are told.
//!
//! Only what all of them use is a module here; the other files of this folder are taken one by one.

pub(crate) mod gateway;
pub(crate) mod process;
pub(crate) mod report;

use std::{error::Error, process::ExitCode};

use tokio::runtime::Builder;

/// A benchmark that cannot go on says why and ends.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs a role that is not measured itself: on one thread, to leave the processors to what is.
pub(crate) fn on_one_thread(role: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(role)
}

/// How the process ends.
pub(crate) fn end(benchmark: &str, outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{benchmark}: {error}");
            ExitCode::FAILURE
        }
    }
}
