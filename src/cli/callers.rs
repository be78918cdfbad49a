//! `callers`: who may call, beside those of the configuration.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;

use super::{Randomless, Trouble, place::Place, say};
use crate::{
    admin::{CallerLine, Command, Done, From},
    callers::{TokenHash, Written, token},
};

#[derive(Debug, Subcommand)]
pub(super) enum CallersCommand {
    /// Print a new bearer token, which is kept nowhere, and the setting that accepts it.
    NewToken,
    /// Tell who may call.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Let somebody call, at once, and print its token, which is kept nowhere. With the first caller nobody
    /// else may do anything any more.
    Add {
        /// Its name, which owns the bots that it registers.
        name: String,
        #[command(flatten)]
        may: May,
        #[command(flatten)]
        place: Place,
    },
    /// Let a caller that was added call no more, at once. Its bots stay, and belong to nobody.
    Revoke {
        /// Its name.
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

/// What a caller may do, as in the settings `callers.NAME`. Nothing unless given.
#[derive(Debug, Args)]
pub(super) struct May {
    /// Portals: names, beginnings followed by `*`, or `*` for all that are configured or were added.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    portals: Vec<String>,
    /// Codes of bots: names, beginnings followed by `*`, or `*`.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    bots: Vec<String>,
    /// RPCs by name or in groups: read, answer, manage, events, operate, or `*`.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    rpcs: Vec<String>,
    /// Also ExecuteCommand, which acts as the owner of the portal's credential.
    #[arg(long)]
    execute: bool,
    /// The portal that its calls with an empty `portal` go to.
    #[arg(
        long,
        value_name = "PORTAL",
        default_value = "",
        hide_default_value = true
    )]
    default_portal: String,
    /// Callers that may use its bots, or `*`.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    shares: Vec<String>,
    /// It is a relay that may say from which pods its calls come, for the audit.
    #[arg(long)]
    names_pods: bool,
}

impl CallersCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Trouble> {
        match self {
            Self::NewToken => {
                let token = token::new_token().map_err(Randomless)?;
                let token = token.expose_secret();
                say(token);
                say(&format!("token_sha256 = [\"{}\"]", TokenHash::of(token)));
            }
            Self::List { place } => {
                if let Done::Callers { callers } = place.have_done(Command::CallersList {}).await? {
                    callers.iter().for_each(|caller| say(&line(caller)));
                }
            }
            Self::Add { name, may, place } => {
                let token = token::new_token().map_err(Randomless)?;
                let token = token.expose_secret();
                let add = Command::CallersAdd {
                    name,
                    token_sha256: TokenHash::of(token).to_string(),
                    may: may.written(),
                };
                place.have_done(add).await?;
                say(token);
            }
            Self::Revoke { name, place } => {
                let revoke = Command::CallersRevoke { name: name.clone() };
                place.have_done(revoke).await?;
                say(&format!("{name} is revoked"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl May {
    fn written(self) -> Written {
        Written {
            portals: self.portals,
            bots: self.bots,
            rpcs: self.rpcs,
            execute: self.execute,
            default_portal: self.default_portal,
            shares: self.shares,
            names_pods: self.names_pods,
        }
    }
}

fn line(caller: &CallerLine) -> String {
    let from = match caller.from {
        From::Configured => "configured",
        From::Revoked => "revoked",
        From::Added | From::Installed => "added",
    };
    let mut words = vec![caller.name.clone(), from.to_owned()];
    let mut list = |name: &str, list: &[String]| {
        if !list.is_empty() {
            words.push(format!("{name}={}", list.join(",")));
        }
    };
    if let Some(may) = caller.may.as_ref().filter(|_| caller.from == From::Added) {
        list("portals", &may.portals);
        list("bots", &may.bots);
        list("rpcs", &may.rpcs);
        list("shares", &may.shares);
        if may.execute {
            list("execute", &["true".to_owned()]);
        }
        if may.names_pods {
            list("names_pods", &["true".to_owned()]);
        }
        if !may.default_portal.is_empty() {
            list("default_portal", std::slice::from_ref(&may.default_portal));
        }
    }
    list("granted", &caller.granted);
    words.join(" ")
}
