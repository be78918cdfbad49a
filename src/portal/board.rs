//! What became of portals, for whoever watches them.
//!
//! A change has a number, and of each portal the number of its last change of each kind is kept, not the
//! changes themselves: whoever reads slowly, or comes back, is told the newest state with everything that
//! changed since, and costs no memory. How portals are doing is looked at when somebody asks.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{Credential, Health, Portal, Portals};
use crate::{fault::Reason, ids::PortalId};

/// How often it is looked how portals are doing, however many ask.
pub const LOOK: Duration = Duration::from_secs(1);

/// Portals that are gone and still spoken of.
const GONE: usize = 1000;

/// A place between two changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Changes of another process have other numbers.
    life: u64,
    version: u64,
}

/// What became of a portal since some place.
#[derive(Debug, Clone)]
pub struct Change {
    /// The place behind it.
    pub place: Place,
    /// The portal.
    pub portal: PortalId,
    /// What changed.
    pub what: What,
    /// The portal as it is now; `None` when it is gone.
    pub now: Option<Portal>,
}

/// Kinds of changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct What {
    /// The application was installed.
    pub installed: bool,
    /// It is doing better or worse.
    pub state: bool,
    /// It has another address.
    pub moved: bool,
    /// It is gone.
    pub removed: bool,
}

/// What is kept of all portals.
#[derive(Debug)]
pub(super) struct Board(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    life: u64,
    version: u64,
    /// Changes up to here may be forgotten.
    floor: u64,
    looked: Option<Instant>,
    entries: BTreeMap<PortalId, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// As it was last seen; `None` when it is gone.
    seen: Option<Seen>,
    /// Numbers of the last changes.
    installed: u64,
    state: u64,
    moved: u64,
    removed: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    health: Health,
    reason: Option<Reason>,
    address: String,
    installed: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.life, self.version)
    }
}

impl FromStr for Place {
    type Err = crate::ids::Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (life, version) = text.split_once('-')?;
            Some(Self {
                life: u64::from_str_radix(life, 16).ok()?,
                version: version.parse().ok()?,
            })
        };
        read().ok_or(crate::ids::Invalid("is no cursor of this stream"))
    }
}

impl Default for Board {
    fn default() -> Self {
        Self(Mutex::new(Kept {
            life: getrandom::u64().unwrap_or_default(),
            version: 0,
            floor: 0,
            looked: None,
            entries: BTreeMap::new(),
        }))
    }
}

impl Portals {
    /// The place behind all changes of now.
    #[must_use]
    pub fn place(&self) -> Place {
        self.look().place()
    }

    /// Whether everything that changed since a place is known.
    #[must_use]
    pub fn knows(&self, place: Place) -> bool {
        let kept = self.look();
        place.life == kept.life && (kept.floor..=kept.version).contains(&place.version)
    }

    /// The next change after a place, of those portals that are wanted.
    pub fn change_after(
        &self,
        place: Place,
        mut wanted: impl FnMut(&PortalId) -> bool,
    ) -> Option<Change> {
        let kept = self.look();
        let changed = kept
            .entries
            .iter()
            .filter(|(_, entry)| entry.last() > place.version);
        let mut changed: Vec<_> = changed.map(|(id, entry)| (entry.last(), id)).collect();
        changed.sort_unstable();
        let (version, id) = changed.into_iter().find(|(_, id)| wanted(id))?;
        let id = id.clone();
        let what = kept.entries.get(&id)?.since(place.version);
        drop(kept);
        Some(Change {
            place: Place { version, ..place },
            now: self.get(&id).filter(|_| !what.removed),
            portal: id,
            what,
        })
    }

    fn look(&self) -> MutexGuard<'_, Kept> {
        // Outside of the lock: it asks every portal.
        let due = {
            let kept = self.0.board.kept();
            kept.looked.is_none_or(|at| at.elapsed() >= LOOK) || self.came_or_went(&kept)
        };
        let seen = due.then(|| self.list().iter().map(seen).collect::<BTreeMap<_, _>>());
        let mut kept = self.0.board.kept();
        if let Some(seen) = seen {
            kept.note(seen);
        }
        kept
    }

    fn came_or_went(&self, kept: &Kept) -> bool {
        let known = kept
            .entries
            .iter()
            .filter(|(_, entry)| entry.seen.is_some());
        !known
            .map(|(id, _)| id)
            .eq(self.list().iter().map(Portal::id))
    }
}

fn seen(portal: &Portal) -> (PortalId, Seen) {
    let state = portal.state();
    let seen = Seen {
        health: state.health,
        reason: state.reason,
        address: portal.addresses().0,
        installed: match portal.credential() {
            Credential::Webhook { .. } => true,
            Credential::OAuth { tokens, .. } => tokens.is_some(),
        },
    };
    (portal.id().clone(), seen)
}

impl Board {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn place(&self) -> Place {
        Place {
            life: self.life,
            version: self.version,
        }
    }

