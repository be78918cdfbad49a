//! Names and links that somebody else chose, made harmless.

/// Longest name shown, in characters.
const LONGEST_LABEL: usize = 200;
/// Longest link that is one, in bytes.
const LONGEST_LINK: usize = 2_048;

/// A text of one line without anything that acts on what stands around it: controls, and marks that
/// change the direction of text.
pub(super) fn label(text: &str) -> String {
    begun(text.chars(), LONGEST_LABEL)
}

/// The beginning of what somebody wrote, on one line, as harmless.
pub(super) fn quote(text: &str, longest: usize) -> String {
    let one_line = text.chars().map(|c| if c == '\n' { ' ' } else { c });
    begun(one_line, longest)
}

fn begun(text: impl Iterator<Item = char>, longest: usize) -> String {
    let mut shown = text.filter(|c| !acts(*c));
    let mut begun: String = shown.by_ref().take(longest).collect();
    if shown.next().is_some() {
        begun.push('…');
    }
    begun
}

/// Whether a character acts instead of being seen.
pub(super) fn acts(c: char) -> bool {
    let direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}');
    direction || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Where a link leads, if it may: `http://`, `https://`, or `/relative` to the portal at `base` (C15).
pub(super) fn link(text: &str, base: &str) -> Option<String> {
    if text.len() > LONGEST_LINK {
        return None;
    }
    let fits = |c: char| !acts(c) && !c.is_whitespace() && !"\"'<>`[]\\^{|}".contains(c);
    if !text.chars().all(fits) {
        return None;
    }
    if text.starts_with('/') {
        return Some(format!("{base}{text}"));
    }
    let rest = ["https://", "http://"].iter().find_map(|scheme| {
        let head = text.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme)
            .then(|| &text[scheme.len()..])
    })?;
    rest.starts_with(|c: char| c.is_alphanumeric())
        .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_letters_and_lose_what_acts() {
        assert_eq!(label("Анна \u{202e}gpj.exe\u{0}\n"), "Анна gpj.exe");
        assert_eq!(label("שלום"), "שלום");
        assert_eq!(label(&"x".repeat(20_000)).chars().count(), 201);
    }

    #[test]
    fn quotes_stand_on_one_line_and_show_where_they_were_cut() {
        assert_eq!(quote("one\ntwo\u{202e}", 10), "one two");
        assert_eq!(quote("one\ntwo", 5), "one t…");
    }

    #[test]
    fn links_lead_to_the_web_or_to_the_portal() {
        let base = "https://127.0.0.1:1";
        for good in [
            "https://example.com/a?b=c#d",
            "HTTP://example.com",
            "http://пример.рф/",
        ] {
            assert_eq!(link(good, base).as_deref(), Some(good));
        }
        for (relative, whole) in [
            ("/company/", "https://127.0.0.1:1/company/"),
            ("//evil.test/", "https://127.0.0.1:1//evil.test/"),
        ] {
            assert_eq!(link(relative, base).as_deref(), Some(whole));
        }
        for wrong in [
            "javascript:alert(1)",
            "JaVaScRiPt://x",
            "data:text/html,x",
            "vbscript:x",
            "https:/x",
            "https://",
            "http:///x",
            " https://x",
            "https://x y",
            "https://x\ny",
            "https://x/\u{202e}fdp",
            "java\tscript:x",
            "/\\evil.test",
            "https://x/\"onclick=\"",
            "ftp://x",
            "",
        ] {
            assert_eq!(link(wrong, base), None, "{wrong}");
        }
        assert_eq!(
            link(&format!("https://x/{}", "a".repeat(3_000)), base),
            None
        );
    }
}
