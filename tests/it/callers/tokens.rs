//! Bearer tokens, and what is open to everybody.

use bitrix24_gateway::proto::v1 as pb;
use tonic::{Request, metadata::MetadataValue};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{get_bot, manager, shown, token, unauthenticated};
use crate::scene::{Scene, helper, told};

#[tokio::test(start_paused = true)]
async fn caller_is_known_by_its_token_and_nobody_without_one() {
    let mut scene = Scene::guarded(&[manager("support")]).await;
    scene
        .bots_of("support")
        .register_bot(helper())
        .await
        .unwrap();
    let before = scene.calls();
    let status = scene.bots.get_bot(get_bot("helper")).await.unwrap_err();
    assert_eq!(told(&status), unauthenticated());
    for wrong in [
        token("another"),
        token("support").to_uppercase(),
        token("support")[..20].to_owned(),
        format!("{}x", token("support")),
        "b24gw_".to_owned(),
        "x".to_owned(),
        "a.b.c".to_owned(),
    ] {
        let mut bots =
            pb::bot_service_client::BotServiceClient::new(shown(&scene.channel(), &wrong));
        let status = bots.get_bot(get_bot("helper")).await.unwrap_err();
        assert_eq!(told(&status), unauthenticated(), "{wrong}");
        assert_eq!(status.message(), "the credential of the call is not valid");
    }
    assert_eq!(scene.calls(), before, "nothing reached the portal");
}

#[tokio::test(start_paused = true)]
async fn credential_that_is_not_one_bearer_token_is_refused() {
    let mut scene = Scene::guarded(&[manager("support")]).await;
    let right = format!("Bearer {}", token("support"));
    let shows = async |bots: &mut pb::bot_service_client::BotServiceClient<_>, values: &[&str]| {
        let mut request = Request::new(pb::ListBotsRequest::default());
        for value in values {
            let value = MetadataValue::try_from(*value).unwrap();
            request.metadata_mut().append("authorization", value);
        }
        bots.list_bots(request).await.map(drop)
    };
    for values in [
        vec![right.as_str(), right.as_str()],
        vec![right.as_str(), "Bearer x"],
        vec!["Basic dXNlcjpwYXNz"],
        vec![""],
        vec!["Bearer"],
        vec!["Bearer "],
        vec![&right[7..]],
    ] {
        let status = shows(&mut scene.bots, &values).await.unwrap_err();
        assert_eq!(told(&status), unauthenticated(), "{values:?}");
    }
    shows(&mut scene.bots, &[&right]).await.unwrap();
    let lower = right.replace("Bearer", "bearer");
    shows(&mut scene.bots, &[&lower]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn health_is_told_to_everybody_and_server_info_to_every_caller() {
    let scene = Scene::guarded(&[super::caller("nothing", "")]).await;
    let mut health = HealthClient::new(scene.channel());
    health.check(HealthCheckRequest::default()).await.unwrap();
    let ask = pb::GetServerInfoRequest {};
    let status = scene.info().get_server_info(ask).await.unwrap_err();
    assert_eq!(told(&status), unauthenticated());
    let info = scene.info_of("nothing").get_server_info(ask).await.unwrap();
    assert_eq!(
        info.into_inner().default_portal,
        "",
        "a portal it may not use is not named"
    );
}
