//! `call`: any RPC of a gateway by its name, with JSON in and out.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use super::{
    USAGE, colours, fail,
    progress::during,
    reach::{Reach, span},
};
use crate::terminal::{
    Failure, Refused, Screen, Session, Unfit, UnknownRpc, Unwritten, describe, json, read,
};

/// The longest request, bytes: as much as a gateway can be told to take.
const LONGEST: u64 = 64 << 20;

/// How long a call may take that answers once, unless it is said.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to call, and with what.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bitrix24-gateway call ListBots
  bitrix24-gateway call RegisterBot '{\"bot_code\": \"weather\", \"properties\": {\"name\": \"Weather\"}}'
  bitrix24-gateway call --describe AnswerCommand

What a bot hands in or is given goes by the names of the proto files. Streams print one message a line.")]
pub(super) struct Call {
    /// The RPC by its name, such as ListBots; with its service where several have it.
    #[arg(required_unless_present = "list")]
    rpc: Option<String>,
    /// The request as JSON; `-` reads it from standard input, `@FILE` from a file. Without, no field is set.
    #[arg(value_name = "JSON", conflicts_with = "describe")]
    request: Option<String>,
    /// Name all RPCs of the gateway.
    #[arg(long, conflicts_with_all = ["rpc", "describe"])]
    list: bool,
    /// Tell what the RPC does, its fields, and a request to begin with; call nothing.
    #[arg(long)]
    describe: bool,
    /// How long it may take. Without, 60s, and as long as it goes on for a stream.
    #[arg(long, value_name = "DURATION", value_parser = span)]
    timeout: Option<Duration>,
    /// Tell failures as one line of JSON.
    #[arg(long)]
    json_errors: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Why it was not called, or failed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the request cannot be read from {from}: {cause}; give it as text, as `-` or as @FILE")]
    Input {
        from: String,
        #[source]
        cause: io::Error,
    },
    #[error("{0}; `call --describe {1}` shows its fields")]
    Unfit(#[source] Unfit, String),
    #[error(transparent)]
    UnknownRpc(#[from] UnknownRpc),
    #[error(
        "`{0}` takes a stream of requests, which `call` cannot send: write a client in any language"
    )]
    TakesStream(String),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("{0}: {1}")]
    Failed(String, Box<Failure>),
    #[error(transparent)]
    Unwritten(#[from] Unwritten),
    #[error("the answer has no form in JSON: {0}; another client can read it")]
    Answer(#[from] serde_json::Error),
}

impl Call {
    pub(super) async fn run(self) -> ExitCode {
        let json_errors = self.json_errors;
        match Box::pin(self.act()).await {
            Ok(()) | Err(Trouble::Unwritten(Unwritten::Closed)) => ExitCode::SUCCESS,
            Err(Trouble::Failed(_, failure) | Trouble::Refused(Refused::Failed(failure)))
                if json_errors =>
            {
                Screen::told(&failure.json().to_string());
                ExitCode::FAILURE
            }
            Err(
                error @ (Trouble::Input { .. }
                | Trouble::Unfit(..)
                | Trouble::UnknownRpc(_)
                | Trouble::TakesStream(_)),
            ) => fail(USAGE, &error),
            Err(error) => fail(1, &error),
        }
    }

    async fn act(self) -> Result<(), Trouble> {
        let screen = Screen::new(colours());
        let request = self.request.as_deref().map_or(Ok(String::new()), input)?;
        let way = self.reach.way();
        let what = format!("asking {} for its API", way.target);
        let session = during(&what, Session::open(&way)).await?;
        let schema = session.schema();
        let Some(rpc) = self.rpc.filter(|_| !self.list) else {
            for rpc in schema.rpcs() {
                let stream = if rpc.is_server_streaming() {
                    " (stream)"
                } else {
                    ""
                };
                let service = screen.paint().dim(rpc.parent_service().full_name());
                screen.line(&format!("{service}/{}{stream}", rpc.name()))?;
            }
            return Ok(());
        };
        let rpc = schema.rpc(&rpc)?;
        let name = rpc.name().to_owned();
        if self.describe {
            screen.line(&describe(&rpc, screen.paint()))?;
            return Ok(());
        }
        if rpc.is_client_streaming() {
            return Err(Trouble::TakesStream(name));
        }
        let request = read(&rpc.input(), &request);
        let request = request.map_err(|unfit| Trouble::Unfit(unfit, name.clone()))?;
        let many = rpc.is_server_streaming();
        let deadline = self.timeout.or((!many).then_some(PATIENCE));
        let failed = |refused| match refused {
            Refused::Failed(failure) => Trouble::Failed(name.clone(), failure),
            unreached => unreached.into(),
        };
        let what = format!("waiting for {name}");
        let mut answers = during(&what, session.call(&rpc, request, deadline))
            .await
            .map_err(failed)?;
        loop {
            let next = if many {
                answers.next().await
            } else {
                during(&what, answers.next()).await
            };
            let Some(answer) = next.map_err(failed)? else {
                return Ok(());
            };
            screen.line(&json(&answer, !many && screen.is_read_by_people())?)?;
        }
    }
}

/// The request as it was given.
fn input(given: &str) -> Result<String, Trouble> {
    let mut text = String::new();
    let (from, read) = match given.strip_prefix('@') {
        Some(path) => {
            let file = fs::File::open(Path::new(path));
            let read = file.and_then(|file| file.take(LONGEST).read_to_string(&mut text));
            (path.to_owned(), read)
        }
        None if given == "-" => {
            let read = io::stdin().take(LONGEST).read_to_string(&mut text);
            ("standard input".to_owned(), read)
        }
        None => return Ok(given.to_owned()),
    };
    match read {
        Ok(_) => Ok(text),
        Err(cause) => Err(Trouble::Input { from, cause }),
    }
}
