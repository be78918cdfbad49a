//! Portals that come and go while the gateway runs.

use std::time::Duration;

use bitrix24_gateway::{
    portal::{InstallError, Owner},
    proto::v1::{
        self as pb, PortalChangeKind as Kind, PortalState,
        portal_service_client::PortalServiceClient,
    },
};
use bitrix24_sim::{Fault, Limits, Portal, PortalConfig};
use futures_util::future::join_all;
use tokio::time::sleep;
use tonic::{Code, Status};

use super::stage::{self, Stage, known_in, say};
use crate::{
    scene::{Scene, called, failure, help, helper, told},
    watching::Watching,
};

const TOKEN: &str = "oauth/token";

/// Another portal with the same application, which the gateway does not know.
pub(crate) async fn another(stage: &Stage) -> Portal {
    let portal = stage.scene.sim.add_portal(PortalConfig::default()).await;
    let portal = portal.unwrap();
    portal.rename_to("b.portal.test").await.unwrap();
    portal.set_limits(Limits::none());
    portal.set_quirks(|quirks| quirks.numeric_error_codes = false);
    let client_id = known_in(&portal);
    assert_eq!(client_id, stage.client_id);
    portal
}

/// Somebody installs the application there, and the gateway is told.
pub(crate) async fn install(scene: &Scene, portal: &Portal) -> Result<String, InstallError> {
    let tokens = portal.install(stage::CLIENT, 1).unwrap();
    let pair = stage::pair(&scene.sim, portal, &tokens);
    let handle = scene.portals().install(pair, Owner::Same).await?;
    Ok(handle.id().to_string())
}

async fn register(scene: &mut Scene, portal: &str) -> Result<i64, Status> {
    let bot = pb::RegisterBotRequest {
        portal: portal.to_owned(),
        ..helper()
    };
    let registered = scene.bots.register_bot(bot).await?.into_inner();
    let command = pb::RegisterCommandRequest {
        portal: portal.to_owned(),
        ..help()
    };
    scene.bots.register_command(command).await?;
    Ok(registered.bot.unwrap().id)
}

async fn names(scene: &Scene) -> Vec<String> {
    let mut portals = PortalServiceClient::new(scene.channel());
    let listed = portals.list_portals(pb::ListPortalsRequest::default());
    let listed = listed.await.unwrap().into_inner().portals;
    listed.into_iter().map(|portal| portal.portal).collect()
}

#[tokio::test(start_paused = true)]
async fn portal_without_tokens_says_so_until_the_application_is_installed() {
    let mut stage = Stage::not_installed(&[]).await;
    let shown = stage.scene.shown().await;
    assert_eq!(shown.state(), PortalState::ReauthorizationRequired);
    assert_eq!(shown.reason, "APPLICATION_NOT_INSTALLED");
    assert_eq!(
        (shown.address.as_str(), shown.token_expire_time),
        ("", None)
    );
    let refused = register(&mut stage.scene, "").await.unwrap_err();
    let missing = failure(Code::FailedPrecondition, "APPLICATION_NOT_INSTALLED", "no");
    assert_eq!(told(&refused), missing);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!((stage.refreshes(), stage.scene.calls().len()), (0, 0));

    stage.install(1).await.unwrap();
    stage.scene.helper().await;
    say(&stage.scene, "here").await.unwrap();
    assert_eq!(stage.scene.shown().await.state(), PortalState::Ok);
}

#[tokio::test(start_paused = true)]
async fn portal_installed_by_itself_is_named_by_its_member_id_and_asked_for_events() {
    let mut stage = Stage::set(&[]).await;
    let portal = another(&stage).await;
    let member = portal.member_id();
    let unknown = register(&mut stage.scene, &member).await.unwrap_err();
    assert_eq!(told(&unknown).reason, "UNKNOWN_PORTAL");

    assert_eq!(install(&stage.scene, &portal).await.unwrap(), member);
    let mut both = vec![member.clone(), "acme".to_owned()];
    both.sort();
    assert_eq!(names(&stage.scene).await, both);
    let bot = register(&mut stage.scene, &member).await.unwrap();
    let chat = portal.add_group_chat("Support", &[1, bot]);
    let request = pb::SubscribeCommandEventsRequest::default();
    let mut stream = stage.scene.subscribe(request.clone()).await;
    portal
        .user(1)
        .types(&chat.dialog_id(), "/help one")
        .unwrap();
    let (_, event) = stream.event().await;
    assert_eq!(
        (event.portal.as_str(), called(&event).params.as_str()),
        (member.as_str(), "one")
    );

    // It is there after a restart, too.
    stage.scene.restart().await;
    let mut stream = stage.scene.subscribe(request).await;
    portal
        .user(1)
        .types(&chat.dialog_id(), "/help two")
        .unwrap();
    assert_eq!(stream.params().await, "two");
}

