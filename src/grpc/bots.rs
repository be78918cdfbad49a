//! `BotService`.

use tonic::{Request, Response, Status};

use super::{
    Parts,
    caller::Arrival,
    convert::{answer, bot, command, subscription},
    deadline::{Work, within},
    ledger::Claim,
    streams::{self, Responses},
};
use crate::{
    callers::Rpc,
    proto::v1::{self as pb, bot_service_server::BotService},
};

pub(super) struct Service(pub(super) Parts);

#[tonic::async_trait]
impl BotService for Service {
    async fn register_bot(
        &self,
        request: Request<pb::RegisterBotRequest>,
    ) -> Result<Response<pb::RegisterBotResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::RegisterBot, request);
        let wish = bot::registration(&mut arrival, request)?;
        let bots = self.0.bots.clone();
        within(arrival, Work::Acts, |patience| async move {
            bots.register(wish, &patience).await.map(bot::registered)
        })
        .await
    }

    async fn get_bot(
        &self,
        request: Request<pb::GetBotRequest>,
    ) -> Result<Response<pb::GetBotResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::GetBot, request);
        let name = bot::name(&mut arrival, &request.portal, &request.bot_code)?;
        let bots = self.0.bots.clone();
        within(arrival, Work::Reads, |patience| async move {
            let (read, user) = bots.read(&name.0, &name.1, &patience).await?;
            let known = bots.find(&name.0, &name.1)?;
            let status = bot::status(&bots, &known);
            Ok::<_, crate::bots::Error>(bot::got(read, user, status))
        })
        .await
    }

    async fn list_bots(
        &self,
        request: Request<pb::ListBotsRequest>,
    ) -> Result<Response<pb::ListBotsResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::ListBots, request);
        let (portal, page) = bot::list(&mut arrival, &request)?;
        let mut bots = self.0.bots.list(&portal);
        bots.retain(|bot| arrival.caller.may_see(bot));
        let (bots, next_page_token) = page.cut(bots, |bot| bot.code.to_string());
        let listed = |known: &crate::store::Bot| bot::listed(&self.0.bots, known);
        let bots = bots.iter().map(listed).collect();
        Ok(Response::new(pb::ListBotsResponse {
            bots,
            next_page_token,
        }))
    }

    async fn update_bot(
        &self,
        request: Request<pb::UpdateBotRequest>,
    ) -> Result<Response<pb::UpdateBotResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::UpdateBot, request);
        let (name, properties, settings) = bot::update(&mut arrival, request)?;
        let bots = self.0.bots.clone();
        within(arrival, Work::Acts, |patience| async move {
            bots.update(name, properties, settings, &patience)
                .await
                .map(bot::updated)
        })
        .await
    }

    async fn unregister_bot(
        &self,
        request: Request<pb::UnregisterBotRequest>,
    ) -> Result<Response<pb::UnregisterBotResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::UnregisterBot, request);
        let name = bot::name(&mut arrival, &request.portal, &request.bot_code)?;
        let bots = self.0.bots.clone();
        within(arrival, Work::Acts, |patience| async move {
            bots.unregister(name, &patience)
                .await
                .map(|()| pb::UnregisterBotResponse {})
        })
        .await
    }

    async fn rotate_bot_token(
        &self,
        request: Request<pb::RotateBotTokenRequest>,
    ) -> Result<Response<pb::RotateBotTokenResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::RotateBotToken, request);
        let name = bot::name(&mut arrival, &request.portal, &request.bot_code)?;
        let bots = self.0.bots.clone();
        within(arrival, Work::Acts, |patience| async move {
            let rotated = bots.rotate_token(name, &patience).await;
            rotated.map(|()| pb::RotateBotTokenResponse {})
        })
        .await
    }

    async fn release_bot(
        &self,
        request: Request<pb::ReleaseBotRequest>,
    ) -> Result<Response<pb::ReleaseBotResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::ReleaseBot, request);
        let (name, token) = bot::release(&mut arrival, request)?;
        let bots = self.0.bots.clone();
        within(arrival, Work::Acts, |patience| async move {
            let released = bots.release(name, token, &patience).await;
            released.map(|()| pb::ReleaseBotResponse {})
        })
        .await
    }

    async fn register_command(
        &self,
        request: Request<pb::RegisterCommandRequest>,
    ) -> Result<Response<pb::RegisterCommandResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::RegisterCommand, request);
        let (name, wish, if_exists) = command::registration(&mut arrival, request)?;
        let bots = self.0.bots.clone();
        within(arrival, Work::Acts, |patience| async move {
            let (made, outcome, unapplied) = bots
                .register_command(name, wish, if_exists, &patience)
                .await?;
            Ok::<_, crate::bots::Error>(command::registered(made, outcome, unapplied))
        })
        .await
    }

    async fn update_command(
        &self,
        request: Request<pb::UpdateCommandRequest>,
    ) -> Result<Response<pb::UpdateCommandResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::UpdateCommand, request);
        let (name, target, change) = command::change(&mut arrival, request)?;
        let bots = self.0.bots.clone();
        within(arrival, Work::Acts, |patience| async move {
            bots.update_command(name, target, change, &patience)
                .await
                .map(command::updated)
        })
        .await
    }

    async fn list_commands(
        &self,
        request: Request<pb::ListCommandsRequest>,
    ) -> Result<Response<pb::ListCommandsResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::ListCommands, request);
        let (name, page) = command::list(&mut arrival, &request)?;
        let bots = self.0.bots.clone();
        within(arrival, Work::Reads, |patience| async move {
            let commands = bots.list_commands(&name, &patience).await?;
            // Padded, so that the order of texts is the order of numbers.
            let (commands, next_page_token) =
                page.cut(commands, |command| format!("{:020}", command.id));
            Ok::<_, crate::bots::Error>(command::listed(commands, next_page_token))
        })
        .await
    }

    async fn unregister_command(
        &self,
        request: Request<pb::UnregisterCommandRequest>,
    ) -> Result<Response<pb::UnregisterCommandResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::UnregisterCommand, request);
        let (name, target) = command::removal(&mut arrival, request)?;
        let bots = self.0.bots.clone();
        within(arrival, Work::Acts, |patience| async move {
            let removed = bots.unregister_command(name, target, &patience).await;
            removed.map(|()| pb::UnregisterCommandResponse {})
        })
        .await
    }

    async fn answer_command(
        &self,
        request: Request<pb::AnswerCommandRequest>,
    ) -> Result<Response<pb::AnswerCommandResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::AnswerCommand, request);
        let claim = Claim::of(&request);
        // Apart, so that its room is not kept while the call waits.
        let wish = Box::pin(answer::answer(&mut arrival, self.0.log_id, request)).await;
        let (wish, held) = wish.map_err(|failure| failure.status(&arrival.call_id))?;
        let wish = Box::new(wish);
        let portal = answer::scope(&arrival, &wish);
        let once = self.0.ledger.once(claim, &arrival, &portal);
        let bots = self.0.bots.clone();
        let settles = !wish.progress;
        within(arrival, Work::Acts, |patience| async move {
            let mut ran = false;
            let answered = once.run(patience, |patience| {
                ran = true;
                async move {
                    let answered = bots.answer(wish, &patience).await;
                    answered.map(|answered| answer::answered(answered, settles))
                }
            });
            let answered = answered.await;
            // Until here nobody else was handed the event.
            if let Some(held) = held.filter(|_| settles) {
                match &answered {
                    Ok(_) if ran => held.is_over(),
                    // An earlier call with its key may have been another handing-out's.
                    Ok(_) => held.is_done().await,
                    Err(failure) if failure.is_lost() => held.is_over(),
                    Err(_) => {}
                }
            }
            answered
        })
        .await
    }

    async fn execute_command(
        &self,
        request: Request<pb::ExecuteCommandRequest>,
    ) -> Result<Response<pb::ExecuteCommandResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::ExecuteCommand, request);
        let claim = Claim::of(&request);
        let wish = command::execution(&mut arrival, request)?;
        let once = self.0.ledger.once(claim, &arrival, &wish.portal);
        let bots = self.0.bots.clone();
        within(arrival, Work::Acts, |patience| {
            once.run(patience, |patience| async move {
                let executed = bots.execute(wish, &patience).await;
                executed.map(|()| pb::ExecuteCommandResponse {})
            })
        })
        .await
    }

    type SubscribeCommandEventsStream = Responses<pb::SubscribeCommandEventsResponse>;

    async fn subscribe_command_events(
        &self,
        request: Request<pb::SubscribeCommandEventsRequest>,
    ) -> Result<Response<Self::SubscribeCommandEventsStream>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::SubscribeCommandEvents, request);
        let asked = subscription::commands(&mut arrival, request)?;
        streams::open(&self.0, arrival, asked).await
    }
}
