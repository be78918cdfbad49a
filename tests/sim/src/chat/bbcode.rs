//! BB codes as nodes that a page can show without ever reading HTML (C15.3).
//!
//! One pass over the text, with a stack of what is open. Whatever is not a code, or was never closed,
//! stays the text that it is. Work grows with the length of the text, and nesting is bounded.

mod nodes;
mod scan;

pub(super) use self::nodes::Node;
use self::nodes::{Tag, linked, push_text};
use self::scan::Scan;
use super::colour;
use super::label::{label, link};

/// Codes open at once; further ones are text.
const DEEPEST: usize = 24;
/// Longest name of a person, chat or file in a code, in bytes.
const LONGEST_ID: usize = 40;
/// The last second of the year 9999.
const LATEST: i64 = 253_402_300_799;

/// What a text shows. Links of the form `/relative` lead to `base`.
pub(super) fn parse(text: &str, base: &str) -> Vec<Node> {
    let mut parser = Parser {
        text,
        base,
        scan: Scan::of(text),
        pending: 0,
        stack: Vec::new(),
        shown: Vec::new(),
    };
    parser.run();
    parser.shown
}

/// Something that was opened.
struct Frame<'a> {
    tag: Tag,
    /// As it was written, for when it is never closed.
    source: &'a str,
    inside: Vec<Node>,
}

struct Parser<'a> {
    text: &'a str,
    base: &'a str,
    scan: Scan<'a>,
    /// Where the text begins that no node shows yet.
    pending: usize,
    stack: Vec<Frame<'a>>,
    shown: Vec<Node>,
}

impl<'a> Parser<'a> {
    fn run(&mut self) {
        let mut at = 0;
        let mut line_begins = true;
        while at < self.text.len() {
            if line_begins {
                let begun = at;
                at = self.begin_line(at);
                line_begins = at > begun && self.text.as_bytes().get(at - 1) == Some(&b'\n');
                continue;
            }
            let rest = self.text.get(at..).unwrap_or_default();
            let Some(found) = rest.find(['[', '\n']) else {
                break;
            };
            at += found;
            if rest.as_bytes().get(found) == Some(&b'\n') {
                line_begins = true;
                at += 1;
            } else {
                at = self.code(at).unwrap_or(at + 1);
            }
        }
        self.flush(self.text.len());
        while let Some(frame) = self.stack.last() {
            match frame.tag.is_quote() {
                true => self.close(),
                false => self.give_up(),
            }
        }
    }

    /// Shows the text up to here.
    fn flush(&mut self, to: usize) {
        let text = self.text.get(self.pending..to).unwrap_or_default();
        self.pending = to;
        if self.is_interactive() {
            push_text(self.inside(), text);
        } else {
            let nodes = linked(text, self.base);
            self.inside().extend(nodes);
        }
    }

    fn inside(&mut self) -> &mut Vec<Node> {
        match self.stack.last_mut() {
            Some(frame) => &mut frame.inside,
            None => &mut self.shown,
        }
    }

    /// Whether something is open that can be pressed; nothing that can be pressed goes into it.
    fn is_interactive(&self) -> bool {
        self.stack.iter().any(|frame| frame.tag.is_interactive())
    }

    fn open(&mut self, tag: Tag, at: usize, end: usize) -> Option<usize> {
        if self.stack.len() >= DEEPEST {
            return None;
        }
        self.flush(at);
        self.pending = end;
        self.stack.push(Frame {
            tag,
            source: self.text.get(at..end).unwrap_or_default(),
            inside: Vec::new(),
        });
        Some(end)
    }

    /// Ends the innermost frame as what it is.
    fn close(&mut self) {
        if let Some(frame) = self.stack.pop() {
            self.inside().push(frame.tag.node(frame.inside));
        }
    }

    /// Ends the innermost frame as the text it turned out to be.
    fn give_up(&mut self) {
        if let Some(frame) = self.stack.pop() {
            push_text(self.inside(), frame.source);
            for node in frame.inside {
                match node {
                    Node::Text { text } => push_text(self.inside(), &text),
                    node => self.inside().push(node),
                }
            }
        }
    }

    /// Ends everything down to this depth, and what stands there properly.
    fn close_down_to(&mut self, depth: usize) {
        while self.stack.len() > depth + 1 {
            self.give_up();
        }
        self.close();
    }

    /// Quotes begin and end with lines. Where the line itself begins.
    fn begin_line(&mut self, at: usize) -> usize {
        let line = self.text.get(at..).unwrap_or_default();
        let quote = self.stack.iter().rposition(|frame| frame.tag == Tag::Quote);
        match (line.strip_prefix(">>"), quote) {
            (Some(rest), open) => {
                let end = self.text.len() - rest.strip_prefix(' ').unwrap_or(rest).len();
                if open.is_none() {
                    return self.open(Tag::Quote, at, end).unwrap_or(end);
                }
                self.flush(at);
                self.pending = end;
                return end;
            }
            (None, Some(depth)) => {
                self.flush(at);
                self.close_down_to(depth);
            }
            (None, None) => {}
        }
        let Some(end) = self.scan.dashes_end(at) else {
            return at;
        };
        let long = self
            .stack
            .iter()
            .rposition(|frame| frame.tag == Tag::LongQuote);
        match long {
            Some(depth) => {
                self.flush(at);
                self.close_down_to(depth);
                self.pending = end;
                end
            }
            None if self.scan.dashes_after(at) => self.open(Tag::LongQuote, at, end).unwrap_or(at),
            None => at,
        }
    }

