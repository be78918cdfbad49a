//! A second program reads the events of a bot, or nobody does and nobody is suspected.

use std::time::Duration;

use bitrix24_gateway::{
    diagnosis::Step,
    proto::v1::{self as pb, BotStatus, GapReason, subscribe_command_events_response::Item},
};
use bitrix24_sim::Fault;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    diagnosis::broken,
    intake::{refuse_appends, times_told},
    scene::{Scene, Stream, called, help, helper, until},
};

const FETCH: &str = "imbot.v2.Event.get";
const TOKEN: &str = "a-token-that-both-know";
const HOUR: Duration = Duration::from_secs(3600);

/// Days go by here.
const RARELY: [(&str, &str); 1] = [("polling.idle_pause", "60s")];

/// A bot that another program made and goes on using.
async fn stage() -> (Scene, i64) {
    let mut scene = Scene::with(&RARELY).await;
    scene.errors_have_names();
    let id = scene.make_bot_elsewhere("helper", TOKEN).await;
    let added = scene.portal.add_bot_to_chat(id, scene.chat.id, scene.anna);
    added.unwrap();
    register(&mut scene).await;
    scene.bots.register_command(help()).await.unwrap();
    (scene, id)
}

async fn register(scene: &mut Scene) {
    let adopting = pb::RegisterBotRequest {
        adopt: Some(pb::BotAdoption {
            bot_token: TOKEN.to_owned(),
            ..pb::BotAdoption::default()
        }),
        ..helper()
    };
    scene.bots.register_bot(adopting).await.unwrap();
}

async fn subscribe(scene: &mut Scene) -> Stream {
    let request = pb::SubscribeCommandEventsRequest::default();
    scene.subscribe(request).await
}

/// The other program acknowledges everything.
async fn steal(scene: &Scene, bot_id: i64) {
    let newest = scene.portal.pending_events(bot_id).into_iter().max();
    let params =
        json!({"botId": bot_id, "botToken": TOKEN, "offset": newest.unwrap_or_default() + 1});
    let answer = scene.call_elsewhere(FETCH, &params).await;
    assert!(answer.get("error").is_none(), "{answer}");
}

/// What the bot's state is said to be, which is the same wherever one asks.
async fn status(scene: &Scene) -> BotStatus {
    let mut bots = scene.bots.clone();
    let listed = bots.list_bots(pb::ListBotsRequest::default()).await;
    let listed = listed.unwrap().into_inner().bots[0].status();
    let request = pb::GetBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::GetBotRequest::default()
    };
    let got = bots.get_bot(request).await.unwrap().into_inner().status();
    assert_eq!(listed, got);
    got
}

/// What comes before the command with these parameters: commands, and gaps as their reasons.
async fn before(stream: &mut Stream, params: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match stream.next().await.unwrap().1 {
            Item::Event(event) if called(&event).params == params => return seen,
            Item::Event(event) => seen.push(called(&event).params),
            Item::Gap(gap) => {
                assert_eq!((gap.bot_code.as_str(), gap.from), ("helper", None));
                assert!(gap.until.is_some());
                seen.push(gap.reason().as_str_name().to_owned());
            }
            Item::Heartbeat(_) => {}
        }
    }
}

fn foreign() -> String {
    GapReason::ForeignReader.as_str_name().to_owned()
}

#[tokio::test(start_paused = true)]
async fn events_that_vanish_before_they_were_stored_put_the_bot_under_suspicion_for_a_day() {
    let (mut scene, bot_id) = stage().await;
    let mut stream = subscribe(&mut scene).await;
    scene.anna_types("/help first");
    assert_eq!(before(&mut stream, "first").await, Vec::<String>::new());
    sleep(Duration::from_secs(20)).await;
    for round in ["one", "two"] {
        refuse_appends(&scene.store_dir(), true);
        shown(&scene, &format!("lost {round}")).await;
        steal(&scene, bot_id).await;
        refuse_appends(&scene.store_dir(), false);
        sleep(Duration::from_secs(70)).await;
        assert_eq!(status(&scene).await, BotStatus::ForeignReaderSuspected);
        let (step, seen) = broken(&scene, "helper").await.unwrap();
        assert_eq!(step, Step::Event, "{seen}");
    }
    // It goes on being fetched, and two signs of one suspicion are one gap.
    scene.anna_types("/help last");
    assert_eq!(before(&mut stream, "last").await, [foreign()]);
    scene.restart().await;
    assert_eq!(status(&scene).await, BotStatus::ForeignReaderSuspected);
    sleep(23 * HOUR).await;
    assert_eq!(status(&scene).await, BotStatus::ForeignReaderSuspected);
    sleep(HOUR).await;
    assert_eq!(status(&scene).await, BotStatus::Active);
}

