//! Streams that are read as fast as they tell, in a process of its own.

use std::{process::Stdio, time::Duration};

use bitrix24_gateway::proto::v1::{
    self as pb, bot_service_client::BotServiceClient, subscribe_command_events_response::Item,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{ChildStdin, ChildStdout, Command},
    sync::mpsc,
};
use tonic::transport::Channel;

use crate::{
    common::{Outcome, process::Process},
    post::since_epoch,
    roles,
    times::percentile,
};

/// The process of the readers.
pub(crate) struct Readers {
    _process: Process,
    ask: tokio::sync::Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
}

/// What the streams saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Readers {
    /// Opens so many streams on so many connections, and waits until all are open.
    pub(crate) async fn start(address: &str, streams: usize, connections: usize) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["role", "readers", address])
            .args([streams.to_string(), connections.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().ok_or("no standard input")?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(out).lines();
        let open = lines.next_line().await?.ok_or("the readers ended")?;
        if open != "open" {
            return Err(format!("the readers said {open:?}").into());
        }
        let id = child.id().ok_or("the readers ended")?;
        Ok(Self {
            _process: Process { child, id },
            ask: tokio::sync::Mutex::new((stdin, lines)),
        })
    }

    /// Waits until every stream received so many further events.
    pub(crate) async fn received(&self, events: usize) -> Outcome<Seen> {
        let mut ask = self.ask.lock().await;
        let (stdin, lines) = &mut *ask;
        stdin.write_all(format!("{events}\n").as_bytes()).await?;
        let told = lines.next_line().await?.ok_or("the readers ended")?;
        let (p50, p99) = told.split_once(' ').ok_or("the readers said too little")?;
        Ok(Seen {
            p50: p50.parse()?,
            p99: p99.parse()?,
        })
    }
}

/// The process: tells how long after their arrival events were received.
pub(crate) async fn run(address: &str, streams: &str, connections: &str) -> Outcome<()> {
    let (streams, connections): (usize, usize) = (streams.parse()?, connections.parse()?);
    let (tell, mut told) = mpsc::unbounded_channel();
    for connection in 0..connections {
        let channel = Channel::from_shared(format!("http://{address}"))?;
        let channel = channel.tcp_nodelay(true).connect().await?;
        let own = streams / connections + usize::from(connection < streams % connections);
        for _ in 0..own {
            let mut client = BotServiceClient::new(channel.clone());
            let request = pb::SubscribeCommandEventsRequest::default();
            let mut stream = client.subscribe_command_events(request).await?.into_inner();
            let tell = tell.clone();
            tokio::spawn(async move {
                while let Ok(Some(response)) = stream.message().await {
                    if let Some(Item::Event(event)) = response.item {
                        let arrived = event.received_at.unwrap_or_default();
                        let arrived = Duration::try_from(prost_types::Duration {
                            seconds: arrived.seconds,
                            nanos: arrived.nanos,
                        });
                        let took = since_epoch().saturating_sub(arrived.unwrap_or_default());
                        // Nobody asks for more at the end.
                        let _ = tell.send(took);
                    }
                }
            });
        }
    }
    roles::tell("open");
    let (ask, mut asked) = mpsc::unbounded_channel();
    // Read apart: it waits for as long as nobody asks.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if ask.send(line).is_err() {
                return;
            }
        }
    });
    while let Some(events) = asked.recv().await {
        let wanted = events.parse::<usize>()? * streams;
        let mut took = Vec::with_capacity(wanted);
        while took.len() < wanted {
            took.push(told.recv().await.ok_or("every stream ended")?);
        }
        took.sort_unstable();
        roles::tell(&format!(
            "{} {}",
            percentile(&took, 50).as_secs_f64(),
            percentile(&took, 99).as_secs_f64()
        ));
    }
    Ok(())
}
