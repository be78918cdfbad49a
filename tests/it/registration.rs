//! Bots can be registered again and again, from anywhere, and a lost store does not lose them.

use std::fs;

use bitrix24_gateway::proto::v1::{self as pb, RegistrationOutcome as Outcome};
use bitrix24_sim::Effect;
use tonic::Code;

use crate::scene::{Scene, broken_fields, failure, help, helper, told};

fn registrations(scene: &Scene) -> usize {
    let effects = scene.portal.journal().effects();
    effects
        .iter()
        .filter(|effect| matches!(effect, Effect::BotRegistered { .. }))
        .count()
}

fn wish(properties: pb::BotProperties) -> pb::RegisterBotRequest {
    pb::RegisterBotRequest {
        properties: Some(properties),
        ..helper()
    }
}

fn named(name: &str) -> pb::BotProperties {
    pb::BotProperties {
        name: Some(name.to_owned()),
        ..pb::BotProperties::default()
    }
}

#[tokio::test(start_paused = true)]
async fn repeat_changes_nothing_and_says_so() {
    let mut scene = Scene::start().await;
    let first = scene
        .bots
        .register_bot(helper())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.outcome(), Outcome::Created);
    let again = scene
        .bots
        .register_bot(helper())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.outcome(), Outcome::Unchanged);
    assert_eq!(again.bot.unwrap().id, first.bot.unwrap().id);
    assert_eq!(registrations(&scene), 1);
}

#[tokio::test(start_paused = true)]
async fn replicas_that_register_at_once_make_one_bot() {
    let scene = Scene::start().await;
    let all = (0..10).map(|_| {
        let mut bots = scene.bots.clone();
        async move {
            bots.register_bot(helper())
                .await
                .unwrap()
                .into_inner()
                .outcome()
        }
    });
    let outcomes = futures_util::future::join_all(all).await;
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == Outcome::Created)
            .count(),
        1
    );
    assert_eq!(registrations(&scene), 1);
}

