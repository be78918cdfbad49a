//! Asked to stop and started again on the same store, over and over, while clients work.
//!
//! No keyed call fails: clients repeat UNAVAILABLE with the same key, and nothing else. No message is
//! posted twice, no event is lost or comes twice or out of order to a stream that goes on behind its
//! cursor, and a named subscription hands out all of them. Each stop ends with exit code 0.
//! `GATEWAY_RESTARTS` sets how often. The gap that callers see is printed.

mod load;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bitrix24_gateway::proto::v1::{self as pb, server_service_client::ServerServiceClient};
use bitrix24_sim::{Limits, PortalConfig, Sim, UserConfig};
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};
use tonic::transport::Channel;

use self::load::{Load, SENDERS};
use crate::{PATIENCE, free_port, number, work};

/// How often the gateway is started again, unless the environment says otherwise.
const RESTARTS: usize = 4;

/// How long everybody works between two stops.
const WORK: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn restarts_under_load_fail_no_keyed_call_and_lose_no_event() {
    let restarts = number("GATEWAY_RESTARTS").unwrap_or(RESTARTS);
    let sim = Sim::start(bitrix24_sim::Config::default()).await.unwrap();
    let config = PortalConfig {
        limits: Limits::none(),
        ..PortalConfig::default()
    };
    let portal = sim.add_portal(config).await.unwrap();
    // Some calls are always under way.
    portal.set_latency(
        Some("imbot.v2.Chat.Message.send"),
        Duration::from_millis(30),
    );
    let anna = portal.add_user(UserConfig::named("Anna", "Weber"));
    let chat = portal.add_group_chat("Support", &[1, anna]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), sim.ca_pem()).unwrap();
    let port = free_port();
    let mut gateway = work::start(&portal, folder.path(), port);
    work::Bot::connect(port)
        .register(&portal, anna, &chat)
        .await;

    let over = Arc::new(AtomicBool::new(false));
    let load = Load::start(port, &portal, anna, &chat, &over).await;
    let (mut gaps, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..restarts {
        sleep(WORK).await;
        let probing = tokio::spawn(gap(port));
        let pid = gateway.id().to_string();
        let began = Instant::now();
        let sent = Command::new("kill").arg(pid).status().await.unwrap();
        assert!(sent.success());
        let ended = tokio::task::spawn_blocking(move || gateway.wait());
        let ended = timeout(PATIENCE, ended).await.expect("it stops in time");
        assert_eq!(ended.unwrap().unwrap().code(), Some(0));
        stops.push(began.elapsed().as_millis());
        gateway = work::start(&portal, folder.path(), port);
        let gap = timeout(PATIENCE, probing).await.expect("it is there again");
        gaps.push(gap.unwrap().as_millis());
    }
    sleep(WORK).await;
    over.store(true, Ordering::Relaxed);
    let done = timeout(PATIENCE, load.ended()).await.expect("all is done");
    gateway.kill().unwrap();
    gateway.wait().unwrap();

    gaps.sort_unstable();
    stops.sort_unstable();
    let (p50, max) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    println!(
        "restarts: {restarts}; gap p50 {p50} ms, max {max} ms; a stop p50 {} ms, max {} ms; calls {}, events {}, streams told to come back {}",
        stops[stops.len() / 2],
        stops[stops.len() - 1],
        done.sent.len(),
        done.typed,
        done.stopped
    );
    assert_eq!(done.failures, Vec::<String>::new());
    let typed: Vec<_> = (0..done.typed).collect();
    assert_eq!(done.by_cursor, typed, "in order, none lost, none twice");
    assert_eq!(done.by_name, typed, "none lost");
    assert!(done.stopped >= restarts, "streams were told to come back");
    let mut posted: Vec<_> = portal
        .messages(&chat.dialog_id())
        .iter()
        .filter_map(|message| Some(message.text.strip_prefix("sent ")?.to_owned()))
        .collect();
    posted.sort();
    let mut sent = done.sent;
    sent.sort();
    assert_eq!(posted, sent, "each was posted once");
    assert!(sent.len() > restarts * SENDERS, "there was something to do");
}

/// How long nobody is served: from the first call that fails to the first one after it that does not.
async fn gap(port: u16) -> Duration {
    let channel = Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    let mut server = ServerServiceClient::new(channel.connect_lazy());
    let mut failed = None;
    loop {
        let asked = server.get_server_info(pb::GetServerInfoRequest::default());
        match (asked.await, failed) {
            (Ok(_), Some(since)) => return Instant::now() - since,
            (Ok(_), None) => {}
            (Err(_), None) => failed = Some(Instant::now()),
            (Err(_), Some(_)) => {}
        }
        sleep(Duration::from_millis(2)).await;
    }
}
