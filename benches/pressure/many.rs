//! Many answers at the same moment.

#![expect(clippy::print_stdout, reason = "a table for whoever ran it")]

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, portal_service_client::PortalServiceClient};
use tokio::time::{sleep, timeout};

use crate::{
    Plan,
    calls::Crowd,
    common::{Outcome, gateway::Gateway, report::wanted},
    scene::{PER_SECOND, Scene, THRESHOLD, WORK},
};

/// Callers, each with an equal share of the calls.
const CALLERS: usize = 100;

/// What is wanted of a thousand calls.
const REQUESTS: u64 = 70;
const SECONDS: f64 = 30.0;

/// How long anything but a measurement may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn head(machine: &str) {
    println!(
        "AnswerCommand by raw ids; the portal takes {WORK:?} for each, {THRESHOLD} requests at once and \
         {PER_SECOND} per second"
    );
    println!("{machine}");
}

pub(crate) async fn measure(scene: &Scene, plan: Plan) -> Outcome<()> {
    let dialogs = scene.dialogs("many", plan.many)?;
    all_fetched(scene).await?;
    if plan.rest {
        rested(&scene.gateway).await?;
    }
    scene.portal.journal().clear();
    let crowd = Crowd {
        callers: CALLERS,
        at_once: plan.many / CALLERS,
        each: 1,
        time: PATIENCE,
        pause: Duration::ZERO,
    };
    let seen = crowd.call(&scene.gateway.address, &dialogs).await?;
    let arrived = scene.arrived();

    println!(
        "\n{} answers at once from {CALLERS} callers, each in a dialog of its own",
        plan.many
    );
    println!(
        "  OK            {} of {}, {} posted",
        seen.calls, plan.many, arrived.posted
    );
    println!("  {arrived}");
    println!(
        "  seconds       {:.2} until the last; p50 {:.2}, p99 {:.2}",
        seen.seconds, seen.p50, seen.p99
    );
    let threshold = THRESHOLD as usize;
    println!(
        "  one by one    at least {} s: ({} answers - {THRESHOLD} at once) / {PER_SECOND} per second",
        plan.many.saturating_sub(threshold) / PER_SECOND as usize,
        plan.many,
    );
    #[expect(clippy::cast_possible_truncation, reason = "a few thousand")]
    let work = WORK * plan.many as u32;
    println!(
        "  no less than  {:.2} s: {} answers x {WORK:?} / {THRESHOLD} requests at once",
        (work / THRESHOLD).as_secs_f64(),
        plan.many,
    );
    if plan.rest {
        let requests = arrived.requests;
        wanted(
            "requests",
            &format!("{requests}, wanted at most {REQUESTS}"),
            requests <= REQUESTS,
        );
    }
    wanted(
        "seconds",
        &format!("{:.2}, wanted under {SECONDS}", seen.seconds),
        seen.seconds < SECONDS,
    );
    wanted(
        "rate refusals",
        &format!("{}, wanted none", arrived.refused),
        arrived.refused == 0,
    );
    if arrived.refused > 0 {
        return Err("the portal refused for its request rate".into());
    }
    if arrived.posted != plan.many {
        return Err(format!("{} of {} answers posted", arrived.posted, plan.many).into());
    }
    Ok(())
}

/// Waits until a gateway has all permits it ever has, but for one that a fetch of events may hold.
pub(crate) async fn rested(gateway: &Gateway) -> Outcome<()> {
    let mut portals = PortalServiceClient::connect(format!("http://{}", gateway.address)).await?;
    let rested = async {
        loop {
            let answer = portals.get_portal(pb::GetPortalRequest::default()).await?;
            let rate = answer.into_inner().portal.and_then(|portal| portal.rate);
            let permits = rate.and_then(|rate| rate.permits).unwrap_or_default();
            // Two portions stay in reserve.
            if permits + 1 >= (THRESHOLD - 2 * PER_SECOND).cast_signed() {
                return Outcome::Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, rested).await?
}

/// Waits until the gateway fetched all events.
pub(crate) async fn all_fetched(scene: &Scene) -> Outcome<()> {
    let fetched = async {
        while !scene.portal.pending_events(scene.bot_id).is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, fetched)
        .await
        .map_err(|_| "events are not fetched".into())
}
