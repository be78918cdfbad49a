//! Forms with PHP's brackets: `fields[title][en]=Help`, `userIds[0]=1`.
//!
//! We write them where JSON does not do (one method, and the entries of a batch) and read them where
//! the portal calls us. Reading is open to anyone on the internet, so it is bounded in length, number
//! and depth, and does no work that grows faster than the body.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

/// The longest body we read, in bytes.
pub const LONGEST: usize = 1 << 20;
/// The most pairs we read.
pub const MOST_PAIRS: usize = 10_000;
/// The deepest nesting we read; `a[b]` is 2 deep.
pub const DEEPEST: usize = 16;

/// How a truth is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Booleans {
    /// `Y` and `N`.
    YesNo,
    /// `1` and `0`.
    OneZero,
}

/// Something a form cannot say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsayable {
    /// A null: an absent key is the nearest, and that is something else.
    #[error("a form cannot say that `{path}` is null")]
    Null {
        /// Where, e.g. `fields[title][en]`.
        path: String,
    },
    /// An empty list or map.
    #[error("a form cannot say that `{path}` is empty")]
    Empty {
        /// Where.
        path: String,
    },
}

/// A form beyond what we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// Longer than [`LONGEST`].
    #[error("the form is longer than {LONGEST} bytes")]
    Bytes,
    /// More pairs than [`MOST_PAIRS`].
    #[error("the form has more than {MOST_PAIRS} fields")]
    Pairs,
    /// Nested deeper than [`DEEPEST`].
    #[error("the form is nested deeper than {DEEPEST}")]
    Depth,
}

/// Everything but the characters that no reader of a form minds.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Writes members as `key=value&…`, every key and value percent-encoded, a space as `%20`.
///
/// # Errors
/// Names the first member that a form cannot say.
pub fn encode(members: &Map<String, Value>, booleans: Booleans) -> Result<String, Unsayable> {
    let mut writer = Writer {
        out: String::new(),
        booleans,
    };
    for (name, value) in members {
        writer.write(name.clone(), value)?;
    }
    Ok(writer.out)
}

struct Writer {
    out: String,
    booleans: Booleans,
}

impl Writer {
    fn write(&mut self, path: String, value: &Value) -> Result<(), Unsayable> {
        match value {
            Value::Null => return Err(Unsayable::Null { path }),
            Value::Bool(truth) => {
                let word = match (self.booleans, truth) {
                    (Booleans::YesNo, true) => "Y",
                    (Booleans::YesNo, false) => "N",
                    (Booleans::OneZero, true) => "1",
                    (Booleans::OneZero, false) => "0",
                };
                self.pair(&path, word);
            }
            Value::Number(number) => self.pair(&path, &number.to_string()),
            Value::String(text) => self.pair(&path, text),
            Value::Array(items) if items.is_empty() => return Err(Unsayable::Empty { path }),
            Value::Object(members) if members.is_empty() => return Err(Unsayable::Empty { path }),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.write(format!("{path}[{index}]"), item)?;
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    self.write(format!("{path}[{name}]"), member)?;
                }
            }
        }
        Ok(())
    }

    fn pair(&mut self, path: &str, value: &str) {
        if !self.out.is_empty() {
            self.out.push('&');
        }
        self.out.extend(utf8_percent_encode(path, ESCAPED));
        self.out.push('=');
        self.out.extend(utf8_percent_encode(value, ESCAPED));
    }
}

/// Reads a form the way PHP does: the last of equal keys wins, `a[]` appends, and a map whose keys are
/// 0..n is a list. All values are strings; what is not UTF-8 is replaced.
///
/// # Errors
/// When the form goes beyond our bounds.
pub fn decode(body: &[u8]) -> Result<Value, TooMuch> {
    if body.len() > LONGEST {
        return Err(TooMuch::Bytes);
    }
    let mut root = Branch::default();
    for (count, (key, text)) in form_urlencoded::parse(body).enumerate() {
        if count == MOST_PAIRS {
            return Err(TooMuch::Pairs);
        }
        if !key.is_empty() {
            root.insert(&key, text.into_owned())?;
        }
    }
    // Only what is inside can be a list: the form itself is always named fields.
    Ok(Value::Object(
        root.children
            .into_iter()
            .map(|(key, node)| (key, node.into_value()))
            .collect(),
    ))
}

