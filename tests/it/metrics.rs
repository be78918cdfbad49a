//! What Prometheus gets: after a busy day all of it, and nothing that does not belong there.

mod names;

use std::{collections::BTreeMap, time::Duration};

use bitrix24_gateway::proto::v1::{
    self as pb, event_service_client::EventServiceClient, subscribe_command_events_response::Item,
};
use bitrix24_sim::Fault;
use tokio::time::{sleep, timeout};
use tonic::{Request, codegen::http::uri::PathAndQuery};

use self::names::{declared, family, samples};
use crate::{
    oauth::stage::Stage,
    scene::{Scene, Stream, answer, command_added, raw_answer},
};

/// What only happens when something is wrong that does not go wrong here; the tests of its part count it.
const RARE: [&str; 5] = [
    "bitrix24_gateway_events_duplicates_total",
    "bitrix24_gateway_events_unreadable_total",
    "bitrix24_gateway_gaps_total",
    "bitrix24_gateway_otlp_failures_total",
    "bitrix24_gateway_store_errors_total",
];

/// What somebody wrote, which is nobody else's business.
const TEXT: &str = "the-secret-of-anna";

/// Has everything happen that is measured, once at least.
async fn busy_day(stage: &mut Stage) {
    let scene = &mut stage.scene;
    scene.answers_tell_times();
    scene.errors_have_names();
    scene.helper().await;
    let mut stream = scene.subscribe(work()).await;

    scene.anna_types(&format!("/help {TEXT}"));
    let (event, ack_id) = handed(&mut stream).await;
    give_back(stage, &ack_id).await;
    handed(&mut stream).await;
    let scene = &mut stage.scene;
    scene
        .bots
        .answer_command(answer(&event, TEXT))
        .await
        .unwrap();
    let again = scene.bots.answer_command(answer(&event, TEXT)).await;
    again.unwrap();
    let added = command_added(&event);
    let ids = (added.command.unwrap().id, added.message.unwrap().id);
    let by_ids = raw_answer(ids.0, ids.1, &added.chat.unwrap().dialog_id, TEXT);
    scene.bots.answer_command(by_ids).await.unwrap();

    let lost = Fault::reset().after_effect();
    scene.portal.faults().on("imbot.v2.Command.answer", lost);
    scene.anna_types(&format!("/help {TEXT} again"));
    let (event, _) = handed(&mut stream).await;
    scene
        .bots
        .answer_command(answer(&event, TEXT))
        .await
        .unwrap_err();

    drop(stream);
    scene.anna_types(&format!("/help {TEXT} too late"));
    sleep(Duration::from_secs(1200)).await;
    let mut stream = scene.subscribe(work()).await;
    scene.anna_types(&format!("/help {TEXT} in time"));
    handed(&mut stream).await;

    let rooms = stage.rooms(40);
    stage.say_in(&rooms, TEXT).await;
    stage.scene.portal.expire_tokens_of(&stage.client_id);
    let faults = stage.scene.portal.faults();
    faults.on("imbot.v2.Bot.get", Fault::error(503, "", ""));
    let over = Fault::error(503, "QUERY_LIMIT_EXCEEDED", "Too many requests");
    faults.on("imbot.v2.Bot.get", over);
    let get = pb::GetBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::GetBotRequest::default()
    };
    stage.scene.bots.get_bot(get.clone()).await.unwrap();
    // No permit is left, and these cannot wait for the next.
    let calls = (0..20).map(|_| {
        let mut bots = stage.scene.bots.clone();
        let mut request = Request::new(get.clone());
        request.set_timeout(Duration::from_millis(300));
        async move { bots.get_bot(request).await }
    });
    let outcomes = futures_util::future::join_all(calls).await;
    assert!(outcomes.iter().any(Result::is_err), "nobody had to wait");
    collected(&stage.scene).await;
}

/// What is told to whoever collects it: asks twice, since subscriptions are looked at for somebody who asked
/// lately.
async fn collected(scene: &Scene) -> String {
    drop(scene.scrape());
    sleep(Duration::from_secs(20)).await;
    scene.scrape()
}

