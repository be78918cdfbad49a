//! Collects the broken rules of one request.
//!
//! Everything that can be judged without the portal is judged here, all of it before the first call
//! is spent, so that a caller learns of every mistake at once.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use crate::{fault::Violation, grpc::status::Refusal};

/// Longest key of a call.
pub(in crate::grpc) const KEY_BYTES: usize = 128;

/// The broken rules found so far.
#[derive(Debug, Default)]
pub(crate) struct Check {
    violations: Vec<Violation>,
}

impl Check {
    /// Notes a broken rule.
    pub(crate) fn broken(&mut self, field: &str, rule: impl Display) {
        self.violations
            .push(Violation::new(field, rule.to_string()));
    }

    /// Parses a name; `None` when it breaks its rule, which is noted.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        field: &str,
        text: &str,
    ) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(rule) => {
                self.broken(field, rule);
                None
            }
        }
    }

    /// A Bitrix24 id.
    pub(crate) fn id(&mut self, field: &str, id: i64) {
        if id <= 0 {
            self.broken(field, "must be a Bitrix24 id, which is greater than 0");
        }
    }

    /// A number of a range; 0 stands for none.
    pub(crate) fn number(
        &mut self,
        field: &str,
        number: i64,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        if number == 0 {
            return None;
        }
        if !range.contains(&number) {
            let (from, to) = (range.start(), range.end());
            self.broken(field, format!("must be {from} to {to}"));
            return None;
        }
        Some(number)
    }

    /// A text that may not be longer.
    pub(crate) fn at_most(&mut self, field: &str, text: &str, characters: usize) {
        // A text of fewer bytes cannot have more characters.
        if text.len() > characters {
            let actual = text.chars().count();
            if actual > characters {
                self.broken(
                    field,
                    format!("must be at most {characters} characters, has {actual}"),
                );
            }
        }
    }

    /// A key that makes a call safe to repeat; empty for none.
    pub(crate) fn idempotency_key(&mut self, key: &str) {
        if key.len() > KEY_BYTES || key.contains(char::is_control) {
            self.broken(
                "idempotency_key",
                format!("must be at most {KEY_BYTES} bytes without control characters"),
            );
        }
    }

    /// An enum that came over the wire, which may hold any number.
    pub(crate) fn known<E: TryFrom<i32>>(&mut self, field: &str, number: i32) -> Option<E> {
        let known = E::try_from(number).ok();
        if known.is_none() {
            self.broken(field, format!("{number} is not a value of this enum"));
        }
        known
    }

    /// The value if nothing was broken.
    pub(crate) fn done<T>(self, value: Option<T>) -> Result<T, Refusal> {
        match value {
            Some(value) if self.violations.is_empty() => Ok(value),
            _ => Err(Refusal::Invalid(self.violations)),
        }
    }
}
