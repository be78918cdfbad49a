//! Files that hold what lets us into portals, followed while the process runs.

use std::{fmt, fs, path::PathBuf};

use ring::digest::{SHA256, digest};

use super::{Config, Error, Raw, Sources};
use crate::portal;

/// Looks whether a webhook or the client secret was changed, in a file of its own or in the
/// configuration.
pub struct Reread {
    sources: Sources,
    /// The files, with the hashes of what they held.
    files: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl fmt::Debug for Reread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not what it reads from, which holds secrets.
        let files: Vec<_> = self.files.iter().map(|(path, _)| path).collect();
        let mut reread = f.debug_struct("Reread");
        reread.field("files", &files).finish_non_exhaustive()
    }
}

impl Reread {
    pub(super) fn of(raw: &Raw, sources: &Sources) -> Option<Self> {
        let portals = raw.portals.values().map(|portal| &portal.webhook_url_file);
        let named = portals
            .chain([&raw.webhook_url_file, raw.oauth.client_secret_file()])
            .filter(|path| !path.as_os_str().is_empty());
        let files: Vec<_> = sources.file.iter().chain(named).cloned().collect();
        if files.is_empty() {
            return None;
        }
        let files = files.into_iter().map(|path| (path.clone(), hash(&path)));
        Some(Self {
            sources: sources.clone(),
            files: files.collect(),
        })
    }

    /// What lets us in now, if any of the files is another one than at the last look.
    ///
    /// # Errors
    ///
    /// When the whole configuration could not be used as it is now. Told once for each change.
    pub fn look(&mut self) -> Result<Option<portal::Fresh>, Error> {
        let mut changed = false;
        for (path, held) in &mut self.files {
            let found = hash(path);
            changed |= found != *held;
            *held = found;
        }
        if !changed {
            return Ok(None);
        }
        let config = Config::load(&self.sources)?;
        // It may name other files now.
        if let Some(reread) = config.reread {
            for (path, held) in reread.files {
                if self.files.iter().all(|(known, _)| *known != path) {
                    self.files.push((path, held));
                }
            }
        }
        Ok(Some(config.portals.into()))
    }
}

fn hash(path: &PathBuf) -> Option<Vec<u8>> {
    let content = fs::read(path).ok()?;
    Some(digest(&SHA256, &content).as_ref().to_vec())
}
