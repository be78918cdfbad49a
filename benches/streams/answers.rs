//! Commands that are handed out by a named subscription and answered by their deliveries, beside answers
//! by raw ids.

#![expect(clippy::print_stdout, reason = "a table for whoever ran it")]

use std::time::Duration;

use bitrix24_gateway::proto::v1::{
    self as pb, answer_command_request::Target, bot_service_client::BotServiceClient, event::Body,
    subscribe_command_events_response::Item,
};
use bitrix24_sim::{Chat, UserConfig};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::{
    commits::commits,
    common::{Outcome, gateway::Gateway, process::Process},
    cpu::cpu_time,
    world::{ANSWERING, World},
};

/// Answered at once, each in a dialog of its own.
const AT_ONCE: usize = 16;

/// Measures, and prints.
pub(crate) async fn measure(count: usize, world: &World) -> Outcome<()> {
    let gateway = world.gateway().await?;
    let mut client = connect(&gateway).await?;
    let mut request = tonic::Request::new(pb::RegisterCommandRequest {
        bot_code: ANSWERING.to_owned(),
        command: "ask".to_owned(),
        title: [("en".to_owned(), "Ask".to_owned())].into(),
        ..pb::RegisterCommandRequest::default()
    });
    request.set_timeout(Duration::from_secs(60));
    client.register_command(request).await?;
    let anna = world.portal.add_user(UserConfig::named("Anna", "Weber"));
    let bot = world.portal.bot_by_code(ANSWERING).ok_or("no bot")?.id;
    let mut chats = Vec::new();
    for number in 0..AT_ONCE {
        let chat = world
            .portal
            .add_group_chat(&format!("Chat {number}"), &[1, anna]);
        world.portal.add_bot_to_chat(bot, chat.id, anna)?;
        chats.push(chat);
    }

    let subscription = pb::SubscribeCommandEventsRequest {
        bot_codes: vec![ANSWERING.to_owned()],
        subscription: Some(pb::NamedSubscription {
            name: "benchmark".to_owned(),
            ..pb::NamedSubscription::default()
        }),
        ..pb::SubscribeCommandEventsRequest::default()
    };
    let stream = client.subscribe_command_events(subscription).await?;
    let stream = stream.into_inner();
    type_commands(world, anna, &chats, count)?;
    println!("\n{count} commands, answered {AT_ONCE} at once\n");
    println!("named by   calls/s  CPU us/call  commits/call");
    let (mut seen, mut answered) = (Vec::new(), 0);
    let before = Books::of(&gateway.process, world)?;
    let mut deliveries = Box::pin(stream.try_filter_map(|response| async move {
        let Some(Item::Event(event)) = response.item else {
            return Ok(None);
        };
        Ok(response.delivery.map(|delivery| (*event, delivery.ack_id)))
    }));
    let mut answers = stream::FuturesUnordered::new();
    while answered < count {
        tokio::select! {
            Some(delivery) = deliveries.next() => {
                let (event, ack_id) = delivery?;
                answers.push(answer(client.clone(), Target::AckId(ack_id), ""));
                seen.push(event);
            }
            Some(outcome) = answers.next() => {
                outcome?;
                answered += 1;
            }
        }
    }
    before.tell("ack_id", count, &gateway.process, world)?;

    let before = Books::of(&gateway.process, world)?;
    stream::iter(seen)
        .map(|event| by_ids(client.clone(), event))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    before.tell("raw ids", count, &gateway.process, world)?;
    println!("(by ack_id: with fetching, storing and handing out the commands)");
    gateway.process.stop().await
}

async fn connect(gateway: &Gateway) -> Outcome<BotServiceClient<Channel>> {
    let channel = Channel::from_shared(format!("http://{}", gateway.address))?;
    Ok(BotServiceClient::new(
        channel.tcp_nodelay(true).connect().await?,
    ))
}

fn type_commands(world: &World, anna: i64, chats: &[Chat], count: usize) -> Outcome<()> {
    for number in 0..count {
        let chat = chats.get(number % chats.len()).ok_or("no chat")?;
        let typed = world.portal.user(anna);
        typed.types(&chat.dialog_id(), &format!("/ask {number}"))?;
    }
    Ok(())
}

async fn answer(
    mut client: BotServiceClient<Channel>,
    target: Target,
    bot_code: &str,
) -> Outcome<()> {
    client
        .answer_command(pb::AnswerCommandRequest {
            bot_code: bot_code.to_owned(),
            target: Some(target),
            content: Some(pb::MessageContent {
                text: "Berlin: 14 degrees, light rain until the evening.".to_owned(),
                ..pb::MessageContent::default()
            }),
            ..pb::AnswerCommandRequest::default()
        })
        .await?;
    Ok(())
}

async fn by_ids(client: BotServiceClient<Channel>, event: pb::Event) -> Outcome<()> {
    let Some(Body::CommandAdded(added)) = event.body else {
        return Err("no command".into());
    };
    let ids = pb::CommandInvocation {
        command_id: added.command.unwrap_or_default().id,
        message_id: added.message.unwrap_or_default().id,
        dialog_id: added.chat.unwrap_or_default().dialog_id,
    };
    answer(client, Target::Invocation(ids), ANSWERING).await
}

/// What was spent up to a moment.
struct Books {
    began: Instant,
    cpu: Duration,
    commits: u32,
}

impl Books {
    fn of(process: &Process, world: &World) -> Outcome<Self> {
        Ok(Self {
            began: Instant::now(),
            cpu: cpu_time(process)?,
            commits: commits(&world.folder.path().join("store"))?,
        })
    }

    fn tell(self, name: &str, count: usize, process: &Process, world: &World) -> Outcome<()> {
        let now = Self::of(process, world)?;
        let calls = count as f64;
        println!(
            "{name:9} {:8.0} {:12.1} {:13.2}",
            calls / self.began.elapsed().as_secs_f64(),
            (now.cpu - self.cpu).as_secs_f64() * 1e6 / calls,
            f64::from(now.commits.wrapping_sub(self.commits)) / calls,
        );
        Ok(())
    }
}
