//! A change of the mode that goes wrong ends in a mode that is known.

use std::time::Duration;

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::Fault;
use tokio::time::sleep;
use tonic::Code;

use super::place::{By, Place};
use crate::scene::{help, told, until};

const UPDATE: &str = "imbot.v2.Bot.update";

/// A bot in one of the modes.
async fn place(mode: pb::EventMode) -> Place {
    let mut place = Place::new(By::Webhook).await;
    place.register(mode).await.unwrap();
    place.scene.bots.register_command(help()).await.unwrap();
    place.join();
    place
}

fn other(mode: pb::EventMode) -> pb::EventMode {
    match mode {
        pb::EventMode::Fetch => pb::EventMode::Webhook,
        _ => pb::EventMode::Fetch,
    }
}

/// A mode by the portal's name.
fn name(mode: pb::EventMode) -> &'static str {
    match mode {
        pb::EventMode::Fetch => "fetch",
        _ => "webhook",
    }
}

async fn shown(place: &mut Place) -> pb::EventMode {
    let listed = place.scene.bots.list_bots(pb::ListBotsRequest::default());
    listed.await.unwrap().into_inner().bots[0].event_mode()
}

/// Gateway and portal agree, and commands come.
async fn works(place: &mut Place, mode: pb::EventMode) {
    sleep(Duration::from_secs(120)).await;
    assert_eq!(place.mode(), name(mode));
    assert_eq!(shown(place).await, mode);
    let live = pb::SubscribeCommandEventsRequest::default();
    let mut stream = place.scene.subscribe(live).await;
    place.scene.anna_types("/help works");
    assert_eq!(stream.params().await, "works");
}

#[tokio::test(start_paused = true)]
async fn refused_change_leaves_the_mode_before() {
    for before in [pb::EventMode::Fetch, pb::EventMode::Webhook] {
        let mut place = place(before).await;
        let fault = Fault::error(400, "BOT_INVALID_EVENT_MODE", "");
        place.scene.portal.faults().on(UPDATE, fault);
        let refused = told(&place.update(other(before)).await.unwrap_err());
        assert_eq!(refused.executed, "no", "{refused:?}");
        works(&mut place, before).await;
        assert_eq!(place.logged("MODE_CHANGED"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn portal_that_saves_the_mode_and_then_refuses_the_address_gets_the_mode_before_back() {
    let mut place = place(pb::EventMode::Fetch).await;
    // Numbers have dots, names need some.
    place
        .scene
        .set("http.public_url", "https://localhost".to_owned());
    place.restart().await;
    let refused = told(&place.update(pb::EventMode::Webhook).await.unwrap_err());
    assert_eq!(refused.reason, "PORTAL_REFUSED");
    let calls = place.scene.portal.journal().calls(UPDATE);
    let modes: Vec<_> = calls
        .iter()
        .map(|call| call.params["fields"]["eventMode"].clone())
        .collect();
    assert_eq!(modes.last().unwrap(), "fetch", "{modes:?}");
    works(&mut place, pb::EventMode::Fetch).await;
}

#[tokio::test(start_paused = true)]
async fn change_whose_answer_got_lost_is_found_out() {
    for before in [pb::EventMode::Fetch, pb::EventMode::Webhook] {
        for made in [false, true] {
            let mut place = place(before).await;
            let lost = Fault::reset().times(3);
            let lost = if made { lost.after_effect() } else { lost };
            place.scene.portal.faults().on(UPDATE, lost);
            let asked = place.update(other(before)).await;
            let after = if made { other(before) } else { before };
            if let Err(status) = &asked {
                assert_ne!(status.code(), Code::Internal, "{status:?}");
            }
            let after = if asked.is_ok() { other(before) } else { after };
            works(&mut place, after).await;
            let gaps = usize::from(after != before);
            assert!(place.logged("MODE_CHANGED") >= gaps);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn change_that_a_crash_broke_off_ends_in_the_mode_of_the_portal() {
    for before in [pb::EventMode::Fetch, pb::EventMode::Webhook] {
        for made in [false, true] {
            let mut place = place(before).await;
            let portal = place.scene.portal.clone();
            let hang = Fault::hang();
            let hang = if made { hang.after_effect() } else { hang };
            portal.faults().on(UPDATE, hang);
            let mut bots = place.scene.bots.clone();
            let wish = pb::UpdateBotRequest {
                bot_code: "helper".to_owned(),
                event_mode: other(before).into(),
                ..pb::UpdateBotRequest::default()
            };
            let asking = tokio::spawn(async move { bots.update_bot(wish).await });
            until("the portal was asked", || portal.faults().waiting() == 0).await;
            if made {
                until("the portal did it", || {
                    portal.bot_by_code("helper").unwrap().event_mode != name(before)
                })
                .await;
            }
            place.scene.crash_at_rest().await;
            asking.abort();
            place.ingress.leads_to(Some(place.scene.http()));
            let after = if made { other(before) } else { before };
            works(&mut place, after).await;
            assert_eq!(place.scene.portal.journal().dropped(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_taken_both_ways_while_nobody_knows_the_mode() {
    let mut place = place(pb::EventMode::Fetch).await;
    let portal = place.scene.portal.clone();
    let slow = Fault::latency(Duration::from_secs(10)).after_effect();
    portal.faults().on(UPDATE, slow);
    let live = pb::SubscribeCommandEventsRequest::default();
    let mut stream = place.scene.subscribe(live).await;
    let mut bots = place.scene.bots.clone();
    let wish = pb::UpdateBotRequest {
        bot_code: "helper".to_owned(),
        event_mode: pb::EventMode::Webhook.into(),
        ..pb::UpdateBotRequest::default()
    };
    let asking = tokio::spawn(async move { bots.update_bot(wish).await });
    until("the portal did it", || {
        portal.bot_by_code("helper").unwrap().event_mode == "webhook"
    })
    .await;
    place.scene.anna_types("/help early");
    assert_eq!(stream.params().await, "early");
    assert!(!asking.is_finished(), "nobody has told us yet");
    asking.await.unwrap().unwrap();
    works(&mut place, pb::EventMode::Webhook).await;
}
