//! Where the commands that keep a gateway find its store.

use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Flags, Keeping, Sources};

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
        let store = self.store.iter().map(|dir| ("store.dir", dir.clone()));
        let flags = Flags(store.collect());
        Keeping::load(&Sources::of_process(self.config.clone(), flags))
    }
}
