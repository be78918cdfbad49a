//! Who is told of the events of a bot in webhook mode (C11, C17.2).

use serde_json::json;

use crate::delivery::{bot_at, done, says, update};
use crate::receiver::Receiver;
use crate::world::{TOKEN, World};

#[tokio::test(start_paused = true)]
async fn a_mode_switch_moves_events_between_log_and_address() {
    let world = World::new().await;
    let mut receiver = Receiver::plain().await;
    let bot = world.bot("a").await;
    says(&world, bot, "dropped");
    update(&world, bot, json!({"eventMode": "webhook"})).await;
    assert!(world.portal.subscriptions().is_empty());
    says(&world, bot, "lost: no address");
    update(&world, bot, json!({"webhookUrl": receiver.url})).await;
    assert_eq!(world.portal.subscriptions(), [(bot, receiver.url.clone())]);
    says(&world, bot, "sent");
    assert_eq!(receiver.next().await.get("data[message][text]"), "sent");
    assert!(world.events(bot).await.is_empty());
    update(&world, bot, json!({"eventMode": "fetch"})).await;
    assert!(world.portal.subscriptions().is_empty());
    says(&world, bot, "kept");
    assert_eq!(world.events(bot).await[0].1["message"]["text"], "kept");
}

#[tokio::test(start_paused = true)]
async fn a_new_address_replaces_the_old_one_unless_there_are_siblings() {
    for siblings in [false, true] {
        let world = World::new().await;
        let mut old = Receiver::plain().await;
        let mut new = Receiver::plain().await;
        let bot = bot_at(&world, "a", TOKEN, &old.url).await;
        if siblings {
            world.bot("b").await;
        }
        update(&world, bot, json!({"webhookUrl": new.url})).await;
        says(&world, bot, "hello");
        assert_eq!(new.next().await.get("data[message][text]"), "hello");
        done(&world, 1 + usize::from(siblings)).await;
        assert_eq!(old.is_quiet(), !siblings);
        if siblings {
            assert_eq!(old.next().await.get("data[bot][id]"), bot.to_string());
            world
                .portal
                .set_quirks(|quirks| quirks.skipped_cleanup = false);
            update(&world, bot, json!({"webhookUrl": new.url})).await;
            assert_eq!(world.portal.subscriptions(), [(bot, new.url.clone())]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn addresses_hear_of_all_bots_of_their_owner_or_of_their_own_only() {
    let world = World::new().await;
    let mut first = Receiver::plain().await;
    let mut second = Receiver::plain().await;
    let one = bot_at(&world, "a", TOKEN, &first.url).await;
    let two = bot_at(&world, "b", TOKEN, &second.url).await;
    bot_at(&world, "c", "another-token", &first.url).await;
    says(&world, one, "hello");
    for receiver in [&mut first, &mut second] {
        assert_eq!(receiver.next().await.get("data[bot][id]"), one.to_string());
    }
    done(&world, 2).await;
    world
        .portal
        .set_quirks(|quirks| quirks.shared_subscriptions = false);
    says(&world, two, "hello");
    assert_eq!(second.next().await.get("data[bot][id]"), two.to_string());
    done(&world, 3).await;
    assert!(first.is_quiet() && second.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn rotation_binds_the_subscriptions_to_the_new_token() {
    let world = World::new().await;
    let mut receiver = Receiver::plain().await;
    let bot = bot_at(&world, "a", TOKEN, &receiver.url).await;
    update(&world, bot, json!({"botToken": "new-token"})).await;
    says(&world, bot, "hello");
    assert_eq!(
        receiver.next().await.get("auth[application_token]"),
        "customnew-token"
    );
}
