//! Which sites are meant: the filter of lists, and of changes of many sites.

use std::fmt;
use std::str::FromStr;

use super::codes::Tags;
use super::delivery::DeliveryState;
use super::rules::Rules;
use super::site::SiteStatus;
use super::text::{AppVersion, composed};
use super::time::Timestamp;
use super::view::{SiteView, folded, is_same};

/// Which sites are meant: those of which all that is said holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SiteFilter {
    /// In one of these statuses; none: in any.
    pub statuses: Vec<SiteStatus>,
    /// With this text in name, owner, e-mail address, site id, tags or notes.
    pub text: Option<FoldedText>,
    /// Of exactly this owner, without regard to case; empty: of none.
    pub owner: Option<FoldedText>,
    /// With all of these tags.
    pub tags: Tags,
    /// Whose licence expires before this time; grace does not count.
    pub expires_before: Option<Timestamp>,
    /// Whose licence expires after this time; grace does not count.
    pub expires_after: Option<Timestamp>,
    /// Whose last heartbeat came before this time; not those that never sent
    /// one.
    pub seen_before: Option<Timestamp>,
    /// Whose last heartbeat reported exactly this version.
    pub version: Option<AppVersion>,
    /// The last change of which has come so far; none: however far.
    pub deliveries: Vec<DeliveryState>,
}

impl SiteFilter {
    /// Whether it lets every site through, whatever it is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `site` is meant at `now`.
    pub fn lets_through(&self, site: &SiteView<'_>, rules: &Rules, now: Timestamp) -> bool {
        let expires_at = site.terms.license_expires_at;
        // What costs least stands first.
        self.expires_before.is_none_or(|before| expires_at < before)
            && self.expires_after.is_none_or(|after| after < expires_at)
            && self.seen_before.is_none_or(|before| site.last_seen_at.is_some_and(|seen| seen < before))
            && self.version.as_ref().is_none_or(|version| site.last_version == Some(version.as_str()))
            && self.tags.iter().all(|tag| site.has_tag(tag))
            && (self.statuses.is_empty() || self.statuses.contains(&site.status(rules, now)))
            && (self.deliveries.is_empty() || self.deliveries.contains(&site.delivery_state(rules, now)))
            && self.owner.as_ref().is_none_or(|owner| is_same(site.owner_name, &owner.folded))
            && self.text.as_ref().is_none_or(|text| site.mentions(&text.folded))
    }
}

/// A text that is looked for without regard to case, of at most
/// [`FoldedText::MAX`] characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldedText {
    given: String,
    folded: String,
}

impl FoldedText {
    /// Greatest number of characters.
    pub const MAX: usize = 200;

    /// As it was given, trimmed.
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }
}

/// The text is too long to be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be at most {} characters", FoldedText::MAX)
    }
}

impl std::error::Error for TooLong {}

impl FromStr for FoldedText {
    type Err = TooLong;

    fn from_str(text: &str) -> Result<Self, TooLong> {
        let given = composed(text.trim()).into_owned();
        if given.chars().count() > Self::MAX {
            return Err(TooLong);
        }
        Ok(Self { folded: folded(&given), given })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::Delivered;
    use crate::domain::{Heartbeat, NewSite, SecretKey, Seen, Site, SiteId};

    const NOW: i64 = 1_900_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(NOW + seconds).unwrap()
    }

    fn site() -> Site {
        let (name, email) = ("Trattoria Da Mario".parse().unwrap(), "mario@example.com".parse().unwrap());
        let new = NewSite {
            owner_name: "Löwe & Söhne".parse().unwrap(),
            tags: "rome vip".parse().unwrap(),
            notes: "Rings on Mondays".parse().unwrap(),
            ..NewSite::named(name, email, at(100))
        };
        let key = SecretKey::from_random_bits([1; 32]).hash();
        let calendar = Rules::default().calendar(None);
        Site::registered(SiteId::from_u128(0xabc << 64), new, key, &calendar, at(0)).unwrap()
    }

    fn seen(seconds: i64, version: &str) -> Seen {
        Seen {
            at: at(seconds),
            ip: "192.0.2.1".parse().unwrap(),
            heartbeat: Heartbeat { version: version.parse().unwrap(), uptime_seconds: 1 },
            key_generation: 1,
            delivered: Delivered::default().after(None, 1, at(seconds)),
            lease: None,
            today: None,
        }
    }

