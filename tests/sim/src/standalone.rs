//! One portal as a process of its own: it prints where everything is and runs until it is told to stop.
//!
//! The binary of this crate is nothing else, and other binaries can offer the same as a command.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, PortalConfig, UserConfig};
use crate::control::Control;
use crate::limits::Limits;
use crate::portal::Portal;
use crate::sim::{self, Sim};

/// How a portal runs as a process; also its arguments on a command line.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Port to listen on; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Port of the control interface; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    pub control_port: u16,
    /// Folder for the certificate clients have to trust; absent = the system's temporary one.
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// File with certificates, PEM, to trust when sending events to https addresses.
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// Refuse nobody for asking too often.
    #[arg(long)]
    pub no_limits: bool,
}

/// Why it did not start, or broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The certificates to trust cannot be read.
    #[error("could not read {}", .path.display())]
    Trust {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The clock of this machine stands before 1970.
    #[error("the clock of this machine is wrong")]
    Clock(#[source] std::time::SystemTimeError),
    /// The simulation did not start.
    #[error(transparent)]
    Sim(#[from] sim::Error),
    /// The process cannot be told to stop.
    #[error("signals cannot be received")]
    Signals(#[source] io::Error),
    /// The certificate clients have to trust cannot be written.
    #[error("could not write {}", .path.display())]
    Certificate {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Nobody reads where everything is.
    #[error("could not print the addresses")]
    Print(#[source] io::Error),
}

/// Runs one portal in real time until SIGTERM or SIGINT.
///
/// One line goes to standard output, as soon as everything answers: a JSON object with the addresses.
/// The portal has an owner, user 1, and a colleague with whom the owner shares a chat.
///
/// # Errors
/// When an address is taken, or a file cannot be read or written.
pub async fn run(options: Options) -> Result<(), Error> {
    // Before anything can be seen from outside: whoever sees it may stop it.
    let mut terminated = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(Error::Signals)?;

    let trusted = options.trust.map(|path| {
        let text = std::fs::read_to_string(&path);
        text.map_err(|cause| Error::Trust { path, cause })
    });
    let sim = Sim::start(Config {
        starts_at: now()?,
        receiver_ca_pem: trusted.transpose()?,
        ..Config::default()
    })
    .await?;
    let mut config = PortalConfig {
        port: options.port,
        ..PortalConfig::default()
    };
    if options.no_limits {
        config.limits = Limits::none();
    }
    let portal = sim.add_portal(config).await?;
    let control = sim.open_control(options.control_port).await?;
    let dir = options.dir.unwrap_or_else(std::env::temp_dir);
    let certificate = Certificate::write(&dir, sim.ca_pem())?;
    let addresses = furnished(&sim, &portal, &control, &certificate.path);
    writeln!(io::stdout(), "{addresses}").map_err(Error::Print)?;

    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    Ok(())
}

/// Puts people into the portal and tells where everything is.
fn furnished(sim: &Sim, portal: &Portal, control: &Control, ca_file: &Path) -> Value {
    let colleague = portal.add_user(UserConfig::named("Anna", "Weber"));
    let chat = portal.add_group_chat("Support", &[1, colleague]);
    json!({
        "address": portal.address(),
        "plain_address": portal.plain_address(),
        "oauth": sim.oauth().address(),
        "control": control.address(),
        "portal": portal.number(),
        "webhook_url": portal.webhook_url(),
        "ca_file": ca_file,
        "user_id": 1,
        "dialog_id": chat.dialog_id(),
    })
}

/// The file with the certificate clients have to trust. It goes with this.
struct Certificate {
    path: PathBuf,
}

impl Certificate {
    fn write(dir: &Path, pem: &str) -> Result<Self, Error> {
        let path = dir.join(format!("bitrix24-sim-{}.pem", std::process::id()));
        match std::fs::write(&path, pem) {
            Ok(()) => Ok(Self { path }),
            Err(cause) => Err(Error::Certificate { path, cause }),
        }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // Somebody may have removed its folder already.
        drop(std::fs::remove_file(&self.path));
    }
}

/// The real time: this portal is not driven by a test.
#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the simulation begins here"
)]
fn now() -> Result<Duration, Error> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_err(Error::Clock)
}
