//! `MessageService`.

use tonic::{Request, Response, Status};

use super::{
    Parts,
    caller::Arrival,
    convert::message,
    deadline::{Work, within},
    ledger::Claim,
};
use crate::proto::v1::{self as pb, message_service_server::MessageService};

pub(super) struct Service(pub(super) Parts);

#[tonic::async_trait]
impl MessageService for Service {
    async fn send_message(
        &self,
        request: Request<pb::SendMessageRequest>,
    ) -> Result<Response<pb::SendMessageResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let claim = Claim::of(&request);
        let mut wish = message::sending(&self.0.portals, request)?;
        let once = self.0.ledger.once(claim, "SendMessage", &wish.portal);
        wish.key = once.message_key();
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "SendMessage",
            Work::Acts,
            |patience| {
                once.run(patience, |patience| async move {
                    bots.send(wish, &patience).await.map(message::sent)
                })
            },
        )
        .await
    }

    async fn update_message(
        &self,
        request: Request<pb::UpdateMessageRequest>,
    ) -> Result<Response<pb::UpdateMessageResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let claim = Claim::of(&request);
        let (name, change) = message::change(&self.0.portals, request)?;
        let once = self.0.ledger.once(claim, "UpdateMessage", &name.portal);
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "UpdateMessage",
            Work::Acts,
            |patience| {
                once.run(patience, |patience| async move {
                    let changed = bots.change_message(name, change, &patience).await;
                    changed.map(|()| pb::UpdateMessageResponse {})
                })
            },
        )
        .await
    }

    async fn delete_message(
        &self,
        request: Request<pb::DeleteMessageRequest>,
    ) -> Result<Response<pb::DeleteMessageResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let claim = Claim::of(&request);
        let (name, complete) = message::deletion(&self.0.portals, request)?;
        let once = self.0.ledger.once(claim, "DeleteMessage", &name.portal);
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "DeleteMessage",
            Work::Acts,
            move |patience| {
                once.run(patience, move |patience| async move {
                    let deleted = bots.delete_message(name, complete, &patience).await;
                    deleted.map(|()| pb::DeleteMessageResponse {})
                })
            },
        )
        .await
    }

    async fn notify_action(
        &self,
        request: Request<pb::NotifyActionRequest>,
    ) -> Result<Response<pb::NotifyActionResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let claim = Claim::of(&request);
        let wish = message::busy(&self.0.portals, request)?;
        let once = self.0.ledger.once(claim, "NotifyAction", &wish.portal);
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "NotifyAction",
            Work::Acts,
            |patience| {
                once.run(patience, |patience| async move {
                    let shown = bots.show_busy(wish, &patience).await;
                    shown.map(|()| pb::NotifyActionResponse {})
                })
            },
        )
        .await
    }
}
