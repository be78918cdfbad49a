//! `portals`: which there are, beside those of the configuration, and who may use those that installed
//! themselves.

use std::{
    io::{self, Read as _},
    process::ExitCode,
};

use clap::Subcommand;
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};

use super::{Trouble, place::Place, say};
use crate::admin::{Command, Done, From, PortalLine, Secret};

/// More than any URL has, bytes.
const LONGEST: u64 = 64 << 10;

#[derive(Debug, Subcommand)]
pub(super) enum PortalsCommand {
    /// Tell which portals there are, and how they are doing where the gateway runs.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Call a portal, at once.
    Add {
        /// Its name, which is for good: the tokens of its bots are derived from it.
        name: String,
        /// Read the URL of its incoming webhook from standard input. It is a secret, so it is taken from
        /// nowhere else.
        #[arg(long, required = true)]
        webhook_url_stdin: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Call a portal that was added no more, at once. Its bots and events stay in the store.
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Print a link by which a person at a portal lets our application in. It works once, within 15 minutes,
    /// and whoever has it can use it.
    Authorize {
        /// The portal: its host, as in acme.bitrix24.com, or its `member_id`.
        portal: String,
        /// The person may be another one than before.
        #[arg(long)]
        replace_user: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Let a caller use a portal that installed itself.
    Grant {
        /// The portal, as `portals list` names it.
        portal: String,
        /// The caller.
        caller: String,
        /// No more.
        #[arg(long)]
        revoke: bool,
        #[command(flatten)]
        place: Place,
    },
}

impl PortalsCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Trouble> {
        match self {
            Self::List { place } => {
                if let Done::Portals { portals } = place.have_done(Command::PortalsList {}).await? {
                    portals.iter().for_each(|portal| say(&line(portal)));
                }
            }
            Self::Add { name, place, .. } => {
                let webhook_url = Secret(first_line().map_err(Trouble::Input)?);
                let added = format!("{name} is called");
                place
                    .have_done(Command::PortalsAdd { name, webhook_url })
                    .await?;
                say(&added);
            }
            Self::Remove { name, place } => {
                let removed = format!("{name} is called no more");
                place.have_done(Command::PortalsRemove { name }).await?;
                say(&removed);
            }
            Self::Authorize {
                portal,
                replace_user,
                place,
            } => {
                let authorize = Command::PortalsAuthorize {
                    portal,
                    replace_user,
                };
                if let Done::AuthorizationLink { url } = place.have_done(authorize).await? {
                    say(url.0.expose_secret());
                }
            }
            Self::Grant {
                portal,
                caller,
                revoke,
                place,
            } => {
                let no_more = if revoke { " no more" } else { "" };
                let granted = format!("{caller} may use {portal}{no_more}");
                let grant = Command::PortalsGrant {
                    portal,
                    caller,
                    revoke,
                };
                place.have_done(grant).await?;
                say(&granted);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The first line of standard input.
fn first_line() -> io::Result<SecretString> {
    let mut text = Zeroizing::new(String::new());
    io::stdin().take(LONGEST).read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().trim().into())
}

fn line(portal: &PortalLine) -> String {
    let from = match portal.from {
        From::Configured => "configured",
        From::Added | From::Revoked => "added",
        From::Installed => "installed",
    };
    let mut words = vec![portal.name.clone(), from.to_owned()];
    words.extend(portal.state.clone());
    words.extend(portal.reason.clone());
    if !portal.granted_to.is_empty() {
        words.push(format!("granted={}", portal.granted_to.join(",")));
    }
    words.join(" ")
}
