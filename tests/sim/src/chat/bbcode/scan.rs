//! Looking ahead without looking at anything twice.

/// Dashes that make a line the border of a long quote, at least.
const DASHES: usize = 6;

/// A text, and what is known of what comes. Every question is asked for growing positions.
pub(super) struct Scan<'a> {
    text: &'a str,
    /// The next `]` from some position on; `None` once there is none.
    bracket: Option<usize>,
    /// The next end of each code that was looked for.
    closings: Vec<(String, Option<usize>)>,
    /// Lines of dashes: where they begin, and where the next line does.
    dashes: Vec<(usize, usize)>,
}

impl<'a> Scan<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut dashes = Vec::new();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let bare = line.trim_end();
            if bare.len() >= DASHES && bare.bytes().all(|byte| byte == b'-') {
                dashes.push((at, at + line.len()));
            }
            at += line.len();
        }
        Self {
            text,
            bracket: text.find(']'),
            closings: Vec::new(),
            dashes,
        }
    }

    /// Where the next `]` stands.
    pub(super) fn bracket(&mut self, from: usize) -> Option<usize> {
        if self.bracket.is_some_and(|known| known < from) {
            self.bracket = find(self.text, from, |rest| rest.find(']'));
        }
        self.bracket
    }

    /// Where the next `[/name]` begins, in whatever case.
    pub(super) fn closing(&mut self, name: &str, from: usize) -> Option<usize> {
        let known = self.closings.iter().position(|(known, _)| known == name);
        let index = known.unwrap_or(self.closings.len());
        if known.is_none() {
            let first = ending(self.text, from, name);
            self.closings.push((name.to_owned(), first));
        }
        let (_, closing) = self.closings.get_mut(index)?;
        if closing.is_some_and(|known| known < from) {
            *closing = ending(self.text, from, name);
        }
        *closing
    }

    /// The end of the line of dashes that begins here, if one does.
    pub(super) fn dashes_end(&self, at: usize) -> Option<usize> {
        let index = self.dashes.binary_search_by_key(&at, |(begin, _)| *begin);
        Some(self.dashes.get(index.ok()?)?.1)
    }

    /// Whether another line of dashes follows.
    pub(super) fn dashes_after(&self, at: usize) -> bool {
        self.dashes.last().is_some_and(|(begin, _)| *begin > at)
    }
}

fn find(text: &str, from: usize, seek: impl Fn(&str) -> Option<usize>) -> Option<usize> {
    seek(text.get(from..)?).map(|found| from + found)
}

fn ending(text: &str, from: usize, name: &str) -> Option<usize> {
    let is_name = |rest: &str| {
        let own = rest.get(..name.len());
        own.is_some_and(|own| own.eq_ignore_ascii_case(name)) && rest[name.len()..].starts_with(']')
    };
    let mut at = from;
    while let Some(found) = find(text, at, |rest| rest.find("[/")) {
        at = found + 2;
        if text.get(at..).is_some_and(is_name) {
            return Some(found);
        }
    }
    None
}
