//! `store`: looks it over, copies it, makes one of a copy.

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;

use super::{Trouble, place::Place, progress::working, say};
use crate::{
    admin::{Command, Done},
    clock::Clock,
    store::{
        backup::{Holdings, backup},
        examine::{Report, examine},
        restore::{Released, restore},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Look the store over from the first to the last row, and say which keys are in use. Exit code 1
    /// when something is wrong.
    Check {
        #[command(flatten)]
        place: Place,
    },
    /// Copy the store into a file, also while the gateway runs. The copy holds no keys: keep them apart.
    Backup {
        /// The file to make.
        file: PathBuf,
        /// Replace a file that exists.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Make a store of a copy, in an empty folder. Its portals are not called before `store activate`.
    Restore {
        /// The copy.
        file: PathBuf,
        /// Call the portals from the next start on: no other gateway works with them any more.
        #[arg(long)]
        activate: bool,
        /// Hand out what waited in named subscriptions when the copy was made. Without this it is set aside
        /// as RESTORED, since it may have been done after the copy was made.
        #[arg(long)]
        redeliver: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Call the portals of a restored store: no other gateway works with them any more.
    Activate {
        #[command(flatten)]
        place: Place,
    },
}

impl StoreCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Trouble> {
        let clock = Clock::system();
        match self {
            Self::Check { place } => {
                let store = place.find()?.store;
                let report = working("looking it over", move || examine(&store)).await?;
                tell(&report);
                return Ok(match report.is_sound() {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                });
            }
            Self::Backup { file, force, place } => {
                let dir = place.find()?.store.dir;
                let copied_to = format!("copied to {}", file.display());
                let now = clock.now();
                let copying = working("copying", move || backup(&dir, &file, force, now));
                let copied = copying.await?;
                say(&copied_to);
                describe(&copied);
                say("the copy opens with these keys only, and holds none of them");
            }
            Self::Restore {
                file,
                activate,
                redeliver,
                place,
            } => {
                let config = place.find()?.store;
                let released = Released {
                    active: activate,
                    redeliver,
                };
                let restored_to = format!("restored to {}", config.dir.display());
                let restoring = move || restore(&config, &file, released, &clock);
                let restored = working("restoring", restoring).await?;
                say(&restored_to);
                describe(&restored);
                say(if activate {
                    "its portals are called from the next start on"
                } else {
                    "its portals are not called before `store activate`"
                });
            }
            Self::Activate { place } => {
                let done = place.have_done(Command::StoreActivate {}).await?;
                say(match done {
                    Done::Activated { was_held: false } => "nothing to do: it was active",
                    _ => "activated: its portals are called",
                });
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(holdings: &Holdings) {
    if let Some(at) = holdings.copied_at {
        say(&format!("made: {at:.0}"));
    }
    say(&format!("log: {}", holdings.log_id));
    say(&format!("schema: {}", holdings.schema));
    say(&format!("keys: {}", holdings.keys.join(", ")));
    let rows = holdings.rows.iter();
    let rows: Vec<_> = rows
        .map(|(table, rows)| format!("{table} {rows}"))
        .collect();
    say(&format!("rows: {}", rows.join(", ")));
}

fn tell(report: &Report) {
    say(&format!("store: {}", report.path.display()));
    describe(&report.holdings);
    if report.restored {
        say("restored and not activated: its portals are not called");
    }
    let keys: Vec<_> = report.keys.iter().map(String::as_str).collect();
    say(&format!("keys at hand: {}", keys.join(", ")));
    for (key, count) in &report.sealed_by {
        say(&format!("sealed by {key}: {count}"));
    }
    let tables = report.sealed.opened.iter();
    let tables: Vec<_> = tables
        .map(|(table, count)| format!("{table} {count}"))
        .collect();
    say(&format!("opened: {}", tables.join(", ")));
    for (table, count) in &report.sealed.closed {
        say(&format!("WRONG: {count} of {table} do not open"));
    }
    for finding in &report.damage {
        say(&format!("WRONG: {finding}"));
    }
    if let Some(name) = &report.differs {
        say(&format!("WRONG: `{name}` is not as this release makes it"));
    }
    say(if report.is_sound() {
        "the store is sound"
    } else {
        "the store is not sound"
    });
}