#[tokio::test(start_paused = true)]
async fn portal_that_was_removed_is_gone_for_good_and_nobody_calls_it() {
    let mut stage = Stage::set(&[]).await;
    let portal = another(&stage).await;
    let member = install(&stage.scene, &portal).await.unwrap();
    register(&mut stage.scene, &member).await.unwrap();
    let id = member.parse().unwrap();
    stage.scene.portals().uninstall(&id).await.unwrap();
    // What was under way ends.
    sleep(Duration::from_secs(1)).await;
    let before = portal.journal().arrivals();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(portal.journal().arrivals(), before);
    assert_eq!(names(&stage.scene).await, ["acme"]);
    stage.scene.restart().await;
    assert_eq!(names(&stage.scene).await, ["acme"]);

    // It may come again.
    assert_eq!(install(&stage.scene, &portal).await.unwrap(), member);
    register(&mut stage.scene, &member).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn configured_portal_that_was_removed_waits_for_the_next_installation() {
    let mut stage = Stage::set(&[]).await;
    stage.scene.helper().await;
    let acme = "acme".parse().unwrap();
    stage.scene.portals().uninstall(&acme).await.unwrap();
    for _ in 0..2 {
        let shown = stage.scene.shown().await;
        assert_eq!(shown.state(), PortalState::ReauthorizationRequired);
        assert_eq!(shown.reason, "APPLICATION_NOT_INSTALLED");
        let status = say(&stage.scene, "hello?").await.unwrap_err();
        assert_eq!(told(&status).reason, "APPLICATION_NOT_INSTALLED");
        stage.scene.restart().await;
    }
    stage.install(1).await.unwrap();
    say(&stage.scene, "hello!").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn removal_during_a_refresh_is_not_undone_by_it() {
    let mut stage = Stage::set(&[]).await;
    stage.scene.helper().await;
    let slow = Fault::latency(Duration::from_secs(10)).after_effect();
    stage.scene.sim.oauth().faults().on(TOKEN, slow);
    stage.expire();
    let removal = async {
        sleep(Duration::from_secs(5)).await;
        let acme = "acme".parse().unwrap();
        stage.scene.portals().uninstall(&acme).await.unwrap();
    };
    let (said, ()) = tokio::join!(say(&stage.scene, "hello?"), removal);
    assert_eq!(told(&said.unwrap_err()).reason, "APPLICATION_NOT_INSTALLED");
    sleep(Duration::from_secs(60)).await;
    stage.scene.restart().await;
    let shown = stage.scene.shown().await;
    assert_eq!(shown.reason, "APPLICATION_NOT_INSTALLED");
}

#[tokio::test(start_paused = true)]
async fn installation_during_a_refresh_counts_more_than_what_the_refresh_brings() {
    let mut stage = Stage::set(&[]).await;
    stage.scene.helper().await;
    let slow = Fault::latency(Duration::from_secs(10)).after_effect();
    stage.scene.sim.oauth().faults().on(TOKEN, slow);
    stage.expire();
    let hurried = stage::say_within(&stage.scene, "one", Duration::from_secs(1));
    hurried.await.unwrap_err();
    stage.install(1).await.unwrap();
    let installed = stage.scene.shown().await.tokens_obtained_time;
    say(&stage.scene, "two").await.unwrap();
    sleep(Duration::from_secs(60)).await;
    for _ in 0..2 {
        assert_eq!(stage.scene.shown().await.tokens_obtained_time, installed);
        say(&stage.scene, "three").await.unwrap();
        stage.scene.restart().await;
    }
    assert_eq!(stage.refreshes(), 1);
}

#[tokio::test(start_paused = true)]
async fn pair_that_must_not_be_used_is_refused_and_changes_nothing() {
    let mut stage = Stage::set(&[]).await;
    stage.scene.helper().await;
    let tokens = stage
        .scene
        .portal
        .issue_tokens(&stage.client_id, 1)
        .unwrap();
    let good = stage::pair(&stage.scene.sim, &stage.scene.portal, &tokens);
    let install = async |change: fn(&mut bitrix24_gateway::store::Pair)| {
        let mut pair = good.clone();
        change(&mut pair);
        stage.scene.portals().install(pair, Owner::Same).await
    };
    let forbidden = install(|pair| {
        pair.server_endpoint = Some("https://d.example.com/rest/".to_owned());
    });
    assert!(matches!(
        forbidden.await,
        Err(InstallError::ForbiddenServer)
    ));
    for address in [
        "https://d.example.com/rest/",
        "http://a.portal.test/rest/",
        "https://127.0.0.1/rest/",
        "https://me:word@a.portal.test/rest/",
        "nowhere",
    ] {
        let mut pair = good.clone();
        pair.client_endpoint = address.to_owned();
        let refused = stage.scene.portals().install(pair, Owner::Same).await;
        assert!(
            matches!(refused, Err(InstallError::ForbiddenHost)),
            "{address}"
        );
    }
    let unnamed = install(|pair| pair.member_id = "no name".to_owned());
    assert!(matches!(unnamed.await, Err(InstallError::NoName)));
    let other = install(|pair| pair.user_id = Some(2));
    let refused = other.await.unwrap_err();
    assert!(matches!(
        refused,
        InstallError::AnotherUser { theirs: 2, ours: 1 }
    ));
    assert_eq!(stage.scene.shown().await.user_id, Some(1));
    say(&stage.scene, "still here").await.unwrap();

    // Asked for, another user may take over.
    let tokens = stage
        .scene
        .portal
        .issue_tokens(&stage.client_id, stage.scene.anna);
    stage.hand_in(&tokens.unwrap(), Owner::Any).await.unwrap();
    assert_eq!(stage.scene.shown().await.user_id, Some(stage.scene.anna));
    say(&stage.scene, "in other hands").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn name_of_a_webhook_is_not_taken_over() {
    let settings = async |sim: &bitrix24_sim::Sim, portal: &Portal| {
        let mut settings = stage::common(sim);
        settings.push(("default_portal", "hooked".to_owned()));
        settings.push(("portals.hooked.webhook_url", portal.webhook_url()));
        settings
    };
    let scene = Scene::made(crate::quirks::from_environment(), settings, |_| None).await;
    let portal = PortalConfig {
        member_id: Some("hooked".to_owned()),
        ..PortalConfig::default()
    };
    let portal = scene.sim.add_portal(portal).await.unwrap();
    portal.rename_to("b.portal.test").await.unwrap();
    let _client_id = known_in(&portal);
    let taken = install(&scene, &portal).await.unwrap_err();
    assert!(matches!(taken, InstallError::NameTaken(_)), "{taken}");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_many_portals_that_end_together_are_renewed_few_at_a_time() {
    let stage = Stage::set(&[]).await;
    let mut portals = Vec::new();
    for _ in 0..12 {
        let portal = another(&stage).await;
        install(&stage.scene, &portal).await.unwrap();
        portals.push(portal);
    }
    let oauth = stage.scene.sim.oauth();
    let slow = Fault::latency(Duration::from_secs(1)).after_effect();
    oauth.faults().on(TOKEN, slow.always());
    for portal in &portals {
        portal.expire_tokens_of(stage::CLIENT);
    }
    let registered = portals.iter().map(|portal| {
        let bot = pb::RegisterBotRequest {
            portal: portal.member_id(),
            ..helper()
        };
        let mut client = stage.scene.bots.clone();
        async move { client.register_bot(bot).await }
    });
    for registered in join_all(registered).await {
        registered.unwrap();
    }
    let mut at: Vec<_> = oauth
        .journal()
        .calls(TOKEN)
        .iter()
        .map(|it| it.at)
        .collect();
    at.sort();
    assert_eq!(at.len(), 12);
    for (first, fifth) in at.iter().zip(at.iter().skip(4)) {
        assert!(*fifth >= *first + Duration::from_secs(1), "{at:?}");
    }
    assert!(
        at[3] < at[0] + Duration::from_secs(1),
        "four at once: {at:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn portals_that_come_and_go_are_told_to_who_watches() {
    let mut stage = Stage::not_installed(&[]).await;
    let mut watching = Watching::open(stage.scene.channel(), "").await;
    assert_eq!(watching.begin().await.1, ["acme"]);
    stage.install(1).await.unwrap();
    let (_, kinds, change) = watching.change().await;
    assert_eq!(change.portal, "acme");
    assert!(kinds.contains(&Kind::Installed), "{kinds:?}");
    let portal = another(&stage).await;
    let member = install(&stage.scene, &portal).await.unwrap();
    let (_, kinds, change) = watching.change().await;
    assert_eq!((kinds, &change.portal), (vec![Kind::Installed], &member));
    register(&mut stage.scene, &member).await.unwrap();
    let (_, kinds, _) = watching.change().await;
    assert_eq!(kinds, [Kind::StateChanged], "it is heard of");
    // It gets another address.
    portal.rename_to("a.portal.test").await.unwrap();
    register(&mut stage.scene, &member).await.unwrap();
    let (cursor, kinds, change) = watching.change().await;
    assert_eq!(kinds, [Kind::Moved]);
    assert!(change.now.unwrap().address.contains("a.portal.test"));
    let id = member.parse().unwrap();
    stage.scene.portals().uninstall(&id).await.unwrap();
    let (_, kinds, change) = watching.change().await;
    assert_eq!((kinds, &change.portal), (vec![Kind::Removed], &member));
    assert!(change.now.is_none());
    // One that stays configured changes its state only.
    let acme = "acme".parse().unwrap();
    stage.scene.portals().uninstall(&acme).await.unwrap();
    let (_, kinds, change) = watching.change().await;
    assert_eq!(
        (kinds, change.portal.as_str()),
        (vec![Kind::StateChanged], "acme")
    );
    assert_eq!(change.now.unwrap().reason, "APPLICATION_NOT_INSTALLED");
    // Who comes back is told of the removal as well.
    let mut again = Watching::open(stage.scene.channel(), &cursor).await;
    assert!(again.begin().await.0);
    let (_, kinds, change) = again.change().await;
    assert_eq!((kinds, change.portal), (vec![Kind::Removed], member));
}
