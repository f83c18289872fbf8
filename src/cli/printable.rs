//! What may be shown on a terminal.
//!
//! A server that a URL names may be anybody's: what it sends must not move
//! the cursor, colour the screen, type for the person or turn the line round.
//! Everything that is printed passes through here, so that no command can
//! forget it.

use serde_json::Value;

/// Whether a terminal does something with it rather than show it: control
/// characters (ECMA-48, the one-byte ones of its C1 set too), separators of
/// lines and paragraphs, and those that change the direction of writing
/// (Unicode, UAX #9).
fn commands_a_terminal(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// One line that a terminal only shows: each character that would do more is
/// a space.
pub(super) fn line(text: &str) -> String {
    text.replace(commands_a_terminal, " ")
}

/// The same of several lines.
pub(super) fn lines(text: &str) -> String {
    text.replace(|character| character != '\n' && commands_a_terminal(character), " ")
}

/// JSON in one line. Of what a terminal would obey, JSON has to escape the
/// first 32 characters only (RFC 8259, section 7).
pub(super) fn json(document: &Value) -> String {
    let mut text = String::new();
    for character in document.to_string().chars() {
        if commands_a_terminal(character) {
            text.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            text.push(character);
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}]0;x\u{7}b\u{9b}31mc\rd\ne\u{202e}f\u{2028}g\u{7f}";

    #[test]
    fn a_line_stays_one_line_and_commands_nothing() {
        assert_eq!(line(HOSTILE), "a ]0;x b 31mc d e f g ");
        assert_eq!(lines(HOSTILE), "a ]0;x b 31mc d\ne f g ");
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in ["Café 東京 – 👩\u{200d}🍳", "نان\u{200c}وایی", "שלום"] {
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn json_commands_nothing_and_means_the_same() {
        let document = serde_json::json!({ "name": HOSTILE });
        let text = json(&document);
        assert!(!text.trim_end().contains(commands_a_terminal), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    }
}
