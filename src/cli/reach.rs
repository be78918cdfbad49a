//! How a command of the terminal reaches a gateway.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use jiff::SignedDuration;

use crate::{
    relay::Files,
    terminal::{Target, Way},
};

/// Where the gateway is, and what proves the caller to it.
#[derive(Debug, Args)]
#[command(next_help_heading = "The gateway")]
pub(super) struct Reach {
    /// Where it is: http://HOST:PORT, https://HOST:PORT or unix:PATH.
    #[arg(long, value_name = "ADDRESS", default_value = "http://127.0.0.1:50051")]
    address: Target,
    /// File with the authorities (PEM) that vouch for it; without, the public ones.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// File with the caller's bearer token. It is a secret, so it is taken from nowhere else.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with the caller's certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// File with the key of that certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// Patience with connecting, such as 500ms.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = span)]
    connect_timeout: Duration,
}

impl Reach {
    pub(super) fn way(self) -> Way {
        Way {
            target: self.address,
            files: Files {
                authorities: self.ca_file,
                certificate: self.cert_file.zip(self.key_file),
                token: self.token_file,
            },
            patience: self.connect_timeout,
        }
    }
}

/// Reads a duration, which is more than nothing.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let span = text.parse::<SignedDuration>().ok();
    let span = span.and_then(|span| Duration::try_from(span).ok());
    span.filter(|span| !span.is_zero())
        .ok_or_else(|| "it must be a duration such as 30s, 10m or \"1h 30m\"".to_owned())
}