    fn note(&mut self, mut now: BTreeMap<PortalId, Seen>) {
        let first = self.looked.replace(Instant::now()).is_none();
        let version = &mut self.version;
        let mut next = || {
            *version += 1;
            *version
        };
        for (id, entry) in &mut self.entries {
            match (entry.seen.take(), now.remove(id)) {
                (None, None) => {}
                (Some(_), None) => entry.removed = next(),
                (None, Some(is)) => {
                    entry.installed = next();
                    entry.removed = 0;
                    entry.seen = Some(is);
                }
                (Some(was), Some(is)) => {
                    entry.compare(&was, &is, &mut next);
                    entry.seen = Some(is);
                }
            }
        }
        for (id, is) in now {
            let installed = if first { 0 } else { next() };
            let entry = Entry {
                seen: Some(is),
                installed,
                state: 0,
                moved: 0,
                removed: 0,
            };
            self.entries.insert(id, entry);
        }
        self.forget();
    }

    /// Who comes back after that long begins anew.
    fn forget(&mut self) {
        let gone = self.entries.iter().filter(|(_, it)| it.seen.is_none());
        let mut gone: Vec<_> = gone.map(|(id, it)| (it.removed, id.clone())).collect();
        let surplus = gone.len().saturating_sub(GONE);
        gone.sort_unstable();
        for (removed, id) in gone.into_iter().take(surplus) {
            self.entries.remove(&id);
            self.floor = self.floor.max(removed);
        }
    }
}

impl Entry {
    fn compare(&mut self, was: &Seen, is: &Seen, next: &mut impl FnMut() -> u64) {
        if is.installed && !was.installed {
            self.installed = next();
        }
        if (is.health, is.reason) != (was.health, was.reason) {
            self.state = next();
        }
        // That it has an address at all comes with the installation.
        if is.address != was.address && !was.address.is_empty() {
            self.moved = next();
        }
    }

    fn last(&self) -> u64 {
        let kinds = [self.installed, self.state, self.moved, self.removed];
        kinds.into_iter().max().unwrap_or_default()
    }

    fn since(&self, version: u64) -> What {
        if self.seen.is_none() {
            return What {
                removed: true,
                ..What::default()
            };
        }
        What {
            installed: self.installed > version,
            state: self.state > version,
            moved: self.moved > version,
            removed: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(health: Health, address: &str) -> Seen {
        Seen {
            health,
            reason: None,
            address: address.to_owned(),
            installed: true,
        }
    }

    fn all<'a>(portals: impl IntoIterator<Item = (&'a str, Seen)>) -> BTreeMap<PortalId, Seen> {
        let named = portals.into_iter();
        named
            .map(|(id, seen)| (id.parse().unwrap(), seen))
            .collect()
    }

    fn changes(kept: &Kept, after: u64) -> Vec<(String, What)> {
        let mut changed: Vec<_> = kept
            .entries
            .iter()
            .filter(|(_, entry)| entry.last() > after)
            .collect();
        changed.sort_by_key(|(_, entry)| entry.last());
        let told = changed.into_iter();
        told.map(|(id, entry)| (id.to_string(), entry.since(after)))
            .collect()
    }

    #[tokio::test]
    async fn many_changes_of_a_portal_are_one_to_who_looks_late() {
        let board = Board::default();
        let mut kept = board.kept();
        kept.note(all([
            ("a", seen(Health::Ok, "x")),
            ("b", seen(Health::Ok, "y")),
        ]));
        assert_eq!(kept.version, 0, "what is there at first is no change");
        for round in 0..100 {
            let health = [Health::Parked, Health::Ok][round % 2];
            kept.note(all([
                ("a", seen(health, "x")),
                ("b", seen(Health::Ok, "z")),
            ]));
        }
        let state = What {
            state: true,
            ..What::default()
        };
        let moved = What {
            moved: true,
            ..What::default()
        };
        let expected = [("b".to_owned(), moved), ("a".to_owned(), state)];
        assert_eq!(changes(&kept, 0), expected);
        let version = kept.version;
        assert!(changes(&kept, version).is_empty());
        kept.note(all([
            ("b", seen(Health::Ok, "z")),
            ("c", seen(Health::Ok, "z")),
        ]));
        let removed = What {
            removed: true,
            ..What::default()
        };
        let installed = What {
            installed: true,
            ..What::default()
        };
        let expected = [("a".to_owned(), removed), ("c".to_owned(), installed)];
        assert_eq!(changes(&kept, version), expected);
    }

    #[tokio::test]
    async fn portals_that_are_gone_are_not_kept_for_ever() {
        let board = Board::default();
        let mut kept = board.kept();
        kept.note(BTreeMap::new());
        for number in 0..GONE + 10 {
            let id = format!("p{number}");
            kept.note(all([(id.as_str(), seen(Health::Ok, "x"))]));
        }
        kept.note(BTreeMap::new());
        assert_eq!(kept.entries.len(), GONE);
        assert!(kept.floor > 0 && kept.floor < kept.version);
    }

    #[test]
    fn place_is_read_as_it_is_written() {
        let place = Place {
            life: 7,
            version: 42,
        };
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in ["", "-", "7", "x-1", "1-x"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
