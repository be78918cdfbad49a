//! Runs a relay.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;
use tracing::info;

use super::{Deaf, Hurried, USAGE, fail};
use crate::{
    config::{Flags, Relaying, Sources},
    http::ops::{self, Note},
    lifecycle::{GRACE, Lifecycle, Signals},
    relay::{self, Relay},
    telemetry,
};

/// Where from and where to.
#[derive(Debug, Args)]
pub(super) struct RelayCommand {
    /// Configuration file (TOML), also from BITRIX24_GATEWAY_CONFIG; of it `[relay]` and `[log]` count.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Path of the Unix socket to listen on; setting `relay.socket`.
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
    /// Address of this machine to listen on; setting `relay.listen`.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The gateway, such as https://gateway.example.com:50051; setting `relay.upstream`.
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
}

/// Why it does not go on.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Relay(#[from] relay::Error),
    #[error(transparent)]
    Lookout(#[from] crate::http::Error),
    #[error("the system does not tell the address: {0}")]
    Address(#[source] std::io::Error),
    #[error("calls did not end in time and were left behind")]
    Unfinished,
}

impl RelayCommand {
    pub(super) async fn run(self) -> ExitCode {
        let settings = match Relaying::load(&Sources::of_process(self.config.clone(), self.flags()))
        {
            Ok(settings) => settings,
            Err(error) => return fail(USAGE, &error),
        };
        if let Err(error) = telemetry::start(&settings.telemetry) {
            return fail(USAGE, &error);
        }
        let life = Lifecycle::default();
        let mut signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => return fail(1, &Deaf(error)),
        };
        let told_twice = async {
            signals.next().await;
            life.begin_stop();
            signals.next().await;
        };
        tokio::select! {
            ended = serve(settings, &life) => match ended {
                Ok(()) => ExitCode::SUCCESS,
                Err(error @ Trouble::Relay(relay::Error::Identity(_) | relay::Error::Upstream(_))) => {
                    fail(USAGE, &error)
                }
                Err(error) => fail(1, &error),
            },
            () = told_twice => fail(1, &Hurried),
        }
    }

    fn flags(&self) -> Flags {
        let given = [
            ("relay.socket", &self.socket),
            ("relay.listen", &self.listen),
            ("relay.upstream", &self.upstream),
        ];
        let given = given.into_iter();
        Flags(
            given
                .filter_map(|(key, value)| Some((key, value.clone()?)))
                .collect(),
        )
    }
}

async fn serve(settings: Relaying, life: &Lifecycle) -> Result<(), Trouble> {
    let socket = settings.relay.socket.clone();
    let relay = Relay::bind(settings.relay, life).await?;
    // Until the last call ended it says that the relay is alive.
    let looking = life.apart();
    if let Some(config) = settings.lookout {
        let sign = relay.sign();
        let note: Note = Arc::new(move || sign.line());
        let lookout = ops::Server::bind(config, life.health().clone()).await?;
        let lookout = lookout.noting(note);
        let address = lookout.address().map_err(Trouble::Address)?;
        info!(health.address = %address, "health is shown");
        looking.spawn("admin HTTP", lookout.run(looking.clone()));
    }
    let address = relay.address().map_err(Trouble::Address)?;
    info!(
        relay.socket = socket.map(|path| path.display().to_string()),
        relay.address = address.map(|address| address.to_string()),
        "relay is ready"
    );
    relay.run(life).await;
    let finished = life.finished(GRACE).await;
    looking.stop().cancel();
    if finished {
        info!("stopped");
        Ok(())
    } else {
        Err(Trouble::Unfinished)
    }
}
