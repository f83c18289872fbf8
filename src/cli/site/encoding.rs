//! The text of a file that a spreadsheet wrote, whatever its encoding: UTF-8
//! with or without a byte order mark, UTF-16 with one ("Unicode text" of Excel),
//! or what Excel writes as "CSV" in western Europe, windows-1252, which holds
//! all of Latin-1 (ISO 8859-1).
//!
//! What is not UTF-8 and has no mark is taken for windows-1252: nothing can
//! tell it from other encodings of one byte, so that it is said, and a person
//! looks at the names before anything is registered.

/// The characters of the bytes 0x80 to 0x9f (WHATWG Encoding Standard, index
/// windows-1252); those that stand for none are zero.
const HIGH: [char; 32] = [
    '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘', '’', '“',
    '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];

/// A text, and what it was read as where that is not plain.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) text: String,
    pub(super) read_as: Option<&'static str>,
}

/// The text of these bytes.
///
/// # Errors
/// The place of the first byte that is none of a text's.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, usize> {
    if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
        return utf_16(rest, u16::from_le_bytes);
    }
    if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
        return utf_16(rest, u16::from_be_bytes);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(Decoded { text: text.to_owned(), read_as: None });
    }
    // Of a file in UTF-8 with a torn character in it, that one is told.
    let mut chunks = bytes.utf8_chunks();
    if chunks.any(|chunk| !chunk.valid().is_ascii()) {
        let sound = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
        return Err(sound);
    }
    let letters = bytes.iter().enumerate().map(|(place, byte)| match byte {
        0x80..=0x9f => {
            HIGH.get(usize::from(byte - 0x80)).copied().filter(|letter| *letter != '\0').ok_or(place)
        }
        byte => Ok(char::from(*byte)),
    });
    Ok(Decoded { text: letters.collect::<Result<_, _>>()?, read_as: Some("Latin-1 (windows-1252)") })
}

fn utf_16(bytes: &[u8], number: fn([u8; 2]) -> u16) -> Result<Decoded, usize> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| number(*pair));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    match text {
        Ok(text) if rest.is_empty() => Ok(Decoded { text, read_as: Some("UTF-16") }),
        _ => Err(bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_in_each_encoding_that_spreadsheets_write() {
        let text = "Café “Größe” €";
        let as_utf_16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(bytes).collect()
        };
        let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        for (bytes, read_as) in [
            (text.as_bytes().to_vec(), None),
            (marked, None),
            (b"Caf\xe9 \x93Gr\xf6\xdfe\x94 \x80".to_vec(), Some("Latin-1 (windows-1252)")),
            (as_utf_16(u16::to_le_bytes), Some("UTF-16")),
            (as_utf_16(u16::to_be_bytes), Some("UTF-16")),
        ] {
            assert_eq!(decode(&bytes), Ok(Decoded { text: text.to_owned(), read_as }));
        }
    }

    #[test]
    fn what_is_no_text_is_told_by_its_place() {
        assert_eq!(decode(b"ab\xe9\x81"), Err(3));
        assert_eq!(decode(b"Caf\xc3\xa9 Caf\xc3 "), Err(9));
        assert_eq!(decode(b"\xff\xfea"), Err(1));
        assert_eq!(decode(b"\xff\xfe\x00\xd8"), Err(2));
    }
}
