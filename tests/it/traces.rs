//! What a trace tells: from the arrival of an event to the answer in the portal it is one.

mod spans;

use std::time::Duration;

use bitrix24_gateway::{
    proto::v1::{self as pb, stream_start::Position},
    telemetry::trace::{Kind, Tracer, Wire},
};
use opentelemetry::trace::{SpanId, SpanKind};
use opentelemetry_sdk::trace::SpanData;
use tonic::{Code, Request};

pub(crate) use self::spans::Spans;
use self::spans::traced;
use crate::{
    hooks::place::{By, Place},
    leaks,
    oauth::stage::Stage,
    scene::{Scene, answer, called, content, help, until},
};

const ANSWER: &str = "bitrix24.gateway.v1.BotService/AnswerCommand";
const REST: &str = "POST /rest/{user}/{secret}/imbot.v2.Command.answer";

#[tokio::test(start_paused = true)]
async fn event_its_delivery_its_handling_and_its_answer_are_one_trace() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    scene.helper().await;
    let (spans, tracer) = Spans::recorded(1.0);
    scene.traced_by(tracer.clone()).await;
    let stream = scene.subscribe(pb::SubscribeCommandEventsRequest::default());
    let mut stream = stream.await;
    scene.anna_types("/help with the moon");
    let (_, event) = stream.event().await;
    let from = spans::wire(&event);

    // What a caller does that traces as well.
    let handling = tracer.follow(&from, Kind::Consumer, "handle", Vec::new);
    let request = traced(answer(&event, "It is made of rock"), handling.place());
    scene.bots.answer_command(request).await.unwrap();
    drop(handling);

    let [delivery] = spans.named("event delivery");
    let arrival = spans.above(&delivery);
    let [handling] = spans.named("handle");
    let [call] = spans.named(ANSWER);
    let [rest] = spans.named(REST);
    let chain = [&arrival, &delivery, &handling, &call, &rest];
    for pair in chain.windows(2) {
        assert_eq!(pair[1].parent_span_id, pair[0].span_context.span_id());
        assert_eq!(
            pair[1].span_context.trace_id(),
            arrival.span_context.trace_id()
        );
        assert!(pair[0].start_time <= pair[1].start_time);
    }
    assert_eq!(arrival.parent_span_id, SpanId::INVALID);
    let journal = scene.portal.journal().calls("imbot.v2.Command.answer");
    assert_eq!(journal[0].traceparent, Some(spans::traceparent(&rest)));

    let kinds = chain.map(|span| span.span_kind.clone());
    assert_eq!(
        kinds,
        [
            SpanKind::Consumer,
            SpanKind::Producer,
            SpanKind::Consumer,
            SpanKind::Server,
            SpanKind::Client
        ]
    );
    let place =
        "bitrix24.bot.code=helper bitrix24.event.type=ONIMBOTV2COMMANDADD bitrix24.portal=default";
    assert_eq!(spans::attributes(&arrival), place);
    assert_eq!(spans::attributes(&delivery), place);
    assert_eq!(
        spans::attributes(&call),
        format!("rpc.method={ANSWER} rpc.response.status_code=OK rpc.system.name=grpc")
    );
    let port = scene.portal.webhook_url();
    let port = port
        .split(['/', ':'])
        .find_map(|part| part.parse::<u16>().ok());
    let host = spans::attribute(&rest, "server.address").unwrap();
    assert!(scene.portal.webhook_url().contains(&format!("//{host}:")));
    assert_eq!(
        spans::attributes(&rest),
        format!(
            "bitrix24.method=imbot.v2.Command.answer bitrix24.portal=default http.request.method=POST \
             http.response.status_code=200 server.address={host} server.port={} url.scheme=https \
             url.template=/rest/{{user}}/{{secret}}/imbot.v2.Command.answer",
            port.unwrap()
        )
    );

    // The poll brought more than this one event, so it is only linked to.
    let polls = spans.named_any("poll");
    let poll = polls.iter().find(|poll| spans::links_to(&arrival, poll));
    let poll = poll.expect("the arrival links to the poll");
    assert_ne!(
        poll.span_context.trace_id(),
        arrival.span_context.trace_id()
    );
    let requests = spans.named_any("POST /rest/{user}/{secret}/imbot.v2.Event.get");
    assert!(
        requests
            .iter()
            .any(|request| spans::is_below(request, poll))
    );
    let appends = spans.named_any("append");
    assert!(appends.iter().any(|append| spans::is_below(append, poll)));
}

