//! The command `dev`.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Args;

use super::{Deaf, Hurried, USAGE, fail, say};
use crate::{
    dev::{Dev, Error, Options},
    lifecycle::{Failing, Signals},
};

/// Where everything is to be.
#[derive(Debug, Args)]
pub(super) struct DevCommand {
    /// Address of the gRPC API, on this machine; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50051", value_parser = address)]
    listen: SocketAddr,
    /// Address of the chat page, on this machine; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    page: SocketAddr,
    /// Address of the operator page, health and metrics, on this machine; absent = 127.0.0.1:9464, if it is free.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    admin: Option<SocketAddr>,
    /// Folder for the gateway's store, to keep it between runs; absent = a temporary one.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "it must be an address and a port, such as 127.0.0.1:8080".to_owned())
}

impl DevCommand {
    pub(super) async fn run(self) -> ExitCode {
        let mut signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => return fail(1, &Deaf(error)),
        };
        let started = tokio::select! {
            started = Dev::start(self.options()) => started,
            () = signals.next() => return ExitCode::SUCCESS,
        };
        let dev = match started {
            Ok(dev) => dev,
            Err(error @ (Error::BeyondThisMachine { .. } | Error::Config(_))) => {
                return fail(USAGE, &error);
            }
            Err(error) => return fail(1, &error),
        };
        let told = dev.told();
        let life = dev.lifecycle().clone();
        // Only what works is told of.
        let mut failing = life.health().failing();
        let _telling = life.attend("telling", async move {
            if failing.wait_for(Failing::is_empty).await.is_ok() {
                told.iter().for_each(|line| say(line));
            }
        });
        let told_twice = async {
            signals.next().await;
            life.ask_to_stop();
            signals.next().await;
        };
        tokio::select! {
            ended = dev.run() => match ended {
                Ok(()) => {
                    say("stopped in order");
                    ExitCode::SUCCESS
                }
                Err(error) => fail(1, &error),
            },
            () = told_twice => fail(1, &Hurried),
        }
    }

    fn options(&self) -> Options {
        Options {
            listen: self.listen,
            page: self.page,
            admin: self.admin,
            folder: self.folder.clone(),
        }
    }
}
