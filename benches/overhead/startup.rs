//! How soon the gateway serves: from its start to the first healthy answer, on a store that exists.

use std::{path::Path, time::Duration};

use tokio::time::Instant;

use crate::{
    common::{Outcome, gateway::Gateway},
    measure::UNPACED,
};

/// The middle one of several starts.
pub(crate) async fn ready_after(folder: &Path, portal: &str, starts: usize) -> Outcome<Duration> {
    let mut times = Vec::with_capacity(starts);
    for _ in 0..starts {
        let began = Instant::now();
        let gateway = Gateway::start(folder, portal, &UNPACED).await?;
        times.push(began.elapsed());
        gateway.process.stop().await?;
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
