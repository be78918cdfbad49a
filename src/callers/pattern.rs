//! Names an operator lists: exact ones, and beginnings with `*`.

use std::collections::BTreeSet;

/// A list of names, made ready to be asked many times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns {
    exact: BTreeSet<Box<str>>,
    beginnings: Vec<Box<str>>,
}

impl Patterns {
    /// Reads a list; an entry is a name, a beginning followed by `*`, or `*` for all.
    ///
    /// # Errors
    ///
    /// The first entry that is neither.
    pub fn new<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut patterns = Self::default();
        for entry in list {
            let (text, open) = match entry.strip_suffix('*') {
                Some(beginning) => (beginning, true),
                None => (entry, false),
            };
            let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if !text.bytes().all(named) || entry.is_empty() || text.len() > 64 {
                return Err(entry.to_owned());
            }
            if open {
                patterns.beginnings.push(text.into());
            } else {
                patterns.exact.insert(text.into());
            }
        }
        Ok(patterns)
    }

    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self {
            exact: BTreeSet::new(),
            beginnings: vec!["".into()],
        }
    }

    /// Whether a name stands in the list as it is.
    #[must_use]
    pub fn lists(&self, name: &str) -> bool {
        self.exact.contains(name)
    }

    /// Whether a name is in the list.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.exact.contains(name)
            || self
                .beginnings
                .iter()
                .any(|beginning| name.starts_with(&**beginning))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_listed_exactly_by_its_beginning_or_among_all() {
        let some = Patterns::new(["acme", "support_*"]).unwrap();
        for (name, listed) in [
            ("acme", true),
            ("acm", false),
            ("acme2", false),
            ("support_", true),
            ("support_bot", true),
            ("support", false),
            ("Acme", false),
            ("", false),
        ] {
            assert_eq!(some.has(name), listed, "{name}");
        }
        assert!(Patterns::new(["*"]).unwrap().has("anything"));
        assert!(Patterns::all().has("anything"));
        assert!(!Patterns::default().has("anything"));
    }

    #[test]
    fn star_stands_only_at_the_end() {
        for wrong in ["", "a*b", "*a", "**", "a b", "ä", &"a".repeat(65)] {
            assert_eq!(Patterns::new([wrong]).unwrap_err(), wrong);
        }
    }
}
