//! Says whether a configuration can be used, and what is in force then.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use jiff::SignedDuration;

use super::{
    USAGE,
    advice::{self, Advised},
    fail, say,
};
use crate::{
    app,
    config::{self, Config, Flags, Relaying, Sources, effective},
    grpc::Most,
    relay, telemetry,
};

/// Whose configuration, and how much to say.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Configuration file (TOML), also from BITRIX24_GATEWAY_CONFIG.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check what `relay` needs instead of what `serve` needs.
    #[arg(long)]
    relay: bool,
    /// Say only what is wrong.
    #[arg(long)]
    quiet: bool,
}

impl Check {
    pub(super) async fn run(self) -> ExitCode {
        let sources = Sources::of_process(self.config, Flags::default());
        let usable = if self.relay {
            relay_can(&sources).await
        } else {
            gateway_can(&sources).await
        };
        if let Err(wrong) = usable {
            return fail(USAGE, &Advised(&wrong, wrong.advice()));
        }
        if self.quiet {
            return ExitCode::SUCCESS;
        }
        let settings = match effective(&sources) {
            Ok(settings) => settings,
            Err(error) => return fail(USAGE, &error),
        };
        say("# Settings in force, and where each comes from.");
        for setting in settings {
            let line = format!("{} = {}", setting.path, setting.value);
            say(&format!("{line:60} # {}", setting.source));
        }
        if self.relay {
            return ExitCode::SUCCESS;
        }
        say("");
        say("# Limits that no setting moves.");
        for limit in app::limits() {
            say(&format!("# {:64} {}", limit.what, shown(limit.most)));
        }
        ExitCode::SUCCESS
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Gateway(#[from] app::Error),
    #[error(transparent)]
    Log(#[from] telemetry::Error),
    #[error(transparent)]
    Relay(#[from] relay::Error),
}

impl Wrong {
    /// What to try.
    fn advice(&self) -> &'static str {
        match self {
            Self::Gateway(error) => advice::of_gateway(error),
            Self::Config(_) | Self::Log(_) | Self::Relay(_) => "",
        }
    }
}

async fn gateway_can(sources: &Sources) -> Result<(), Wrong> {
    Ok(app::check(Config::load(sources)?).await?)
}

async fn relay_can(sources: &Sources) -> Result<(), Wrong> {
    let settings = Relaying::load(sources)?;
    telemetry::check(&settings.telemetry)?;
    Ok(relay::check(settings.relay.files).await?)
}

fn shown(most: Most) -> String {
    match most {
        Most::Count(count) => count.to_string(),
        Most::Bytes(bytes) => format!("{bytes} bytes"),
        Most::Time(time) => match SignedDuration::try_from(time) {
            Ok(time) => format!("{time:#}"),
            Err(_) => format!("{time:?}"),
        },
    }
}
