//! Chance that comes again: the same seed rolls the same numbers.

use std::time::Duration;

/// SplitMix64: small, and good enough to choose tests by.
pub(super) struct Dice(u64);

impl Dice {
    /// Dice of their own for each part of a run.
    pub(super) fn of(seed: u64, part: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ part);
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 0 and more, but less than `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from(self.next() % end).unwrap()
    }

    /// True in so many of a hundred cases.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Between two times in milliseconds; each doubling is as likely as the next.
    pub(super) fn millis(&mut self, least: u64, most: u64) -> Duration {
        let mut end = least;
        let mut ends = vec![end];
        while end < most {
            end = (end * 2).min(most);
            ends.push(end);
        }
        let step = self.below(ends.len().saturating_sub(1).max(1));
        let (from, to) = (ends[step], ends[(step + 1).min(ends.len() - 1)]);
        Duration::from_millis(from + self.next() % (to - from + 1))
    }
}
