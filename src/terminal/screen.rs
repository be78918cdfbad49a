//! What appears at the terminal: lines on standard output, notes on standard error, nothing that would move
//! the cursor or turn the direction of writing.

use std::io::{self, IsTerminal as _, Write as _};

/// Why a line was not written.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// Whoever read it has gone, which ends the work and is no failure.
    #[error("nobody reads the output any more")]
    Closed,
    /// It cannot be.
    #[error("the output cannot be written: {0}; look whether its disk is full")]
    Failed(#[source] io::Error),
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// Beside the point.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// To be found at a glance.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Standard output and standard error.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    colours: bool,
}

impl Screen {
    /// With colours, if they are wanted, on whatever is a terminal.
    #[must_use]
    pub const fn new(colours: bool) -> Self {
        Self { colours }
    }

    /// How lines are painted.
    #[must_use]
    pub fn paint(self) -> Paint {
        Paint(self.colours && self.is_read_by_people())
    }

    /// Whether lines go to a terminal.
    #[must_use]
    pub fn is_read_by_people(self) -> bool {
        io::stdout().is_terminal()
    }

    /// Writes a line of what was asked for, at once.
    ///
    /// # Errors
    ///
    /// Nobody reads it any more, or it cannot be written.
    pub fn line(self, text: &str) -> Result<(), Unwritten> {
        let mut out = io::stdout().lock();
        let written = writeln!(out, "{text}").and_then(|()| out.flush());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Unwritten::Closed,
            _ => Unwritten::Failed(error),
        })
    }

    /// Writes a line about how it goes.
    pub fn note(self, text: &str) {
        Self::told(&format!("bitrix24-gateway: {text}"));
    }

    /// Writes a line to standard error as it is.
    pub fn told(text: &str) {
        // Nobody is left to be told when even this cannot be written.
        let _written = writeln!(io::stderr(), "{text}");
    }
}

/// The longest text that is shown of what people wrote, characters.
const LONGEST: usize = 200;

/// A text of somebody else in one line: cut, and with escapes for what a terminal would obey.
#[must_use]
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => escaped(&text[..end]) + "…",
        None => escaped(text),
    }
}

/// The same, not cut.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if is_obeyed(c) => escaped.extend(c.escape_unicode()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// JSON that means the same and holds nothing that a terminal would obey. Such characters stand in texts only,
/// apart from the line ends of the indented form.
pub(super) fn escaped_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_obeyed(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Control characters, ends of lines that are not `\n`, what changes the direction of writing, and what is
/// not to be seen at all.
const fn is_obeyed(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        for (text, says) in [
            ("two\nlines\ttab\r", "two\\nlines\\ttab\\r"),
            ("\x1b[31mred", "\\u{1b}[31mred"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\u{202e}b\u{2066}c", "a\\u{202e}b\\u{2066}c"),
            ("\u{e0041}", "\\u{e0041}"),
            ("Привет, Grüße, 👍", "Привет, Grüße, 👍"),
        ] {
            assert_eq!(shown(text), says);
        }
        let long = "x".repeat(201);
        assert_eq!(shown(&long), format!("{}…", "x".repeat(200)));
    }

    #[test]
    fn escaped_json_means_the_same() {
        let text = "a\u{202e}b\u{9b}c\u{e0041}d\x1b\u{7f}";
        let json = serde_json::to_string(text).unwrap();
        let escaped = escaped_json(&json);
        assert!(!escaped.chars().any(is_obeyed), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }

    #[test]
    fn paint_is_left_out_where_nobody_wants_it() {
        assert_eq!(Paint(false).bold("x"), "x");
        assert_eq!(Paint(true).dim("x"), "\x1b[2mx\x1b[0m");
    }
}