    /// The code that begins here: what follows it, or `None` when it is none.
    fn code(&mut self, at: usize) -> Option<usize> {
        let bracket = self.scan.bracket(at)?;
        let end = bracket + 1;
        let inner = self.text.get(at + 1..bracket)?;
        if let Some(name) = inner.strip_prefix('/') {
            return self.ending(name, at, end);
        }
        let letters = inner.bytes().take_while(u8::is_ascii_alphabetic).take(10);
        let (name, rest) = inner.split_at(letters.count());
        let value = match rest.bytes().next() {
            None => None,
            Some(b'=') => Some(&rest[1..]),
            Some(b' ') => Some(rest),
            Some(_) => return None,
        };
        let name = name.to_ascii_lowercase();
        match (name.as_str(), value) {
            ("b", None) => self.open(Tag::Bold, at, end),
            ("i", None) => self.open(Tag::Italic, at, end),
            ("u", None) => self.open(Tag::Underlined, at, end),
            ("s", None) => self.open(Tag::Struck, at, end),
            ("size", Some(value)) => {
                let pixels = value
                    .parse()
                    .ok()
                    .filter(|pixels| (8..=30).contains(pixels))?;
                self.open(Tag::Size(pixels), at, end)
            }
            ("color", Some(value)) => self.open(Tag::Coloured(colour::parsed(value)?), at, end),
            ("url", Some(value)) if !self.is_interactive() => {
                self.open(Tag::Link(link(value, self.base)?), at, end)
            }
            ("user" | "chat" | "context", Some(value)) => {
                let id = value.split(' ').next().filter(|id| is_id(id))?;
                self.open(Tag::Mention(name, id.to_owned()), at, end)
            }
            ("put" | "send" | "call", Some(value)) if !self.is_interactive() => {
                self.open(Tag::Action(name, value.to_owned()), at, end)
            }
            ("url" | "put" | "send" | "call" | "code", None) | ("img", _) => {
                self.whole(&name, at, end)
            }
            (_, value) => {
                let node = single(&name, value, self.base)?;
                self.put(node, at, end)
            }
        }
    }

    /// Shows a node in place of the text from `at` to `end`.
    fn put(&mut self, node: Node, at: usize, end: usize) -> Option<usize> {
        self.flush(at);
        self.pending = end;
        match node {
            Node::Text { text } => push_text(self.inside(), &text),
            node => self.inside().push(node),
        }
        Some(end)
    }

    /// The end of a code that was opened since the last quote began.
    fn ending(&mut self, name: &str, at: usize, end: usize) -> Option<usize> {
        let depth = self
            .stack
            .iter()
            .rposition(|frame| frame.tag.is_quote() || frame.tag.ends_with(name))?;
        if self.stack.get(depth)?.tag.is_quote() {
            return None;
        }
        self.flush(at);
        self.close_down_to(depth);
        self.pending = end;
        Some(end)
    }

    /// A code whose inside is one value, and not parsed.
    fn whole(&mut self, name: &str, at: usize, begin: usize) -> Option<usize> {
        if name != "code" && self.is_interactive() {
            return None;
        }
        let closing = self.scan.closing(name, begin)?;
        let inside = self.text.get(begin..closing)?;
        let end = closing + name.len() + 3;
        let trimmed = inside.trim();
        let text = || Node::Text {
            text: trimmed.to_owned(),
        };
        let node = match name {
            "code" => Node::Code {
                text: inside.trim_matches('\n').to_owned(),
            },
            "img" => Node::Picture {
                to: link(trimmed, self.base)?,
                name: String::new(),
            },
            "url" => Node::Link {
                to: link(trimmed, self.base)?,
                inside: vec![text()],
            },
            _ if trimmed.is_empty() => return None,
            _ => Node::Action {
                does: name.to_owned(),
                value: trimmed.to_owned(),
                inside: vec![text()],
            },
        };
        self.put(node, at, end)
    }
}

/// A code that stands alone.
fn single(name: &str, value: Option<&str>, base: &str) -> Option<Node> {
    match (name, value) {
        ("br", None) => Some(Node::Text { text: "\n".into() }),
        ("icon", Some(value)) => {
            let (to, more) = value.split_once(' ').unwrap_or((value, ""));
            let title = more.split_once("title=").map_or("", |(_, title)| title);
            Some(Node::Picture {
                to: link(to, base)?,
                name: label(title),
            })
        }
        ("timestamp", Some(value)) => {
            let at = value.split(' ').next()?.parse().ok()?;
            (0..=LATEST).contains(&at).then_some(Node::Time { at })
        }
        ("disk", Some(id)) if is_id(id) => Some(Node::File { id: id.to_owned() }),
        _ => None,
    }
}

/// `5`, `all`, `chat1/2`, `imol|7`.
fn is_id(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"|/_-".contains(&byte);
    !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(fits)
}

#[cfg(test)]
mod tests;
