//! What a relay costs beside the barest thing that passes HTTP/2 on; `benches/README.md` says how to read
//! it.
//!
//! ```text
//!  load ──HTTP/2──► relay ──TLS──► central
//!       ├─HTTP/2──► bare  ──TLS──┤
//!       └─HTTP/2─────────────────┘
//! ```

mod bare;
mod central;

#[expect(dead_code, reason = "there is no gateway in this one")]
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/cpu.rs"]
mod cpu;
#[path = "../overhead/load.rs"]
mod load;
mod measure;
#[path = "../common/memory.rs"]
mod memory;
#[path = "../common/roles.rs"]
mod roles;
#[path = "../common/times.rs"]
mod times;

use std::{path::Path, process::ExitCode};

use self::common::{end, on_one_thread};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        // On one thread, to leave the processors to what is measured.
        ["role", "central", folder] => on_one_thread(central::run(Path::new(folder))),
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
        // As many threads as the relay has.
        ["role", "bare", port, folder] => on_one_thread(bare::run(port, Path::new(folder))),
        // Cargo adds words of its own.
        _ => on_one_thread(measure::run(words.contains(&"--quick"))),
    };
    end("relay", outcome)
}
