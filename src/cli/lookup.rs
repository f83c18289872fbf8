//! Which site is meant by what was typed: its `site_id`, a beginning of one, `#`
//! and its number, or its exact name.
//!
//! A `site_id` is taken as it is. For the others the server is asked, for those
//! alone that it finds by the text, never for all. What fits no site, or several,
//! stops the command before anything is done: a lock on the wrong restaurant is
//! worse than a second try. Rejected: names by their beginning, with which
//! `site rm Bar` would one day take another bar.

use std::str::FromStr;

use serde::Deserialize;

use super::client::{Client, Shown};
use super::error::CommandError;
use super::path::with_query;
use super::screen::complain;
use crate::domain::{SiteId, SiteName};

/// Fewest characters of a beginning of a `site_id`.
const FEWEST: usize = 4;
/// Most sites that are listed where several fit.
const LISTED: usize = 10;

/// A site, as it is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SiteArgument {
    /// By its `site_id`.
    Id(SiteId),
    /// By its number, in order of registration.
    Number(u64),
    /// By its exact name, or a beginning of its `site_id`.
    Text(String),
}

impl FromStr for SiteArgument {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err("must be a site_id, a beginning of one, # and a number, or a name");
        }
        if let Ok(site_id) = text.parse() {
            return Ok(Self::Id(site_id));
        }
        match text.strip_prefix('#').filter(|number| is_number(number)) {
            Some(number) => match number.parse() {
                Ok(0) | Err(_) => Err("must have a number from 1 on behind the #"),
                Ok(number) => Ok(Self::Number(number)),
            },
            None => Ok(Self::Text(text.to_owned())),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A site that may be meant.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Candidate {
    /// Its number.
    #[serde(default)]
    pub(super) id: Shown,
    /// Its `site_id`, as the server wrote it.
    #[serde(default)]
    pub(super) site_id: Shown,
    /// Its name.
    #[serde(default)]
    pub(super) name: Shown,
}

/// The `site_id` of each site that is named, in their order, each once.
///
/// # Errors
/// Where one fits no site, or several; these are listed on stderr.
pub(super) fn find_all(client: &Client, named: &[SiteArgument]) -> Result<Vec<SiteId>, CommandError> {
    let mut found = Vec::new();
    for argument in named {
        let site_id = find(client, argument)?;
        if !found.contains(&site_id) {
            found.push(site_id);
        }
    }
    Ok(found)
}

/// The `site_id` of the site that is named.
///
/// # Errors
/// As of [`find_all`].
pub(super) fn find(client: &Client, named: &SiteArgument) -> Result<SiteId, CommandError> {
    match named {
        SiteArgument::Id(site_id) => Ok(*site_id),
        SiteArgument::Number(number) => by_number(client, *number),
        SiteArgument::Text(text) => by_text(client, text),
    }
}

fn by_number(client: &Client, number: u64) -> Result<SiteId, CommandError> {
    let parameters = [("after", Some((number - 1).to_string())), ("limit", Some("1".to_owned()))];
    let sites: Vec<Candidate> = client.get(&with_query("/api/sites", &parameters))?.read()?;
    let wanted = number.to_string();
    match sites.first().filter(|site| site.id.as_sent() == wanted) {
        Some(site) => id_of(site),
        None => Err(CommandError::Failed(format!("there is no site #{number}; nothing was done"))),
    }
}

fn by_text(client: &Client, text: &str) -> Result<SiteId, CommandError> {
    let wanted = Wanted::new(text);
    let (mut fitting, mut alike) = (Vec::new(), Vec::new());
    let mut next = wanted
        .query()
        .map(|q| with_query("/api/sites", &[("q", Some(q)), ("limit", Some("1000".to_owned()))]));
    while let Some(page) = next {
        let answer = client.get(&page)?;
        for site in answer.read::<Vec<Candidate>>()? {
            if wanted.fits(&site) {
                fitting.push(site);
            } else if alike.len() < LISTED && wanted.is_in(&site) {
                alike.push(site);
            }
        }
        next = answer.next_page();
    }
    match fitting.as_slice() {
        [site] => id_of(site),
        [] => {
            list(&alike);
            let hint = match alike.len() {
                0 => "sitewarden site list --q TEXT looks for a part of it",
                _ => "those above have it in their names",
            };
            Err(CommandError::Failed(format!(
                "no site is called {text:?}, and no site_id begins so; nothing was done: {hint}"
            )))
        }
        several => {
            list(several);
            Err(CommandError::Failed(format!(
                "{text:?} fits the {} sites above; nothing was done: name one by # and its number, or by its \
                 site_id",
                several.len()
            )))
        }
    }
}

/// Whether a `site_id` may begin so.
pub(super) fn is_beginning(text: &str) -> bool {
    let is_of_an_id = |character: char| character.is_ascii_hexdigit() || character == '-';
    text.len() >= FEWEST && text.chars().all(is_of_an_id)
}

/// What a site has to have, to be the one that is meant.
struct Wanted {
    name: Option<SiteName>,
    beginning: Option<String>,
}

impl Wanted {
    fn new(text: &str) -> Self {
        Self { name: text.parse().ok(), beginning: is_beginning(text).then(|| text.to_ascii_lowercase()) }
    }

    /// What the server is asked for; `None`: no site can be called so.
    fn query(&self) -> Option<String> {
        let name = self.name.as_ref().map(|name| name.as_str().to_owned());
        name.or_else(|| self.beginning.clone())
    }

    fn fits(&self, site: &Candidate) -> bool {
        self.name.as_ref().is_some_and(|name| name.as_str() == site.name.as_sent())
            || self.beginning.as_ref().is_some_and(|text| site.site_id.as_sent().starts_with(text))
    }

    /// Whether the name holds what was typed, without regard to case.
    fn is_in(&self, site: &Candidate) -> bool {
        let name = site.name.as_sent().to_lowercase();
        self.name.as_ref().is_some_and(|wanted| name.contains(&wanted.as_str().to_lowercase()))
    }
}

fn list(sites: &[Candidate]) {
    for Candidate { id, site_id, name } in sites.iter().take(LISTED) {
        complain(format!("#{id}  {site_id}  {name}"));
    }
    if let Some(more) = sites.len().checked_sub(LISTED).filter(|more| *more > 0) {
        complain(format!("and {more} more"));
    }
}

fn id_of(site: &Candidate) -> Result<SiteId, CommandError> {
    let unreadable =
        |_| CommandError::Failed("the server told of a site without a site_id: check --url".into());
    site.site_id.as_sent().parse().map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::read;

    const ID: &str = "0a1b2c3d-0000-4000-8000-000000000000";

    #[test]
    fn a_site_is_named_by_id_number_or_text() {
        let id = SiteArgument::Id(ID.parse().unwrap());
        assert_eq!(ID.parse(), Ok(id));
        assert_eq!(" #7 ".parse(), Ok(SiteArgument::Number(7)));
        for text in ["7", "0a1b", "Bar", "#", "#one", "#7a", "# 7"] {
            assert_eq!(text.parse(), Ok(SiteArgument::Text(text.to_owned())), "{text}");
        }
        for bad in ["", " ", "#0", "#18446744073709551616"] {
            assert!(bad.parse::<SiteArgument>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_exact_name_fits_and_a_beginning_of_an_id_of_four_characters_or_more() {
        let site: Candidate = read(&json!({ "id": 1, "site_id": ID, "name": "Bar Centrale" })).unwrap();
        let fits = |text: &str| Wanted::new(text).fits(&site);
        for text in ["Bar Centrale", "  Bar Centrale ", "0a1b", "0A1B2C3D-00", &ID[..35]] {
            assert!(fits(text), "{text}");
        }
        for text in ["bar centrale", "Bar", "0a1", "a1b2c3d", "0a1b2c3d0000"] {
            assert!(!fits(text), "{text}");
        }
        assert!(Wanted::new("centrale").is_in(&site));
        // Nobody is asked for what no site can be called.
        assert_eq!(Wanted::new(&"x".repeat(201)).query(), None);
    }
}
