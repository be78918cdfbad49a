//! Who fails without end does not flood the log.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use bitrix24_gateway::proto::v1 as pb;
use futures_util::future::join_all;
use tokio::time::sleep;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::{log::log_into, scene::Scene};

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Lines about calls that failed.
    fn failures(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter(|line| line.contains("call failed"));
        lines.map(str::to_owned).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn caller_that_fails_without_end_is_told_in_part_and_counted() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("warn"))
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let _guard = log_into(subscriber);
    let scene = Scene::start().await;
    let fail = || async {
        let get = pb::GetBotRequest {
            bot_code: "nobody".to_owned(),
            ..pb::GetBotRequest::default()
        };
        scene.bots.clone().get_bot(get).await.unwrap_err()
    };
    join_all((0..200).map(|_| fail())).await;
    let told = log.failures();
    assert_eq!(told.len(), 20, "{told:?}");
    sleep(Duration::from_secs(2)).await;
    fail().await;
    let told = log.failures();
    assert!(told[20].contains("untold=180"), "{told:?}");
}
