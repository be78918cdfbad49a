//! Colours that somebody else chose: only those that are ones, and never unreadable.

/// `#rgb` or `#rrggbb` in lower case; `None` for anything else.
pub(super) fn parsed(text: &str) -> Option<String> {
    let digits = text.trim().strip_prefix('#')?;
    let fits = matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !fits {
        return None;
    }
    let digits = digits.to_ascii_lowercase();
    Some(match digits.len() {
        3 => digits
            .chars()
            .fold("#".to_owned(), |all, digit| format!("{all}{digit}{digit}")),
        _ => format!("#{digits}"),
    })
}

/// The colour of a text on this ground: the one asked for if it can be read there, else black or white.
pub(super) fn legible(ground: &str, asked: Option<&str>) -> String {
    /// What WCAG 2.2 asks of ordinary text.
    const ENOUGH: f64 = 4.5;
    let on = |text: &str| contrast(ground, text);
    let best = if on("#000000") >= on("#ffffff") {
        "#000000"
    } else {
        "#ffffff"
    };
    asked
        .filter(|asked| on(asked) >= ENOUGH)
        .unwrap_or(best)
        .to_owned()
}

/// The ratio of two luminances, from 1 to 21.
fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// How bright a colour `#rrggbb` seems, from 0 to 1.
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let digits = colour.get(at..at + 2).unwrap_or_default();
        let value = f64::from(u8::from_str_radix(digits, 16).unwrap_or(0)) / 255.0;
        if value <= 0.040_45 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hex_colours_are_colours() {
        assert_eq!(parsed("#Fa0").as_deref(), Some("#ffaa00"));
        assert_eq!(parsed(" #29619B").as_deref(), Some("#29619b"));
        for wrong in [
            "", "red", "#12", "#1234567", "#ggg", "url(x)", "#12345é", "#fff;x",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn text_on_a_ground_can_always_be_read() {
        assert_eq!(legible("#ffffff", Some("#333333")), "#333333");
        assert_eq!(legible("#ffffff", Some("#eeeeee")), "#000000");
        assert_eq!(legible("#29619b", None), "#ffffff");
        for ground in 0..=255_u8 {
            let ground = format!("#{ground:02x}{ground:02x}{ground:02x}");
            assert!(
                contrast(&ground, &legible(&ground, Some(&ground))) >= 4.5,
                "{ground}"
            );
        }
    }
}
