//! The command line.

mod advice;
mod call;
mod callers;
mod check;
mod completions;
#[cfg(feature = "sim")]
mod dev;
mod doctor;
mod healthcheck;
mod keys;
#[cfg(feature = "sim")]
mod new_bot;
mod place;
mod portals;
mod probe;
mod progress;
mod reach;
mod relay;
mod store;
mod subscriptions;
mod tail;

use std::{path::PathBuf, process::ExitCode};

#[cfg(feature = "sim")]
use bitrix24_sim::standalone;
use clap::{Args, CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use tokio::runtime::Builder;

#[cfg(feature = "sim")]
use self::new_bot::NewBot;
use self::{
    advice::Advised, call::Call, callers::CallersCommand, check::Check, completions::Completions,
    doctor::Doctor, healthcheck::Healthcheck, keys::KeysCommand, portals::PortalsCommand,
    relay::RelayCommand, store::StoreCommand, subscriptions::SubscriptionsCommand,
    tail::TailCommand,
};
use crate::{
    app::{self, App},
    clock::Clock,
    config::{self, Config, Flags, Sources},
    fault::Chain,
    grpc, http,
    lifecycle::Signals,
    telemetry,
    terminal::{Screen, Unwritten},
};

/// One typed gRPC API in front of Bitrix24 chat-bots.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(Serve),
    /// Run a relay beside a bot: calls of this machine go to a gateway elsewhere, in the relay's name.
    Relay(RelayCommand),
    /// Ask a gateway of this machine whether it is ready: exit code 0 if it is, else 1.
    Healthcheck(Healthcheck),
    /// Try a bot out: the gateway, a simulated portal, and a page in the browser to talk to the bot.
    #[cfg(feature = "sim")]
    Dev(dev::DevCommand),
    /// Tell the whole story once with a simulated portal: a bot answers a slash command.
    #[cfg(feature = "sim")]
    Demo,
    /// Run a simulated Bitrix24 portal to test bots against; prints its addresses as one line of JSON.
    #[cfg(feature = "sim")]
    Sim(standalone::Options),
    /// Write a small bot into a new folder, with its dependencies and a test that uses the simulated portal.
    #[cfg(feature = "sim")]
    NewBot(NewBot),
    /// Call any RPC of a gateway by its name, with JSON in and out.
    Call(Call),
    /// Show the events of bots as they come.
    Tail(TailCommand),
    /// Print every setting with its default and meaning.
    Defaults,
    /// Say whether the configuration can be used, and what is in force then; opens and binds nothing.
    Check(Check),
    /// Say why a bot is silent, and how far one gets with a portal: exit code 0 if nothing is broken, else 1.
    Doctor(Doctor),
    /// Look the store over, copy it, restore a copy.
    #[command(subcommand)]
    Store(StoreCommand),
    /// The keys of the store: list them, put a new one in front, take an old one away.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Who may call: list, add and revoke callers; make tokens.
    #[command(subcommand)]
    Callers(CallersCommand),
    /// Which portals there are: list, add, remove and grant them.
    #[command(subcommand)]
    Portals(PortalsCommand),
    /// What waits in the named subscriptions: list them, see, redrive and drop what was set aside.
    #[command(subcommand)]
    Subscriptions(SubscriptionsCommand),
    /// Print what lets a shell complete the command line.
    Completions(Completions),
}

#[derive(Debug, Args)]
struct Serve {
    /// Configuration file (TOML), also from BITRIX24_GATEWAY_CONFIG; `defaults` prints what can stand
    /// in it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of the gRPC API; setting `grpc.listen`.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Folder of the store; setting `store.dir`.
    #[arg(long, value_name = "FOLDER")]
    store: Option<String>,
    /// Listen beyond this machine without authentication; setting `grpc.insecure`.
    #[arg(long)]
    insecure: bool,
}

/// The exit code for a wrong command line or configuration.
const USAGE: u8 = 2;

