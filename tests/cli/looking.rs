//! How a gateway is, as machines ask.

use tokio::{net::TcpListener, time::timeout};

use bitrix24_gateway::proto::v1::{self as pb, bot_service_client::BotServiceClient};
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::process::{Desk, Ended, PATIENCE, Running};

/// A gateway that shows its health at a free port, and the URL of that.
async fn shown(desk: &Desk) -> (Running, String) {
    let running = Running::of(desk.serve(&[], &[("ADMIN__LISTEN", "127.0.0.1:0")])).await;
    let address = running.said.split("admin.address=").nth(1).unwrap();
    let address = address.split_whitespace().next().unwrap();
    let url = format!("http://{address}");
    (running, url)
}

#[tokio::test]
async fn healthcheck_says_whether_a_gateway_is_ready_and_alive() {
    let desk = Desk::new().await;
    let (running, url) = shown(&desk).await;
    for (path, said) in [("/readyz", "ready\n"), ("/livez", "alive\n")] {
        let url = format!("{url}{path}");
        let asked = Ended::of(desk.bare(&["healthcheck", "--url", &url])).await;
        assert_eq!((asked.code, asked.out.as_str()), (Some(0), said));
    }
    running.stop("TERM").await;
    let asked = Ended::of(desk.bare(&["healthcheck", "--url", &format!("{url}/readyz")])).await;
    let told = asked.failure(1);
    assert!(told.contains("does not answer"), "{told}");
}

#[tokio::test]
async fn what_is_measured_is_told_beside_health_with_what_the_process_takes() {
    let desk = Desk::new().await;
    let (running, url) = shown(&desk).await;
    let asked = Ended::of(desk.bare(&["healthcheck", "--url", &format!("{url}/metrics")])).await;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    // It prints lines as one.
    for name in [
        "; # TYPE bitrix24_gateway_store_write_duration_seconds histogram; ",
        "; bitrix24_gateway_store_writable 1; ",
        "; process_resident_memory_bytes ",
        "; process_cpu_seconds_total ",
        "; process_open_fds ",
        "; process_max_fds ",
        "; process_start_time_seconds ",
    ] {
        assert!(asked.out.contains(name), "no {name} in {}", asked.out);
    }
    running.stop("TERM").await;
}

#[tokio::test]
async fn healthcheck_asks_where_the_configuration_says() {
    let desk = Desk::new().await;
    let (running, url) = shown(&desk).await;
    let listen = url.strip_prefix("http://").unwrap();
    // It need not know of portals.
    let file = format!(
        "[admin]\nlisten = \"{}\"\n",
        listen.replace("127.0.0.1", "0.0.0.0")
    );
    let file = desk.write("config.toml", &file);
    for live in [&["--live"][..], &[]] {
        let arguments = [&["healthcheck", "--config", &file], live].concat();
        let asked = Ended::of(desk.bare(&arguments)).await;
        assert_eq!(asked.code, Some(0), "{asked:?}");
    }
    running.stop("TERM").await;
    for (listen, told) in [
        ("", "is empty"),
        ("127.0.0.1:0", "port 0"),
        ("no", "must be"),
    ] {
        let mut asking = desk.bare(&["healthcheck"]);
        asking.env("BITRIX24_GATEWAY__ADMIN__LISTEN", listen);
        let asked = Ended::of(asking).await;
        assert!(asked.failure(1).contains(told), "{asked:?}");
    }
    let asked = Ended::of(desk.bare(&["healthcheck", "--url", "https://acme.com/"])).await;
    assert!(asked.failure(1).contains("http://"), "{asked:?}");
}

