//! Few answers at once: nothing may wait for company.

#![expect(clippy::print_stdout, reason = "a table for whoever ran it")]

use std::time::Duration;

use bitrix24_sim::Limits;

use crate::{
    Plan,
    calls::Crowd,
    common::{Outcome, gateway::CA_FILE, process::Process, report::wanted},
    many::{all_fetched, rested},
    scene::{Scene, World},
};

/// Callers, each with one call under way.
const CALLERS: usize = 10;

/// What is wanted of the middle call, as a multiple of that of the others.
const AT_MOST: f64 = 1.10;

pub(crate) async fn measure(world: &World, paced: &Scene, plan: Plan) -> Outcome<()> {
    let free = world.portal(Limits::none()).await?;
    // Without pacing every call leaves alone.
    let alone = world
        .scene_of("alone", free, &[("RATE__REQUESTS_PER_SECOND", "0")])
        .await?;
    let crowd = Crowd {
        callers: CALLERS,
        at_once: 1,
        each: plan.few,
        time: Duration::from_secs(3600),
        pause: Duration::ZERO,
    };
    let (of_paced, of_alone) = (
        paced.dialogs("few", CALLERS)?,
        alone.dialogs("few", CALLERS)?,
    );
    // Connections, and whatever else is made once.
    let warming = Crowd { each: 1, ..crowd };
    all_fetched(paced).await?;
    all_fetched(&alone).await?;
    warming.call(&alone.gateway.address, &of_alone).await?;
    if plan.rest {
        warming.call(&paced.gateway.address, &of_paced).await?;
    }
    let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..plan.rounds {
        if plan.rest {
            rested(&paced.gateway).await?;
        }
        paced.portal.journal().clear();
        rounds[0].push(crowd.call(&paced.gateway.address, &of_paced).await?.p50);
        if paced.arrived().batches > 0 {
            return Err("few calls travelled together although permits were plentiful".into());
        }
        rounds[1].push(crowd.call(&alone.gateway.address, &of_alone).await?.p50);
        rounds[2].push(direct(&alone, plan.few).await?);
    }
    let [paced, alone, direct] = rounds.map(middle_ms);
    println!(
        "\n{} answers of {CALLERS} callers with one at a time each, permits plentiful; the middle of {} rounds",
        CALLERS * plan.few,
        plan.rounds
    );
    println!("  p50 ms        {paced:.2} by the gateway with its defaults, none in a batch");
    println!("                {alone:.2} by a gateway without pacing, which puts nothing together");
    println!("                {direct:.2} by HTTPS without any gateway");
    for (name, other) in [("beside unpaced", alone), ("beside direct", direct)] {
        let ratio = paced / other;
        wanted(
            name,
            &format!("{ratio:.3}x, wanted at most {AT_MOST}x"),
            ratio <= AT_MOST,
        );
    }
    Ok(())
}

/// The middle one of the same calls without a gateway.
async fn direct(scene: &Scene, each: usize) -> Outcome<f64> {
    let ca_file = scene.folder.join(CA_FILE);
    let arguments = [
        "direct",
        &scene.portal.webhook_url(),
        ca_file.to_str().ok_or("a folder whose name is no text")?,
        &CALLERS.to_string(),
        &each.to_string(),
    ];
    let [p50] = Process::numbers(&arguments).await?;
    Ok(p50)
}

fn middle_ms(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_unstable_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or_default() * 1e3
}