enum Node {
    Leaf(String),
    Branch(Branch),
}

#[derive(Default)]
struct Branch {
    children: BTreeMap<String, Node>,
    /// The index that `a[]` gets next.
    next: u64,
}

impl Branch {
    fn insert(&mut self, key: &str, text: String) -> Result<(), TooMuch> {
        let (name, mut rest) = split(key);
        let mut branch = self;
        let mut name = name.to_owned();
        for _ in 0..DEEPEST {
            let Some((inner, after)) = bracket(rest) else {
                let name = branch.claim(name);
                branch.children.insert(name, Node::Leaf(text));
                return Ok(());
            };
            let name_here = branch.claim(name);
            let node = branch
                .children
                .entry(name_here)
                .or_insert_with(|| Node::Branch(Self::default()));
            if matches!(node, Node::Leaf(_)) {
                *node = Node::Branch(Self::default());
            }
            let Node::Branch(child) = node else {
                return Ok(());
            };
            branch = child;
            name = inner.to_owned();
            rest = after;
        }
        Err(TooMuch::Depth)
    }

    /// The key for a name: an empty one takes the next free index.
    fn claim(&mut self, name: String) -> String {
        if name.is_empty() {
            let index = self.next;
            self.next = index.saturating_add(1);
            return index.to_string();
        }
        if let Some(index) = index(&name) {
            self.next = self.next.max(index.saturating_add(1));
        }
        name
    }
}

impl Node {
    fn into_value(self) -> Value {
        let mut children = match self {
            Self::Leaf(text) => return Value::String(text),
            Self::Branch(branch) => branch.children,
        };
        let count = children.len();
        if (0..count).all(|index| children.contains_key(&index.to_string())) {
            let items = (0..count).filter_map(|index| children.remove(&index.to_string()));
            return Value::Array(items.map(Self::into_value).collect());
        }
        let members = children.into_iter();
        Value::Object(
            members
                .map(|(key, node)| (key, node.into_value()))
                .collect(),
        )
    }
}

/// The name before the first bracket, and the rest. A bracket that opens the key, or is never closed,
/// is a part of the name.
fn split(key: &str) -> (&str, &str) {
    let found = key.find('[');
    #[cfg(test)]
    note_work(found.unwrap_or(key.len()));
    match found {
        Some(at) if at > 0 && bracket(&key[at..]).is_some() => key.split_at(at),
        _ => (key, ""),
    }
}

/// The name in the bracket that `rest` opens with, and what follows. Like PHP we ignore what follows
/// unless it is another bracket.
fn bracket(rest: &str) -> Option<(&str, &str)> {
    let inside = rest.strip_prefix('[')?;
    let closed = inside.split_once(']');
    #[cfg(test)]
    note_work(closed.map_or(inside.len(), |(name, _)| name.len() + 1));
    closed
}

/// A number written as PHP writes the index of a list.
fn index(name: &str) -> Option<u64> {
    let plain = name == "0" || !name.starts_with(['0', '+']);
    name.parse().ok().filter(|_| plain)
}

#[cfg(test)]
thread_local! {
    /// Bytes of keys that were looked at.
    static WORK: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
pub(super) fn work() -> usize {
    WORK.get()
}

/// Bytes were looked at. A test counts them: a clock would measure the machine.
#[cfg(test)]
fn note_work(bytes: usize) {
    WORK.set(WORK.get() + bytes);
}

#[cfg(test)]
mod tests;