fn from_earliest() -> pb::SubscribeCommandEventsRequest {
    let position = Position::Point(pb::StreamStartPoint::Earliest.into());
    pb::SubscribeCommandEventsRequest {
        start: Some(pb::StreamStart {
            position: Some(position),
        }),
        ..pb::SubscribeCommandEventsRequest::default()
    }
}

#[tokio::test(start_paused = true)]
async fn trace_of_an_event_survives_a_restart() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let (spans, tracer) = Spans::recorded(1.0);
    scene.traced_by(tracer).await;
    scene.anna_types("/help");
    until("the command is there", || {
        let arrivals = spans.named_any("event arrival");
        let command = |arrival| spans::is_of(arrival, "ONIMBOTV2COMMANDADD");
        arrivals.iter().any(command)
    })
    .await;
    scene.restart().await;
    let (_, event) = scene.subscribe(from_earliest()).await.event().await;
    let deliveries = spans.named_any("event delivery");
    let told = spans::wire(&event).traceparent;
    let delivery = deliveries
        .iter()
        .find(|delivery| spans::traceparent(delivery) == told);
    let arrival = spans.above(delivery.expect("its own delivery is told"));
    assert_eq!(arrival.name, "event arrival");
}

#[tokio::test(start_paused = true)]
async fn event_that_was_stored_without_a_trace_begins_one_when_it_is_delivered() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    scene.traced_by(Tracer::default()).await;
    let stream = scene.subscribe(pb::SubscribeCommandEventsRequest::default());
    let mut stream = stream.await;
    scene.anna_types("/help me");
    let (_, event) = stream.event().await;
    assert_eq!(event.trace_context, None, "nobody traces");
    let (spans, tracer) = Spans::recorded(1.0);
    scene.traced_by(tracer).await;
    let (_, event) = scene.subscribe(from_earliest()).await.event().await;
    assert_eq!(called(&event).params, "me");
    let [delivery] = spans.named("event delivery");
    assert_eq!(delivery.parent_span_id, SpanId::INVALID);
    assert_eq!(
        spans::wire(&event).traceparent,
        spans::traceparent(&delivery)
    );
}

#[tokio::test(start_paused = true)]
async fn posted_event_begins_a_trace_as_a_fetched_one_does() {
    let mut place = Place::with_bot(By::Webhook).await;
    let (spans, tracer) = Spans::recorded(1.0);
    place.scene.traced_by(tracer).await;
    place.ingress.leads_to(Some(place.scene.http()));
    let stream = pb::SubscribeCommandEventsRequest::default();
    let mut stream = place.scene.subscribe(stream).await;
    place.scene.anna_types("/help");
    let (_, event) = stream.event().await;
    assert_eq!(event.source(), pb::EventSource::Webhook);
    let [delivery] = spans.named("event delivery");
    assert_eq!(
        spans::wire(&event).traceparent,
        spans::traceparent(&delivery)
    );
    let arrival = spans.above(&delivery);
    assert_eq!(arrival.name, "event arrival");
    assert_eq!(arrival.parent_span_id, SpanId::INVALID);
    let appends = spans.named_any("append");
    let append = |append| spans::is_below(append, &arrival);
    assert!(appends.iter().any(append));
}

