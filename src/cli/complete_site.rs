//! `sitewarden complete-site`, which the scripts of `sitewarden completions`
//! call: the sites that the last word on the line may mean.
//!
//! It reads the line as clap would, so that the scripts need not know where a
//! site may stand. It is quick and silent: without an answer within a second, or
//! with any other trouble, there is nothing to offer.

use std::time::Duration;

use clap::{Args, Command, Parser};

use super::client::{Client, Target};
use super::error::CommandError;
use super::lookup::{Candidate, is_beginning};
use super::path::with_query;
use super::printable;
use super::screen::{Ended, print_as_it_is};

/// For each answer of the server.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most sites that are offered.
const OFFERED: usize = 50;
/// What stands in the place of a site in help texts.
const SITE: &str = "SITE";

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct CompleteSite {
    /// The words on the line, as they were typed, up to the one that is
    /// completed
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// The flags for the server among the words.
#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    target: Target,
}

impl CompleteSite {
    pub(super) fn run(&self, program: &mut Command) -> Ended {
        program.build();
        let Some(Typed { text, flags }) = typed(program, &self.words) else { return Ended::Done };
        let Ok(Flags { target }) = Flags::try_parse_from(flags) else { return Ended::Done };
        match target.client().map(|client| client.with_patience(PATIENCE)) {
            Ok(client) => print_as_it_is(&offers(&client, &text).unwrap_or_default()),
            Err(_) => Ended::Done,
        }
    }
}

/// A word that stands for a site.
#[derive(Debug, PartialEq, Eq)]
struct Typed {
    /// What there is of it.
    text: String,
    /// The words before it that say which server is meant, behind the
    /// program's name.
    flags: Vec<String>,
}

/// The last of the words, where it stands for a site.
fn typed(program: &Command, words: &[String]) -> Option<Typed> {
    let words: Vec<String> = words.iter().map(|word| unquoted(word)).collect();
    let (last, before) = words.split_last()?;
    let begin = before.iter().position(|word| word.rsplit('/').next() == Some("sitewarden"))?;
    let (mut command, mut positionals, mut only_positionals) = (program, 0, false);
    let mut flags = vec!["sitewarden".to_owned()];
    let mut rest = before.iter().skip(begin + 1);
    let takes_site = |argument: &clap::Arg| {
        argument.get_value_names().is_some_and(|names| names.first().is_some_and(|name| name == SITE))
    };
    while let Some(word) = rest.next() {
        if only_positionals || !word.starts_with('-') || word == "-" {
            match command.find_subcommand(word).filter(|_| positionals == 0) {
                Some(verb) => command = verb,
                None => positionals += 1,
            }
            continue;
        }
        if word == "--" {
            only_positionals = true;
            continue;
        }
        let (name, value) =
            word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let is_named = |argument: &&clap::Arg| match name.strip_prefix("--") {
            Some(long) => argument.get_long() == Some(long),
            None => name.chars().nth(1) == argument.get_short() && name.chars().count() == 2,
        };
        let option =
            command.get_arguments().find(is_named).filter(|option| option.get_action().takes_values());
        let Some(option) = option else { continue };
        let is_of_the_server = matches!(name, "--url" | "--cacert" | "--token" | "--socket" | "--config");
        match value.map(str::to_owned).or_else(|| rest.next().cloned()) {
            Some(value) if is_of_the_server => flags.extend([name.to_owned(), value]),
            Some(_) => {}
            // Its value is the word that is being typed.
            None => return takes_site(option).then(|| Typed { text: last.clone(), flags }),
        }
    }
    if last.starts_with('-') && !only_positionals {
        return None;
    }
    let mut places = command.get_positionals();
    let place = places.nth(positionals).or_else(|| {
        command
            .get_positionals()
            .last()
            .filter(|last| last.get_num_args().is_some_and(|number| number.max_values() > 1))
    });
    place.filter(|place| takes_site(place)).map(|_| Typed { text: last.clone(), flags })
}

/// What a shell makes of a word, or would once its quotes are closed.
fn unquoted(word: &str) -> String {
    let mut text = String::new();
    let mut quote = None;
    let mut letters = word.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            (None | Some('"'), '\\') => text.extend(letters.next()),
            _ => text.push(letter),
        }
    }
    text
}