impl Cli {
    /// Does what the command line says.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let mut threads = match self.command {
            // Passing bytes on is less work than to wake another thread for it.
            Command::Relay(_) => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        };
        let code = match threads.enable_all().build() {
            Ok(runtime) => runtime.block_on(self.act()),
            Err(error) => fail(1, &Threadless(error)),
        };
        telemetry::flush();
        code
    }

    async fn act(self) -> ExitCode {
        match self.command {
            Command::Serve(serve) => serve.run().await,
            Command::Check(check) => check.run().await,
            Command::Relay(relay) => Box::pin(relay.run()).await,
            Command::Healthcheck(healthcheck) => healthcheck.run().await,
            #[cfg(feature = "sim")]
            Command::Dev(command) => Box::pin(command.run()).await,
            #[cfg(feature = "sim")]
            Command::Demo => match crate::demo::run().await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(1, &error),
            },
            #[cfg(feature = "sim")]
            Command::Sim(options) => simulate(options).await,
            #[cfg(feature = "sim")]
            Command::NewBot(new_bot) => new_bot.run(),
            Command::Defaults => printed(config::DEFAULTS),
            Command::Call(call) => call.run().await,
            Command::Tail(tail) => Box::pin(tail.run()).await,
            Command::Completions(completions) => completions.run(),
            Command::Doctor(doctor) => ended(Box::pin(doctor.run()).await),
            Command::Keys(command) => ended(Box::pin(command.run()).await),
            Command::Store(command) => ended(Box::pin(command.run()).await),
            Command::Callers(command) => ended(Box::pin(command.run()).await),
            Command::Portals(command) => ended(Box::pin(command.run()).await),
            Command::Subscriptions(command) => ended(Box::pin(command.run()).await),
        }
    }
}

