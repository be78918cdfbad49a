//! Streams of all types of events.

use bitrix24_gateway::proto::v1::{
    self as pb, event::Body, stream_start::Position, subscribe_events_response::Item,
};
use tonic::Streaming;

use crate::scene::{Scene, answer};

async fn next(stream: &mut Streaming<pb::SubscribeEventsResponse>) -> pb::Event {
    loop {
        let response = stream.message().await.unwrap().unwrap();
        assert!(!response.cursor.is_empty());
        if let Some(Item::Event(event)) = response.item {
            return *event;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_every_type_that_can_be_fetched_are_typed_and_filters_leave_the_others_out() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let bot = scene.helper().await;
    let mut events = scene.events();
    let earliest = pb::StreamStart {
        position: Some(Position::Point(pb::StreamStartPoint::Earliest.into())),
    };
    let all = pb::SubscribeEventsRequest {
        start: Some(earliest),
        ..pb::SubscribeEventsRequest::default()
    };
    let only = pb::SubscribeEventsRequest {
        types: vec![pb::EventType::MessageDeleted.into()],
        ..all.clone()
    };
    let mut all = events.subscribe_events(all).await.unwrap().into_inner();
    let mut only = events.subscribe_events(only).await.unwrap().into_inner();
    let joined = next(&mut all).await;
    assert!(
        matches!(joined.body, Some(Body::ChatJoined(_))),
        "{joined:?}"
    );

    let anna = scene.portal.user(scene.anna);
    let dialog = bot.to_string();
    let message = anna.types(&dialog, "hello").unwrap();
    let added = next(&mut all).await;
    assert!(
        matches!(added.body, Some(Body::MessageAdded(_))),
        "{added:?}"
    );
    anna.edits(message, "hello there").unwrap();
    let changed = next(&mut all).await;
    assert!(
        matches!(changed.body, Some(Body::MessageUpdated(_))),
        "{changed:?}"
    );
    anna.deletes(message).unwrap();
    let deleted = next(&mut all).await;
    assert!(
        matches!(deleted.body, Some(Body::MessageDeleted(_))),
        "{deleted:?}"
    );
    anna.types(&dialog, "/help").unwrap();
    let called = next(&mut all).await;
    assert!(
        matches!(called.body, Some(Body::CommandAdded(_))),
        "{called:?}"
    );
    scene
        .bots
        .answer_command(answer(&called, "here"))
        .await
        .unwrap();
    let both = format!("{}:{bot}", scene.anna);
    let answered = scene.portal.messages(&both).last().unwrap().id;
    anna.reacts(answered, "like").unwrap();
    let reacted = next(&mut all).await;
    assert!(
        matches!(reacted.body, Some(Body::ReactionChanged(_))),
        "{reacted:?}"
    );
    let params = serde_json::json!({"dialogId": dialog, "context": {"order": 7}});
    scene
        .call_elsewhere("im.v2.Chat.Bot.sendContext", &params)
        .await;
    let context = next(&mut all).await;
    assert!(
        matches!(context.body, Some(Body::ContextReceived(_))),
        "{context:?}"
    );

    let left = next(&mut only).await;
    assert_eq!(left.event_id, deleted.event_id);
}
