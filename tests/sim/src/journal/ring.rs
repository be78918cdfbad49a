//! The last entries of a kind, numbered from 0 on; a number stays when older entries go.

use std::collections::VecDeque;

/// Keeps as many entries as it may.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    entries: VecDeque<T>,
    /// The number of the oldest entry kept.
    first: u64,
    capacity: usize,
}

impl<T> Ring<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            capacity,
        }
    }

    /// Appends, and says whether something had to go for it.
    pub(super) fn push(&mut self, entry: T) -> bool {
        self.entries.push_back(entry);
        let full = self.entries.len() > self.capacity;
        if full {
            self.entries.pop_front();
            self.first += 1;
        }
        full
    }

    pub(super) fn clear(&mut self) {
        self.first = self.next();
        self.entries.clear();
    }

    /// The number that the next entry will have.
    pub(crate) fn next(&self) -> u64 {
        self.first + u64::try_from(self.entries.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        let at = number.checked_sub(self.first)?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.entries.iter()
    }

    /// Entries from this number on, with their numbers.
    pub(crate) fn since(&self, number: u64) -> impl Iterator<Item = (u64, &T)> {
        let skipped = number.saturating_sub(self.first);
        let numbers = self.first.max(number)..;
        let kept = self.entries.iter();
        numbers.zip(kept.skip(usize::try_from(skipped).unwrap_or(usize::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_when_older_entries_go() {
        let mut ring = Ring::new(2);
        assert_eq!(
            [ring.push('a'), ring.push('b'), ring.push('c')],
            [false, false, true]
        );
        assert_eq!(
            (ring.get(0), ring.get(1), ring.next()),
            (None, Some(&'b'), 3)
        );
        let since = |ring: &Ring<char>, number| -> Vec<(u64, char)> {
            ring.since(number).map(|(n, entry)| (n, *entry)).collect()
        };
        assert_eq!(since(&ring, 0), [(1, 'b'), (2, 'c')]);
        assert_eq!(since(&ring, 2), [(2, 'c')]);
        assert_eq!(since(&ring, 9), []);
        ring.clear();
        ring.push('d');
        assert_eq!(since(&ring, 0), [(3, 'd')]);
    }
}