#[tokio::test(start_paused = true)]
async fn failed_call_tells_its_reason_and_the_pause_before_it_is_made_again() {
    let mut scene = Scene::start().await;
    scene.errors_have_names();
    scene.helper().await;
    let (spans, tracer) = Spans::recorded(1.0);
    scene.traced_by(tracer).await;
    let faults = scene.portal.faults();
    faults.on("imbot.v2.Bot.get", bitrix24_sim::Fault::error(503, "", ""));
    let get = pb::GetBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::GetBotRequest::default()
    };
    scene.bots.get_bot(get).await.unwrap();
    let unknown = pb::GetBotRequest {
        bot_code: "nobody".to_owned(),
        ..pb::GetBotRequest::default()
    };
    let refused = scene.bots.get_bot(unknown).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);

    let [first, second] = spans.named("POST /rest/{user}/{secret}/imbot.v2.Bot.get");
    let [pause] = spans.named("retry pause");
    assert_eq!(
        spans::attribute(&first, "http.response.status_code").unwrap(),
        "503"
    );
    assert!(spans::attribute(&first, "error.type").is_some());
    assert_eq!(spans::attribute(&second, "error.type"), None);
    assert_eq!(pause.parent_span_id, first.parent_span_id);
    let [fine, refused] = spans.named("bitrix24.gateway.v1.BotService/GetBot");
    assert_eq!(
        spans::attributes(&fine),
        "bitrix24.bot.code=helper bitrix24.portal=default \
         rpc.method=bitrix24.gateway.v1.BotService/GetBot rpc.response.status_code=OK rpc.system.name=grpc"
    );
    assert_eq!(
        spans::attribute(&fine, "rpc.response.status_code").unwrap(),
        "OK"
    );
    // Who asks for what is not there has made a mistake of its own.
    assert_eq!(
        spans::attribute(&refused, "rpc.response.status_code").unwrap(),
        "NOT_FOUND"
    );
    assert_eq!(spans::attribute(&refused, "error.type"), None);
}

#[tokio::test(start_paused = true)]
async fn calls_that_travel_together_have_spans_of_their_own_to_which_the_batch_links() {
    let limits = [("rate.requests_per_second", "2"), ("rate.burst", "4")];
    let mut stage = Stage::set(&limits).await;
    stage.scene.answers_tell_times();
    stage.scene.helper().await;
    let (spans, tracer) = Spans::recorded(1.0);
    stage.scene.traced_by(tracer).await;
    let rooms = stage.rooms(40);
    stage.say_in(&rooms, "hello").await;

    let method = "imbot.v2.Chat.Message.send";
    let calls = spans.named_any("bitrix24.gateway.v1.MessageService/SendMessage");
    assert_eq!(calls.len(), 40);
    let of_a_call = |span: &SpanData| calls.iter().any(|call| spans::is_below(span, call));
    let waits = spans.named_any("queue");
    assert!(waits.len() > 20 && waits.iter().all(of_a_call));
    let why = waits
        .iter()
        .filter_map(|wait| spans::attribute(wait, "bitrix24.gateway.wait.reason"));
    let why: Vec<_> = why.collect();
    assert!(
        why.iter()
            .all(|why| ["rate", "turn"].contains(&why.as_str())),
        "{why:?}"
    );

    let travelled = spans.named_any(method);
    assert!(travelled.len() > 20 && travelled.iter().all(of_a_call));
    let batches = spans.named_any("batch");
    let size = |batch: &SpanData| spans::attribute(batch, "bitrix24.gateway.batch.size");
    let of_messages: Vec<_> = batches
        .iter()
        .filter(|batch| batch.links.iter().next().is_some())
        .collect();
    let linked: usize = of_messages
        .iter()
        .map(|batch| batch.links.iter().count())
        .sum();
    assert_eq!(linked, travelled.len());
    for batch in of_messages {
        assert_eq!(batch.parent_span_id, SpanId::INVALID);
        assert_eq!(size(batch).unwrap(), batch.links.iter().count().to_string());
        for link in batch.links.iter() {
            let call = travelled
                .iter()
                .find(|call| call.span_context == link.span_context);
            let call = call.expect("each link is a call of this portal");
            assert!(
                call.end_time >= batch.end_time,
                "a call ends when its result is there"
            );
        }
    }
    // The portal is told the trace of the batch, not that of a call in it.
    let requests = spans.named_any("POST /rest/batch");
    let told = stage.scene.portal.journal().calls("batch");
    let told: Vec<_> = told
        .iter()
        .filter_map(|request| request.traceparent.clone())
        .collect();
    assert!(!told.is_empty());
    assert!(told.iter().all(|told| {
        requests
            .iter()
            .any(|request| spans::traceparent(request) == *told)
    }));
}

