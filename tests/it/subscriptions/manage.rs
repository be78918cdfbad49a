//! What belongs to whom, and what a subscription is fixed to.

use bitrix24_gateway::proto::v1::{self as pb};
use tonic::Code;

use super::stage::{WORK, named, request, seconds};
use crate::scene::{Scene, broken_fields, failure, told};

#[tokio::test(start_paused = true)]
async fn another_filter_or_setting_under_the_name_is_refused_and_silence_is_not() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut wish = named();
    wish.max_attempts = 7;
    drop(scene.subscribe(request(wish)).await);
    drop(scene.work().await);
    let mut others = vec![request(named()); 3];
    others[0].bot_codes = vec!["helper".to_owned()];
    others[1].subscription.as_mut().unwrap().max_attempts = 6;
    others[2].commands = vec!["help".to_owned()];
    for (other, field) in others
        .into_iter()
        .zip(["bot_codes", "max_attempts", "commands"])
    {
        let refused = scene
            .bots
            .subscribe_command_events(other)
            .await
            .unwrap_err();
        let expected = failure(Code::FailedPrecondition, "SUBSCRIPTION_DIFFERS", "no");
        assert_eq!(told(&refused), expected);
        assert!(refused.message().contains(field), "{}", refused.message());
    }
    let events = pb::SubscribeEventsRequest {
        subscription: Some(named()),
        ..pb::SubscribeEventsRequest::default()
    };
    let refused = scene.events().subscribe_events(events).await.unwrap_err();
    assert!(refused.message().contains("types"), "{}", refused.message());
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_listed_shown_and_deleted_which_ends_their_streams() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut wish = named();
    wish.max_age = seconds(60);
    let mut stream = scene.subscribe(request(wish)).await;
    let shown = scene.standing().await;
    assert_eq!((shown.streams, shown.max_attempts), (1, 5));
    assert_eq!(shown.max_processing, seconds(600));
    assert_eq!(shown.max_age, seconds(60));
    assert_eq!(shown.types, [i32::from(pb::EventType::CommandAdded)]);
    let list = pb::ListSubscriptionsRequest::default();
    let listed = scene.events().list_subscriptions(list).await.unwrap();
    assert_eq!(listed.into_inner().subscriptions, [shown]);
    let delete = pb::DeleteSubscriptionRequest {
        name: WORK.to_owned(),
    };
    scene
        .events()
        .delete_subscription(delete.clone())
        .await
        .unwrap();
    scene.events().delete_subscription(delete).await.unwrap();
    let ended = stream.handed_or_end().await.unwrap_err();
    assert_eq!(
        told(&ended),
        failure(Code::NotFound, "UNKNOWN_SUBSCRIPTION", "no")
    );
    let get = pb::GetSubscriptionRequest {
        name: WORK.to_owned(),
    };
    let gone = scene.events().get_subscription(get).await.unwrap_err();
    assert_eq!(
        told(&gone),
        failure(Code::NotFound, "UNKNOWN_SUBSCRIPTION", "no")
    );
}

#[tokio::test(start_paused = true)]
async fn ack_ids_of_subscriptions_or_logs_that_are_not_this_callers_are_refused_and_change_nothing()
{
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    scene.anna_types("/help");
    let handed = stream.handed().await;
    let log = handed.ack_id.split('-').next().unwrap().to_owned();
    let foreign = |ack: String| pb::AcknowledgeEventsRequest {
        ack_ids: vec![handed.ack_id.clone(), ack],
    };
    let mut events = scene.events();
    let unknown = foreign(format!("{log}-999-1-1"));
    let refused = events.acknowledge_events(unknown).await.unwrap_err();
    assert_eq!(
        told(&refused),
        failure(Code::NotFound, "UNKNOWN_SUBSCRIPTION", "no")
    );
    let elsewhere = foreign("a00000000000000ff-1-1-1".to_owned());
    let refused = events.acknowledge_events(elsewhere).await.unwrap_err();
    assert_eq!(
        told(&refused),
        failure(Code::InvalidArgument, "FOREIGN_CURSOR", "no")
    );
    let nonsense = foreign("nonsense".to_owned());
    let refused = events.acknowledge_events(nonsense).await.unwrap_err();
    assert_eq!(broken_fields(&refused), ["ack_ids[1]"]);
    assert_eq!(scene.standing().await.outstanding, 1);
}

#[tokio::test(start_paused = true)]
async fn every_broken_rule_of_a_subscription_is_named() {
    let scene = Scene::start().await;
    let broken = pb::SubscribeEventsRequest {
        types: vec![0, 99],
        subscription: Some(pb::NamedSubscription {
            name: "a b".to_owned(),
            max_processing: seconds(9),
            max_attempts: -1,
            max_age: seconds(8 * 24 * 3600),
            max_outstanding_events: 1001,
            max_outstanding_bytes: 1,
        }),
        ..pb::SubscribeEventsRequest::default()
    };
    let refused = scene.events().subscribe_events(broken).await.unwrap_err();
    assert_eq!(
        broken_fields(&refused),
        [
            "types[0]",
            "types[1]",
            "subscription.name",
            "subscription.max_processing",
            "subscription.max_age",
            "subscription.max_attempts",
            "subscription.max_outstanding_events",
            "subscription.max_outstanding_bytes",
        ]
    );
    let both = pb::RedriveEventsRequest {
        subscription: String::new(),
        event_ids: vec!["nonsense".to_owned()],
        all: true,
    };
    let refused = scene.events().redrive_events(both).await.unwrap_err();
    let fields = broken_fields(&refused);
    assert_eq!(fields, ["subscription", "event_ids", "event_ids[0]"]);
    let long = pb::ModifyAckDeadlinesRequest {
        ack_ids: Vec::new(),
        ack_deadline: seconds(3601),
    };
    let refused = scene.events().modify_ack_deadlines(long).await.unwrap_err();
    assert_eq!(broken_fields(&refused), ["ack_ids", "ack_deadline"]);
    let page = pb::ListSetAsideEventsRequest {
        subscription: "x".to_owned(),
        reason: 99,
        page_size: 101,
        page_token: "nonsense".to_owned(),
    };
    let refused = scene
        .events()
        .list_set_aside_events(page)
        .await
        .unwrap_err();
    assert_eq!(
        broken_fields(&refused),
        ["reason", "page_size", "page_token"]
    );
}