#[tokio::test]
async fn address_that_somebody_has_keeps_from_starting_only_who_asked_for_it() {
    let desk = Desk::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Ended::of(desk.serve(&[], &[("ADMIN__LISTEN", &address)])).await;
    let told = ended.failure(1);
    assert!(
        told.contains("cannot listen on") && told.contains(&address),
        "{told}"
    );
    // Perhaps somebody has the usual one already, which is as good.
    let _usual = TcpListener::bind("127.0.0.1:9464").await;
    let usual = [("ADMIN__LISTEN", "127.0.0.1:9464")];
    let running = Running::of(desk.serve(&[], &usual)).await;
    assert!(
        running
            .said
            .contains("name another address with `admin.listen`"),
        "{}",
        running.said
    );
    running.stop("TERM").await;
    // `dev` has a flag for it. That it cannot take calls either ends it.
    let dev = ["dev", "--listen", &address, "--page", "127.0.0.1:0"];
    let ended = Ended::of(desk.bare(&dev)).await;
    assert!(ended.failure(1).contains("--listen"), "{ended:?}");
    let told = "name another address with --admin";
    assert!(ended.err.contains(told), "{ended:?}");
}

#[tokio::test]
async fn process_that_waits_for_the_store_is_alive_and_says_why_it_is_not_ready() {
    let desk = Desk::new().await;
    let first = Running::of(desk.serve(&[], &[])).await;
    let listen = {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        free.local_addr().unwrap().to_string()
    };
    let second = Running::of(desk.serve(&[], &[("ADMIN__LISTEN", &listen)]));
    let looking = async {
        let url = format!("http://{listen}/readyz");
        loop {
            let asked = Ended::of(desk.bare(&["healthcheck", "--url", &url])).await;
            if asked.err.contains("held by another process") {
                assert_eq!(asked.code, Some(1));
                assert!(
                    asked.err.contains("503") && asked.err.contains("process "),
                    "{asked:?}"
                );
                break;
            }
        }
        let url = format!("http://{listen}/livez");
        let asked = Ended::of(desk.bare(&["healthcheck", "--url", &url])).await;
        assert_eq!(asked.code, Some(0), "{asked:?}");
        first.stop("TERM").await;
    };
    let both = async { tokio::join!(second, looking) };
    let (second, ()) = timeout(PATIENCE, both).await.unwrap();
    let asked =
        Ended::of(desk.bare(&["healthcheck", "--url", &format!("http://{listen}/readyz")])).await;
    assert_eq!(asked.out, "ready\n", "{asked:?}");
    second.stop("TERM").await;
}

#[tokio::test]
async fn stop_with_a_delay_is_told_at_once_and_calls_are_taken_until_it_ends() {
    let desk = Desk::new().await;
    let settings = [("ADMIN__LISTEN", "127.0.0.1:0"), ("SHUTDOWN__DELAY", "3s")];
    let running = Running::of(desk.serve(&[], &settings)).await;
    let listen = running.said.split("admin.address=").nth(1).unwrap();
    let listen = listen.split_whitespace().next().unwrap();
    let (ready, live) = (
        format!("http://{listen}/readyz"),
        format!("http://{listen}/livez"),
    );
    let grpc = format!("http://{}", running.address);
    let began = Instant::now();
    running.signal("TERM").await;
    let asked = loop {
        let asked = Ended::of(desk.bare(&["healthcheck", "--url", &ready])).await;
        if asked.code != Some(0) {
            break asked;
        }
    };
    assert!(asked.failure(1).contains("stop: stopping"), "{asked:?}");
    let asked = Ended::of(desk.bare(&["healthcheck", "--url", &live])).await;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    // A new connection, and a call on it.
    let mut bots = BotServiceClient::connect(grpc.clone()).await.unwrap();
    bots.list_bots(pb::ListBotsRequest::default())
        .await
        .unwrap();
    let channel = Channel::from_shared(grpc.clone()).unwrap();
    let mut health = HealthClient::new(channel.connect().await.unwrap());
    let checked = health.check(HealthCheckRequest::default()).await;
    assert_eq!(
        checked.unwrap().into_inner().status(),
        ServingStatus::NotServing
    );
    let ended = running.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(began.elapsed().as_secs() >= 3, "{:?}", began.elapsed());
    BotServiceClient::connect(grpc).await.unwrap_err();
}
