//! The server itself: health, reflection, limits, and the stop.

use std::{collections::BTreeSet, time::Duration};

use bitrix24_gateway::{
    fault::Reason,
    proto::v1::{
        self as pb, bot_service_server, event_service_server, message_service_server,
        portal_service_server, server_service_server,
    },
};
use bitrix24_sim::Fault;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Request, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt as _;

use crate::scene::{Scene, answer, failure, helper, told, until};

/// What every service is found under.
const SERVICES: [&str; 7] = [
    bot_service_server::SERVICE_NAME,
    event_service_server::SERVICE_NAME,
    message_service_server::SERVICE_NAME,
    portal_service_server::SERVICE_NAME,
    server_service_server::SERVICE_NAME,
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
];

fn health_of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn reflect(scene: &Scene, request: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(request),
    };
    let mut client = ServerReflectionClient::new(scene.channel());
    let stream = client
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap();
    stream
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn health_is_serving_for_each_service_and_for_all() {
    let scene = Scene::start().await;
    let mut health = HealthClient::new(scene.channel());
    for service in ["", SERVICES[0], SERVICES[1], SERVICES[2], SERVICES[3]] {
        let response = health.check(health_of(service)).await.unwrap().into_inner();
        assert_eq!(response.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(health_of("nobody")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn watcher_of_health_sees_the_stop_and_does_not_hold_it_up() {
    let mut scene = Scene::start().await;
    let mut health = HealthClient::new(scene.channel());
    let mut watch = health.watch(health_of("")).await.unwrap().into_inner();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    let started = Instant::now();
    let watching = async {
        let told = watch.message().await.unwrap().unwrap();
        assert_eq!(told.status(), ServingStatus::NotServing);
        // Kept open, as watchers do.
        watch
    };
    let (_watch, ()) = tokio::join!(watching, scene.stop());
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn reflection_lists_our_services_and_tells_what_they_are() {
    let scene = Scene::start().await;
    let MessageResponse::ListServicesResponse(list) =
        reflect(&scene, MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list");
    };
    let listed: BTreeSet<_> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    assert_eq!(listed, BTreeSet::from(SERVICES));
    for symbol in [
        SERVICES[0],
        SERVICES[1],
        SERVICES[2],
        SERVICES[3],
        SERVICES[4],
        "bitrix24.gateway.v1.ErrorReason",
    ] {
        let file = reflect(
            &scene,
            MessageRequest::FileContainingSymbol(symbol.to_owned()),
        )
        .await;
        let MessageResponse::FileDescriptorResponse(files) = file else {
            panic!("{symbol}: {file:?}");
        };
        assert!(!files.file_descriptor_proto.is_empty(), "{symbol}");
        for file in files.file_descriptor_proto {
            let file: prost_types::FileDescriptorProto = prost::Message::decode(&file[..]).unwrap();
            assert!(!file.name().is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn server_info_tells_version_portal_and_log() {
    let mut scene = Scene::start().await;
    let ask = async |scene: &Scene| {
        let info = scene
            .info()
            .get_server_info(pb::GetServerInfoRequest {})
            .await;
        info.unwrap().into_inner()
    };
    let info = ask(&scene).await;
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(info.default_portal, "default");
    assert!(!info.log_id.is_empty());
    let readme = include_str!("../../README.md");
    for feature in &info.features {
        assert!(readme.contains(&format!("| `{feature}` |")), "{feature}");
    }
    scene.restart().await;
    assert_eq!(
        ask(&scene).await,
        info,
        "the log is the same after a restart"
    );

    let other = Scene::at("portals.acme.webhook_url", &[]).await;
    let other = ask(&other).await;
    assert_eq!(other.default_portal, "");
    assert_ne!(other.log_id, info.log_id);
}

#[tokio::test(start_paused = true)]
async fn published_reasons_are_those_of_the_code() {
    let published: Vec<_> = (1..)
        .map_while(|number| pb::ErrorReason::try_from(number).ok())
        .map(|reason| reason.as_str_name().strip_prefix("ERROR_REASON_").unwrap())
        .collect();
    let known: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(published, known);
}

#[tokio::test(start_paused = true)]
async fn request_beyond_the_limit_is_refused_and_the_connection_goes_on() {
    let mut scene = Scene::with(&[("grpc.max_request_bytes", "65536")]).await;
    let mut request = helper();
    request.properties.as_mut().unwrap().avatar = Some(vec![0; 70_000]);
    let status = scene.bots.register_bot(request).await.unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::OutOfRange, "UNREADABLE_REQUEST", "no")
    );
    assert!(scene.calls().is_empty());
    scene.bots.register_bot(helper()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn unknown_methods_and_services_are_unimplemented() {
    let scene = Scene::start().await;
    for path in [
        "/bitrix24.gateway.v1.BotService/Nothing",
        "/bitrix24.gateway.v9.BotService/GetBot",
        "/x",
    ] {
        let mut client = Grpc::new(scene.channel());
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<pb::GetBotRequest, pb::GetBotResponse>::default();
        let request = Request::new(pb::GetBotRequest::default());
        let status = client
            .unary(request, PathAndQuery::from_static(path), codec)
            .await
            .unwrap_err();
        assert_eq!(
            told(&status),
            failure(Code::Unimplemented, "UNKNOWN_RPC", "no"),
            "{path}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_message_are_told_as_such() {
    let scene = Scene::start().await;
    let mut client = Grpc::new(scene.channel());
    client.ready().await.unwrap();
    // A message of another type: its first field is a number where a text is expected.
    let codec = tonic_prost::ProstCodec::<prost_types::Duration, pb::GetBotResponse>::default();
    let wrong = prost_types::Duration {
        seconds: 1,
        nanos: 0,
    };
    let path = PathAndQuery::from_static("/bitrix24.gateway.v1.BotService/GetBot");
    let status = client
        .unary(Request::new(wrong), path, codec)
        .await
        .unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::Internal, "UNREADABLE_REQUEST", "no")
    );
    assert!(scene.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn idle_stream_lives_on_and_a_dead_connection_ends() {
    let mut scene = Scene::start().await;
    let minute = prost_types::Duration {
        seconds: 60,
        nanos: 0,
    };
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest {
            heartbeat_interval: Some(minute),
            ..pb::SubscribeCommandEventsRequest::default()
        })
        .await;
    let mut dead = TcpStream::connect(scene.address()).await.unwrap();
    // The preface of HTTP/2 and empty settings; whatever comes is not answered.
    dead.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let started = Instant::now();
    let mut heard = Vec::new();
    timeout(Duration::from_secs(120), dead.read_to_end(&mut heard))
        .await
        .expect("it is closed")
        .ok();
    assert!(
        started.elapsed() > Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
    assert!(!heard.is_empty());

    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(600) {
        stream.next().await.unwrap();
    }
    scene.helper().await;
    scene.anna_types("/help still there");
    assert_eq!(stream.params().await, "still there");
}

#[tokio::test(start_paused = true)]
async fn streams_end_with_a_reason_and_a_time_to_come_again() {
    let mut scene = Scene::start().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    let started = Instant::now();
    let ending = async {
        loop {
            if let Err(status) = stream.next().await {
                break status;
            }
        }
    };
    let (status, ()) = tokio::join!(ending, scene.stop());
    assert_eq!(
        told(&status),
        failure(Code::Unavailable, "GATEWAY_STOPPING", "no")
    );
    assert!(
        status
            .get_details_retry_info()
            .unwrap()
            .retry_delay
            .is_some()
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn call_in_flight_finishes_during_the_stop_and_no_other_begins() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help");
    let (_, event) = stream.event().await;
    let late = Fault::latency(Duration::from_secs(20));
    scene.portal.faults().on("imbot.v2.Command.answer", late);
    let mut bots = scene.bots.clone();
    let request = answer(&event, "Here you are");
    let calling = tokio::spawn(async move { bots.answer_command(request).await });
    until("the call was sent", || scene.portal.faults().waiting() == 0).await;

    let address = scene.address();
    let late_comer = async {
        sleep(Duration::from_secs(1)).await;
        let client =
            pb::server_service_client::ServerServiceClient::connect(format!("http://{address}"));
        client.await.map(drop)
    };
    let (late_comer, ()) = tokio::join!(late_comer, scene.stop());
    assert!(late_comer.is_err(), "nobody is let in any more");
    let answered = calling.await.unwrap().unwrap().into_inner();
    assert_eq!(answered.outcome(), pb::AnswerOutcome::Answered);
    assert!(scene.texts().contains(&"Here you are".to_owned()));

    scene.start_again().await;
    let again = scene
        .bots
        .answer_command(answer(&event, "again"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.outcome(), pb::AnswerOutcome::AlreadyAnswered);
}

#[tokio::test(start_paused = true)]
async fn silent_portal_does_not_hold_up_the_stop() {
    let mut scene = Scene::start().await;
    scene
        .portal
        .faults()
        .on("imbot.v2.Event.get", Fault::hang());
    scene.helper().await;
    until("a fetch hangs", || scene.portal.faults().waiting() == 0).await;
    let started = Instant::now();
    scene.stop().await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn connection_that_says_nothing_does_not_hold_up_the_stop() {
    let mut scene = Scene::start().await;
    let _silent = TcpStream::connect(scene.address()).await.unwrap();
    let mut half = TcpStream::connect(scene.address()).await.unwrap();
    half.write_all(b"PRI * HTTP").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    scene.stop().await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}