async fn give_back(stage: &Stage, ack_id: &str) {
    let request = pb::ModifyAckDeadlinesRequest {
        ack_ids: vec![ack_id.to_owned()],
        ack_deadline: Some(prost_types::Duration::default()),
    };
    let mut events = EventServiceClient::new(stage.scene.channel());
    events.modify_ack_deadlines(request).await.unwrap();
}

fn work() -> pb::SubscribeCommandEventsRequest {
    pb::SubscribeCommandEventsRequest {
        subscription: Some(pb::NamedSubscription {
            name: "work".to_owned(),
            ..pb::NamedSubscription::default()
        }),
        ..pb::SubscribeCommandEventsRequest::default()
    }
}

async fn handed(stream: &mut Stream) -> (pb::Event, String) {
    let next = async {
        loop {
            let response = stream.0.message().await.unwrap().unwrap();
            if let Some(Item::Event(event)) = response.item {
                return (*event, response.delivery.unwrap().ack_id);
            }
        }
    };
    timeout(Duration::from_secs(1800), next).await.unwrap()
}

async fn stage() -> Stage {
    Stage::set(&[("rate.requests_per_second", "2"), ("rate.burst", "4")]).await
}

/// The values of the samples of a metric, by those of their labels that are named here.
fn told(scrape: &str, metric: &str, labels: &[&str]) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for sample in samples(scrape).filter(|sample| sample.name == metric) {
        let of = |label: &&str| sample.labels.get(*label).cloned().unwrap_or_default();
        let key = labels.iter().map(of).collect::<Vec<_>>().join(" ");
        *all.entry(key).or_default() += sample.value;
    }
    all
}

#[tokio::test(start_paused = true)]
async fn after_a_busy_day_every_declared_metric_is_told_and_no_other() {
    let mut stage = stage().await;
    busy_day(&mut stage).await;
    let scrape = stage.scene.scrape();
    names::write_down(&scrape);
    let families: std::collections::BTreeSet<_> = samples(&scrape)
        .map(|sample| family(&sample.name).to_owned())
        .collect();
    let declared = declared();
    for told in &families {
        assert!(declared.contains(told), "{told} is not in the README");
    }
    for name in &declared {
        let rare = RARE.contains(&name.as_str());
        assert!(
            families.contains(name) || rare,
            "{name} is not told:\n{scrape}"
        );
    }
    assert!(RARE.iter().all(|rare| declared.contains(*rare)));
}

#[tokio::test(start_paused = true)]
async fn golden_signal_counts_each_command_once_by_what_became_of_it() {
    let mut stage = stage().await;
    busy_day(&mut stage).await;
    let scrape = stage.scene.scrape();
    let labels = ["bitrix24_outcome", "bitrix24_command_named_by"];
    let commands = told(&scrape, "bitrix24_gateway_commands_total", &labels);
    let expected = [
        ("answered event", 1.0),
        ("answered ids", 1.0),
        ("expired event", 1.0),
        ("unknown event", 1.0),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(key, count)| (key.to_owned(), count)).into();
    assert_eq!(commands, expected);
    let took = "bitrix24_gateway_command_answer_duration_seconds_count";
    assert_eq!(told(&scrape, took, &["bitrix24_portal"])["acme"], 1.0);
    let came = "bitrix24_gateway_command_arrival_delay_seconds_count";
    assert_eq!(told(&scrape, came, &["bitrix24_portal"])["acme"], 4.0);
    let received = "bitrix24_gateway_events_received_total";
    let received = told(&scrape, received, &["bitrix24_event_kind"]);
    assert_eq!(received["command"], 4.0, "{received:?}");
    let handed = "bitrix24_gateway_deliveries_total";
    let handed = told(
        &scrape,
        handed,
        &["bitrix24_subscription", "bitrix24_delivery"],
    );
    assert_eq!((handed["work first"], handed["work repeated"]), (3.0, 1.0));
    let aside = "bitrix24_gateway_subscription_set_aside";
    let aside = told(&scrape, aside, &["bitrix24_reason"]);
    assert_eq!(
        (aside["EXPIRED"], aside["ANSWER_OUTCOME_UNKNOWN"]),
        (1.0, 1.0)
    );
    let streams = told(&scrape, "bitrix24_gateway_subscription_outstanding", &[]);
    assert_eq!(streams[""], 1.0);
}