#[tokio::test(start_paused = true)]
async fn refresh_of_tokens_belongs_to_the_call_that_waits_for_it() {
    // No fetch is to find out first that they are over.
    let pauses = [("polling.busy_pause", "60s"), ("polling.idle_pause", "10m")];
    let mut stage = Stage::set(&pauses).await;
    stage.scene.helper().await;
    let (spans, tracer) = Spans::recorded(0.0);
    stage.scene.traced_by(tracer).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.scene.portal.expire_tokens_of(&stage.client_id);
    let get = pb::GetBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::GetBotRequest::default()
    };
    let caller = Wire {
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        ..Wire::default()
    };
    let mut request = Request::new(get);
    spans::tell(&mut request, &caller);
    stage.scene.bots.get_bot(request).await.unwrap();
    let [call] = spans.named("bitrix24.gateway.v1.BotService/GetBot");
    assert_eq!(call.parent_span_id.to_string(), "b7ad6b7169203331");
    let [wait] = spans.named("token wait");
    assert!(spans::is_below(&wait, &call));
    let [refresh] = spans.named("token refresh");
    let [asked] = spans.named("GET /oauth/token/");
    assert!(spans::is_below(&asked, &refresh));
    assert_eq!(
        refresh.span_context.trace_id(),
        call.span_context.trace_id()
    );
    let told = spans.told();
    for secret in stage.secrets() {
        assert!(!told.contains(&secret), "a secret is in a span");
    }
}

#[tokio::test(start_paused = true)]
async fn caller_decides_whether_its_trace_is_recorded() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let (spans, tracer) = Spans::recorded(0.0);
    scene.traced_by(tracer).await;
    scene.portal.journal().clear();
    for (flags, recorded) in [("00", 0), ("01", 1)] {
        let caller = Wire {
            traceparent: format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"),
            tracestate: "vendor=1".to_owned(),
        };
        let request = pb::SendMessageRequest {
            bot_code: "helper".to_owned(),
            dialog_id: scene.chat.dialog_id(),
            content: Some(content("hello")),
            ..pb::SendMessageRequest::default()
        };
        let mut request = Request::new(request);
        spans::tell(&mut request, &caller);
        scene.messages().send_message(request).await.unwrap();
        let calls = spans.named_any("bitrix24.gateway.v1.MessageService/SendMessage");
        assert_eq!(calls.len(), recorded);
        let sent = scene.portal.journal().calls("imbot.v2.Chat.Message.send");
        let told = sent.last().unwrap().traceparent.clone().unwrap();
        assert!(
            told.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
            "{told}"
        );
        assert!(told.ends_with(flags), "{told}");
    }
    // Nothing but what belongs to that trace.
    let traces = spans
        .all()
        .into_iter()
        .map(|span| span.span_context.trace_id().to_string());
    let other = traces
        .into_iter()
        .find(|trace| trace != "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(other, None);
}

#[tokio::test(start_paused = true)]
async fn portal_is_told_no_trace_where_that_is_not_wanted() {
    let mut scene = Scene::with(&[("telemetry.propagate_to_portal", "false")]).await;
    let (spans, tracer) = Spans::recorded(1.0);
    scene.traced_by(tracer).await;
    scene.helper().await;
    assert!(
        !spans
            .named_any("POST /rest/{user}/{secret}/imbot.v2.Bot.register")
            .is_empty()
    );
    let requests = scene.portal.journal().requests();
    assert!(requests.iter().all(|request| request.traceparent.is_none()));
}

#[tokio::test(start_paused = true)]
async fn spans_hold_no_secret_and_nothing_that_somebody_wrote_or_is_called() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let (spans, tracer) = Spans::recorded(1.0);
    scene.traced_by(tracer).await;
    scene.helper().await;
    let stream = scene.subscribe(pb::SubscribeCommandEventsRequest::default());
    let mut stream = stream.await;
    scene.anna_types("/help with the moon");
    let (_, event) = stream.event().await;
    let reply = answer(&event, "It is made of rock");
    scene.bots.answer_command(reply).await.unwrap();
    let mut update = help();
    update.command = "moonlight".to_owned();
    scene.bots.register_command(update).await.unwrap();
    drop(stream);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let told = spans.told();
    assert!(told.contains("AnswerCommand") && told.contains("SubscribeCommandEvents"));
    let personal = [
        "Anna",
        "Weber",
        "the moon",
        "made of rock",
        "Show help",
        "Helper",
        "Support",
    ];
    for text in personal {
        assert!(!told.contains(text), "{text} is in a span");
    }
    let secrets = leaks::secrets(&scene.sim, &scene.portal);
    assert!(secrets.len() >= 2);
    for secret in secrets {
        assert!(!told.contains(&secret), "a secret is in a span");
    }
}
