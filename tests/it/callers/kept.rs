//! Portals that installed themselves, and who may use them.

use bitrix24_gateway::{
    admin::{self, Command, Done},
    callers::TokenHash,
    proto::v1::{self as pb, portal_service_client::PortalServiceClient},
};
use tonic::Status;

use super::{denied, shown, token};
use crate::{
    oauth::{
        coming::{another, install},
        stage::Stage,
    },
    scene::{helper, told},
};

async fn command(stage: &Stage, command: Command) -> Result<Done, admin::Error> {
    let socket = stage.scene.folder().join("store/admin.sock");
    admin::send(&socket, &command, "this process").await
}

async fn grant(stage: &Stage, portal: &str, caller: &str, revoke: bool) -> Result<Done, String> {
    let grant = Command::PortalsGrant {
        portal: portal.to_owned(),
        caller: caller.to_owned(),
        revoke,
    };
    command(stage, grant)
        .await
        .map_err(|error| error.to_string())
}

async fn sees(stage: &Stage, name: &str) -> Vec<String> {
    let mut portals = PortalServiceClient::new(shown(&stage.scene.channel(), &token(name)));
    let listed = portals.list_portals(pb::ListPortalsRequest::default());
    let listed = listed.await.unwrap().into_inner().portals;
    listed.into_iter().map(|portal| portal.portal).collect()
}

async fn register(stage: &Stage, name: &str, portal: &str) -> Result<(), Status> {
    let channel = shown(&stage.scene.channel(), &token(name));
    let mut bots = pb::bot_service_client::BotServiceClient::new(channel);
    let bot = pb::RegisterBotRequest {
        portal: portal.to_owned(),
        ..helper()
    };
    bots.register_bot(bot).await.map(drop)
}

async fn stage() -> Stage {
    let hash = |name: &str| TokenHash::of(&token(name)).to_string();
    let (one, two) = (hash("one"), hash("two"));
    Stage::set(&[
        ("callers.one.token_sha256", &one),
        ("callers.one.portals", "*"),
        ("callers.one.bots", "*"),
        ("callers.one.rpcs", "*"),
        ("callers.two.token_sha256", &two),
        ("callers.two.portals", "*"),
        ("callers.two.rpcs", "*"),
    ])
    .await
}

#[tokio::test(start_paused = true)]
async fn portal_that_installed_itself_is_seen_by_no_caller_until_granted() {
    let mut stage = stage().await;
    let portal = another(&stage).await;
    let member = install(&stage.scene, &portal).await.unwrap();
    assert_eq!(sees(&stage, "one").await, ["acme"]);
    let status = register(&stage, "one", &member).await.unwrap_err();
    assert_eq!(told(&status), denied());

    assert_eq!(
        grant(&stage, &member, "one", false).await,
        Ok(Done::PortalGranted {})
    );
    register(&stage, "one", &member).await.unwrap();
    let mut both = vec![member.clone(), "acme".to_owned()];
    both.sort();
    assert_eq!(sees(&stage, "one").await, both);
    assert_eq!(sees(&stage, "two").await, ["acme"]);
    stage.scene.restart().await;
    assert_eq!(sees(&stage, "one").await, both);

    assert_eq!(
        grant(&stage, &member, "one", true).await,
        Ok(Done::GrantRevoked {})
    );
    assert_eq!(sees(&stage, "one").await, ["acme"]);
    let status = register(&stage, "one", &member).await.unwrap_err();
    assert_eq!(told(&status), denied());
}

#[tokio::test(start_paused = true)]
async fn grant_needs_a_portal_that_installed_itself_and_a_caller() {
    let stage = stage().await;
    let portal = another(&stage).await;
    let member = install(&stage.scene, &portal).await.unwrap();
    for (portal, caller, revoke, why) in [
        ("acme", "one", false, "did not install itself"),
        ("nowhere", "one", false, "there is no portal"),
        ("No Name", "one", false, "cannot be named"),
        (&member, "nobody", false, "there is no caller"),
        (&member, "one", true, "was not granted"),
    ] {
        let told = grant(&stage, portal, caller, revoke).await.unwrap_err();
        assert!(told.contains(why), "{told}");
    }
    let remove = Command::PortalsRemove {
        name: member.clone(),
    };
    let told = command(&stage, remove).await.unwrap_err().to_string();
    assert!(told.contains("installed itself"), "{told}");
    let Ok(Done::Portals { portals }) = command(&stage, Command::PortalsList {}).await else {
        panic!("the portals are told");
    };
    let from = portals.iter().map(|line| (line.name.as_str(), line.from));
    let mut from: Vec<_> = from.collect();
    from.sort_by_key(|(name, _)| *name != "acme");
    assert_eq!(
        from,
        [
            ("acme", admin::From::Configured),
            (member.as_str(), admin::From::Installed)
        ]
    );
}
