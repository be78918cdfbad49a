//! The whole story once, in readable lines: a simulated portal, the gateway, and a small bot that uses
//! the same gRPC client as any other service.
//!
//! Every line is printed only after the thing it tells was checked.

use std::time::Duration;

use bitrix24_sim::{PortalConfig, Sim, UserConfig};
use tokio::time::timeout;
use tonic::transport::Channel;

use crate::{
    app::{self, App},
    clock::Clock,
    config::{self, Config, Flags, Sources},
    fault::Chain,
    proto::v1::{
        self as pb, answer_command_request::Target, bot_service_client::BotServiceClient,
        subscribe_command_events_response::Item,
    },
};

/// How long any step may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why the story broke off.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The simulated portal did not start.
    #[error("simulated portal: {0}")]
    Sim(#[from] bitrix24_sim::Error),
    /// A person of the portal could not do something.
    #[error("simulated portal: {0}")]
    Person(#[from] bitrix24_sim::Refusal),
    /// The folder for the store could not be made.
    #[error("temporary folder: {0}")]
    Folder(#[from] std::io::Error),
    /// The gateway does not like its configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The gateway did not start, or broke off.
    #[error(transparent)]
    App(#[from] app::Error),
    /// The gateway's task ended unexpectedly.
    #[error("gateway: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The bot could not connect.
    #[error("gRPC connection: {}", Chain(.0))]
    Connect(#[from] tonic::transport::Error),
    /// A call of the bot failed.
    #[error("gRPC call: {0}")]
    Call(#[from] tonic::Status),
    /// A step did not come about.
    #[error("it did not happen: {0}")]
    Missing(&'static str),
}

/// Tells the story.
///
/// # Errors
///
/// The first step that did not happen.
pub async fn run() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let sim = Sim::start(bitrix24_sim::Config::default()).await?;
    let portal = sim.add_portal(PortalConfig::default()).await?;
    let anna = portal.add_user(UserConfig::named("Anna", "Weber"));
    let chat = portal.add_group_chat("Weather talk", &[1, anna]);
    say(
        "portal ",
        &format!("a simulated Bitrix24 portal is at {}", portal.address()),
    );

    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, sim.ca_pem())?;
    let app = App::build(
        config(&portal.webhook_url(), folder.path(), &ca_file)?,
        Clock::system(),
    )
    .await?;
    let life = app.lifecycle().clone();
    let address = app.address();
    let running = tokio::spawn(app.run());
    say("gateway", &format!("the gRPC API is at {address}"));

    let bot = BotServiceClient::connect(format!("http://{address}")).await?;
    timeout(PATIENCE, story(bot, &portal, anna, chat))
        .await
        .map_err(|_| Error::Missing("the story did not end in time"))??;

    life.begin_stop();
    running.await??;
    say("gateway", "stopped in order");
    Ok(())
}

async fn story(
    mut bot: BotServiceClient<Channel>,
    portal: &bitrix24_sim::Portal,
    anna: i64,
    chat: bitrix24_sim::Chat,
) -> Result<(), Error> {
    let registered = bot
        .register_bot(pb::RegisterBotRequest {
            bot_code: "weather".to_owned(),
            properties: Some(pb::BotProperties {
                name: Some("Weather".to_owned()),
                ..pb::BotProperties::default()
            }),
            ..pb::RegisterBotRequest::default()
        })
        .await?
        .into_inner();
    let bot_id = registered
        .bot
        .ok_or(Error::Missing("the bot of the registration"))?
        .id;
    if portal
        .bot_by_code("weather")
        .is_none_or(|known| known.id != bot_id)
    {
        return Err(Error::Missing("the bot in the portal"));
    }
    say(
        "bot    ",
        &format!("registered as `weather`, Bitrix24 gave it id {bot_id}"),
    );

    bot.register_command(pb::RegisterCommandRequest {
        bot_code: "weather".to_owned(),
        command: "weather".to_owned(),
        title: [("en".to_owned(), "Weather of a city".to_owned())].into(),
        params: [("en".to_owned(), "city".to_owned())].into(),
        ..pb::RegisterCommandRequest::default()
    })
    .await?;
    if portal
        .commands(bot_id)
        .iter()
        .all(|command| command.name != "weather")
    {
        return Err(Error::Missing("the command in the portal"));
    }
    portal.add_bot_to_chat(bot_id, chat.id, anna)?;
    say(
        "bot    ",
        "registered the command /weather and was added to the chat",
    );

    let mut events = bot
        .subscribe_command_events(pb::SubscribeCommandEventsRequest::default())
        .await?
        .into_inner();
    portal
        .user(anna)
        .types(&chat.dialog_id(), "/weather Berlin")?;
    say("Anna   ", "types: /weather Berlin");

    let event = loop {
        let response = events
            .message()
            .await?
            .ok_or(Error::Missing("the event, the stream ended"))?;
        if let Some(Item::Event(event)) = response.item {
            break event;
        }
    };
    let Some(pb::event::Body::CommandAdded(added)) = event.body else {
        return Err(Error::Missing("a command in the event"));
    };
    let command = added.command.unwrap_or_default();
    let user = added.user.unwrap_or_default();
    if (command.command.as_str(), command.params.as_str(), user.id) != ("weather", "Berlin", anna) {
        return Err(Error::Missing("the command as Anna typed it"));
    }
    say(
        "bot    ",
        &format!(
            "received from the stream: {} called /{} {}",
            user.name, command.command, command.params
        ),
    );

    let answer = pb::AnswerCommandRequest {
        target: Some(Target::EventId(event.event_id)),
        content: Some(pb::MessageContent {
            text: "Berlin: 21 degrees, [b]sunny[/b]".to_owned(),
            ..pb::MessageContent::default()
        }),
        ..pb::AnswerCommandRequest::default()
    };
    let outcome = bot
        .answer_command(answer.clone())
        .await?
        .into_inner()
        .outcome();
    if outcome != pb::AnswerOutcome::Answered {
        return Err(Error::Missing("an answer within the window"));
    }
    let again = bot.answer_command(answer).await?.into_inner().outcome();
    if again != pb::AnswerOutcome::AlreadyAnswered {
        return Err(Error::Missing("the second answer being recognised"));
    }
    let messages = portal.messages(&chat.dialog_id());
    let answers: Vec<_> = messages
        .iter()
        .filter(|message| message.text.contains("sunny"))
        .collect();
    match answers[..] {
        [answer] if answer.author_id == bot_id => {
            say(
                "Anna   ",
                &format!("reads from the bot, exactly once: {}", answer.text),
            );
            Ok(())
        }
        _ => Err(Error::Missing("exactly one answer of the bot in the chat")),
    }
}

fn config(
    webhook_url: &str,
    folder: &std::path::Path,
    ca_file: &std::path::Path,
) -> Result<Config, Error> {
    let path = |name: &str| folder.join(name).display().to_string();
    let settings = [
        ("webhook_url", webhook_url.to_owned()),
        ("grpc.listen", "127.0.0.1:0".to_owned()),
        ("admin.listen", String::new()),
        ("store.dir", path("store")),
        ("store.key_file", path("keys")),
        ("outbound.ca_file", ca_file.display().to_string()),
        ("polling.busy_pause", "250ms".to_owned()),
    ];
    Ok(Config::load(&Sources {
        flags: Flags(settings.into()),
        ..Sources::default()
    })?)
}

#[expect(clippy::print_stdout, reason = "the story is what the command is for")]
fn say(who: &str, what: &str) {
    println!("{who} | {what}");
}
