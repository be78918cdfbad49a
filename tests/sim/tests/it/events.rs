//! The event log (C12).

use std::time::Duration;

use bitrix24_sim::Effect;
use serde_json::{Value, json};

use crate::world::World;

async fn get(world: &World, bot: i64, more: Value) -> (Vec<u64>, u64, bool) {
    let answer = world.of_bot("imbot.v2.Event.get", bot, more).await;
    let result = answer.result();
    assert!(result.get("lastEventId").is_none());
    let events = result["events"].as_array().unwrap();
    let ids = events
        .iter()
        .map(|event| event["eventId"].as_u64().unwrap())
        .collect();
    (
        ids,
        result["nextOffset"].as_u64().unwrap(),
        result["hasMore"] == true,
    )
}

async fn with_messages(count: usize) -> (World, i64, Vec<u64>) {
    let world = World::new().await;
    let bot = world.bot("a").await;
    for _ in 0..count {
        world.portal.user(1).types_to_bot(bot, "hi").unwrap();
    }
    let ids = world.portal.pending_events(bot);
    (world, bot, ids)
}

#[tokio::test(start_paused = true)]
async fn without_an_offset_nothing_is_acknowledged() {
    let (world, bot, ids) = with_messages(3).await;
    for more in [json!({}), json!({"offset": 0}), json!({"offset": -5})] {
        assert_eq!(
            get(&world, bot, more).await,
            (ids.clone(), ids[2] + 1, false)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_offset_deletes_what_lies_below_and_a_repeat_is_safe() {
    let (world, bot, ids) = with_messages(3).await;
    for _ in 0..2 {
        let (seen, next, _) = get(&world, bot, json!({"offset": ids[1]})).await;
        assert_eq!((seen, next), (ids[1..].to_vec(), ids[2] + 1));
    }
    assert_eq!(
        get(&world, bot, json!({"offset": ids[0]})).await.0,
        ids[1..]
    );
    let acknowledged = Effect::EventsAcknowledged {
        bot_id: bot,
        count: 1,
        offset: ids[1],
    };
    assert!(world.portal.journal().effects().contains(&acknowledged));
}

#[tokio::test(start_paused = true)]
async fn an_offset_beyond_the_log_loses_events_and_is_echoed() {
    let (world, bot, _) = with_messages(3).await;
    let beyond = 99_999_999;
    assert_eq!(
        get(&world, bot, json!({"offset": beyond})).await,
        (vec![], beyond, false)
    );
    assert!(world.portal.pending_events(bot).is_empty());
    assert_eq!(get(&world, bot, json!({})).await, (vec![], 0, false));
}

#[tokio::test(start_paused = true)]
async fn a_full_page_claims_that_there_is_more() {
    let (world, bot, ids) = with_messages(3).await;
    assert_eq!(
        get(&world, bot, json!({"limit": 3})).await,
        (ids.clone(), ids[2] + 1, true)
    );
    assert_eq!(
        get(&world, bot, json!({"limit": 2})).await,
        (ids[..2].to_vec(), ids[1] + 1, true)
    );
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_clamped() {
    let (world, bot, _) = with_messages(101).await;
    for (limit, expected) in [
        (json!(0), 1),
        (json!(-3), 1),
        (json!(5000), 101),
        (Value::Null, 100),
        (json!("7"), 7),
    ] {
        assert_eq!(
            get(&world, bot, json!({"limit": limit})).await.0.len(),
            expected
        );
    }
}

#[tokio::test(start_paused = true)]
async fn ids_are_one_growing_sequence_with_gaps_for_the_whole_portal() {
    let world = World::new().await;
    let (one, other) = (world.bot("a").await, world.bot("b").await);
    for _ in 0..10 {
        world.portal.user(1).types_to_bot(one, "hi").unwrap();
        world.portal.user(1).types_to_bot(other, "hi").unwrap();
    }
    let (a, b) = (
        world.portal.pending_events(one),
        world.portal.pending_events(other),
    );
    let mut all: Vec<u64> = a.iter().chain(&b).copied().collect();
    all.sort_unstable();
    assert!(a.iter().zip(&b).all(|(a, b)| a < b));
    assert!(all.windows(2).any(|pair| pair[1] - pair[0] > 1));
}

#[tokio::test(start_paused = true)]
async fn events_vanish_after_a_day() {
    let (world, bot, _) = with_messages(2).await;
    world
        .sim
        .clock()
        .advance(Duration::from_secs(24 * 3600 + 1));
    assert_eq!(get(&world, bot, json!({})).await.0, Vec::<u64>::new());
    assert!(
        world
            .portal
            .journal()
            .effects()
            .contains(&Effect::EventsExpired {
                bot_id: bot,
                count: 2
            })
    );
}

#[tokio::test(start_paused = true)]
async fn a_bot_in_webhook_mode_has_no_log_and_loses_what_it_had() {
    let (world, bot, _) = with_messages(2).await;
    let fields = json!({"eventMode": "webhook"});
    world
        .of_bot("imbot.v2.Bot.update", bot, json!({"fields": fields}))
        .await
        .result();
    world.portal.user(1).types_to_bot(bot, "hi").unwrap();
    assert_eq!(get(&world, bot, json!({})).await.0, Vec::<u64>::new());
    let fields = json!({"eventMode": "fetch"});
    world
        .of_bot("imbot.v2.Bot.update", bot, json!({"fields": fields}))
        .await
        .result();
    world.portal.user(1).types_to_bot(bot, "hi").unwrap();
    assert_eq!(get(&world, bot, json!({})).await.0.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_removed_bot_is_noticed_by_its_reader() {
    let (world, bot, _) = with_messages(1).await;
    assert!(world.portal.remove_bot(bot));
    let answer = world.of_bot("imbot.v2.Event.get", bot, json!({})).await;
    assert_eq!(answer.error(), "BOT_NOT_FOUND");
}
