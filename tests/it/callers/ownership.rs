//! Whose a bot is, and who reads what happens to it.

use bitrix24_gateway::proto::v1::{self as pb, subscribe_command_events_response::Item};
use tonic::Code;

use super::{caller, denied, get_bot, manager, whole};
use crate::scene::{FILE, Scene, Stream, answer, failure, help, helper, told};

impl Scene {
    /// The bot `helper` of a caller, in the chat.
    async fn helper_of(&self, name: &str) {
        let mut bots = self.bots_of(name);
        let made = bots.register_bot(helper()).await.unwrap().into_inner();
        bots.register_command(help()).await.unwrap();
        let id = made.bot.unwrap().id;
        let added = self.portal.add_bot_to_chat(id, self.chat.id, self.anna);
        added.unwrap();
    }

    async fn stream_of(&self, name: &str) -> Stream {
        let request = pb::SubscribeCommandEventsRequest::default();
        let mut bots = self.bots_of(name);
        Stream(
            bots.subscribe_command_events(request)
                .await
                .unwrap()
                .into_inner(),
        )
    }
}

#[tokio::test(start_paused = true)]
async fn bot_belongs_to_whom_registered_it_first() {
    let sharing = "portals = [\"*\"]\nbots = [\"*\"]\nrpcs = [\"*\"]\nshares = [\"friend\"]";
    let callers = [
        caller("owner", sharing),
        manager("friend"),
        manager("stranger"),
    ];
    let mut scene = Scene::guarded(&callers).await;
    scene.helper_of("owner").await;
    for _ in 0..2 {
        let status = scene
            .bots_of("stranger")
            .register_bot(helper())
            .await
            .unwrap_err();
        assert_eq!(
            told(&status),
            failure(Code::AlreadyExists, "BOT_OWNED_BY_ANOTHER_CALLER", "no")
        );
        let status = scene
            .bots_of("stranger")
            .get_bot(get_bot("helper"))
            .await
            .unwrap_err();
        assert_eq!(told(&status), denied());
        let status = scene
            .bots_of("stranger")
            .register_command(help())
            .await
            .unwrap_err();
        assert_eq!(told(&status), denied());
        for name in ["owner", "friend"] {
            scene.bots_of(name).register_bot(helper()).await.unwrap();
            scene
                .bots_of(name)
                .get_bot(get_bot("helper"))
                .await
                .unwrap();
        }
        // The same after a restart.
        scene.restart().await;
    }
}

#[tokio::test(start_paused = true)]
async fn bot_made_before_there_were_callers_belongs_to_managers() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let reader = caller(
        "reader",
        "portals = [\"*\"]\nbots = [\"*\"]\nrpcs = [\"read\"]",
    );
    let text = [manager("one"), manager("two"), reader].concat();
    std::fs::write(scene.folder().join(FILE), text).unwrap();
    scene.restart().await;
    for name in ["one", "two"] {
        scene.bots_of(name).register_bot(helper()).await.unwrap();
        scene
            .bots_of(name)
            .get_bot(get_bot("helper"))
            .await
            .unwrap();
    }
    let status = scene
        .bots_of("reader")
        .get_bot(get_bot("helper"))
        .await
        .unwrap_err();
    let there = (told(&status), whole(&status));
    assert_eq!(there.0, denied());
    let status = scene
        .bots_of("reader")
        .get_bot(get_bot("nobody"))
        .await
        .unwrap_err();
    assert_eq!((told(&status), whole(&status)), there);
}

#[tokio::test(start_paused = true)]
async fn events_of_a_bot_are_read_and_answered_by_its_owner_alone() {
    let scene = Scene::guarded(&[manager("owner"), manager("stranger")]).await;
    scene.events_are_whole();
    scene.helper_of("owner").await;
    let mut own = scene.stream_of("owner").await;
    let mut strange = scene.stream_of("stranger").await;
    scene.anna_types("/help me");
    let (_, event) = own.event().await;
    let (_, item) = strange.next().await.unwrap();
    assert!(matches!(item, Item::Heartbeat(_)), "{item:?}");
    let posted = scene.texts().len();
    let status = scene
        .bots_of("stranger")
        .answer_command(answer(&event, "hello"))
        .await;
    let status = status.unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::NotFound, "UNKNOWN_EVENT", "no")
    );
    // As if it were not there.
    let mut nowhere = event.clone();
    nowhere.event_id = format!("{}7", event.event_id);
    let unknown = scene
        .bots_of("stranger")
        .answer_command(answer(&nowhere, "hello"))
        .await;
    assert_eq!(unknown.unwrap_err().message(), status.message());
    assert_eq!(scene.texts().len(), posted);
    scene
        .bots_of("owner")
        .answer_command(answer(&event, "hello"))
        .await
        .unwrap();
    assert_eq!(scene.texts().last().unwrap(), "hello");
}

#[tokio::test(start_paused = true)]
async fn stream_shows_portals_and_bots_of_its_caller() {
    let one_bot = "portals = [\"default\"]\nbots = [\"helper\"]\nrpcs = [\"events\", \"manage\"]";
    let no_portal = "portals = [\"acme\"]\nbots = [\"*\"]\nrpcs = [\"events\"]";
    let scene = Scene::guarded(&[caller("one", one_bot), caller("none", no_portal)]).await;
    scene.helper_of("one").await;
    let mut one = scene.stream_of("one").await;
    let mut none = scene.stream_of("none").await;
    scene.anna_types("/help me");
    assert_eq!(one.params().await, "me");
    let (_, item) = none.next().await.unwrap();
    let Item::Heartbeat(heartbeat) = item else {
        panic!("{item:?}");
    };
    assert!(heartbeat.portals.is_empty(), "{heartbeat:?}");
    let named = pb::SubscribeCommandEventsRequest {
        bot_codes: vec!["another".to_owned()],
        ..pb::SubscribeCommandEventsRequest::default()
    };
    let status = scene
        .bots_of("one")
        .subscribe_command_events(named)
        .await
        .map(drop);
    assert_eq!(told(&status.unwrap_err()), denied());
}

#[tokio::test(start_paused = true)]
async fn idempotency_key_of_one_caller_is_not_that_of_another() {
    let scene = Scene::guarded(&[
        caller(
            "one",
            "portals = [\"*\"]\nbots = [\"*\"]\nrpcs = [\"*\"]\nshares = [\"*\"]",
        ),
        manager("two"),
    ])
    .await;
    scene.helper_of("one").await;
    let message = |text: &str| pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: scene.chat.dialog_id(),
        content: Some(crate::scene::content(text)),
        idempotency_key: "the same".to_owned(),
        ..pb::SendMessageRequest::default()
    };
    scene
        .messages_of("one")
        .send_message(message("a"))
        .await
        .unwrap();
    scene
        .messages_of("two")
        .send_message(message("b"))
        .await
        .unwrap();
    let status = scene
        .messages_of("two")
        .send_message(message("c"))
        .await
        .unwrap_err();
    assert_eq!(told(&status).reason, "IDEMPOTENCY_KEY_REUSED");
    let texts = scene.texts();
    assert_eq!(texts[texts.len() - 2..], ["a", "b"]);
}