/// Why a command that keeps a gateway failed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The store cannot do it.
    #[error("store: {}", Chain(.0))]
    Store(#[from] crate::store::Error),
    /// There is no chance.
    #[error(transparent)]
    Randomless(#[from] Randomless),
    /// A secret was expected.
    #[error("standard input cannot be read: {0}")]
    Input(#[source] std::io::Error),
    /// Portals cannot be asked.
    #[error("configuration: `outbound.ca_file`: {}", Chain(.0))]
    Transport(#[from] crate::portal::transport::Error),
    /// It was not done.
    #[error(transparent)]
    Admin(#[from] crate::admin::Error),
}

/// The exit code of such a command.
fn ended(outcome: Result<ExitCode, Trouble>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error @ (Trouble::Config(_) | Trouble::Transport(_))) => fail(USAGE, &error),
        Err(error) => fail(1, &Advised(&error, advice::of_keeping(&error))),
    }
}

/// Whether somebody at a terminal wants colours.
fn colours() -> bool {
    Sources::of_process(None, Flags::default()).wants_colours()
}

/// Prints a text that was asked for.
fn printed(text: &str) -> ExitCode {
    match Screen::new(false).line(text.trim_end()) {
        Ok(()) | Err(Unwritten::Closed) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error),
    }
}

/// One line of what was asked for.
#[expect(clippy::print_stdout, reason = "it is what the commands are for")]
fn say(line: &str) {
    println!("{line}");
}

#[derive(Debug, thiserror::Error)]
#[error("the system has no random numbers to give: {0}")]
struct Randomless(#[source] getrandom::Error);

impl Serve {
    async fn run(self) -> ExitCode {
        let config = match Config::load(&Sources::of_process(self.config.clone(), self.flags())) {
            Ok(config) => config,
            Err(error) => return fail(USAGE, &error),
        };
        if let Err(error) = telemetry::start(&config.telemetry) {
            return fail(USAGE, &error);
        }
        telemetry::tell_panics();
        let mut signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => return fail(1, &Deaf(error)),
        };
        let built = tokio::select! {
            built = App::build(config, Clock::system()) => built,
            () = signals.next() => return ExitCode::SUCCESS,
        };
        let app = match built {
            Ok(app) => app,
            Err(
                error @ (app::Error::Transport(_)
                | app::Error::Otlp(_)
                | app::Error::Settings(_)
                | app::Error::Callers(_)
                | app::Error::Door(grpc::Error::Tls(_))
                | app::Error::Http(http::Error::Tls(_))),
            ) => {
                return fail(USAGE, &Advised(&error, advice::of_gateway(&error)));
            }
            Err(error) => return fail(1, &Advised(&error, advice::of_gateway(&error))),
        };
        if let Some(path) = app.created_key_file() {
            tracing::warn!(
                key.file = %path.display(),
                "new keys were made: keep a copy of this file in a safe place, without it the store cannot be opened"
            );
        }
        let life = app.lifecycle().clone();
        let told_twice = async {
            signals.next().await;
            life.ask_to_stop();
            signals.next().await;
        };
        tokio::select! {
            ended = app.run() => match ended {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(1, &Advised(&error, advice::of_gateway(&error))),
            },
            () = told_twice => fail(1, &Hurried),
        }
    }

    fn flags(&self) -> Flags {
        let mut flags = Vec::new();
        if let Some(listen) = &self.listen {
            flags.push(("grpc.listen", listen.clone()));
        }
        if let Some(store) = &self.store {
            flags.push(("store.dir", store.clone()));
        }
        if self.insecure {
            flags.push(("grpc.insecure", true.to_string()));
        }
        Flags(flags)
    }
}

#[cfg(feature = "sim")]
async fn simulate(options: standalone::Options) -> ExitCode {
    let Err(error) = standalone::run(options).await else {
        return ExitCode::SUCCESS;
    };
    let advice = match &error {
        standalone::Error::Trust { .. } => "name a file with certificates (PEM) with --trust",
        standalone::Error::Certificate { .. } => "name a folder where you may write with --dir",
        standalone::Error::Sim(_) => {
            "leave --port and --control-port out, for free ports, and let --dir name a folder of yours"
        }
        _ => "",
    };
    let code = match error {
        standalone::Error::Trust { .. } => USAGE,
        _ => 1,
    };
    fail(code, &Advised(&Unsimulated(error), advice))
}

#[cfg(feature = "sim")]
#[derive(Debug, thiserror::Error)]
#[error("simulated portal: {}", crate::fault::Chain(.0))]
struct Unsimulated(#[source] standalone::Error);

/// Prints the help that was asked for, or says in one line how the command line is wrong.
#[must_use]
pub fn misused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Nobody is left to be told when even this cannot be printed.
        let _printed = error.print();
        return ExitCode::SUCCESS;
    }
    fail(USAGE, &Misuse(misuse(error)))
}

#[derive(Debug, thiserror::Error)]
#[error("{0}; see --help")]
struct Misuse(String);

#[derive(Debug, thiserror::Error)]
#[error("the system gives no threads: {0}")]
struct Threadless(#[source] std::io::Error);

#[derive(Debug, thiserror::Error)]
#[error("the system tells no signals: {0}")]
struct Deaf(#[source] std::io::Error);

#[derive(Debug, thiserror::Error)]
#[error("a second signal came: stopped at once, calls under way were left behind")]
struct Hurried;

fn misuse(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let command = Cli::command();
        let names: Vec<_> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        return format!("a command is needed: {}", names.join(", "));
    }
    // What is wrong, and perhaps a tip; not the usage, which is for whoever asks.
    let text = error.to_string();
    let rest = ["Usage:", "For more information"];
    let lines = text
        .lines()
        .take_while(|line| rest.iter().all(|begun| !line.starts_with(begun)));
    let words: Vec<_> = lines.flat_map(str::split_whitespace).collect();
    let words = words.join(" ").replace(" tip: ", "; ");
    words.strip_prefix("error: ").unwrap_or(&words).to_owned()
}

/// Without the numbers that the system has for its errors, whose words stand before them.
fn in_words(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        words.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
    }
    words
}

/// One line that says what is wrong, and the exit code.
#[expect(
    clippy::print_stderr,
    reason = "logging may not run yet, and this is for whoever typed the command"
)]
fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    telemetry::flush();
    eprintln!("bitrix24-gateway: {}", in_words(&error.to_string()));
    ExitCode::from(code)
}
