//! `MessageService`.

use tonic::{Request, Response, Status};

use super::{
    Parts,
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
        let (metadata, _, request) = request.into_parts();
        let claim = Claim::of(&request);
        let mut wish = message::sending(&self.0.portals, request)?;
        let once = self.0.ledger.once(claim, "SendMessage", &wish.portal);
        wish.key = once.message_key();
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            &metadata,
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
        let (metadata, _, request) = request.into_parts();
        let claim = Claim::of(&request);
        let (name, change) = message::change(&self.0.portals, request)?;
        let once = self.0.ledger.once(claim, "UpdateMessage", &name.portal);
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            &metadata,
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
        let (metadata, _, request) = request.into_parts();
        let claim = Claim::of(&request);
        let (name, complete) = message::deletion(&self.0.portals, request)?;
        let once = self.0.ledger.once(claim, "DeleteMessage", &name.portal);
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            &metadata,
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
        let (metadata, _, request) = request.into_parts();
        let claim = Claim::of(&request);
        let wish = message::busy(&self.0.portals, request)?;
        let once = self.0.ledger.once(claim, "NotifyAction", &wish.portal);
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            &metadata,
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
