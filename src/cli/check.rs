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
    config::{Config, Flags, Sources, effective},
    grpc::Most,
};

/// Whose configuration, and how much to say.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Configuration file (TOML), also from BITRIX24_GATEWAY_CONFIG.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say only what is wrong.
    #[arg(long)]
    quiet: bool,
}

impl Check {
    pub(super) async fn run(self) -> ExitCode {
        let sources = Sources::of_process(self.config, Flags::default());
        let config = match Config::load(&sources) {
            Ok(config) => config,
            Err(error) => return fail(USAGE, &error),
        };
        if let Err(error) = app::check(config).await {
            return fail(USAGE, &Advised(&error, advice::of_gateway(&error)));
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
        say("");
        say("# Limits that no setting moves.");
        for limit in app::limits() {
            say(&format!("# {:64} {}", limit.what, shown(limit.most)));
        }
        ExitCode::SUCCESS
    }
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
