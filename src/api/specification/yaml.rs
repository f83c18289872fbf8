//! The specification as YAML (YAML 1.2), in the form that people expect of
//! it: a member a line, and text of several lines as it reads.
//!
//! A document of JSON needs few of YAML's forms: keys and texts that are
//! plainly words stand bare, texts of several lines as literal blocks, all
//! other texts in double quotes, whose escapes YAML took over from JSON.
//!
//! Rejected: `serde_yaml`, which nobody keeps any more, and its successors,
//! none of which has kept up longer than a year; a YAML file made beforehand,
//! since the document comes out of the program.

use serde_json::{Map, Value};

/// Writes a document.
pub(super) fn write(document: &Value) -> String {
    let mut text = String::new();
    match document {
        Value::Object(members) if !members.is_empty() => write_members(members, 0, &mut text),
        Value::Array(items) if !items.is_empty() => write_items(items, 0, &mut text),
        other => {
            write_flow(other, &mut text);
            text.push('\n');
        }
    }
    text
}

/// Writes members, each from the beginning of a line on.
fn write_members(members: &Map<String, Value>, indent: usize, text: &mut String) {
    for (place, (name, value)) in members.iter().enumerate() {
        if place > 0 {
            push_indent(indent, text);
        }
        write_text(name, text);
        text.push(':');
        write_value(value, indent, text);
    }
}

/// Writes items, each from the beginning of a line on.
fn write_items(items: &[Value], indent: usize, text: &mut String) {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            push_indent(indent, text);
        }
        text.push('-');
        match item {
            Value::Object(members) if !members.is_empty() => {
                text.push(' ');
                write_members(members, indent + 2, text);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push(' ');
                write_items(items, indent + 2, text);
            }
            other => write_value(other, indent, text),
        }
    }
}

/// Writes what follows `name:` or `-`, to the end of its line or lines.
fn write_value(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push('\n');
            push_indent(indent + 2, text);
            write_members(members, indent + 2, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            push_indent(indent, text);
            write_items(items, indent, text);
        }
        Value::String(lines) if is_block(lines) => {
            text.push_str(" |-\n");
            for line in lines.lines() {
                if !line.is_empty() {
                    push_indent(indent + 2, text);
                    text.push_str(line);
                }
                text.push('\n');
            }
        }
        other => {
            text.push(' ');
            write_flow(other, text);
            text.push('\n');
        }
    }
}

/// Writes what JSON and YAML write alike.
fn write_flow(value: &Value, text: &mut String) {
    match value {
        Value::String(word) => write_text(word, text),
        other => text.push_str(&other.to_string()),
    }
}

/// Writes a text, or the name of a member, on one line.
fn write_text(word: &str, text: &mut String) {
    if is_plain(word) {
        text.push_str(word);
        return;
    }
    // JSON lets some characters stand that YAML wants escaped.
    for character in Value::from(word).to_string().chars() {
        if is_printable(character) {
            text.push(character);
        } else {
            text.push_str(&format!("\\u{:04X}", u32::from(character)));
        }
    }
}

fn push_indent(indent: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', indent));
}

/// Whether the text reads as itself without quotes. YAML 1.1 takes more words
/// for something else than YAML 1.2 does, and is still read.
fn is_plain(text: &str) -> bool {
    const MEANS_SOMETHING: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.ends_with(|last: char| last.is_ascii_alphanumeric() || "._)".contains(last))
        && text.chars().all(|character| character.is_ascii_alphanumeric() || " _-./()".contains(character))
        && !MEANS_SOMETHING.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether the text is of several lines that a literal block can hold as they
/// are.
fn is_block(text: &str) -> bool {
    text.contains('\n')
        && text.starts_with(|first: char| !first.is_whitespace())
        && text.ends_with(|last: char| !last.is_whitespace())
        && text.chars().all(|character| character == '\n' || is_printable(character))
}

/// Whether YAML lets the character stand for itself ("Printable characters",
/// section 5.1), on a line.
fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// What a reader that is not ours makes of it.
    fn read(text: &str) -> Value {
        serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn any_document() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            ".{0,12}",
            "[a-z \n\t:#|>'\"{}\\[\\],&*!%@`?-]{0,16}",
            "(true|No|null|~|0x1F|1e3|1_000|12:30|2030-01-01|=|<<|- a|a: b|a #b)",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(|number| json!(number)),
            (-1000_i32..1000).prop_map(|number| json!(f64::from(number) / 8.0)),
            text.clone().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 48, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                proptest::collection::hash_map(text.clone(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn another_reader_finds_the_same_document(document in any_document()) {
            prop_assert_eq!(read(&write(&document)), document);
        }
    }

    #[test]
    fn it_looks_as_people_write_it() {
        let document = json!({
            "openapi": "3.0.3",
            "on": "no",
            "tags": ["Sites", "a: b", "404"],
            "info": { "description": "First.\n\n- one\n- two", "empty": {}, "none": [], "length": 200 },
            "list": [{ "name": "a", "in": "query" }, [1, [true]], null],
        });
        assert_eq!(
            write(&document),
            "\
openapi: \"3.0.3\"
\"on\": \"no\"
tags:
- Sites
- \"a: b\"
- \"404\"
info:
  description: |-
    First.

    - one
    - two
  empty: {}
  none: []
  length: 200
list:
- name: a
  in: query
- - 1
  - - true
- null
"
        );
    }
}
