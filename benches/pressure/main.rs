//! More calls than the portal takes, few of them, and more than the gateway takes; `benches/README.md`
//! says how to read it.
//!
//! ```text
//! callers ──gRPC──► gateway ──HTTPS──► simulated portal, in the process that measures
//! direct ─────────────────────HTTPS──┘
//! ```

#[path = "../common/answering.rs"]
mod answering;
#[path = "../common/calls.rs"]
mod calls;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/https.rs"]
mod https;
#[path = "../common/memory.rs"]
mod memory;
#[path = "../common/scene.rs"]
mod scene;

mod direct;
mod few;
mod full;
mod hold;
mod many;

use std::{path::Path, process::ExitCode};

use self::{
    common::{Outcome, end, on_one_thread, report},
    scene::World,
};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Answers at once.
    many: usize,
    /// Rounds of few answers, and the answers of each caller in one.
    rounds: usize,
    few: usize,
    /// Whether to wait until the portal's counter is empty.
    rest: bool,
    refusals: usize,
}

const THOROUGH: Plan = Plan {
    many: 1000,
    rounds: 3,
    few: 4,
    rest: true,
    refusals: 1000,
};

const QUICK: Plan = Plan {
    many: 200,
    rounds: 1,
    few: 1,
    rest: false,
    refusals: 100,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["role", "calls", address, dialogs, a, b, c, d, e] => {
            on_one_thread(calls::run(address, dialogs, [a, b, c, d, e]))
        }
        ["role", "direct", portal, ca_file, callers, each] => {
            on_one_thread(direct::run(portal, Path::new(ca_file), callers, each))
        }
        ["role", "fill", address, callers] => on_one_thread(full::fill(address, callers)),
        ["role", "hold", calls] => on_one_thread(hold::run(calls)),
        ["role", "refused", address, count] => on_one_thread(full::refused(address, count)),
        // Cargo adds words of its own.
        _ => {
            let quick = words.contains(&"--quick");
            on_one_thread(measure(if quick { QUICK } else { THOROUGH }, &words))
        }
    };
    end("pressure", outcome)
}

/// Measures the parts named, or all of them.
async fn measure(plan: Plan, words: &[&str]) -> Outcome<()> {
    let named = |part| words.contains(&part);
    let all = !["few", "many", "full"].into_iter().any(named);
    many::head(&report::machine());
    let world = World::start().await?;
    if all || named("few") || named("many") {
        let scene = world.scene("paced").await?;
        if all || named("few") {
            few::measure(&world, &scene, plan).await?;
        }
        if all || named("many") {
            many::measure(&scene, plan).await?;
        }
        scene.gateway.process.stop().await?;
    }
    if all || named("full") {
        full::measure(&world, plan).await?;
    }
    Ok(())
}
