//! What it costs to take events that portals post, beside a server that does the least that could keep
//! them; `benches/README.md` says how to read it.
//!
//! ```text
//!  load ──HTTP──► gateway ──► store
//!       └─HTTP──► bare    ──► SQLite
//! ```
//!
//! Each of the three is a process of its own: the gateway is the real binary, the others are roles of
//! this one.

mod bare;
mod body;
mod load;
mod measure;

#[path = "../overhead/commits.rs"]
mod commits;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/cpu.rs"]
mod cpu;
#[path = "../common/roles.rs"]
mod roles;
#[path = "../common/times.rs"]
mod times;

use std::{path::Path, process::ExitCode};

use tokio::runtime::Builder;

use self::{
    common::{Outcome, end, on_one_thread},
    measure::Plan,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        // On one thread, to leave the processors to what is measured.
        [
            "role",
            "load",
            address,
            path,
            bot,
            concurrent,
            seconds,
            round,
        ] => on_one_thread(load::run(address, path, bot, concurrent, seconds, round)),
        // As many threads as the gateway has.
        ["role", "bare", folder] => on_all_threads(bare::run(Path::new(folder))),
        // Cargo adds words of its own.
        _ => on_one_thread(measure::run(Plan::of(&words))),
    };
    end("webhooks", outcome)
}

fn on_all_threads(role: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(role)
}
