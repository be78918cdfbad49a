//! Runs one simulated portal until it is told to stop.
//!
//! The first line of output is one JSON object with the addresses; nothing else is printed.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use bitrix24_sim::{Config, Limits, PortalConfig, Sim, UserConfig};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// A simulated Bitrix24 portal.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Port to listen on; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of the control interface; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    control_port: u16,
    /// Directory for the certificate clients have to trust.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// File with certificates, PEM, to trust when sending events to https addresses.
    #[arg(long)]
    trust: Option<PathBuf>,
    /// Refuse nobody for asking too often.
    #[arg(long)]
    no_limits: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut message = error.to_string();
            let mut cause = error.source();
            while let Some(inner) = cause {
                message = format!("{message}: {inner}");
                cause = inner.source();
            }
            drop(writeln!(std::io::stderr(), "bitrix24-sim: {message}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let trusted = arguments.trust.map(std::fs::read_to_string).transpose()?;
    let sim = Sim::start(Config {
        starts_at: now()?,
        receiver_ca_pem: trusted,
        ..Config::default()
    })
    .await?;
    let limits = if arguments.no_limits {
        Limits::none()
    } else {
        Limits::default()
    };
    let config = PortalConfig {
        port: arguments.port,
        limits,
        ..PortalConfig::default()
    };
    let portal = sim.add_portal(config).await?;
    let colleague = portal.add_user(UserConfig::named("Anna", "Weber"));
    let chat = portal.add_group_chat("Support", &[1, colleague]);

    let control = sim.open_control(arguments.control_port).await?;

    let dir = arguments.dir.unwrap_or_else(std::env::temp_dir);
    let ca_file = dir.join(format!("bitrix24-sim-{}.pem", std::process::id()));
    std::fs::write(&ca_file, sim.ca_pem())?;
    let addresses = serde_json::json!({
        "address": portal.address(),
        "plain_address": portal.plain_address(),
        "oauth": sim.oauth().address(),
        "control": control.address(),
        "portal": portal.number(),
        "webhook_url": portal.webhook_url(),
        "ca_file": ca_file,
        "user_id": 1,
        "dialog_id": chat.dialog_id(),
    });
    writeln!(std::io::stdout(), "{addresses}")?;

    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminated.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    std::fs::remove_file(&ca_file)?;
    Ok(())
}

/// The real time: this portal is not driven by a test.
#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the simulation begins here"
)]
fn now() -> Result<std::time::Duration, std::time::SystemTimeError> {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)
}
