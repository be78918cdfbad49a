//! `keys`: which there are, a new one in front, an old one away.

use std::process::ExitCode;

use clap::Subcommand;

use super::{Trouble, place::Place, say};
use crate::{
    admin::{Command, Done},
    store::rotate::{Key, list},
};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Tell the ids of all keys, which one seals, and how many values each has sealed.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Put a new sealing key in front of the key file. A running gateway uses it at once, and seals anew
    /// what the others have sealed.
    Rotate {
        #[command(flatten)]
        place: Place,
    },
    /// Take a sealing key out of the key file that has sealed nothing which is still there. Backups made
    /// before need it still: keep a copy of it with them.
    Retire {
        /// Its id, such as seal-0a1b2c3d.
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

impl KeysCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Trouble> {
        match self {
            Self::List { place } => {
                for key in list(&place.find()?.store)? {
                    say(&line(&key));
                }
            }
            Self::Rotate { place } => {
                if let Done::KeysRotated { id } = place.have_done(Command::KeysRotate {}).await? {
                    say(&format!(
                        "{id} seals from now on, and what others have sealed is sealed anew"
                    ));
                    say("keep a copy of the key file in a safe place");
                }
            }
            Self::Retire { id, place } => {
                place
                    .have_done(Command::KeysRetire { id: id.clone() })
                    .await?;
                say(&format!("{id} is retired"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(key: &Key) -> String {
    let mut words = vec![key.id.clone()];
    if key.id.starts_with("bot-") {
        words.push("derives the tokens of bots".to_owned());
    } else {
        let values = key.values;
        words.push(format!(
            "{} {values} values",
            if key.seals { "seals," } else { "has sealed" }
        ));
    }
    if !key.at_hand {
        words.push("MISSING".to_owned());
    } else if !key.needed {
        words.push("not in use".to_owned());
    }
    words.join(" ")
}