#[tokio::test(start_paused = true)]
async fn differing_wish_is_told_and_applied_only_when_asked() {
    let mut scene = Scene::start().await;
    scene.bots.register_bot(helper()).await.unwrap();
    let other = pb::RegisterBotRequest {
        is_hidden: Some(true),
        r#type: pb::BotType::Supervisor.into(),
        background: pb::BotBackground::Mint.into(),
        ..wish(pb::BotProperties {
            work_position: Some("Assistant".to_owned()),
            color: pb::BotColor::Lime.into(),
            ..named("Servant")
        })
    };
    let told = scene
        .bots
        .register_bot(other.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(told.outcome(), Outcome::Differs);
    let fields = [
        "properties.name",
        "properties.work_position",
        "properties.color",
        "type",
        "is_hidden",
        "background",
    ];
    assert_eq!(told.unapplied_fields, fields);
    assert_eq!(scene.portal.bot_by_code("helper").unwrap().name, "Helper");

    let converge = pb::RegisterBotRequest {
        if_exists: pb::IfExists::Converge.into(),
        ..other
    };
    let applied = scene
        .bots
        .register_bot(converge.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(applied.outcome(), Outcome::Updated);
    assert_eq!(applied.unapplied_fields, ["type"]);
    let bot = scene.portal.bot_by_code("helper").unwrap();
    assert_eq!(
        (bot.name.as_str(), bot.work_position.as_str()),
        ("Servant", "Assistant")
    );
    assert!(bot.hidden);
    let again = scene
        .bots
        .register_bot(converge)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (again.outcome(), again.unapplied_fields),
        (Outcome::Differs, vec!["type".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn bot_deleted_in_the_portal_is_made_anew_with_another_id() {
    let mut scene = Scene::start().await;
    let id = scene.helper().await;
    assert!(scene.portal.remove_bot(id));
    let again = scene
        .bots
        .register_bot(helper())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.outcome(), Outcome::Created);
    assert_ne!(again.bot.unwrap().id, id);
    let command = scene
        .bots
        .register_command(help())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(command.outcome(), Outcome::Created);
}

#[tokio::test(start_paused = true)]
async fn lost_store_finds_its_bots_by_the_bot_key() {
    let mut scene = Scene::start().await;
    let id = scene.helper().await;
    scene.stop().await;
    fs::remove_dir_all(scene.folder().join("store")).unwrap();
    // A new store with the old keys, as an operator would set it up: keys given as text.
    let keys = fs::read_to_string(scene.folder().join("keys")).unwrap();
    scene.set("store.keys", keys);
    scene.start_again().await;
    let found = scene
        .bots
        .register_bot(helper())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.outcome(), Outcome::Unchanged);
    assert_eq!(found.bot.unwrap().id, id);
    assert_eq!(registrations(&scene), 1);
}

#[tokio::test(start_paused = true)]
async fn code_of_somebody_elses_bot_is_taken() {
    let mut scene = Scene::start().await;
    let mut elsewhere = Scene::start().await;
    elsewhere.set("webhook_url", scene.portal.webhook_url());
    elsewhere.trust(&scene);
    elsewhere.restart().await;
    elsewhere.bots.register_bot(helper()).await.unwrap();
    let refused = scene.bots.register_bot(helper()).await.unwrap_err();
    assert_eq!(
        told(&refused),
        failure(Code::AlreadyExists, "BOT_CODE_TAKEN", "no")
    );
}

#[tokio::test(start_paused = true)]
async fn adopted_bot_starts_where_it_was_told_to() {
    for (start, handled, expected) in [
        (pb::AdoptionStart::Now, 0, vec!["three"]),
        (pb::AdoptionStart::AfterEvent, 1, vec!["two", "three"]),
        (
            pb::AdoptionStart::EverythingHeld,
            0,
            vec!["one", "two", "three"],
        ),
    ] {
        let mut scene = Scene::start().await;
        // Another program's bot: made behind the gateway's back, its token known to the operator.
        let token = "a-token-of-somebody-else";
        let bot_id = scene.make_bot_elsewhere("helper", token).await;
        scene
            .portal
            .add_bot_to_chat(bot_id, scene.chat.id, scene.anna)
            .unwrap();
        scene.make_command_elsewhere(bot_id, token, "help").await;
        let joined = scene.portal.pending_events(bot_id).len();
        scene.anna_types("/help one");
        scene.anna_types("/help two");
        let events = scene.portal.pending_events(bot_id);
        let mut stream = scene
            .subscribe(pb::SubscribeCommandEventsRequest::default())
            .await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;

        let adopt = pb::BotAdoption {
            bot_token: token.to_owned(),
            start: start.into(),
            rotate_token: false,
            after_portal_event_id: match handled {
                0 => 0,
                _ => i64::try_from(events[joined]).unwrap(),
            },
        };
        let request = pb::RegisterBotRequest {
            adopt: Some(adopt),
            ..helper()
        };
        let adopted = scene.bots.register_bot(request).await.unwrap().into_inner();
        assert_eq!(adopted.bot.unwrap().id, bot_id);
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        scene.anna_types("/help three");
        for text in expected {
            assert_eq!(stream.params().await, text, "{start:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bot_is_not_adopted_with_a_wrong_token() {
    let mut scene = Scene::start().await;
    scene.make_bot_elsewhere("helper", "the-right-token").await;
    let request = pb::RegisterBotRequest {
        adopt: Some(pb::BotAdoption {
            bot_token: "a-wrong-token".to_owned(),
            ..pb::BotAdoption::default()
        }),
        ..helper()
    };
    let refused = scene.bots.register_bot(request).await.unwrap_err();
    assert_eq!(told(&refused).reason, "BOT_CODE_TAKEN");
}

#[tokio::test(start_paused = true)]
async fn partial_properties_are_completed_from_what_was_written() {
    let mut scene = Scene::start().await;
    let full = pb::BotProperties {
        last_name: Some("Robot".to_owned()),
        work_position: Some("Assistant".to_owned()),
        gender: pb::Gender::Female.into(),
        ..named("Helper")
    };
    scene.bots.register_bot(wish(full)).await.unwrap();
    let update = pb::UpdateBotRequest {
        bot_code: "helper".to_owned(),
        properties: Some(named("Servant")),
        ..pb::UpdateBotRequest::default()
    };
    scene.bots.update_bot(update).await.unwrap();
    let bot = scene.portal.bot_by_code("helper").unwrap();
    let kept = (
        bot.name.as_str(),
        bot.last_name.as_str(),
        bot.work_position.as_str(),
        bot.gender.as_str(),
    );
    assert_eq!(kept, ("Servant", "Robot", "Assistant", "F"));
}

#[tokio::test(start_paused = true)]
async fn properties_nobody_knows_are_asked_for() {
    let mut scene = Scene::start().await;
    let token = "a-token-of-somebody-else";
    scene.make_bot_elsewhere("helper", token).await;
    // A reduced user record, as in samples of the documentation.
    let brief = serde_json::json!({
        "result": {
            "bot": {"id": scene.portal.bot_by_code("helper").unwrap().id, "code": "helper", "type": "bot", "eventMode": "fetch"},
            "users": [],
        }
    });
    scene.answer_next("imbot.v2.Bot.get", &brief);
    let adopt = pb::BotAdoption {
        bot_token: token.to_owned(),
        ..pb::BotAdoption::default()
    };
    let request = pb::RegisterBotRequest {
        adopt: Some(adopt),
        ..helper()
    };
    scene.bots.register_bot(request).await.unwrap();
    let before = scene.calls().len();
    let update = pb::UpdateBotRequest {
        bot_code: "helper".to_owned(),
        properties: Some(pb::BotProperties {
            last_name: Some("Robot".to_owned()),
            ..named("Servant")
        }),
        ..pb::UpdateBotRequest::default()
    };
    let refused = scene.bots.update_bot(update).await.unwrap_err();
    assert_eq!(
        told(&refused),
        failure(Code::FailedPrecondition, "INCOMPLETE_PROPERTIES", "no")
    );
    assert_eq!(
        broken_fields(&refused),
        ["properties.work_position", "properties.gender"]
    );
    assert_eq!(scene.calls().len(), before);
}

#[tokio::test(start_paused = true)]
async fn background_can_be_set_and_removed() {
    let mut scene = Scene::start().await;
    scene.bots.register_bot(helper()).await.unwrap();
    for (background, expected) in [
        (pb::BotBackground::Teal, Some("teal")),
        (pb::BotBackground::None, None),
    ] {
        let update = pb::UpdateBotRequest {
            bot_code: "helper".to_owned(),
            background: background.into(),
            ..pb::UpdateBotRequest::default()
        };
        let updated = scene.bots.update_bot(update).await.unwrap().into_inner();
        assert_eq!(
            scene
                .portal
                .bot_by_code("helper")
                .unwrap()
                .background_id
                .as_deref(),
            expected
        );
        assert_eq!(
            updated.bot.unwrap().background_id,
            expected.unwrap_or_default()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn unregistered_bot_is_gone_here_and_there() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let request = pb::UnregisterBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::UnregisterBotRequest::default()
    };
    scene.bots.unregister_bot(request.clone()).await.unwrap();
    assert!(scene.portal.bot_by_code("helper").is_none());
    let again = scene.bots.unregister_bot(request).await.unwrap_err();
    assert_eq!(told(&again), failure(Code::NotFound, "UNKNOWN_BOT", "no"));
    let listed = scene
        .bots
        .list_bots(pb::ListBotsRequest::default())
        .await
        .unwrap();
    assert!(listed.into_inner().bots.is_empty());
}

#[tokio::test(start_paused = true)]
async fn bot_gone_from_the_portal_can_be_unregistered() {
    let mut scene = Scene::start().await;
    scene.errors_have_names();
    let id = scene.helper().await;
    scene.portal.remove_bot(id);
    let request = pb::UnregisterBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::UnregisterBotRequest::default()
    };
    scene.bots.unregister_bot(request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn status_tells_of_a_bot_that_was_deleted_in_the_portal() {
    let mut scene = Scene::start().await;
    scene.errors_have_names();
    let id = scene.helper().await;
    scene.portal.remove_bot(id);
    let mut status = pb::BotStatus::Active;
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let listed = scene
            .bots
            .list_bots(pb::ListBotsRequest::default())
            .await
            .unwrap()
            .into_inner();
        status = listed.bots[0].status();
        if status != pb::BotStatus::Active {
            break;
        }
    }
    assert_eq!(status, pb::BotStatus::Gone);
    let polls = scene.portal.journal().calls("imbot.v2.Event.get").len();
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    assert_eq!(
        scene.portal.journal().calls("imbot.v2.Event.get").len(),
        polls
    );
}
