//! What a text consists of, and what may be open while it is read.

use serde::Serialize;

use crate::chat::label::link;

/// A piece of what a text shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(in crate::chat) enum Node {
    Text {
        text: String,
    },
    Bold {
        inside: Vec<Node>,
    },
    Italic {
        inside: Vec<Node>,
    },
    Underlined {
        inside: Vec<Node>,
    },
    Struck {
        inside: Vec<Node>,
    },
    Size {
        pixels: u8,
        inside: Vec<Node>,
    },
    Coloured {
        colour: String,
        inside: Vec<Node>,
    },
    Link {
        to: String,
        inside: Vec<Node>,
    },
    /// A person, a chat, or a message in a chat.
    Mention {
        what: String,
        id: String,
        inside: Vec<Node>,
    },
    /// Something to press: `put`, `send` or `call`.
    Action {
        does: String,
        value: String,
        inside: Vec<Node>,
    },
    Code {
        text: String,
    },
    Picture {
        to: String,
        name: String,
    },
    /// Seconds since 1970.
    Time {
        at: i64,
    },
    File {
        id: String,
    },
    Quote {
        inside: Vec<Node>,
    },
}

/// A code that has an inside, or a quote.
#[derive(Debug, PartialEq)]
pub(super) enum Tag {
    Bold,
    Italic,
    Underlined,
    Struck,
    Size(u8),
    Coloured(String),
    Link(String),
    Mention(String, String),
    Action(String, String),
    Quote,
    LongQuote,
}

impl Tag {
    pub(super) fn is_quote(&self) -> bool {
        matches!(self, Self::Quote | Self::LongQuote)
    }

    pub(super) fn is_interactive(&self) -> bool {
        matches!(self, Self::Link(_) | Self::Action(..))
    }

    /// Whether a code is ended by this name, in whatever case.
    pub(super) fn ends_with(&self, name: &str) -> bool {
        let own = match self {
            Self::Bold => "b",
            Self::Italic => "i",
            Self::Underlined => "u",
            Self::Struck => "s",
            Self::Size(_) => "size",
            Self::Coloured(_) => "color",
            Self::Link(_) => "url",
            Self::Mention(own, _) | Self::Action(own, _) => own,
            Self::Quote | Self::LongQuote => return false,
        };
        own.eq_ignore_ascii_case(name)
    }

    pub(super) fn node(self, inside: Vec<Node>) -> Node {
        match self {
            Self::Bold => Node::Bold { inside },
            Self::Italic => Node::Italic { inside },
            Self::Underlined => Node::Underlined { inside },
            Self::Struck => Node::Struck { inside },
            Self::Size(pixels) => Node::Size { pixels, inside },
            Self::Coloured(colour) => Node::Coloured { colour, inside },
            Self::Link(to) => Node::Link { to, inside },
            Self::Mention(what, id) => Node::Mention { what, id, inside },
            Self::Action(does, value) => Node::Action {
                does,
                value,
                inside,
            },
            Self::Quote | Self::LongQuote => Node::Quote { inside },
        }
    }
}

/// Adds text, to the text before it if there is one.
pub(super) fn push_text(nodes: &mut Vec<Node>, more: &str) {
    if more.is_empty() {
        return;
    }
    if let Some(Node::Text { text }) = nodes.last_mut() {
        text.push_str(more);
    } else {
        nodes.push(Node::Text { text: more.into() });
    }
}

/// A text in which addresses are links.
pub(super) fn linked(text: &str, base: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut plain = 0;
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find("http")) {
        let begin = at + found;
        let rest = text.get(begin..).unwrap_or_default();
        at = begin + "http".len();
        let inside_a_word = text[..begin].ends_with(char::is_alphanumeric);
        if inside_a_word || !(rest.starts_with("http://") || rest.starts_with("https://")) {
            continue;
        }
        let ends = |c: char| c.is_whitespace() || "\"'<>`[]".contains(c);
        let address = rest.split(ends).next().unwrap_or_default();
        let address = address.trim_end_matches(['.', ',', ';', ':', '!', '?', ')']);
        if let Some(to) = link(address, base) {
            push_text(&mut nodes, text.get(plain..begin).unwrap_or_default());
            let inside = vec![Node::Text {
                text: address.to_owned(),
            }];
            nodes.push(Node::Link { to, inside });
            plain = begin + address.len();
        }
        at = at.max(begin + address.len());
    }
    push_text(&mut nodes, text.get(plain..).unwrap_or_default());
    nodes
}
