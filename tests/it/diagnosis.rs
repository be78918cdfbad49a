//! Why a bot is silent, in each way that it can be.

use std::time::Duration;

use bitrix24_gateway::{
    admin::{self, Command, Done},
    diagnosis::{Chain, Report, Standing, Step},
    proto::v1 as pb,
};
use bitrix24_sim::Fault;
use tokio::time::sleep;

use crate::scene::{Scene, Stream, answer};

const FETCH: &str = "imbot.v2.Event.get";

/// Has an operator's command done.
pub(crate) async fn operate(scene: &Scene, command: Command) -> Result<Done, admin::Error> {
    let socket = scene.store_dir().join("admin.sock");
    admin::send(&socket, &command, "the scene").await
}

/// What an operator is told of a bot.
pub(crate) async fn examine(scene: &Scene, bot: &str) -> Report {
    let doctor = Command::Doctor {
        portal: None,
        bot: Some(bot.to_owned()),
    };
    match operate(scene, doctor).await.unwrap() {
        Done::Diagnosed { report } => report,
        other => panic!("{other:?}"),
    }
}

async fn chain(scene: &Scene, bot: &str) -> Chain {
    let chains = examine(scene, bot).await.chains.into_iter();
    let mut chains = chains.filter(|chain| chain.bot.is_some());
    let found = chains.next().unwrap();
    assert_eq!(chains.next(), None);
    found
}

/// The first broken link of a bot, and what is said of it.
pub(crate) async fn broken(scene: &Scene, bot: &str) -> Option<(Step, String)> {
    let chain = chain(scene, bot).await;
    let link = chain.broken()?;
    assert!(link.next.as_ref().is_some_and(|next| !next.is_empty()));
    Some((link.step, link.seen.clone()))
}

/// Waits until the first broken link is this one.
async fn breaks_at(scene: &Scene, step: Step) -> String {
    for _ in 0..100 {
        if let Some((at, seen)) = broken(scene, "helper").await
            && at == step
        {
            return seen;
        }
        sleep(Duration::from_secs(5)).await;
    }
    panic!("{:?}", chain(scene, "helper").await);
}

fn named() -> pb::SubscribeCommandEventsRequest {
    pb::SubscribeCommandEventsRequest {
        subscription: Some(pb::NamedSubscription {
            name: "work".to_owned(),
            ..pb::NamedSubscription::default()
        }),
        ..pb::SubscribeCommandEventsRequest::default()
    }
}

/// A bot that was called, and that nobody reads for.
pub(crate) async fn silent() -> Scene {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    scene.errors_have_names();
    scene.answers_tell_times();
    scene.helper().await;
    scene.anna_types("/help me");
    sleep(Duration::from_secs(20)).await;
    scene
}

/// Somebody reads for the bot, without a name, and answers the next command.
pub(crate) async fn served(scene: &mut Scene) -> Stream {
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help again");
    let (_, event) = stream.event().await;
    scene
        .bots
        .answer_command(answer(&event, "here"))
        .await
        .unwrap();
    stream
}

/// A bot that answers.
async fn well() -> (Scene, Stream) {
    let mut scene = silent().await;
    let stream = served(&mut scene).await;
    (scene, stream)
}

