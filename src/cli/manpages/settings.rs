//! sitewarden.toml(5), made of the commented example that ships with the
//! program, so that the two cannot tell different things.

use clap_mangen::roff::{Roff, bold, roman};

use super::sections::{SOURCE, section};
use crate::cli::host::PACKAGED_CONFIG;

/// The page's file.
pub(super) const FILE_NAME: &str = "sitewarden.toml.5";

const EXAMPLE: &str = include_str!("../../../packaging/sitewarden.toml");

/// The page.
pub(super) fn page() -> Roff {
    let mut roff = Roff::new();
    roff.control("TH", ["sitewarden.toml", "5", "", SOURCE, ""]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("sitewarden.toml - configuration of sitewarden")]);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold(PACKAGED_CONFIG)]);
    roff.control("PP", []);
    roff.text([bold("sitewarden serve --config FILE")]);
    roff.control("SH", ["DESCRIPTION"]);
    for text in [
        "A file in TOML. Every key may be left out, and has then the default that is shown here; an unknown key is \
         refused. A key in a group may be written as group.key, or below the line [group].",
        "Each key can be set in the environment too, by SITEWARDEN_ and its name in capitals, with two underscores \
         between group and name (SITEWARDEN_TLS__MODE=files); a list is comma-separated there. A flag of sitewarden \
         serve wins over the environment, and that over the file. A variable that is no setting is left alone \
         unless it looks like one: where it begins with a known group and two underscores, or is a letter or two \
         away from a setting's name, it is refused.",
        "A relative path counts from the directory in which the server is started, not from that of the file; the \
         package's service is started in /.",
        "sitewarden config check tells whether all is well, with the files that are named. Changes are in force after \
         a restart; systemctl reload takes the log level, and certificates of tls.mode files.",
    ] {
        roff.control("PP", []);
        roff.text([roman(text)]);
    }
    describe(&mut roff);
    section(&mut roff, "FILES", &[(PACKAGED_CONFIG, "The package's configuration.")]);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("sitewarden"), roman("(1), "), bold("sitewarden-serve"), roman("(1), ")]);
    roff.text([bold("sitewarden-config-check"), roman("(1)")]);
    roff
}

/// Every key of the example, with the words on it.
fn describe(roff: &mut Roff) {
    let mut group = String::new();
    // The file's own head is about the file.
    let lines = EXAMPLE.lines().skip_while(|line| !line.is_empty());
    let mut words: Vec<&str> = Vec::new();
    let mut keys: Vec<String> = Vec::new();
    roff.control("SH", ["SETTINGS"]);
    for line in lines {
        if let Some(name) = line.strip_prefix("#= [").and_then(|rest| rest.strip_suffix(']')) {
            if !keys.is_empty() {
                settle(roff, &mut words, &mut keys);
            }
            group = format!("{name}.");
            roff.control("SS", [name]);
            // Words that came right before it are on the group.
            settle(roff, &mut words, &mut keys);
        } else if let Some(setting) = line.strip_prefix("#= ") {
            keys.push(format!("{group}{setting}"));
        } else if let Some(word) = line.strip_prefix('#') {
            if !keys.is_empty() {
                settle(roff, &mut words, &mut keys);
            }
            words.push(word);
        } else {
            settle(roff, &mut words, &mut keys);
        }
    }
    settle(roff, &mut words, &mut keys);
}

/// Writes the keys of which the words told.
fn settle(roff: &mut Roff, words: &mut Vec<&str>, keys: &mut Vec<String>) {
    for (place, setting) in keys.iter().enumerate() {
        roff.control(if place == 0 { "TP" } else { "TQ" }, []);
        let (name, default) = setting.split_once(" = ").unwrap_or((setting, ""));
        roff.text([bold(name), roman(format!(" = {default}"))]);
    }
    if keys.is_empty() && !words.is_empty() {
        roff.control("PP", []);
    }
    // Lines that are set in further stand as they are.
    let mut as_it_is = false;
    for word in words.drain(..) {
        let set_in = word.starts_with("   ");
        if set_in != as_it_is {
            roff.control(if set_in { "nf" } else { "fi" }, []);
        }
        as_it_is = set_in;
        roff.text([roman(word.strip_prefix(' ').unwrap_or(word))]);
    }
    if as_it_is {
        roff.control("fi", []);
    }
    keys.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn every_key_is_told_of_with_its_default_and_a_word_on_it() {
        let page = page().to_roff().replace("\\-", "-").replace("\\.", ".");
        for (name, value) in Settings::default().to_table() {
            let told = |key: &str, value: &toml::Value| {
                let head = format!("\\fB{key}\\fR = {value}\n");
                assert!(page.contains(&head), "no {head:?} in\n{page}");
            };
            match value {
                toml::Value::Table(group) => {
                    assert!(page.contains(&format!("\n.SS {name}\n")), "{page}");
                    group.iter().for_each(|(key, value)| told(&format!("{name}.{key}"), value));
                }
                value => told(&name, &value),
            }
        }
        assert!(
            page.contains("\\fBtls.mode\\fR = \"self-signed\"\nWhere the certificate comes from.\n.nf\n"),
            "{page}"
        );
        assert!(page.contains(".TQ\n\\fBtls.key\\fR = \"\"\n"), "{page}");
        assert!(page.contains(".SS limits\n.PP\nWhat strangers may use."), "{page}");
        assert!(page.contains(".TP\n\\fBtls.domains\\fR = []\nNames in the certificate.\n"), "{page}");
    }
}
