//! `BotService`.

use tonic::{Request, Response, Status};

use super::{
    Parts,
    caller::{Arrival, Caller},
    convert::{answer, bot, command},
    deadline::{Work, within},
    events,
    ledger::Claim,
};
use crate::proto::v1::{self as pb, bot_service_server::BotService};

pub(super) struct Service(pub(super) Parts);

#[tonic::async_trait]
impl BotService for Service {
    async fn register_bot(
        &self,
        request: Request<pb::RegisterBotRequest>,
    ) -> Result<Response<pb::RegisterBotResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let owner = Caller::anybody().into_owner();
        let wish = bot::registration(&self.0.portals, request, owner)?;
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "RegisterBot",
            Work::Acts,
            |patience| async move { bots.register(wish, &patience).await.map(bot::registered) },
        )
        .await
    }

    async fn get_bot(
        &self,
        request: Request<pb::GetBotRequest>,
    ) -> Result<Response<pb::GetBotResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let name = bot::name(&self.0.portals, &request.portal, &request.bot_code)?;
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "GetBot",
            Work::Reads,
            |patience| async move {
                let (read, user) = bots.read(&name.0, &name.1, &patience).await?;
                let known = bots.find(&name.0, &name.1)?;
                Ok::<_, crate::bots::Error>(bot::got(read, user, known.state))
            },
        )
        .await
    }

    async fn list_bots(
        &self,
        request: Request<pb::ListBotsRequest>,
    ) -> Result<Response<pb::ListBotsResponse>, Status> {
        let request = request.into_inner();
        let (portal, page) = bot::list(&self.0.portals, &request)?;
        let (bots, next_page_token) =
            page.cut(self.0.bots.list(&portal), |bot| bot.code.to_string());
        let bots = bots.into_iter().map(bot::listed).collect();
        Ok(Response::new(pb::ListBotsResponse {
            bots,
            next_page_token,
        }))
    }

    async fn update_bot(
        &self,
        request: Request<pb::UpdateBotRequest>,
    ) -> Result<Response<pb::UpdateBotResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let (name, properties, settings) = bot::update(&self.0.portals, request)?;
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "UpdateBot",
            Work::Acts,
            |patience| async move {
                bots.update(name, properties, settings, &patience)
                    .await
                    .map(bot::updated)
            },
        )
        .await
    }

    async fn unregister_bot(
        &self,
        request: Request<pb::UnregisterBotRequest>,
    ) -> Result<Response<pb::UnregisterBotResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let name = bot::name(&self.0.portals, &request.portal, &request.bot_code)?;
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "UnregisterBot",
            Work::Acts,
            |patience| async move {
                bots.unregister(name, &patience)
                    .await
                    .map(|()| pb::UnregisterBotResponse {})
            },
        )
        .await
    }

    async fn register_command(
        &self,
        request: Request<pb::RegisterCommandRequest>,
    ) -> Result<Response<pb::RegisterCommandResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let (name, wish, if_exists) = command::registration(&self.0.portals, request)?;
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "RegisterCommand",
            Work::Acts,
            |patience| async move {
                let (made, outcome, unapplied) = bots
                    .register_command(name, wish, if_exists, &patience)
                    .await?;
                Ok::<_, crate::bots::Error>(command::registered(made, outcome, unapplied))
            },
        )
        .await
    }

    async fn update_command(
        &self,
        request: Request<pb::UpdateCommandRequest>,
    ) -> Result<Response<pb::UpdateCommandResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let (name, target, change) = command::change(&self.0.portals, request)?;
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "UpdateCommand",
            Work::Acts,
            |patience| async move {
                bots.update_command(name, target, change, &patience)
                    .await
                    .map(command::updated)
            },
        )
        .await
    }

    async fn list_commands(
        &self,
        request: Request<pb::ListCommandsRequest>,
    ) -> Result<Response<pb::ListCommandsResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let (name, page) = command::list(&self.0.portals, &request)?;
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "ListCommands",
            Work::Reads,
            |patience| async move {
                let commands = bots.list_commands(&name, &patience).await?;
                // Padded, so that the order of texts is the order of numbers.
                let (commands, next_page_token) =
                    page.cut(commands, |command| format!("{:020}", command.id));
                Ok::<_, crate::bots::Error>(command::listed(commands, next_page_token))
            },
        )
        .await
    }

    async fn unregister_command(
        &self,
        request: Request<pb::UnregisterCommandRequest>,
    ) -> Result<Response<pb::UnregisterCommandResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let (name, target) = command::removal(&self.0.portals, request)?;
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "UnregisterCommand",
            Work::Acts,
            |patience| async move {
                let removed = bots.unregister_command(name, target, &patience).await;
                removed.map(|()| pb::UnregisterCommandResponse {})
            },
        )
        .await
    }

    async fn answer_command(
        &self,
        request: Request<pb::AnswerCommandRequest>,
    ) -> Result<Response<pb::AnswerCommandResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let claim = Claim::of(&request);
        let wish = Box::new(answer::answer(&self.0.portals, self.0.log_id, request)?);
        let portal = answer::scope(&self.0.portals, &wish);
        let once = self.0.ledger.once(claim, "AnswerCommand", &portal);
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "AnswerCommand",
            Work::Acts,
            |patience| {
                once.run(patience, |patience| async move {
                    bots.answer(wish, &patience).await.map(answer::answered)
                })
            },
        )
        .await
    }

    async fn execute_command(
        &self,
        request: Request<pb::ExecuteCommandRequest>,
    ) -> Result<Response<pb::ExecuteCommandResponse>, Status> {
        let (arrival, request) = Arrival::of(request);
        let claim = Claim::of(&request);
        let wish = command::execution(&self.0.portals, request)?;
        let once = self.0.ledger.once(claim, "ExecuteCommand", &wish.portal);
        let bots = self.0.bots.clone();
        within(
            &self.0.life,
            arrival,
            "ExecuteCommand",
            Work::Acts,
            |patience| {
                once.run(patience, |patience| async move {
                    let executed = bots.execute(wish, &patience).await;
                    executed.map(|()| pb::ExecuteCommandResponse {})
                })
            },
        )
        .await
    }

    type SubscribeCommandEventsStream = events::CommandStream;

    async fn subscribe_command_events(
        &self,
        request: Request<pb::SubscribeCommandEventsRequest>,
    ) -> Result<Response<Self::SubscribeCommandEventsStream>, Status> {
        events::subscribe(&self.0, request.into_inner()).await
    }
}
