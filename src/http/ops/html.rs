//! Writes HTML into which no text gets but as text.

/// Longest name that is shown, characters.
const NAME: usize = 80;

/// Longest sentence that is shown, characters.
const TEXT: usize = 600;

/// A page as it is written. Markup is what stands in the source; everything else is escaped and bounded.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A sentence, which may have names in it; what stands between backticks is to be typed.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        let shown: String = text.chars().take(TEXT).collect();
        let mut parts = shown.split('`');
        self.isolated(parts.next().unwrap_or_default(), TEXT);
        let mut typed = true;
        for part in parts {
            if typed {
                self.raw("<code>");
            }
            self.isolated(part, TEXT);
            if typed {
                self.raw("</code>");
            }
            typed = !typed;
        }
        self.raw(if shown.len() < text.len() { "…" } else { "" })
    }

    /// A name, which somebody else chose.
    pub(super) fn name(&mut self, name: &str) -> &mut Self {
        self.isolated(name, NAME)
    }

    /// A number, which needs no care.
    pub(super) fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        self.0.push_str(&number.into().to_string());
        self
    }

    pub(super) fn end(self) -> String {
        self.0
    }

    /// Whatever direction it is written in, it changes nothing around it.
    fn isolated(&mut self, text: &str, most: usize) -> &mut Self {
        self.raw("<bdi>");
        let mut shown = text.chars();
        for c in shown.by_ref().take(most) {
            match c {
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '&' => self.0.push_str("&amp;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c if steers(c) => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        if shown.next().is_some() {
            self.0.push('…');
        }
        self.raw("</bdi>")
    }
}

/// Whether a character changes how others are shown: controls, and overrides of direction.
fn steers(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_typed_is_shown_as_such_and_breaks_nothing() {
        let shown = |text: &str| {
            let mut html = Html::default();
            html.text(text);
            html.end()
        };
        assert_eq!(
            shown("run `doctor <x>` now"),
            "<bdi>run </bdi><code><bdi>doctor &lt;x&gt;</bdi></code><bdi> now</bdi>"
        );
        assert_eq!(shown("a ` b"), "<bdi>a </bdi><code><bdi> b</bdi></code>");
        let long = shown(&"`ß".repeat(5000));
        assert_eq!(long.matches('ß').count(), TEXT / 2);
        assert_eq!(
            long.matches("<code>").count(),
            long.matches("</code>").count()
        );
        assert!(long.ends_with('…'), "{long}");
    }

    #[test]
    fn text_of_strangers_is_inert_and_bounded() {
        let shown = |text: &str| {
            let mut html = Html::default();
            html.name(text);
            html.end()
        };
        assert_eq!(
            shown("<script>alert('x')</script>&\""),
            "<bdi>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;</bdi>"
        );
        assert_eq!(
            shown("a\u{202e}b\u{2066}\r\u{0}"),
            "<bdi>a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}</bdi>"
        );
        let long = shown(&"ß".repeat(5000));
        assert_eq!(long.matches('ß').count(), NAME);
        assert!(long.ends_with("…</bdi>"));
    }
}
