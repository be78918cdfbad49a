//! Mends the name that clients give a Unix socket.
//!
//! gRPC's C core, and with it C++, Python, Ruby and others, names the socket's path as `:authority`, with
//! `%2F` for each `/`. HTTP/2 libraries refuse what cannot be a host, so such clients could not call at
//! all. A socket has one server, whatever it is named: so in its `:authority` each character that cannot
//! stand in a host becomes a `-`, in the bytes as they come and in place. No length changes, neither of
//! frames nor in the tables of HPACK, so nothing else has to be understood. Names compressed by Huffman
//! codes are left as they are; those clients do not compress them.

/// What HTTP/2 begins with, bytes.
const PREFACE: usize = 24;

/// The head of a frame, bytes.
const HEAD: usize = 9;

/// Types of frames that carry fields, and their flags (RFC 9113, 6.2).
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// The name to look for, and its index in the static table (RFC 7541, appendix A).
const NAME: &[u8] = b":authority";
const INDEX: usize = 1;

/// Follows one connection.
#[derive(Debug)]
pub(super) struct Mending {
    preface: usize,
    head: [u8; HEAD],
    known: usize,
    frame: Option<Frame>,
    block: Block,
}

/// A frame whose head is known.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// What is missing of it.
    left: usize,
    /// Whether there are fields in it.
    fields: bool,
    /// Whether the length of the padding comes next.
    padded: bool,
    padding: usize,
    /// What comes before the fields.
    before: usize,
}

/// A block of fields, which may go on in a further frame.
#[derive(Debug, Default)]
struct Block {
    step: Step,
    /// Whether the value to come is of our name.
    ours: bool,
}

/// What comes next in a block (RFC 7541, 5 and 6).
#[derive(Debug, Default, Clone, Copy)]
enum Step {
    /// A field, or a change of the table.
    #[default]
    Field,
    /// The rest of a number.
    Number {
        value: usize,
        shift: u32,
        then: Then,
    },
    /// The length of a text.
    Length { name: bool },
    /// A text.
    Text {
        left: usize,
        at: usize,
        name: bool,
        plain: bool,
    },
}

/// What a number says.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// All of a field, or something else without a text.
    Whole,
    /// Which name a field has; 0 for one that follows.
    Name,
    /// How long a text is.
    Length { name: bool, plain: bool },
}

impl Default for Mending {
    fn default() -> Self {
        Self {
            preface: PREFACE,
            head: [0; HEAD],
            known: 0,
            frame: None,
            block: Block::default(),
        }
    }
}

impl Mending {
    /// Mends what came next.
    pub(super) fn mend(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            bytes = &mut bytes[taken..];
        }
    }

    fn step(&mut self, bytes: &mut [u8]) -> usize {
        if self.preface > 0 {
            let taken = self.preface.min(bytes.len());
            self.preface -= taken;
            return taken;
        }
        let Some(frame) = &mut self.frame else {
            self.head[self.known] = bytes[0];
            self.known += 1;
            if self.known == HEAD {
                self.known = 0;
                self.begin();
            }
            return 1;
        };
        let taken = if frame.padded {
            frame.padded = false;
            frame.padding = bytes[0].into();
            1
        } else if frame.before > 0 {
            let taken = frame.before.min(frame.left).min(bytes.len());
            frame.before -= taken;
            taken
        } else if frame.fields && frame.left > frame.padding {
            let taken = (frame.left - frame.padding).min(bytes.len());
            for byte in &mut bytes[..taken] {
                self.block.pass(byte);
            }
            taken
        } else {
            frame.left.min(bytes.len())
        };
        frame.left -= taken;
        if frame.left == 0 {
            self.frame = None;
        }
        taken
    }

    fn begin(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        if kind == HEADERS {
            self.block = Block::default();
        }
        let flag = |flag: u8| kind == HEADERS && flags & flag != 0;
        let frame = Frame {
            left: u32::from_be_bytes([0, a, b, c]) as usize,
            fields: kind == HEADERS || kind == CONTINUATION,
            padded: flag(PADDED),
            padding: 0,
            before: if flag(PRIORITY) { 5 } else { 0 },
        };
        self.frame = (frame.left > 0).then_some(frame);
    }
}

impl Block {
    fn pass(&mut self, byte: &mut u8) {
        self.step = match self.step {
            Step::Field => match *byte {
                0x80.. => self.number(*byte, 7, Then::Whole),
                0x40.. => self.number(*byte, 6, Then::Name),
                0x20.. => self.number(*byte, 5, Then::Whole),
                _ => self.number(*byte, 4, Then::Name),
            },
            Step::Number { value, shift, then } => {
                // A number that is too large is refused by whoever reads on.
                let more = usize::from(*byte & 0x7f).checked_shl(shift).unwrap_or(0);
                let value = value.saturating_add(more);
                match *byte & 0x80 {
                    0 => self.told(value, then),
                    _ => Step::Number {
                        value,
                        shift: shift.saturating_add(7),
                        then,
                    },
                }
            }
            Step::Length { name } => {
                let plain = *byte & 0x80 == 0;
                self.number(*byte, 7, Then::Length { name, plain })
            }
            Step::Text {
                left,
                at,
                name,
                plain,
            } => {
                if name {
                    self.ours &= NAME.get(at) == Some(byte);
                } else if self.ours && plain && !of_host(*byte) {
                    *byte = b'-';
                }
                match left - 1 {
                    0 => self.after(name),
                    left => Step::Text {
                        left,
                        at: at + 1,
                        name,
                        plain,
                    },
                }
            }
        };
    }

