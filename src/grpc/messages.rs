//! `MessageService`.

use tonic::{Request, Response, Status};

use super::{
    Parts,
    caller::Arrival,
    convert::message,
    deadline::{Work, within},
    ledger::Claim,
};
use crate::{
    callers::Rpc,
    proto::v1::{self as pb, message_service_server::MessageService},
};

pub(super) struct Service(pub(super) Parts);

#[tonic::async_trait]
impl MessageService for Service {
    async fn send_message(
        &self,
        request: Request<pb::SendMessageRequest>,
    ) -> Result<Response<pb::SendMessageResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::SendMessage, request);
        let claim = Claim::of(&request);
        let mut wish = message::sending(&mut arrival, request)?;
        let once = self.0.ledger.once(claim, &arrival, &wish.portal);
        wish.key = once.message_key();
        let bots = self.0.bots.clone();
        within(arrival, Work::Acts, |patience| {
            once.run(patience, |patience| async move {
                bots.send(wish, &patience).await.map(message::sent)
            })
        })
        .await
    }

    async fn update_message(
        &self,
        request: Request<pb::UpdateMessageRequest>,
    ) -> Result<Response<pb::UpdateMessageResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::UpdateMessage, request);
        let claim = Claim::of(&request);
        let (name, change) = message::change(&mut arrival, request)?;
        let once = self.0.ledger.once(claim, &arrival, &name.portal);
        let bots = self.0.bots.clone();
        within(arrival, Work::Acts, |patience| {
            once.run(patience, |patience| async move {
                let changed = bots.change_message(name, change, &patience).await;
                changed.map(|()| pb::UpdateMessageResponse {})
            })
        })
        .await
    }

    async fn delete_message(
        &self,
        request: Request<pb::DeleteMessageRequest>,
    ) -> Result<Response<pb::DeleteMessageResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::DeleteMessage, request);
        let claim = Claim::of(&request);
        let (name, complete) = message::deletion(&mut arrival, request)?;
        let once = self.0.ledger.once(claim, &arrival, &name.portal);
        let bots = self.0.bots.clone();
        within(arrival, Work::Acts, move |patience| {
            once.run(patience, move |patience| async move {
                let deleted = bots.delete_message(name, complete, &patience).await;
                deleted.map(|()| pb::DeleteMessageResponse {})
            })
        })
        .await
    }

    async fn notify_action(
        &self,
        request: Request<pb::NotifyActionRequest>,
    ) -> Result<Response<pb::NotifyActionResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::NotifyAction, request);
        let claim = Claim::of(&request);
        let wish = message::busy(&mut arrival, request)?;
        let once = self.0.ledger.once(claim, &arrival, &wish.portal);
        let bots = self.0.bots.clone();
        within(arrival, Work::Acts, |patience| {
            once.run(patience, |patience| async move {
                let shown = bots.show_busy(wish, &patience).await;
                shown.map(|()| pb::NotifyActionResponse {})
            })
        })
        .await
    }
}
