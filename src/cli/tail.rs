//! `tail`: events as they come, for people or as JSON.

use std::process::ExitCode;

use clap::{ArgGroup, Args};
use jiff::{SignedDuration, Timestamp};

use super::{Deaf, colours, fail, reach::Reach};
use crate::{
    clock::Clock,
    lifecycle::Signals,
    terminal::{Begin, Ended, Screen, Tail, Unwritten, Wish},
};

/// Types of events, as they are said here.
const TYPES: [&str; 8] = [
    "command_added",
    "message_added",
    "message_updated",
    "message_deleted",
    "chat_joined",
    "bot_deleted",
    "context_received",
    "reaction_changed",
];

/// Which events, and from where on.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("begin"), after_help = "\
Examples:
  bitrix24-gateway tail --bot weather
  bitrix24-gateway tail --since 10m --type command_added
  bitrix24-gateway tail --from-start --no-follow --json

Nothing is taken from the bots: they get their events all the same. What people wrote is shown with escapes
for everything that a terminal would obey.")]
pub(super) struct TailCommand {
    /// Only of this bot; may be said several times.
    #[arg(long = "bot", value_name = "CODE")]
    bots: Vec<String>,
    /// Only of this portal.
    #[arg(long, default_value = "", hide_default_value = true)]
    portal: String,
    /// Only of this type; may be said several times.
    #[arg(long = "type", value_name = "TYPE", value_parser = TYPES)]
    types: Vec<String>,
    /// Begin with what was received so long ago (10m), or at a time (2026-01-31T12:00:00Z).
    #[arg(long, value_name = "TIME", group = "begin", value_parser = since)]
    since: Option<Since>,
    /// Begin with the oldest event that is kept.
    #[arg(long, group = "begin")]
    from_start: bool,
    /// Go on behind the item that carried this cursor.
    #[arg(long, group = "begin")]
    cursor: Option<String>,
    /// End when everything that is kept has been shown.
    #[arg(long, requires = "begin")]
    no_follow: bool,
    /// Print one item of the stream a line, as JSON, with its cursor.
    #[arg(long)]
    json: bool,
    /// Tell of each heartbeat.
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    reach: Reach,
}

/// A time as it may be said.
#[derive(Debug, Clone, Copy)]
enum Since {
    Ago(SignedDuration),
    At(Timestamp),
}

fn since(text: &str) -> Result<Since, String> {
    let ago = text.parse::<SignedDuration>().ok();
    if let Some(ago) = ago.filter(|ago| ago.is_positive()) {
        return Ok(Since::Ago(ago));
    }
    let at = text.parse().map(Since::At);
    at.map_err(|_| {
        "it must be a duration such as 10m, or a time such as 2026-01-31T12:00:00Z".to_owned()
    })
}

impl TailCommand {
    pub(super) async fn run(self) -> ExitCode {
        let clock = Clock::system();
        let screen = Screen::new(colours());
        let begin = match (self.since, self.cursor) {
            (Some(Since::At(time)), _) => Begin::At(time),
            (Some(Since::Ago(ago)), _) => {
                // Before all times is the beginning as well.
                let then = clock.now().checked_sub(ago);
                then.map_or(Begin::Earliest, Begin::At)
            }
            (None, Some(cursor)) => Begin::After(cursor),
            (None, None) if self.from_start => Begin::Earliest,
            (None, None) => Begin::Now,
        };
        let wish = Wish {
            portal: self.portal,
            bots: self.bots,
            types: self.types,
            json: self.json,
            follow: !self.no_follow,
            verbose: self.verbose,
        };
        let mut tail = Tail::new(self.reach.way(), wish, begin, screen, clock);
        let mut signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => return fail(1, &Deaf(error)),
        };
        let ended = tokio::select! {
            ended = tail.run() => Some(ended),
            () = signals.next() => None,
        };
        match ended {
            Some(Err(Ended::Unwritten(Unwritten::Closed))) => return ExitCode::SUCCESS,
            Some(Err(error)) => {
                let code = fail(1, &error);
                told(&tail, screen);
                return code;
            }
            // What was shown is all there is, or somebody has seen enough.
            Some(Ok(())) | None => told(&tail, screen),
        }
        ExitCode::SUCCESS
    }
}

/// Says how to go on.
fn told(tail: &Tail, screen: Screen) {
    if let Some(place) = tail.place() {
        screen.note(&format!("to go on from here: {place}"));
    }
}
