//! A bot with a durable subscription.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{
    self as pb, answer_command_request::Target, event_service_client::EventServiceClient,
    subscribe_command_events_response::Item,
};
use bitrix24_sim::Chat;
use tokio::time::timeout;
use tonic::{Status, transport::Channel};

use crate::scene::{Scene, Stream, called, content};

/// Name of the subscription.
pub(super) const WORK: &str = "work";

/// How long a delivery may take to come, with all pauses.
const PATIENCE: Duration = Duration::from_secs(1800);

/// So long nothing comes, when nothing is to come.
const QUIET: Duration = Duration::from_secs(90);

/// A delivery.
#[derive(Debug, Clone)]
pub(super) struct Handed {
    pub(super) event: pb::Event,
    pub(super) ack_id: String,
    pub(super) attempt: i32,
}

impl Handed {
    pub(super) fn params(&self) -> String {
        called(&self.event).params
    }

    pub(super) fn answer(&self, text: &str) -> pb::AnswerCommandRequest {
        pb::AnswerCommandRequest {
            target: Some(Target::AckId(self.ack_id.clone())),
            content: Some(content(text)),
            ..pb::AnswerCommandRequest::default()
        }
    }
}

/// The subscription with nothing said but its name.
pub(super) fn named() -> pb::NamedSubscription {
    pb::NamedSubscription {
        name: WORK.to_owned(),
        ..pb::NamedSubscription::default()
    }
}

pub(super) fn request(subscription: pb::NamedSubscription) -> pb::SubscribeCommandEventsRequest {
    pb::SubscribeCommandEventsRequest {
        subscription: Some(subscription),
        ..pb::SubscribeCommandEventsRequest::default()
    }
}

pub(super) fn seconds(seconds: u64) -> Option<prost_types::Duration> {
    Duration::from_secs(seconds).try_into().ok()
}

impl Scene {
    pub(super) fn events(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel())
    }

    /// A stream of the subscription.
    pub(super) async fn work(&mut self) -> Stream {
        self.subscribe(request(named())).await
    }

    pub(super) async fn acknowledge(&self, handed: &Handed) {
        let request = pb::AcknowledgeEventsRequest {
            ack_ids: vec![handed.ack_id.clone()],
        };
        self.events().acknowledge_events(request).await.unwrap();
    }

    /// Gives a delivery so much time from now; none gives it back.
    pub(super) async fn extend(&self, handed: &Handed, by: u64) -> Vec<String> {
        let request = pb::ModifyAckDeadlinesRequest {
            ack_ids: vec![handed.ack_id.clone()],
            ack_deadline: seconds(by),
        };
        let modified = self.events().modify_ack_deadlines(request).await;
        modified.unwrap().into_inner().expired_ack_ids
    }

    pub(super) async fn standing(&self) -> pb::Subscription {
        let request = pb::GetSubscriptionRequest {
            name: WORK.to_owned(),
        };
        let got = self.events().get_subscription(request).await;
        got.unwrap().into_inner().subscription.unwrap()
    }

    pub(super) async fn set_aside(&self) -> Vec<pb::SetAsideEvent> {
        let request = pb::ListSetAsideEventsRequest {
            subscription: WORK.to_owned(),
            ..pb::ListSetAsideEventsRequest::default()
        };
        let listed = self.events().list_set_aside_events(request).await;
        listed.unwrap().into_inner().events
    }

    /// One more chat with the bot in it.
    pub(super) fn another_chat(&self) -> Chat {
        let chat = self.portal.add_group_chat("More", &[self.john, self.anna]);
        let bot = self.portal.bot_by_code("helper").unwrap().id;
        self.portal
            .add_bot_to_chat(bot, chat.id, self.anna)
            .unwrap();
        chat
    }

    pub(super) fn types_in(&self, chat: Chat, text: &str) {
        let anna = self.portal.user(self.anna);
        anna.types(&chat.dialog_id(), text).unwrap();
    }
}

impl Stream {
    /// The next delivery, whatever comes before.
    pub(super) async fn handed(&mut self) -> Handed {
        let handed = timeout(PATIENCE, self.handed_or_end()).await;
        handed.expect("something is handed out").unwrap()
    }

    pub(super) async fn handed_or_end(&mut self) -> Result<Handed, Status> {
        loop {
            let response = self.0.message().await?.expect("streams never end with OK");
            if let Some(Item::Event(event)) = response.item {
                assert_eq!(response.cursor, "", "the subscription keeps the place");
                let delivery = response.delivery.expect("it was handed out");
                return Ok(Handed {
                    event: *event,
                    ack_id: delivery.ack_id,
                    attempt: delivery.delivery_attempt,
                });
            }
        }
    }

    /// Nothing is handed out for a while.
    pub(super) async fn is_quiet(&mut self) {
        let handed = timeout(QUIET, self.handed()).await;
        assert!(handed.is_err(), "{handed:?}");
    }
}

/// Waits until the gateway knows that the portal is not well.
pub(super) async fn until_not_well(scene: &Scene) {
    for _ in 0..600 {
        if scene.shown().await.state() != pb::PortalState::Ok {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("the portal seems well");
}