/// The sites that may be meant, one a line: what to put in the place of the
/// word, and after a tab what helps to choose.
fn offers(client: &Client, text: &str) -> Result<String, CommandError> {
    let mut lines = Vec::new();
    if let Some(number) = text.strip_prefix('#') {
        for site in numbered(client, number)? {
            lines.push((format!("#{}", site.id), site.name.to_string()));
        }
    } else {
        let q = Some(text.to_owned()).filter(|text| !text.is_empty());
        let sites = page(client, &[("q", q), ("limit", Some((4 * OFFERED).to_string()))])?;
        let begins = |name: &str| name.to_lowercase().starts_with(&text.to_lowercase());
        for site in &sites {
            let name = site.name.as_sent();
            let is_alone = sites.iter().filter(|other| other.name.as_sent() == name).count() == 1;
            if begins(name) && is_alone {
                lines.push((site.name.to_string(), format!("#{}", site.id)));
            } else if begins(name) || is_beginning(text) && site.site_id.as_sent().starts_with(text) {
                lines.push((site.site_id.to_string(), format!("#{} {}", site.id, site.name)));
            }
        }
    }
    let line =
        |(word, help): &(String, String)| format!("{}\t{}\n", printable::line(word), printable::line(help));
    Ok(lines.iter().take(OFFERED).map(line).collect())
}

/// The sites whose numbers begin so.
fn numbered(client: &Client, number: &str) -> Result<Vec<Candidate>, CommandError> {
    let limit = |limit: u64| ("limit", Some(limit.to_string()));
    let Ok(first) = number.parse::<u64>() else {
        return if number.is_empty() { page(client, &[limit(50)]) } else { Ok(Vec::new()) };
    };
    let mut sites = Vec::new();
    for (begin, many) in [(first, 1), (first.saturating_mul(10), 10), (first.saturating_mul(100), 39)] {
        let after = begin.saturating_sub(1).to_string();
        let page = page(client, &[("after", Some(after)), limit(many)])?;
        sites.extend(page.into_iter().filter(|site| site.id.as_sent().starts_with(number)));
    }
    Ok(sites)
}

fn page(client: &Client, parameters: &[(&str, Option<String>)]) -> Result<Vec<Candidate>, CommandError> {
    client.get(&with_query("/api/sites", parameters))?.read()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::arguments::Arguments;

    fn site_typed_in(line: &[&str]) -> Option<(String, Vec<String>)> {
        let mut program = Arguments::command();
        program.build();
        let words: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        typed(&program, &words).map(|typed| (typed.text, typed.flags[1..].to_vec()))
    }

    #[test]
    fn a_word_is_completed_where_a_site_stands_and_nowhere_else() {
        let at = |line: &[&str]| site_typed_in(line).map(|(text, _)| text);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(at(&["sitewarden", "site", "show", ""]), some(""));
        assert_eq!(at(&["sudo", "/usr/bin/sitewarden", "site", "lock", "--reason", "x", "Da"]), some("Da"));
        assert_eq!(at(&["sitewarden", "site", "rm", "A", "B", "\"Da M"]), some("Da M"));
        assert_eq!(at(&["sitewarden", "site", "tag", "vip", "Da\\ M"]), some("Da M"));
        assert_eq!(at(&["sitewarden", "audit", "--site", "x"]), some("x"));
        assert_eq!(at(&["sitewarden", "site", "rotate-key", "x"]), some("x"));
        for other in [
            &["sitewarden", "site", "tag", "v"] as &[&str],
            &["sitewarden", "site", "lock", "--reason", "D"],
            &["sitewarden", "site", "show", "--j"],
            &["sitewarden", "site", "rotate-key", "x", "y"],
            &["sitewarden", "site", "s"],
            &["sitewarden", "audit", "--admin", "a"],
            &["sitewarden", "admin", "delete", "a"],
            &["other", "site", "show", ""],
            &["sitewarden"],
            &[],
        ] {
            assert_eq!(at(other), None, "{other:?}");
        }
    }

    #[test]
    fn the_server_that_the_line_names_is_asked() {
        let (_, flags) =
            site_typed_in(&["sitewarden", "site", "--socket=a b", "show", "--config", "c", ""]).unwrap();
        assert_eq!(flags, ["--socket", "a b", "--config", "c"]);
    }
}
