//! A bot as any service would write one: it registers, and answers what it is asked.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use bitrix24_gateway::proto::v1::{
    self as pb, answer_command_request::Target, attach_block::Block,
    bot_service_client::BotServiceClient, keyboard_button::Kind,
    subscribe_command_events_response::Item,
};
use tokio::{task::JoinHandle, time::timeout};
use tonic::transport::Channel;

use super::PATIENCE;

/// A bot that runs until it is dropped.
pub(super) struct Bot {
    pub(super) id: i64,
    answered: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Drop for Bot {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bot {
    pub(super) async fn start(mut bots: BotServiceClient<Channel>) -> Self {
        let id = register(&mut bots, "helper").await;
        for (command, title, german, hint) in [
            ("weather", "Weather of a city", "Wetter einer Stadt", "city"),
            ("slow", "Answers later", "Antwortet später", ""),
            (
                "hostile",
                "Says what it should not",
                "Sagt, was es nicht soll",
                "",
            ),
        ] {
            let request = pb::RegisterCommandRequest {
                bot_code: "helper".to_owned(),
                command: command.to_owned(),
                title: [("en", title), ("de", german)]
                    .map(|(l, t)| (l.to_owned(), t.to_owned()))
                    .into(),
                params: [("en".to_owned(), hint.to_owned())]
                    .into_iter()
                    .filter(|(_, hint)| !hint.is_empty())
                    .collect(),
                ..pb::RegisterCommandRequest::default()
            };
            bots.register_command(request).await.unwrap();
        }
        let request = pb::SubscribeCommandEventsRequest::default();
        let mut events = bots
            .subscribe_command_events(request)
            .await
            .unwrap()
            .into_inner();
        let answered = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&answered);
        let task = tokio::spawn(async move {
            while let Ok(Some(response)) = events.message().await {
                let Some(Item::Event(event)) = response.item else {
                    continue;
                };
                let Some(pb::event::Body::CommandAdded(added)) = &event.body else {
                    continue;
                };
                let command = added.command.clone().unwrap_or_default();
                let content = match (command.command.as_str(), command.params.as_str()) {
                    ("slow", _) => continue,
                    ("hostile", _) => hostile(),
                    (_, city) => weather(city),
                };
                let answer = pb::AnswerCommandRequest {
                    target: Some(Target::EventId(event.event_id.clone())),
                    content: Some(content),
                    ..pb::AnswerCommandRequest::default()
                };
                // What becomes of it is seen in the chat.
                match bots.answer_command(answer).await {
                    Ok(_) => _ = count.fetch_add(1, Ordering::Relaxed),
                    Err(status) => eprintln!("not answered: {status:?}"),
                }
            }
        });
        Self { id, answered, task }
    }

    pub(super) async fn answered_one(&self) {
        let answering = async {
            while self.answered.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, answering).await.expect("it answers");
    }
}

/// A bot of this code. Its id.
pub(super) async fn register(bots: &mut BotServiceClient<Channel>, code: &str) -> i64 {
    let request = pb::RegisterBotRequest {
        bot_code: code.to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Weather".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    };
    let registered = bots.register_bot(request).await.unwrap().into_inner();
    registered.bot.unwrap().id
}

fn block(block: Block) -> pb::AttachBlock {
    pb::AttachBlock { block: Some(block) }
}

fn weather(city: &str) -> pb::MessageContent {
    let cell = |name: &str, value: &str| pb::AttachGridItem {
        display: pb::AttachGridDisplay::Table.into(),
        name: Some(name.to_owned()),
        value: Some(value.to_owned()),
        ..pb::AttachGridItem::default()
    };
    let grid = pb::AttachGrid {
        items: vec![cell("Wind", "[b]12[/b] km/h"), cell("Humidity", "48 %")],
    };
    let link = pb::AttachLink {
        link: "https://example.com/forecast".to_owned(),
        name: Some("Forecast".to_owned()),
        description: Some("The days to come".to_owned()),
        ..pb::AttachLink::default()
    };
    let button = |text: &str, command: &str| pb::KeyboardButton {
        kind: Some(Kind::Command(pb::ButtonCommand {
            command: "weather".to_owned(),
            params: command.to_owned(),
        })),
        text: text.to_owned(),
        display: pb::ButtonDisplay::Line.into(),
        ..pb::KeyboardButton::default()
    };
    pb::MessageContent {
        text: format!(
            "{city}: 21 degrees, [b]sunny[/b]\n[color=#c8a000]UV 6[/color] [put=/weather ]ask again[/put]"
        ),
        attach: Some(pb::Attach {
            blocks: vec![block(Block::Grid(grid)), block(Block::Link(link))],
            color_token: pb::ColorToken::Primary.into(),
            ..pb::Attach::default()
        }),
        keyboard: Some(pb::Keyboard {
            buttons: vec![
                pb::KeyboardButton {
                    bg_color: "#29619b".to_owned(),
                    ..button("Hamburg", "Hamburg")
                },
                button("Munich", "Munich"),
            ],
            ..pb::Keyboard::default()
        }),
        ..pb::MessageContent::default()
    }
}

/// Texts that would act if they were taken for more than texts.
pub(super) const HOSTILE: [&str; 6] = [
    "<script>window.pwned = 1</script><img src=x onerror=\"window.pwned = 1\">",
    "[url=javascript:window.pwned=1]click[/url] [b]<b onclick=alert(1)>x</b>[/b]",
    "[color=#fff;background:url(https://evil.test)]x[/color] [img]javascript:window.pwned=1[/img]",
    "\u{202e}gnp.exe [url=https://example.com/\u{202e}]x[/url]",
    "[code]</code><script>window.pwned = 1</script>[/code]",
    "[send=<script>window.pwned=1</script>]press[/send] [icon=https://evil.test/track.png title=\"><script>]",
];

fn hostile() -> pb::MessageContent {
    let link = pb::AttachLink {
        link: "https://example.com/\"onclick=\"window.pwned=1".to_owned(),
        name: Some(HOSTILE[0].to_owned()),
        description: Some(HOSTILE[1].to_owned()),
        preview: Some("https://evil.test/track.png".to_owned()),
        ..pb::AttachLink::default()
    };
    let image = pb::AttachImage {
        link: "https://evil.test/track.png".to_owned(),
        name: Some(HOSTILE[3].to_owned()),
        ..pb::AttachImage::default()
    };
    let button = pb::KeyboardButton {
        kind: Some(Kind::Link("https://example.com/#<script>".to_owned())),
        text: HOSTILE[0].to_owned(),
        ..pb::KeyboardButton::default()
    };
    let long = "[b]ж\u{202e}<i>".repeat(2_000);
    pb::MessageContent {
        text: format!("{}\n{long}", HOSTILE.join("\n")),
        attach: Some(pb::Attach {
            blocks: vec![
                block(Block::Link(link)),
                block(Block::Images(pb::AttachImages { items: vec![image] })),
                block(Block::Message(HOSTILE[5].to_owned())),
            ],
            ..pb::Attach::default()
        }),
        keyboard: Some(pb::Keyboard {
            buttons: vec![button],
            ..pb::Keyboard::default()
        }),
        ..pb::MessageContent::default()
    }
}
