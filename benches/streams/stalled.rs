//! Streams that nobody reads, while events come, and that get everything once somebody does.

#![expect(clippy::print_stdout, reason = "figures for whoever ran it")]

use std::time::Duration;

use bitrix24_gateway::proto::v1::{
    self as pb, bot_service_client::BotServiceClient, subscribe_command_events_response::Item,
};
use tokio::time::sleep;
use tonic::{Streaming, transport::Channel};

use crate::{
    common::{Outcome, report::wanted},
    memory::megabytes,
    world::World,
};

/// What is wanted of each, in megabytes.
const MEMORY: f64 = 1.0;

/// So long until what is not needed any more was given back.
const SETTLED: Duration = Duration::from_secs(15);

type Stream = Streaming<pb::SubscribeCommandEventsResponse>;

/// Measures, and prints.
pub(crate) async fn measure(streams: usize, events: usize, world: &World) -> Outcome<()> {
    let gateway = world.gateway().await?;
    // What is there once for all is there before.
    let first = open(&gateway.address).await?;
    world.poster.post(events).await?;
    sleep(SETTLED).await;
    let before = megabytes(&gateway.process, "VmRSS")?;

    let mut stalled = Vec::new();
    for _ in 0..streams {
        stalled.push(open(&gateway.address).await?);
    }
    world.poster.post(events).await?;
    sleep(SETTLED).await;
    let each = (megabytes(&gateway.process, "VmRSS")? - before) / streams as f64;

    read(first, 2 * events).await?;
    for stream in stalled {
        read(stream, events).await?;
    }
    println!("\n{events} events for {streams} streams that stall, which then got all of them");
    wanted(
        "memory",
        &format!("{each:.2} MB a stream, wanted under {MEMORY:.0} MB"),
        each < MEMORY,
    );
    gateway.process.stop().await
}

/// On a connection of its own, so that nobody else's reading makes room for it.
async fn open(address: &str) -> Outcome<Stream> {
    let channel = Channel::from_shared(format!("http://{address}"))?;
    let channel = channel.tcp_nodelay(true).connect().await?;
    let request = pb::SubscribeCommandEventsRequest::default();
    let mut client = BotServiceClient::new(channel);
    Ok(client.subscribe_command_events(request).await?.into_inner())
}

/// Reads so many events, each once.
async fn read(mut stream: Stream, events: usize) -> Outcome<()> {
    let mut seen = std::collections::HashSet::new();
    while seen.len() < events {
        let response = stream.message().await?.ok_or("the stream ended")?;
        if let Some(Item::Event(event)) = response.item
            && !seen.insert(event.event_id)
        {
            return Err("an event came twice".into());
        }
    }
    Ok(())
}
