//! Pictures, as far as a portal looks into them: their kind and their size.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Width and height of a base64 picture; `None` when it is no PNG, GIF or JPEG.
pub(super) fn size_of(encoded: &str) -> Option<(u32, u32)> {
    let bytes = STANDARD.decode(encoded.trim()).ok()?;
    png(&bytes).or_else(|| gif(&bytes)).or_else(|| jpeg(&bytes))
}

fn png(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let size = header.get(8..16)?;
    let (width, height) = size.split_first_chunk::<4>()?;
    Some((
        u32::from_be_bytes(*width),
        u32::from_be_bytes(height.try_into().ok()?),
    ))
}

fn gif(bytes: &[u8]) -> Option<(u32, u32)> {
    let size = bytes
        .strip_prefix(b"GIF87a")
        .or_else(|| bytes.strip_prefix(b"GIF89a"))?;
    let (width, rest) = size.split_first_chunk::<2>()?;
    let (height, _) = rest.split_first_chunk::<2>()?;
    Some((
        u16::from_le_bytes(*width).into(),
        u16::from_le_bytes(*height).into(),
    ))
}

/// Walks the segments to the frame header, which holds the size.
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
    loop {
        let (&[mark, kind, high, low], _) = rest.split_first_chunk::<4>()?;
        if mark != 0xff {
            return None;
        }
        let is_frame = matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc);
        if is_frame {
            let (height, after) = rest.get(5..)?.split_first_chunk::<2>()?;
            let (width, _) = after.split_first_chunk::<2>()?;
            return Some((
                u16::from_be_bytes(*width).into(),
                u16::from_be_bytes(*height).into(),
            ));
        }
        rest = rest.get(2 + usize::from(u16::from_be_bytes([high, low]))..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_headers() {
        let png = STANDARD.encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x05\0\0\0\x07");
        assert_eq!(size_of(&png), Some((5, 7)));
        let gif = STANDARD.encode(b"GIF89a\x05\0\x07\0");
        assert_eq!(size_of(&gif), Some((5, 7)));
        let jpeg = STANDARD.encode(b"\xff\xd8\xff\xe0\0\x03x\xff\xc0\0\x11\x08\0\x07\0\x05");
        assert_eq!(size_of(&jpeg), Some((5, 7)));
        assert_eq!(size_of("not a picture"), None);
        assert_eq!(size_of(&STANDARD.encode(b"GIF89a")), None);
    }
}