#[tokio::test(start_paused = true)]
async fn bot_that_answers_has_no_broken_link_and_neither_has_its_portal() {
    let (scene, _stream) = well().await;
    let report = examine(&scene, "helper").await;
    assert_eq!(report.gateway, Vec::<String>::new());
    assert_eq!(report.chains.len(), 2, "{report:?}");
    for chain in &report.chains {
        let fine = |standing| standing == Standing::Fine;
        assert!(chain.links.iter().all(|it| fine(it.standing)), "{chain:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn looking_at_portals_costs_three_requests_and_the_next_time_one() {
    let (scene, _stream) = well().await;
    for asked in [
        vec!["profile", "scope", "imbot.v2.Revision.get"],
        vec!["profile"],
    ] {
        scene.portal.journal().clear();
        examine(&scene, "helper").await;
        assert_eq!(scene.calls(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn credential_that_is_refused_is_what_is_broken() {
    let (scene, _stream) = well().await;
    scene.portal.remove_webhook(&scene.portal.webhook_url());
    let seen = breaks_at(&scene, Step::Credential).await;
    assert!(seen.contains("REAUTHORIZATION_REQUIRED"), "{seen}");
    let report = examine(&scene, "helper").await;
    let portal = &report.chains[0];
    assert_eq!(
        (portal.bot.as_ref(), portal.broken().unwrap().step),
        (None, Step::Credential)
    );
}

#[tokio::test(start_paused = true)]
async fn bot_that_nobody_registered_is_told_with_those_that_there_are() {
    let (scene, _stream) = well().await;
    let (step, seen) = broken(&scene, "helpr").await.unwrap();
    assert_eq!(step, Step::Registered);
    assert!(seen.contains("registered there: helper"), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn bot_that_the_portal_has_no_more_or_gave_away_is_not_registered() {
    for (code, words) in [
        ("BOT_NOT_FOUND", "deleted"),
        ("BOT_OWNERSHIP_ERROR", "another program"),
    ] {
        let (scene, _stream) = well().await;
        scene
            .portal
            .faults()
            .on(FETCH, Fault::error(400, code, "no"));
        let seen = breaks_at(&scene, Step::Registered).await;
        assert!(seen.contains(words), "{seen}");
    }
}

#[tokio::test(start_paused = true)]
async fn bot_whose_events_cannot_be_fetched_is_broken_there() {
    let (scene, _stream) = well().await;
    let fault = Fault::error(400, "ERROR_CORE", "no").always();
    scene.portal.faults().on(FETCH, fault);
    let seen = breaks_at(&scene, Step::Poll).await;
    assert!(seen.contains("last fetched"), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn bot_that_nobody_spoke_to_is_not_broken_and_says_what_to_try() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let _stream = scene.subscribe(named()).await;
    sleep(Duration::from_secs(20)).await;
    let chain = chain(&scene, "helper").await;
    assert_eq!(chain.broken(), None, "{chain:?}");
    let event = chain
        .links
        .iter()
        .find(|it| it.step == Step::Event)
        .unwrap();
    assert_eq!(event.standing, Standing::Unknown);
    assert!(
        event.next.as_ref().unwrap().contains("commands"),
        "{event:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn bot_whose_commands_nobody_asks_for_has_no_subscription() {
    let mut scene = silent().await;
    breaks_at(&scene, Step::Subscription).await;
    // Who asks for something else does not get them.
    let other = pb::SubscribeCommandEventsRequest {
        bot_codes: vec!["other".to_owned()],
        ..named()
    };
    let _stream = scene.subscribe(other).await;
    breaks_at(&scene, Step::Subscription).await;
}

#[tokio::test(start_paused = true)]
async fn subscription_whose_service_is_gone_has_no_stream() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    scene.helper().await;
    let stream = scene.subscribe(named()).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(broken(&scene, "helper").await, None);
    drop(stream);
    let seen = breaks_at(&scene, Step::Stream).await;
    assert!(seen.contains("`work` has no open stream"), "{seen}");
    scene.anna_types("/help me");
    sleep(Duration::from_secs(10)).await;
    let seen = breaks_at(&scene, Step::Stream).await;
    assert!(seen.contains("not done"), "{seen}");
    // Also after a restart, of which the subscription has not heard yet.
    scene.restart().await;
    let seen = breaks_at(&scene, Step::Stream).await;
    assert!(seen.contains("not done"), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn service_that_takes_events_and_does_not_finish_them_is_what_is_broken() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    scene.helper().await;
    let mut stream = scene.subscribe(named()).await;
    scene.anna_types("/help me");
    let (_, event) = stream.event().await;
    sleep(Duration::from_secs(90)).await;
    let (step, seen) = broken(&scene, "helper").await.unwrap();
    assert_eq!(step, Step::Stream);
    assert!(seen.contains("1 handed out"), "{seen}");
    scene
        .bots
        .answer_command(answer(&event, "late"))
        .await
        .unwrap();
    assert_eq!(broken(&scene, "helper").await, None);
}

#[tokio::test(start_paused = true)]
async fn answer_that_failed_is_the_last_link_and_the_next_one_mends_it() {
    let (mut scene, mut stream) = well().await;
    scene.anna_types("/help again");
    let (_, event) = stream.event().await;
    sleep(Duration::from_secs(900)).await;
    scene
        .bots
        .answer_command(answer(&event, "too late"))
        .await
        .unwrap_err();
    let (step, seen) = broken(&scene, "helper").await.unwrap();
    assert_eq!(step, Step::Answer);
    assert!(seen.contains("ANSWER_WINDOW_CLOSED"), "{seen}");
    scene.anna_types("/help once more");
    let (_, event) = stream.event().await;
    scene
        .bots
        .answer_command(answer(&event, "in time"))
        .await
        .unwrap();
    assert_eq!(broken(&scene, "helper").await, None);
}
