//! What the gateway costs beside the barest possible proxy; `benches/README.md` says how to read it.
//!
//! ```text
//!  load ──gRPC──► gateway ──HTTPS──► responder
//!       └─gRPC──► bare    ──HTTPS──┘
//! ```
//!
//! Each of the four is a process of its own, so that CPU time and memory are its own: the gateway is
//! the real binary, the others are roles of this one.

mod bare;
mod load;
mod responder;

#[path = "../common/answering.rs"]
mod answering;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/cpu.rs"]
mod cpu;
#[path = "../common/https.rs"]
mod https;
#[path = "../common/memory.rs"]
mod memory;
#[path = "../common/roles.rs"]
mod roles;
#[path = "../common/times.rs"]
mod times;

mod commits;
mod measure;
mod report;
mod startup;
mod watched;

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
        ["role", "responder", folder] => on_one_thread(responder::run(Path::new(folder))),
        [
            "role",
            "load",
            address,
            concurrent,
            over,
            seconds,
            keys,
            token,
        ] => on_one_thread(load::run(address, concurrent, over, seconds, keys, token)),
        // As many threads as the gateway has.
        ["role", "bare", portal, ca_file] => on_all_threads(bare::run(portal, Path::new(ca_file))),
        // Cargo adds words of its own.
        _ => on_one_thread(measure::run(Plan::of(&words))),
    };
    end("overhead", outcome)
}

fn on_all_threads(role: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(role)
}