#[tokio::test(start_paused = true)]
async fn reader_beside_us_is_noticed_by_a_second_look_and_forgotten_when_the_bot_is_registered() {
    let (mut scene, bot_id) = stage().await;
    let mut stream = subscribe(&mut scene).await;
    sleep(HOUR).await;
    scene.anna_types("/help one");
    assert_eq!(before(&mut stream, "one").await, Vec::<String>::new());
    steal(&scene, bot_id).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(status(&scene).await, BotStatus::ForeignReaderSuspected);
    scene.anna_types("/help two");
    assert_eq!(before(&mut stream, "two").await, [foreign()]);

    register(&mut scene).await;
    assert_eq!(status(&scene).await, BotStatus::Active);
    // A new suspicion is another gap.
    sleep(HOUR).await;
    scene.anna_types("/help three");
    assert_eq!(before(&mut stream, "three").await, Vec::<String>::new());
    steal(&scene, bot_id).await;
    scene.anna_types("/help four");
    assert_eq!(before(&mut stream, "four").await, [foreign()]);
}

#[tokio::test(start_paused = true)]
async fn bot_whose_delivery_was_switched_elsewhere_is_noticed_within_an_hour_or_when_it_is_read() {
    for read in [false, true] {
        let (mut scene, bot_id) = stage().await;
        let mut stream = subscribe(&mut scene).await;
        sleep(HOUR / 2).await;
        let fields = json!({"eventMode": "webhook", "webhookUrl": "https://example.com/hook"});
        let params = json!({"botId": bot_id, "botToken": TOKEN, "fields": fields});
        let answer = scene.call_elsewhere("imbot.v2.Bot.update", &params).await;
        assert_eq!(answer["result"]["bot"]["eventMode"], "webhook", "{answer}");
        let listed = async |scene: &Scene| {
            let mut bots = scene.bots.clone();
            let listed = bots.list_bots(pb::ListBotsRequest::default()).await;
            listed.unwrap().into_inner().bots[0].status()
        };
        assert_eq!(listed(&scene).await, BotStatus::Active);
        if read {
            assert_eq!(
                scene
                    .bots
                    .get_bot(pb::GetBotRequest {
                        bot_code: "helper".to_owned(),
                        ..pb::GetBotRequest::default()
                    })
                    .await
                    .unwrap()
                    .into_inner()
                    .status(),
                BotStatus::ForeignReaderSuspected
            );
        } else {
            sleep(HOUR).await;
        }
        assert_eq!(listed(&scene).await, BotStatus::ForeignReaderSuspected);
        loop {
            if let Item::Gap(gap) = stream.next().await.unwrap().1 {
                assert_eq!(gap.reason(), GapReason::ForeignReader);
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_suspected_for_what_happens_by_itself_or_through_us() {
    let mut scene = Scene::with(&RARELY).await;
    let bot_id = scene.helper().await;
    let quiet = async |scene: &Scene, what: &str| {
        assert_eq!(status(scene).await, BotStatus::Active, "after {what}");
    };
    // An event that nobody can store for a day is dropped by the portal.
    refuse_appends(&scene.store_dir(), true);
    scene.anna_types("/help too late");
    sleep(25 * HOUR).await;
    assert_eq!(scene.portal.pending_events(bot_id), Vec::<u64>::new());
    refuse_appends(&scene.store_dir(), false);
    sleep(Duration::from_secs(120)).await;
    quiet(&scene, "a day without a store").await;

    // The second look goes wrong, or its answer is lost.
    let lost = [
        Fault::html(502),
        Fault::reset().after_effect(),
        Fault::hang(),
        Fault::reset(),
    ];
    for (round, fault) in lost.into_iter().enumerate() {
        sleep(HOUR).await;
        shown(&scene, &format!("round {round}")).await;
        scene.portal.faults().on(FETCH, fault);
        sleep(Duration::from_secs(120)).await;
        assert_eq!(scene.portal.faults().waiting(), 0);
    }
    quiet(&scene, "lost answers").await;

    sleep(HOUR).await;
    shown(&scene, "before a crash").await;
    scene.crash_at_rest().await;
    sleep(Duration::from_secs(120)).await;
    quiet(&scene, "a crash").await;

    let rotate = pb::RotateBotTokenRequest {
        bot_code: "helper".to_owned(),
        ..pb::RotateBotTokenRequest::default()
    };
    sleep(HOUR).await;
    shown(&scene, "before a rotation").await;
    scene.bots.rotate_bot_token(rotate).await.unwrap();
    sleep(Duration::from_secs(120)).await;
    quiet(&scene, "a rotation").await;

    refuse_appends(&scene.store_dir(), true);
    shown(&scene, "of the bot before").await;
    refuse_appends(&scene.store_dir(), false);
    let gone = pb::UnregisterBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::UnregisterBotRequest::default()
    };
    scene.bots.unregister_bot(gone).await.unwrap();
    scene.helper().await;
    sleep(Duration::from_secs(120)).await;
    quiet(&scene, "another registration").await;

    sleep(HOUR).await;
    shown(&scene, "before a copy is made").await;
    scene.restore().await;
    scene.portals().release();
    sleep(Duration::from_secs(120)).await;
    quiet(&scene, "a restore").await;
}

/// Anna types, and the gateway was shown it.
async fn shown(scene: &Scene, params: &str) {
    scene.portal.journal().clear();
    scene.anna_types(&format!("/help {params}"));
    until("it was shown", || times_told(scene, params) > 0).await;
}