    /// A number that begins in the last bits of a byte.
    fn number(&mut self, byte: u8, bits: u32, then: Then) -> Step {
        let most = (1 << bits) - 1;
        match usize::from(byte) & most {
            value if value == most => Step::Number {
                value,
                shift: 0,
                then,
            },
            value => self.told(value, then),
        }
    }

    fn told(&mut self, value: usize, then: Then) -> Step {
        match then {
            Then::Whole => Step::Field,
            Then::Name => {
                self.ours = value == INDEX;
                Step::Length { name: value == 0 }
            }
            Then::Length { name, plain } => {
                if name {
                    self.ours = plain && value == NAME.len();
                }
                match value {
                    0 => self.after(name),
                    left => Step::Text {
                        left,
                        at: 0,
                        name,
                        plain,
                    },
                }
            }
        }
    }

    /// What comes after a text.
    fn after(&self, name: bool) -> Step {
        match name {
            true => Step::Length { name: false },
            false => Step::Field,
        }
    }
}

/// Whether it can stand in a host, or beside one.
fn of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of fields with these flags.
    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    fn text(text: &str) -> Vec<u8> {
        let length = text.len();
        let mut bytes = match u8::try_from(length) {
            Ok(short) if short < 127 => vec![short],
            // 127 and the rest in sevens.
            _ => vec![127, u8::try_from(length - 127).unwrap()],
        };
        bytes.extend(text.as_bytes());
        bytes
    }

    /// Fields around an authority, which stands there in one of its forms.
    fn fields(form: &[u8], authority: &str) -> Vec<u8> {
        let mut fields = vec![0x83, 0x3f, 0xe1, 0x1f, 0x86];
        // A path with what is not to be touched.
        fields.extend([0x44]);
        fields.extend(text("/a%2Fb"));
        fields.extend(form);
        fields.extend(text(authority));
        // A new name, and one by number.
        fields.push(0);
        fields.extend(text("x-own"));
        fields.extend(text("50% /"));
        fields.extend([0x0f, 0x2f]);
        fields.extend(text("%"));
        fields
    }

    fn sent(form: &[u8], authority: &str) -> Vec<u8> {
        let fields = fields(form, authority);
        let (one, other) = fields.split_at(16);
        let padded = [&[3, 0, 0, 0, 0, 9][..], one, &b"%/%"[..]].concat();
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, b""),
            frame(HEADERS, PADDED | PRIORITY, &padded),
            frame(CONTINUATION, 4, other),
            frame(0, 1, b"\x41\x01%"),
            frame(HEADERS, 5, &fields),
        ]
        .concat()
    }

    #[test]
    fn authority_alone_is_mended_however_the_bytes_come() {
        let long = "%2F".repeat(50);
        let long_mended = "-2F".repeat(50);
        let new = [&[0x40][..], &text(":authority")].concat();
        for form in [&[0x41][..], &[0x01], &[0x11], &new] {
            for (authority, mended) in [
                ("tmp%2Frelay.sock", "tmp-2Frelay.sock"),
                ("/tmp/relay", "-tmp-relay"),
                ("localhost:50051", "localhost:50051"),
                ("", ""),
                (&*long, &*long_mended),
            ] {
                let (whole, wanted) = (sent(form, authority), sent(form, mended));
                for size in [1, 2, 7, 64, whole.len()] {
                    let mut bytes = whole.clone();
                    let mut mending = Mending::default();
                    bytes.chunks_mut(size).for_each(|piece| mending.mend(piece));
                    assert_eq!(bytes, wanted, "{authority} in {size}");
                }
            }
        }
    }

    #[test]
    fn compressed_and_other_names_are_left_alone() {
        let other = [&[0x40][..], &text(":authoritx")].concat();
        let mut compressed = sent(&[0x41], "%%");
        for form in [&other[..], &[0x42], &[0x7f, 0]] {
            let whole = sent(form, "a%2F");
            let mut bytes = whole.clone();
            Mending::default().mend(&mut bytes);
            assert_eq!(bytes, whole);
        }
        let places: Vec<_> = compressed
            .windows(4)
            .enumerate()
            .filter(|(_, bytes)| *bytes == b"\x41\x02%%")
            .map(|(at, _)| at + 1)
            .collect();
        for at in &places {
            compressed[*at] |= 0x80;
        }
        let mut bytes = compressed.clone();
        Mending::default().mend(&mut bytes);
        assert!(!places.is_empty() && bytes == compressed);
    }

    #[test]
    fn whatever_comes_nothing_breaks() {
        let mut seed = 1_u32;
        let mut bytes = vec![0; 100_000];
        for byte in &mut bytes {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = seed.to_be_bytes()[0];
        }
        for kind in [HEADERS, CONTINUATION] {
            let mut mending = Mending::default();
            mending.mend(&mut [0; PREFACE]);
            let (one, other) = (bytes.clone(), vec![0xff; 300]);
            mending.mend(&mut frame(kind, 0, &one));
            mending.mend(&mut frame(kind, 0xff, &other));
            mending.mend(&mut bytes.clone());
        }
    }
}