    fn passes(filter: SiteFilter, site: &Site) -> bool {
        filter.lets_through(&site.view(), &Rules::default(), at(0))
    }

    #[test]
    fn times_are_strict_on_both_sides_and_who_was_never_seen_was_not_seen_before() {
        let site = site();
        let before = |time| SiteFilter { expires_before: Some(at(time)), ..SiteFilter::default() };
        let after = |time| SiteFilter { expires_after: Some(at(time)), ..SiteFilter::default() };
        assert!(passes(before(101), &site) && !passes(before(100), &site));
        assert!(passes(after(99), &site) && !passes(after(100), &site));
        let unseen = |time| SiteFilter { seen_before: Some(at(time)), ..SiteFilter::default() };
        assert!(!passes(unseen(1000), &site));
        let heard = Site { seen: Some(seen(-5, "2.4")), ..site };
        assert!(passes(unseen(-4), &heard) && !passes(unseen(-5), &heard));
    }

    #[test]
    fn owners_and_versions_are_whole_and_tags_all_there() {
        let heard = Site { seen: Some(seen(-5, "2.4")), ..site() };
        let owner = |text: &str| SiteFilter { owner: Some(text.parse().unwrap()), ..SiteFilter::default() };
        assert!(passes(owner(" löwe & sÖHNE "), &heard) && !passes(owner("löwe"), &heard));
        assert!(passes(owner("Lo\u{308}we & So\u{308}hne"), &heard) && !passes(owner(""), &heard));
        let nobody = Site { owner_name: "".parse().unwrap(), ..site() };
        assert!(passes(owner(""), &nobody));
        let tags = |tags: &str| SiteFilter { tags: tags.parse().unwrap(), ..SiteFilter::default() };
        assert!(passes(tags("vip"), &heard) && passes(tags("vip rome"), &heard));
        assert!(!passes(tags("vi"), &heard) && !passes(tags("vip paris"), &heard));
        let version =
            |text: &str| SiteFilter { version: Some(text.parse().unwrap()), ..SiteFilter::default() };
        assert!(passes(version("2.4"), &heard) && !passes(version("2"), &heard));
        assert!(!passes(version("2.4"), &site()));
    }

    #[test]
    fn one_of_several_statuses_and_deliveries_is_enough_and_all_else_must_hold() {
        use DeliveryState::{Acknowledged, Answered, Pending};
        let statuses =
            |statuses: &[SiteStatus]| SiteFilter { statuses: statuses.to_vec(), ..SiteFilter::default() };
        assert!(passes(statuses(&[SiteStatus::Online, SiteStatus::NeverSeen]), &site()));
        assert!(!passes(statuses(&[SiteStatus::Online]), &site()));
        let heard = Site { seen: Some(seen(-5, "2.4")), ..site() };
        let delivery =
            |states: &[DeliveryState]| SiteFilter { deliveries: states.to_vec(), ..SiteFilter::default() };
        assert!(
            passes(delivery(&[Pending]), &site()) && !passes(delivery(&[Answered, Acknowledged]), &site())
        );
        assert!(passes(delivery(&[Answered, Acknowledged]), &heard) && !passes(delivery(&[Pending]), &heard));
        let both = SiteFilter { tags: "paris".parse().unwrap(), ..statuses(&[SiteStatus::NeverSeen]) };
        assert!(!passes(both, &site()));
    }

    #[test]
    fn a_search_looks_at_all_that_people_remember() {
        let text = |text: &str| SiteFilter { text: Some(text.parse().unwrap()), ..SiteFilter::default() };
        for found in ["DA MAR", "löwe", "LO\u{308}WE", "o@exam", "vip", "mondays", "0abc", ""] {
            assert!(passes(text(found), &site()), "{found}");
        }
        for missed in ["luigi", "romevip", "active"] {
            assert!(!passes(text(missed), &site()), "{missed}");
        }
        assert!("é".repeat(200).parse::<FoldedText>().is_ok());
        assert_eq!("é".repeat(201).parse::<FoldedText>(), Err(TooLong));
    }
}