#[tokio::test(start_paused = true)]
async fn backlog_and_age_of_a_subscription_that_nobody_reads_grow_until_somebody_does() {
    let mut stage = stage().await;
    let scene = &mut stage.scene;
    scene.helper().await;
    drop(scene.subscribe(work()).await);
    for _ in 0..3 {
        scene.anna_types("/help");
    }
    sleep(Duration::from_secs(280)).await;
    let scrape = collected(scene).await;
    let backlog = |scrape: &str| told(scrape, "bitrix24_gateway_subscription_backlog", &[])[""];
    let age = |scrape: &str| {
        told(
            scrape,
            "bitrix24_gateway_subscription_oldest_age_seconds",
            &[],
        )[""]
    };
    assert!(backlog(&scrape) >= 3.0, "{scrape}");
    assert!((240.0..=300.0).contains(&age(&scrape)), "{scrape}");
    let mut stream = scene.subscribe(work()).await;
    for _ in 0..3 {
        let (event, _) = handed(&mut stream).await;
        scene
            .bots
            .answer_command(answer(&event, "here"))
            .await
            .unwrap();
    }
    let scrape = collected(scene).await;
    assert_eq!((backlog(&scrape), age(&scrape)), (0.0, 0.0), "{scrape}");
}

#[tokio::test(start_paused = true)]
async fn portal_that_is_not_well_is_told_with_its_reason_and_the_age_of_the_last_fetch() {
    let mut stage = stage().await;
    let scene = &mut stage.scene;
    scene.helper().await;
    sleep(Duration::from_secs(30)).await;
    let scrape = scene.scrape();
    let state = |scrape: &str| {
        told(
            scrape,
            "bitrix24_gateway_portal_state",
            &["bitrix24_portal_state"],
        )
    };
    let late = |scrape: &str| told(scrape, "bitrix24_gateway_poll_age_seconds", &[])[""];
    assert_eq!(state(&scrape).keys().collect::<Vec<_>>(), ["OK"]);
    assert!(late(&scrape) < 30.0, "{scrape}");
    scene.portal.faults().next(Fault::html(503).always());
    sleep(Duration::from_secs(600)).await;
    let scrape = scene.scrape();
    assert_eq!(state(&scrape).keys().collect::<Vec<_>>(), ["UNREACHABLE"]);
    assert!(late(&scrape) > 500.0, "{scrape}");
}

#[tokio::test(start_paused = true)]
async fn labels_are_bounded_and_hold_no_secret_and_no_text() {
    let mut stage = stage().await;
    busy_day(&mut stage).await;
    for name in ["support", "billing"] {
        let mut request = work();
        if let Some(subscription) = &mut request.subscription {
            subscription.name = name.to_owned();
        }
        drop(stage.scene.subscribe(request).await);
    }
    let mut client = tonic::client::Grpc::new(stage.scene.channel());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<pb::GetBotRequest, pb::GetBotResponse>::default();
    let request = Request::new(pb::GetBotRequest::default());
    let path = PathAndQuery::from_static("/evil.Service/MadeUp");
    let unknown = client.unary(request, path, codec).await;
    assert_eq!(unknown.unwrap_err().code(), tonic::Code::Unimplemented);
    let scrape = collected(&stage.scene).await;
    assert!(scrape.contains("rpc_method=\"_OTHER\""), "{scrape}");
    for sample in samples(&scrape) {
        for (label, value) in &sample.labels {
            names::check(&sample.name, label, value);
        }
    }
    let mut hidden = stage.secrets();
    let hosts = ["a.portal.test", "evil", "Anna", "Weber", TEXT].map(str::to_owned);
    hidden.extend(hosts);
    for secret in hidden {
        assert!(
            !scrape.contains(&secret),
            "somebody's secret is told: {secret}"
        );
    }
}
