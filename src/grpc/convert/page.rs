//! Pages of lists.
//!
//! A token is the key of the last item given, so items that come or go in between move nothing.

use super::check::Check;
use crate::grpc::status::Refusal;

/// Which page is asked for.
#[derive(Debug)]
pub(in crate::grpc) struct Page {
    size: usize,
    after: Option<String>,
}

impl Page {
    /// The page of a request that says nothing else.
    pub(in crate::grpc) fn of(size: i32, token: &str) -> Result<Self, Refusal> {
        let mut check = Check::default();
        let page = Self::parse(&mut check, size, token);
        check.done(page)
    }

    pub(super) fn parse(check: &mut Check, size: i32, token: &str) -> Option<Self> {
        let size = match size {
            0 => Some(100),
            1..=1000 => usize::try_from(size).ok(),
            _ => {
                check.broken("page_size", "must be 0 to 1000");
                None
            }
        };
        let after = match token.strip_prefix("after:") {
            _ if token.is_empty() => None,
            Some(key) => Some(key.to_owned()),
            None => {
                check.broken("page_token", "is not a `next_page_token` of this list");
                None
            }
        };
        size.map(|size| Self { size, after })
    }

    /// The items of this page and the token of the next, of a list in order of its keys.
    pub(in crate::grpc) fn cut<T>(
        &self,
        items: Vec<T>,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, String) {
        let later = |item: &T| self.after.as_ref().is_none_or(|after| key(item) > *after);
        let mut items: Vec<_> = items.into_iter().filter(later).collect();
        let more = items.len() > self.size;
        items.truncate(self.size);
        let next = items
            .last()
            .filter(|_| more)
            .map(|last| format!("after:{}", key(last)));
        (items, next.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_end() {
        let items = || vec!["a", "b", "c", "d", "e"];
        let mut token = String::new();
        let mut seen = Vec::new();
        loop {
            let page = Page::parse(&mut Check::default(), 2, &token).unwrap();
            let (some, next) = page.cut(items(), ToString::to_string);
            seen.extend(some);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, items());
    }

    #[test]
    fn page_size_and_token_are_checked() {
        for (size, token) in [(-1, ""), (1001, ""), (0, "nonsense")] {
            let mut check = Check::default();
            let page = Page::parse(&mut check, size, token);
            assert!(check.done(page).is_err(), "{size} {token}");
        }
    }
}
