//! What lists look at of a site, without owning it: 100,000 sites are looked at
//! for one page, and most of them are not on it. A [`Site`] gives its view, and
//! whoever stores sites can give one of a record as it lies there.

use std::borrow::Cow;

use super::calendar::Date;
use super::delivery::{Delivered, DeliveryState};
use super::rules::Rules;
use super::site::{Site, SiteStatus};
use super::site_id::SiteId;
use super::terms::{Terms, VerdictRevision};
use super::text::composed;
use super::time::Timestamp;

/// What filters and orders look at of a site.
#[derive(Debug, Clone)]
pub struct SiteView<'a> {
    /// Number in order of registration.
    pub id: u64,
    /// Public identity.
    pub site_id: SiteId,
    /// What the vendor calls it.
    pub name: &'a str,
    /// Who owns it.
    pub owner_name: &'a str,
    /// Whom to write to.
    pub contact_email: &'a str,
    /// What it is sorted by, with spaces between the words.
    pub tags: Cow<'a, str>,
    /// What is to be remembered of it.
    pub notes: &'a str,
    /// What it may do.
    pub terms: Cow<'a, Terms>,
    /// The last change of that which somebody made.
    pub verdict_revision: VerdictRevision,
    /// When its last heartbeat came.
    pub last_seen_at: Option<Timestamp>,
    /// The version that it reported.
    pub last_version: Option<&'a str>,
    /// The day of its last heartbeat, and how many came on it so far.
    pub today: Option<(Date, u32)>,
    /// What it was told, and has applied.
    pub delivered: Delivered,
}

impl SiteView<'_> {
    /// Where it stands at `now`.
    pub fn status(&self, rules: &Rules, now: Timestamp) -> SiteStatus {
        SiteStatus::of(&self.terms, self.last_seen_at, rules, now)
    }

    /// How far the last change of what it may do has come at `now`.
    pub fn delivery_state(&self, rules: &Rules, now: Timestamp) -> DeliveryState {
        self.delivered.of(self.verdict_revision.at(&self.terms, rules, now)).state
    }

    /// Whether it has the tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.split(' ').any(|own| own == tag)
    }

    /// Whether `needle`, as [`folded`] gives it, stands in the name, owner,
    /// e-mail address, site id, tags or notes, without regard to case.
    pub fn mentions(&self, needle: &str) -> bool {
        [self.name, self.owner_name, self.contact_email, &*self.tags, self.notes]
            .iter()
            .any(|text| holds(text, needle))
            || could_be_of_id(needle) && self.site_id.to_string().contains(needle)
    }
}

impl Site {
    /// What filters and orders look at of it.
    pub fn view(&self) -> SiteView<'_> {
        SiteView {
            id: self.id,
            site_id: self.site_id,
            name: self.name.as_str(),
            owner_name: self.owner_name.as_str(),
            contact_email: self.contact_email.as_str(),
            tags: Cow::Owned(self.tags.to_string()),
            notes: self.notes.as_str(),
            terms: Cow::Borrowed(&self.terms),
            verdict_revision: self.verdict_revision,
            last_seen_at: self.seen.as_ref().map(|seen| seen.at),
            last_version: self.seen.as_ref().map(|seen| seen.heartbeat.version.as_str()),
            today: self
                .seen
                .as_ref()
                .and_then(|seen| seen.today.as_ref())
                .map(|day| (day.date, day.heartbeats)),
            delivered: self.seen.as_ref().map_or(Delivered::default(), |seen| seen.delivered),
        }
    }
}

/// A text without regard to case: composed, and in lower case.
pub fn folded(text: &str) -> String {
    // Most texts are ASCII, which is composed as it is.
    if text.is_ascii() { text.to_ascii_lowercase() } else { composed(text).to_lowercase() }
}

/// Whether two texts are the same without regard to case; `wanted` is
/// [`folded`].
pub fn is_same(text: &str, wanted: &str) -> bool {
    if text.is_ascii() { text.eq_ignore_ascii_case(wanted) } else { folded(text) == wanted }
}

/// Whether `needle`, which is [`folded`], stands in `text`. Most texts are ASCII,
/// and are looked through where they lie.
fn holds(text: &str, needle: &str) -> bool {
    if !text.is_ascii() {
        return folded(text).contains(needle);
    }
    let Some(&first) = needle.as_bytes().first() else {
        return true;
    };
    let starts = |byte: &u8| byte.to_ascii_lowercase() == first;
    text.len() >= needle.len()
        && text
            .as_bytes()
            .windows(needle.len())
            .any(|part| part.first().is_some_and(starts) && part.eq_ignore_ascii_case(needle.as_bytes()))
}

/// Whether the needle can stand in a UUID.
fn could_be_of_id(needle: &str) -> bool {
    needle.len() <= 36 && needle.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn looking_where_a_text_lies_finds_what_folding_it_would(text in "[aBé ßİ-]{0,12}", needle in "[aBé ßİ-]{0,3}") {
            let needle = folded(&needle);
            prop_assert_eq!(holds(&text, &needle), folded(&text).contains(&needle));
            prop_assert_eq!(is_same(&text, &needle), folded(&text) == needle);
        }
    }
}
