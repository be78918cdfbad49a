//! The binary as an operator meets it: a process with arguments, an environment, files and signals.
//!
//! Whatever is wrong is told in exactly one line on standard error that begins with the program's
//! name; beside it stand only log lines, which begin with a time. 2 means that the command line or the
//! configuration is wrong, 1 that something else is.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "cli/admitting.rs"]
mod admitting;
#[path = "cli/breaking.rs"]
mod breaking;
#[path = "cli/callers.rs"]
mod callers;
#[path = "cli/calling.rs"]
mod calling;
#[path = "cli/checking.rs"]
mod checking;
#[path = "cli/completing.rs"]
mod completing;
#[path = "cli/developing.rs"]
mod developing;
#[path = "cli/doctoring.rs"]
mod doctoring;
#[path = "cli/failures.rs"]
mod failures;
#[path = "cli/keeping.rs"]
mod keeping;
#[path = "cli/looking.rs"]
mod looking;
#[path = "cli/probing.rs"]
mod probing;
#[path = "cli/process.rs"]
mod process;
#[path = "cli/relaying.rs"]
mod relaying;
#[path = "cli/scaffolding.rs"]
mod scaffolding;
#[path = "cli/serving.rs"]
mod serving;
#[path = "cli/simulating.rs"]
mod simulating;
#[path = "cli/subscribing.rs"]
mod subscribing;
#[path = "cli/tailing.rs"]
mod tailing;
#[path = "cli/tracing.rs"]
mod tracing;
