//! Slash commands: repeated registration, change, rename, removal.

use std::collections::HashMap;

use bitrix24_gateway::proto::v1::{
    self as pb, RegistrationOutcome as Outcome, update_command_request,
};

use tonic::Code;

use crate::scene::{Scene, failure, help, helper, told};

fn texts(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs
        .iter()
        .map(|(language, text)| ((*language).to_owned(), (*text).to_owned()))
        .collect()
}

fn titled(pairs: &[(&str, &str)]) -> pb::RegisterCommandRequest {
    pb::RegisterCommandRequest {
        title: texts(pairs),
        ..help()
    }
}

fn change() -> pb::UpdateCommandRequest {
    pb::UpdateCommandRequest {
        bot_code: "helper".to_owned(),
        target: Some(update_command_request::Target::Command("help".to_owned())),
        ..pb::UpdateCommandRequest::default()
    }
}

/// Titles of the only command in the portal.
fn titles(scene: &Scene) -> Vec<(String, String)> {
    let bot = scene.portal.bot_by_code("helper").unwrap();
    let mut titles = scene.portal.commands(bot.id)[0].titles.clone();
    titles.sort();
    titles
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut owned: Vec<_> = texts(pairs).into_iter().collect();
    owned.sort();
    owned
}

#[tokio::test(start_paused = true)]
async fn repeat_changes_nothing_and_says_so() {
    let mut scene = Scene::start().await;
    scene.bots.register_bot(helper()).await.unwrap();
    let first = scene
        .bots
        .register_command(help())
        .await
        .unwrap()
        .into_inner();
    let again = scene
        .bots
        .register_command(help())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (first.outcome(), again.outcome()),
        (Outcome::Created, Outcome::Unchanged)
    );
    assert_eq!(first.command.unwrap().id, again.command.unwrap().id);
}

#[tokio::test(start_paused = true)]
async fn differing_titles_of_any_language_are_told_and_converge() {
    let mut scene = Scene::start().await;
    scene.bots.register_bot(helper()).await.unwrap();
    scene
        .bots
        .register_command(titled(&[("en", "Help"), ("fr", "Aide")]))
        .await
        .unwrap();
    // The portal itself would only tell the title in its own language.
    let other = titled(&[("en", "Help"), ("de", "Hilfe")]);
    let differs = scene
        .bots
        .register_command(other.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (differs.outcome(), differs.unapplied_fields),
        (Outcome::Differs, vec!["title".to_owned()])
    );
    assert_eq!(titles(&scene), pairs(&[("en", "Help"), ("fr", "Aide")]));
    let converge = pb::RegisterCommandRequest {
        if_exists: pb::IfExists::Converge.into(),
        ..other
    };
    let updated = scene
        .bots
        .register_command(converge.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(updated.outcome(), Outcome::Updated);
    assert_eq!(titles(&scene), pairs(&[("en", "Help"), ("de", "Hilfe")]));
    let again = scene
        .bots
        .register_command(converge)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.outcome(), Outcome::Unchanged);
}

#[tokio::test(start_paused = true)]
async fn titles_are_set_kept_and_removed() {
    let mut scene = Scene::start().await;
    scene.bots.register_bot(helper()).await.unwrap();
    scene
        .bots
        .register_command(titled(&[("en", "Help"), ("fr", "Aide")]))
        .await
        .unwrap();
    let request = pb::UpdateCommandRequest {
        title: texts(&[("de", "Hilfe")]),
        remove_title_languages: vec!["fr".to_owned()],
        ..change()
    };
    scene.bots.update_command(request).await.unwrap();
    assert_eq!(titles(&scene), pairs(&[("en", "Help"), ("de", "Hilfe")]));
}

#[tokio::test(start_paused = true)]
async fn rename_that_did_not_take_is_told_with_the_rest_applied() {
    let mut scene = Scene::start().await;
    scene
        .portal
        .set_quirks(|quirks| quirks.rename_is_stored = false);
    scene.helper().await;
    let request = pb::UpdateCommandRequest {
        new_command: Some("support".to_owned()),
        title: texts(&[("en", "Support")]),
        ..change()
    };
    let refused = scene.bots.update_command(request).await.unwrap_err();
    assert_eq!(
        told(&refused),
        failure(Code::FailedPrecondition, "RENAME_NOT_APPLIED", "yes")
    );
    assert_eq!(titles(&scene), pairs(&[("en", "Support")]));
    // Nothing was registered behind the caller's back.
    let bot = scene.portal.bot_by_code("helper").unwrap();
    let names: Vec<_> = scene
        .portal
        .commands(bot.id)
        .into_iter()
        .map(|command| command.name)
        .collect();
    assert_eq!(names, ["help"]);
}

#[tokio::test(start_paused = true)]
async fn rename_takes_where_the_portal_stores_it() {
    let mut scene = Scene::start().await;
    scene
        .portal
        .set_quirks(|quirks| quirks.rename_is_stored = true);
    scene.helper().await;
    let request = pb::UpdateCommandRequest {
        new_command: Some("support".to_owned()),
        ..change()
    };
    let updated = scene
        .bots
        .update_command(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(updated.command.unwrap().command, "support");
}

#[tokio::test(start_paused = true)]
async fn unknown_command_is_not_found() {
    let mut scene = Scene::start().await;
    scene.errors_have_names();
    scene.helper().await;
    for target in [
        update_command_request::Target::Command("nothing".to_owned()),
        update_command_request::Target::CommandId(999_999),
    ] {
        let request = pb::UpdateCommandRequest {
            target: Some(target),
            hidden: Some(true),
            ..change()
        };
        let refused = scene.bots.update_command(request).await.unwrap_err();
        assert_eq!(
            told(&refused),
            failure(Code::NotFound, "COMMAND_NOT_FOUND", "no")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn commands_are_listed_in_pages_without_the_slash() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    for name in ["alpha", "beta", "gamma"] {
        let request = pb::RegisterCommandRequest {
            command: name.to_owned(),
            ..help()
        };
        scene.bots.register_command(request).await.unwrap();
    }
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListCommandsRequest {
            bot_code: "helper".to_owned(),
            page_size: 3,
            page_token,
            ..pb::ListCommandsRequest::default()
        };
        let page = scene
            .bots
            .list_commands(request)
            .await
            .unwrap()
            .into_inner();
        names.extend(page.commands.into_iter().map(|command| command.command));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["help", "alpha", "beta", "gamma"]);
}

#[tokio::test(start_paused = true)]
async fn removing_a_command_twice_is_no_error() {
    let mut scene = Scene::start().await;
    scene.errors_have_names();
    scene.helper().await;
    let id = scene
        .portal
        .commands(scene.portal.bot_by_code("helper").unwrap().id)[0]
        .id;
    use pb::unregister_command_request::Target;
    for target in [
        Target::Command("help".to_owned()),
        Target::Command("help".to_owned()),
        Target::CommandId(id),
    ] {
        let request = pb::UnregisterCommandRequest {
            bot_code: "helper".to_owned(),
            target: Some(target),
            ..pb::UnregisterCommandRequest::default()
        };
        scene.bots.unregister_command(request).await.unwrap();
    }
    assert!(
        scene
            .portal
            .commands(scene.portal.bot_by_code("helper").unwrap().id)
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn command_of_a_bot_nobody_registered_here_spends_no_call() {
    let mut scene = Scene::start().await;
    let refused = scene.bots.register_command(help()).await.unwrap_err();
    assert_eq!(told(&refused), failure(Code::NotFound, "UNKNOWN_BOT", "no"));
    assert!(scene.calls().is_empty());
}
