//! Who posts: so many at once, each one event after another, with a connection for each.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

use crate::{
    body::Body,
    common::{Outcome, process::Process},
    roles,
    times::percentile,
};

/// What they saw in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) events: f64,
    pub(crate) seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// One round against an address, by a process of its own; no two rounds post the same.
pub(crate) async fn round(
    (address, path, bot): (&str, &str, &str),
    concurrent: usize,
    time: Duration,
    round: usize,
) -> Outcome<Seen> {
    let arguments = [
        "load",
        address,
        path,
        bot,
        &concurrent.to_string(),
        &time.as_secs_f64().to_string(),
        &round.to_string(),
    ];
    let [events, seconds, p50_us, p99_us] = Process::numbers(&arguments).await?;
    Ok(Seen {
        events,
        seconds,
        p50_us,
        p99_us,
    })
}

/// The process: posts, and tells what it saw. Ends with an error when something was not taken.
pub(crate) async fn run(
    address: &str,
    path: &str,
    bot: &str,
    concurrent: &str,
    seconds: &str,
    round: &str,
) -> Outcome<()> {
    let time = Duration::from_secs_f64(seconds.parse()?);
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for number in 0..concurrent.parse::<usize>()? {
        let body = Body::of(bot).ok_or("no bot")?;
        let (address, path) = (address.to_owned(), path.to_owned());
        let name = format!("{round}{number:03}");
        senders.spawn(async move { sender(&address, &path, &body, &name, began + time).await });
    }
    let mut latencies = Vec::new();
    while let Some(ended) = senders.join_next().await {
        latencies.extend(ended??);
    }
    let elapsed = began.elapsed();
    latencies.sort_unstable();
    roles::tell(&format!(
        "{} {} {} {}",
        latencies.len(),
        elapsed.as_secs_f64(),
        percentile(&latencies, 50).as_secs_f64() * 1e6,
        percentile(&latencies, 99).as_secs_f64() * 1e6,
    ));
    Ok(())
}

/// One of them, until the time is over: how long each event took.
async fn sender(
    address: &str,
    path: &str,
    body: &Body,
    name: &str,
    until: Instant,
) -> Outcome<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let body = body.numbered(&format!("{name}{:06}", latencies.len()));
        let began = Instant::now();
        if began >= until {
            return Ok(latencies);
        }
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(256);
        stream.read_to_end(&mut answer).await?;
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(format!("not taken: {}", String::from_utf8_lossy(&answer)).into());
        }
        latencies.push(began.elapsed());
    }
}
