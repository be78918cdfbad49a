//! Callers in the configuration file, changed while the gateway runs.

use std::time::Duration;

use bitrix24_gateway::proto::v1 as pb;
use tokio::time::sleep;

use super::{caller, denied, get_bot, manager, unauthenticated};
use crate::scene::{FILE, Scene, Stream, help, helper, told};

/// Longer than the file is not looked at.
const LOOK: Duration = Duration::from_secs(11);

impl Scene {
    async fn change(&self, callers: &[String]) {
        std::fs::write(self.folder().join(FILE), callers.concat()).unwrap();
        sleep(LOOK).await;
    }
}

#[tokio::test(start_paused = true)]
async fn changed_callers_count_without_a_restart() {
    let scene = Scene::guarded(&[manager("one")]).await;
    let mut bots = scene.bots_of("one");
    bots.register_bot(helper()).await.unwrap();
    let status = scene
        .bots_of("two")
        .get_bot(get_bot("helper"))
        .await
        .unwrap_err();
    assert_eq!(told(&status), unauthenticated());
    let less = caller(
        "one",
        "portals = [\"*\"]\nbots = [\"*\"]\nrpcs = [\"read\"]\nshares = [\"two\"]",
    );
    scene.change(&[less, manager("two")]).await;
    scene
        .bots_of("two")
        .get_bot(get_bot("helper"))
        .await
        .unwrap();
    bots.get_bot(get_bot("helper")).await.unwrap();
    let status = bots.register_command(help()).await.unwrap_err();
    assert_eq!(told(&status), denied());
    scene.change(&[manager("two")]).await;
    let status = bots.get_bot(get_bot("helper")).await.unwrap_err();
    assert_eq!(told(&status), unauthenticated());
}

#[tokio::test(start_paused = true)]
async fn bad_change_changes_nothing() {
    let scene = Scene::guarded(&[manager("one")]).await;
    let mut bots = scene.bots_of("one");
    bots.register_bot(helper()).await.unwrap();
    for wrong in [
        "[callers.two]".to_owned(),
        "[callers.two]\ntoken_sha256 = [\"short\"]".to_owned(),
        "[callers".to_owned(),
        caller("two", "rpcs = [\"everything\"]"),
        format!("{}{}", manager("two"), "[log]\nlevels = \"info\""),
        // Nobody means to let everybody in by emptying a file.
        String::new(),
    ] {
        scene.change(std::slice::from_ref(&wrong)).await;
        bots.get_bot(get_bot("helper")).await.expect(&wrong);
        let status = scene
            .bots_of("two")
            .get_bot(get_bot("helper"))
            .await
            .unwrap_err();
        assert_eq!(told(&status), unauthenticated(), "{wrong}");
    }
    std::fs::remove_file(scene.folder().join(FILE)).unwrap();
    sleep(LOOK).await;
    bots.get_bot(get_bot("helper")).await.unwrap();
    scene.change(&[manager("two")]).await;
    let status = bots.get_bot(get_bot("helper")).await.unwrap_err();
    assert_eq!(told(&status), unauthenticated());
}

#[tokio::test(start_paused = true)]
async fn stream_of_a_caller_that_is_gone_ends() {
    let scene = Scene::guarded(&[manager("one"), manager("two")]).await;
    let open = async |name: &str| {
        let request = pb::SubscribeCommandEventsRequest::default();
        let mut bots = scene.bots_of(name);
        Stream(
            bots.subscribe_command_events(request)
                .await
                .unwrap()
                .into_inner(),
        )
    };
    let (mut one, mut two) = (open("one").await, open("two").await);
    let less = caller(
        "two",
        "portals = [\"*\"]\nbots = [\"*\"]\nrpcs = [\"read\"]",
    );
    scene.change(&[less]).await;
    for (stream, expected) in [(&mut one, unauthenticated()), (&mut two, denied())] {
        let status = loop {
            if let Err(status) = stream.next().await {
                break status;
            }
        };
        assert_eq!(told(&status), expected);
    }
}
