//! `keys`: which there are, a new one in front, an old one away.

use std::process::ExitCode;

use clap::Subcommand;

use super::{Trouble, place::Place, say};
use crate::{
    clock::Clock,
    store::{
        Store,
        rotate::{Key, list},
    },
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
                let store = Store::open(place.find()?.store, Clock::system())
                    .await?
                    .store;
                let rotated = store.rotate().await;
                let sealed = match &rotated {
                    Ok(_) => store.reseal().await,
                    Err(_) => Ok(Default::default()),
                };
                store.close().await;
                say(&format!("{} seals from now on", rotated?));
                say(&format!("sealed anew: {}", sealed?.resealed));
            }
            Self::Retire { id, place } => {
                let store = Store::open(place.find()?.store, Clock::system())
                    .await?
                    .store;
                let retired = store.retire(&id).await;
                store.close().await;
                retired?;
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
