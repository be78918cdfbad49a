//! Portals that get another address.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bitrix24_gateway::proto::v1::{self as pb, PortalState};
use bitrix24_sim::{Fault, Limits, WebhookConfig};
use futures_util::future::join_all;
use tokio::{net::TcpListener, time::sleep};
use tonic::{Code, Request, Status};

use crate::scene::{Scene, content, failure, told};

const SEND: &str = "imbot.v2.Chat.Message.send";

/// A gateway that lets portals move to names below `portal.test`, which lead to this machine.
const SETTINGS: [(&str, &str); 4] = [
    ("outbound.portal_hosts", "portal.test"),
    ("outbound.private_addresses", "true"),
    (
        "outbound.hosts",
        "b.portal.test=127.0.0.1, c.portal.test=127.0.0.1, d.example.com=127.0.0.1",
    ),
    ("rate.requests_per_second", "0"),
];

async fn stage(settings: &[(&'static str, &str)]) -> Scene {
    let settings: Vec<_> = SETTINGS.iter().chain(settings).copied().collect();
    let mut scene = Scene::with(&settings).await;
    scene.portal.set_limits(Limits::none());
    scene.helper().await;
    scene
}

async fn send(scene: &Scene, dialog_id: String, text: String) -> Result<(), Status> {
    let mut request = Request::new(pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id,
        content: Some(content(&text)),
        ..pb::SendMessageRequest::default()
    });
    request.set_timeout(Duration::from_secs(60));
    scene.messages().send_message(request).await.map(drop)
}

async fn say(scene: &Scene, text: &str) -> Result<(), Status> {
    send(scene, scene.chat.dialog_id(), text.to_owned()).await
}

/// Requests that were led elsewhere.
fn led_elsewhere(scene: &Scene) -> usize {
    let requests = scene.portal.journal().requests().into_iter();
    requests.filter(|request| request.status == 302).count()
}

/// A page that leads a call to the same method at another address.
fn leads_to(scene: &Scene, origin: &str) -> Fault {
    let url = scene
        .portal
        .webhook_url()
        .replace(&scene.portal.address(), origin);
    Fault::redirect(&format!("{url}{SEND}"))
}

#[tokio::test(start_paused = true)]
async fn portal_renamed_under_load_gets_every_call_once_and_is_found_after_a_restart() {
    let mut scene = stage(&[]).await;
    let bot = scene.portal.bot_by_code("helper").unwrap().id;
    let rooms: Vec<_> = (0..200)
        .map(|room| {
            scene
                .portal
                .add_group_chat(&format!("Room {room}"), &[1, bot])
        })
        .collect();
    scene
        .portal
        .set_latency(Some(SEND), Duration::from_millis(40));
    let old = scene.portal.address();
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.portal.journal().clear();
    let shared = &scene;
    let calls = rooms.iter().enumerate().map(async |(number, room)| {
        sleep(Duration::from_millis(10) * u32::try_from(number).unwrap()).await;
        send(shared, room.dialog_id(), format!("number {number}")).await
    });
    let rename = async {
        sleep(Duration::from_secs(1)).await;
        scene.portal.rename_to("b.portal.test").await.unwrap()
    };
    let (outcomes, new) = tokio::join!(join_all(calls), rename);
    for outcome in outcomes {
        outcome.unwrap();
    }
    let mut posted = BTreeMap::new();
    for room in &rooms {
        for message in scene.portal.messages(&room.dialog_id()) {
            *posted.entry(message.text).or_insert(0) += 1;
        }
    }
    let expected = (0..200).map(|number| (format!("number {number}"), 1));
    posted.retain(|text, _| text.starts_with("number"));
    assert_eq!(posted, expected.collect());
    assert!(led_elsewhere(&scene) > 0);
    let shown = scene.shown().await;
    assert_eq!(
        (shown.address, shown.configured_address),
        (new.clone(), old)
    );
    scene.anna_types("/help found");
    assert_eq!(stream.params().await, "found");
    drop(stream);

    scene.restart().await;
    scene.portal.journal().clear();
    say(&scene, "still here").await.unwrap();
    assert_eq!(scene.shown().await.address, new);
    assert_eq!(led_elsewhere(&scene), 0, "the old address is not asked");
}

#[tokio::test(start_paused = true)]
async fn portal_that_moved_twice_is_found_by_one_call() {
    let scene = stage(&[("calls.attempts", "1")]).await;
    scene.portal.rename_to("b.portal.test").await.unwrap();
    let address = scene.portal.rename_to("c.portal.test").await.unwrap();
    say(&scene, "found you").await.unwrap();
    assert_eq!(scene.shown().await.address, address);
    assert_eq!(
        scene
            .texts()
            .iter()
            .filter(|text| *text == "found you")
            .count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn another_configured_url_is_obeyed() {
    let mut scene = stage(&[]).await;
    let old = scene.portal.address();
    let new = scene.portal.rename_to("b.portal.test").await.unwrap();
    say(&scene, "one").await.unwrap();
    assert_eq!(scene.shown().await.address, new);
    let another = scene.portal.add_webhook(WebhookConfig::default());
    scene.set("webhook_url", another.replace(&new, &old));
    scene.stop().await;
    scene.portal.journal().clear();
    scene.start_again().await;
    say(&scene, "two").await.unwrap();
    assert!(
        led_elsewhere(&scene) > 0,
        "the configured address was asked first"
    );
    assert_eq!(scene.shown().await.address, new);
}

#[tokio::test(start_paused = true)]
async fn operator_who_no_longer_trusts_a_host_is_obeyed() {
    let mut scene = stage(&[]).await;
    let old = scene.portal.address();
    scene.portal.rename_to("b.portal.test").await.unwrap();
    say(&scene, "one").await.unwrap();
    scene.set("outbound.portal_hosts", "bitrix24.com".to_owned());
    scene.restart().await;
    assert_eq!(scene.shown().await.address, old);
    let status = say(&scene, "two").await.unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::Unavailable, "PORTAL_UNREACHABLE", "no")
    );
}

#[tokio::test(start_paused = true)]
async fn hosts_that_are_not_trusted_are_not_even_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connected = Arc::new(());
    let witness = Arc::clone(&connected);
    tokio::spawn(async move {
        let _connection = listener.accept().await;
        drop(witness);
    });
    let private = [("outbound.private_addresses", "false")];
    for (settings, host, code) in [
        // Not below a host of the list, an address in place of a name, without encryption, with a user.
        (
            &[][..],
            format!("https://d.example.com:{port}"),
            "PORTAL_UNREACHABLE",
        ),
        (
            &[],
            format!("https://b.portal.test.example.com:{port}"),
            "PORTAL_UNREACHABLE",
        ),
        (
            &[],
            format!("https://[::ffff:7f00:1]:{port}"),
            "PORTAL_UNREACHABLE",
        ),
        (
            &[],
            format!("http://b.portal.test:{port}"),
            "PORTAL_UNREACHABLE",
        ),
        (
            &[],
            format!("https://me:word@b.portal.test:{port}"),
            "PORTAL_UNREACHABLE",
        ),
        // The host that was asked, at another port: an expired licence.
        (
            &[],
            format!("https://127.0.0.1:{port}"),
            "PORTAL_PLAN_WITHOUT_REST",
        ),
        // A trusted name that leads into our own network.
        (
            &private,
            format!("https://b.portal.test:{port}"),
            "PORTAL_UNREACHABLE",
        ),
    ] {
        let settings: Vec<_> = settings
            .iter()
            .chain(&[("calls.attempts", "1")])
            .copied()
            .collect();
        let scene = stage(&settings).await;
        scene.portal.faults().on(SEND, leads_to(&scene, &host));
        let status = say(&scene, "hello?").await.unwrap_err();
        let told = told(&status);
        assert_eq!(
            (told.reason.as_str(), told.executed.as_str()),
            (code, "no"),
            "{host}"
        );
        say(&scene, "hello again").await.unwrap();
        assert_eq!(
            scene.shown().await.address,
            scene.portal.address(),
            "{host}"
        );
    }
    assert_eq!(Arc::strong_count(&connected), 2, "somebody connected");

    // The same listener where it is trusted, to know that it would have noticed.
    let scene = stage(&[]).await;
    let host = format!("https://b.portal.test:{port}");
    scene.portal.faults().on(SEND, leads_to(&scene, &host));
    say(&scene, "hello?").await.unwrap();
    assert_eq!(Arc::strong_count(&connected), 1);
}

#[tokio::test(start_paused = true)]
async fn new_address_where_nobody_answers_is_given_up() {
    let scene = stage(&[]).await;
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let nobody = format!("https://b.portal.test:{port}");
    scene.portal.faults().on(SEND, leads_to(&scene, &nobody));
    say(&scene, "where are you").await.unwrap();
    assert_eq!(
        scene
            .texts()
            .iter()
            .filter(|text| *text == "where are you")
            .count(),
        1
    );
    let shown = scene.shown().await;
    assert_eq!(shown.address, scene.portal.address());
    assert_eq!(shown.state(), PortalState::Ok);
}
