//! `EventService`.

use tonic::{Request, Response, Status};

use super::{
    Parts,
    caller::Arrival,
    convert::{managed, page::Page, subscription},
    deadline::{Work, within},
    status::{Failure, Refusal},
    streams::{self, Responses},
};
use crate::{
    callers::Rpc,
    events,
    portal::Patience,
    proto::v1::{self as pb, event_service_server::EventService},
};

pub(super) struct Service(pub(super) Parts);

/// From here on whoever runs out of time is told that it may have been done.
fn begin(patience: &Patience) -> Result<(), Refusal> {
    match patience.begin_sending() {
        true => Ok(()),
        false => Err(Refusal::Late),
    }
}

#[tonic::async_trait]
impl EventService for Service {
    type SubscribeEventsStream = Responses<pb::SubscribeEventsResponse>;

    async fn subscribe_events(
        &self,
        request: Request<pb::SubscribeEventsRequest>,
    ) -> Result<Response<Self::SubscribeEventsStream>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::SubscribeEvents, request);
        let asked = subscription::events(&mut arrival, request)?;
        streams::open(&self.0, arrival, asked).await
    }

    async fn acknowledge_events(
        &self,
        request: Request<pb::AcknowledgeEventsRequest>,
    ) -> Result<Response<pb::AcknowledgeEventsResponse>, Status> {
        let (arrival, request) = Arrival::of(&self.0, Rpc::AcknowledgeEvents, request);
        arrival.any_portal()?;
        let acks = managed::acks(&request.ack_ids)?;
        let subscriptions = self.0.events.subscriptions().clone();
        let owner = arrival.caller.name().to_owned();
        within(arrival, Work::Reads, |_| async move {
            let done = subscriptions.acknowledge(&owner, &acks).await;
            done.map(|()| pb::AcknowledgeEventsResponse {})
        })
        .await
    }

    async fn modify_ack_deadlines(
        &self,
        request: Request<pb::ModifyAckDeadlinesRequest>,
    ) -> Result<Response<pb::ModifyAckDeadlinesResponse>, Status> {
        let (arrival, request) = Arrival::of(&self.0, Rpc::ModifyAckDeadlines, request);
        arrival.any_portal()?;
        let (acks, by) = managed::deadlines(request)?;
        let subscriptions = self.0.events.subscriptions().clone();
        let owner = arrival.caller.name().to_owned();
        within(arrival, Work::Reads, |_| async move {
            let over = subscriptions.extend(&owner, &acks, by).await?;
            Ok::<_, events::Error>(pb::ModifyAckDeadlinesResponse {
                expired_ack_ids: over.iter().map(ToString::to_string).collect(),
            })
        })
        .await
    }

    async fn list_subscriptions(
        &self,
        request: Request<pb::ListSubscriptionsRequest>,
    ) -> Result<Response<pb::ListSubscriptionsResponse>, Status> {
        let (arrival, request) = Arrival::of(&self.0, Rpc::ListSubscriptions, request);
        arrival.any_portal()?;
        let page = Page::of(request.page_size, &request.page_token)?;
        let subscriptions = self.0.events.subscriptions().clone();
        let owner = arrival.caller.name().to_owned();
        within(arrival, Work::Reads, |_| async move {
            let (names, next_page_token) = page.cut(subscriptions.names(&owner), Clone::clone);
            let mut found = Vec::new();
            for name in names {
                match subscriptions.details(&owner, &name).await {
                    Ok(details) => found.push(managed::subscription(details)),
                    // Deleted a moment ago.
                    Err(events::Error::UnknownSubscription(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(pb::ListSubscriptionsResponse {
                subscriptions: found,
                next_page_token,
            })
        })
        .await
    }

    async fn get_subscription(
        &self,
        request: Request<pb::GetSubscriptionRequest>,
    ) -> Result<Response<pb::GetSubscriptionResponse>, Status> {
        let (arrival, request) = Arrival::of(&self.0, Rpc::GetSubscription, request);
        arrival.any_portal()?;
        managed::name("name", &request.name)?;
        let subscriptions = self.0.events.subscriptions().clone();
        let owner = arrival.caller.name().to_owned();
        within(arrival, Work::Reads, |_| async move {
            let details = subscriptions.details(&owner, &request.name).await?;
            Ok::<_, events::Error>(pb::GetSubscriptionResponse {
                subscription: Some(managed::subscription(details)),
            })
        })
        .await
    }

    async fn delete_subscription(
        &self,
        request: Request<pb::DeleteSubscriptionRequest>,
    ) -> Result<Response<pb::DeleteSubscriptionResponse>, Status> {
        let (arrival, request) = Arrival::of(&self.0, Rpc::DeleteSubscription, request);
        arrival.any_portal()?;
        managed::name("name", &request.name)?;
        let subscriptions = self.0.events.subscriptions().clone();
        let owner = arrival.caller.name().to_owned();
        within(arrival, Work::Acts, |patience| async move {
            begin(&patience)?;
            subscriptions.delete(&owner, &request.name).await?;
            Ok::<_, Failure>(pb::DeleteSubscriptionResponse {})
        })
        .await
    }

    async fn list_set_aside_events(
        &self,
        request: Request<pb::ListSetAsideEventsRequest>,
    ) -> Result<Response<pb::ListSetAsideEventsResponse>, Status> {
        let (arrival, request) = Arrival::of(&self.0, Rpc::ListSetAsideEvents, request);
        arrival.any_portal()?;
        let (why, after, size) = managed::aside_page(&request)?;
        let subscriptions = self.0.events.subscriptions().clone();
        let (owner, log) = (arrival.caller.name().to_owned(), self.0.log_id);
        within(arrival, Work::Reads, |_| async move {
            let rows = (after, size + 1);
            let found = subscriptions.laid_aside(&owner, &request.subscription, why, rows);
            Ok::<_, events::Error>(managed::laid_aside(log, found.await?, size))
        })
        .await
    }

    async fn redrive_events(
        &self,
        request: Request<pb::RedriveEventsRequest>,
    ) -> Result<Response<pb::RedriveEventsResponse>, Status> {
        let (arrival, request) = Arrival::of(&self.0, Rpc::RedriveEvents, request);
        arrival.any_portal()?;
        let name = request.subscription;
        let which = managed::which(self.0.log_id, &name, &request.event_ids, request.all)?;
        let subscriptions = self.0.events.subscriptions().clone();
        let owner = arrival.caller.name().to_owned();
        within(arrival, Work::Acts, |patience| async move {
            begin(&patience)?;
            let redriven = subscriptions.redrive(&owner, &name, which).await?;
            Ok::<_, Failure>(pb::RedriveEventsResponse {
                redriven: redriven.try_into().unwrap_or(i64::MAX),
            })
        })
        .await
    }

    async fn drop_events(
        &self,
        request: Request<pb::DropEventsRequest>,
    ) -> Result<Response<pb::DropEventsResponse>, Status> {
        let (arrival, request) = Arrival::of(&self.0, Rpc::DropEvents, request);
        arrival.any_portal()?;
        let name = request.subscription;
        let which = managed::which(self.0.log_id, &name, &request.event_ids, request.all)?;
        let subscriptions = self.0.events.subscriptions().clone();
        let owner = arrival.caller.name().to_owned();
        within(arrival, Work::Acts, |patience| async move {
            begin(&patience)?;
            let dropped = subscriptions.drop_aside(&owner, &name, which).await?;
            Ok::<_, Failure>(pb::DropEventsResponse {
                dropped: dropped.try_into().unwrap_or(i64::MAX),
            })
        })
        .await
    }
}
