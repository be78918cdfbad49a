//! Where the commands that keep a gateway find its store.

use std::path::PathBuf;

use clap::Args;

use super::{Trouble, progress::during};
use crate::{
    admin::{self, Command, Done, Keeper},
    clock::Clock,
    config::{self, Flags, Keeping, Sources},
    store::{self, Store},
};

/// Where the store is; else what `serve` would take.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Configuration file (TOML), also from BITRIX24_GATEWAY_CONFIG.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the store; setting `store.dir`.
    #[arg(long, value_name = "FOLDER")]
    store: Option<String>,
}

impl Place {
    pub(super) fn find(&self) -> Result<Keeping, config::Error> {
        Keeping::load(&self.sources())
    }

    pub(super) fn sources(&self) -> Sources {
        let store = self.store.iter().map(|dir| ("store.dir", dir.clone()));
        Sources::of_process(self.config.clone(), Flags(store.collect()))
    }

    /// Has a command done: by the gateway that runs, or here where none runs.
    pub(super) async fn have_done(&self, command: Command) -> Result<Done, Trouble> {
        let keeping = self.find()?;
        let name = command.name();
        // A command never makes a store.
        store::backup::expect(&keeping.store.dir)?;
        let opening = Store::open(keeping.store, Clock::system());
        let store = match during("opening the store", opening).await {
            Ok(opened) => opened.store,
            Err(store::Error::Locked { holder, .. }) => {
                let Some(socket) = keeping.admin else {
                    return Err(admin::Error::NoSocket { holder }.into());
                };
                let sent = admin::send(&socket.path, &command, &holder);
                let waiting = format!("{name}: the gateway is at work");
                return Ok(during(&waiting, sent).await?);
            }
            Err(error) => return Err(error.into()),
        };
        let keeper = Keeper::new(store.clone(), Clock::system(), keeping.names, None);
        let done = during(&format!("{name}: at work"), keeper.run(command)).await;
        during("closing the store", store.close()).await;
        Ok(done?)
    }
}
