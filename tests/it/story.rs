//! The main job, end to end.

use bitrix24_gateway::proto::v1 as pb;

use crate::scene::{Scene, answer, called, command_added};

#[tokio::test(start_paused = true)]
async fn bot_answers_a_slash_command() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let bot_id = scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    let message_id = scene.anna_types("/help me please");

    let (_, event) = stream.event().await;
    assert_eq!(
        (event.portal.as_str(), event.bot_code.as_str()),
        ("default", "helper")
    );
    assert_eq!(event.r#type, "ONIMBOTV2COMMANDADD");
    let command = called(&event);
    assert_eq!(
        (command.command.as_str(), command.params.as_str()),
        ("help", "me please")
    );
    assert_eq!(command.context, "textarea");
    let added = command_added(&event);
    assert_eq!(added.user.unwrap().id, scene.anna);
    assert_eq!(added.message.unwrap().id, message_id);
    assert_eq!(added.chat.unwrap().dialog_id, scene.chat.dialog_id());

    let answered = scene
        .bots
        .answer_command(answer(&event, "Here you are"))
        .await
        .unwrap();
    assert_eq!(answered.into_inner().outcome(), pb::AnswerOutcome::Answered);
    let last = scene
        .portal
        .messages(&scene.chat.dialog_id())
        .pop()
        .unwrap();
    assert_eq!(
        (last.author_id, last.text.as_str()),
        (bot_id, "Here you are")
    );
}
