//! The chain of the audit trail: each entry has a hash over what it tells and
//! over the hash of the entry before it, so that no entry can be changed,
//! removed or moved without all that come after it telling so. Whoever noted a
//! head of the chain elsewhere can tell that nothing before it was rewritten;
//! without one, somebody who may write to the database can make all of the
//! chain again.
//!
//! The hash is over what the trail tells, in the words of the API, and not over
//! bytes of a record: it is the same wherever and however the entry is stored,
//! and who reads `GET /api/audit` can compute it. A Merkle tree was rejected:
//! nobody here needs a proof of one entry without the others.

use std::fmt;
use std::io::Write as _;
use std::str::FromStr;

use aws_lc_rs::digest;

use super::audit::AuditEntry;

/// What every hashed text begins with: another form of it gets another name.
const FORM: &str = "sitewarden audit entry 1";
/// Most runs of forgotten entries that are told apart. Only entries that a
/// wrong clock has dated stand between two of them.
pub const MAX_RUNS: usize = 1000;

/// A hash of the chain: SHA-256. Displays as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// What comes before the first entry.
    pub const START: Self = Self([0; 32]);

    /// From stored bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash of `entry`, whose predecessor has this one: SHA-256 over this
    /// hash and then the form's name, and each field of the entry in the words
    /// and in the order of the API, a change being its three fields and all of
    /// them preceded by their number. Each text is preceded by a byte 1 and its
    /// length as 8 bytes, the most significant first; what is null is a byte 0.
    #[must_use]
    pub fn after(&self, entry: &AuditEntry) -> Self {
        let mut told = Told(Vec::with_capacity(512));
        told.0.extend_from_slice(&self.0);
        told.text(FORM);
        told.text(entry.id);
        told.text(entry.at);
        told.maybe(Some(&entry.actor.name).filter(|name| !name.is_empty()));
        told.text(entry.actor.kind.as_str());
        told.maybe(entry.actor.token.as_ref());
        told.maybe(entry.actor.ip);
        told.text(entry.action.as_str());
        told.maybe(entry.site_id);
        told.maybe(entry.admin.as_ref());
        told.text(entry.changes.len());
        for change in &entry.changes {
            told.text(change.field.as_str());
            told.maybe(change.before.as_ref());
            told.maybe(change.after.as_ref());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, &told.0).as_ref());
        Self(hash)
    }
}

/// What is hashed.
struct Told(Vec<u8>);

impl Told {
    fn text(&mut self, text: impl fmt::Display) {
        self.0.push(1);
        let length_at = self.0.len();
        self.0.extend_from_slice(&[0; 8]);
        let text_at = self.0.len();
        // Writing to memory does not fail.
        let _ = write!(self.0, "{text}");
        let length = (self.0.len() - text_at) as u64;
        if let Some(place) = self.0.get_mut(length_at..text_at) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    fn maybe(&mut self, text: Option<impl fmt::Display>) {
        match text {
            Some(text) => self.text(text),
            None => self.0.push(0),
        }
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a text that is no head must be.
pub const HEAD_FORM: &str =
    "must be the number of an entry, a colon and the 64 hexadecimal digits of its hash";

/// The newest entry and its hash: whoever has it can tell later whether the
/// trail up to there is still the same. Displays as `NUMBER:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// The number of the newest entry that there ever was; 0: there was none.
    pub number: u64,
    /// Its hash.
    pub hash: ChainHash,
}

impl fmt::Display for ChainHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

impl FromStr for ChainHead {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (number, digits) = text.trim().split_once(':')?;
            if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            let mut hash = [0; 32];
            for (byte, place) in hash.iter_mut().zip((0..64).step_by(2)) {
                *byte = u8::from_str_radix(digits.get(place..place + 2)?, 16).ok()?;
            }
            let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
            let number = number.parse().ok().filter(|_| is_number)?;
            Some(Self { number, hash: ChainHash(hash) })
        };
        read().ok_or(HEAD_FORM)
    }
}

/// Entries that were forgotten because they were old, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForgottenRun {
    /// The number of the first.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// The hash of the last: the next entry goes on from it.
    pub hash: ChainHash,
}

/// What is stored of the chain beside the entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// The number of the newest entry that an older version without a chain
    /// left behind: up to it the chain was made at the upgrade, and tells
    /// nothing of what was before. 0: there are none.
    pub upgraded: u64,
    /// What was forgotten, in order; never two that touch.
    runs: Vec<ForgottenRun>,
}

impl Chain {
    /// As it was stored.
    pub fn of(upgraded: u64, runs: Vec<ForgottenRun>) -> Self {
        Self { upgraded, runs }
    }

    /// What was forgotten, in order.
    pub fn runs(&self) -> &[ForgottenRun] {
        &self.runs
    }

    /// The hash of the last entry of a run that ends with `number`.
    pub fn hash_at(&self, number: u64) -> Option<ChainHash> {
        self.runs.iter().find(|run| run.last == number).map(|run| run.hash)
    }

    /// Notes that the entries of `run` are forgotten. `false`: it would be one
    /// run more than [`MAX_RUNS`], and nothing is noted; they must stay.
    #[must_use]
    pub fn forget(&mut self, run: ForgottenRun) -> bool {
        let at = self.runs.partition_point(|other| other.last < run.first);
        let mut run = run;
        let (mut from, mut to) = (at, at);
        if let Some(before) = at.checked_sub(1).and_then(|at| self.runs.get(at))
            && before.last.saturating_add(1) == run.first
        {
            run.first = before.first;
            from -= 1;
        }
        if let Some(next) = self.runs.get(at)
            && run.last.saturating_add(1) == next.first
        {
            (run.last, run.hash) = (next.last, next.hash);
            to += 1;
        }
        if from == to && self.runs.len() >= MAX_RUNS {
            return false;
        }
        self.runs.splice(from..to, [run]);
        true
    }
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It is not what was recorded under its number: it was changed or put in
    /// another's place, or one before it was and got a new hash.
    Changed,
    /// It is missing, and was not forgotten for its age.
    Removed,
    /// There was none of its number.
    Added,
    /// It cannot be read.
    Unreadable,
}

impl FaultKind {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Added => "added",
            Self::Unreadable => "unreadable",
        }
    }
}

/// The first entry at which the trail is not what was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainFault {
    /// Its number.
    pub number: u64,
    /// What is wrong with it.
    pub kind: FaultKind,
}

/// What became of the head that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// The trail up to there is the same.
    Met,
    /// That entry, or one before it, is another.
    Differs,
    /// The trail ends before it.
    CutOff,
    /// It was forgotten together with newer ones: nothing can be said.
    Forgotten,
}

impl Expectation {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Differs => "differs",
            Self::CutOff => "cut_off",
            Self::Forgotten => "forgotten",
        }
    }
}

/// How the trail stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// How many entries were held against the chain.
    pub entries: u64,
    /// The head; where there is a fault, the last before it.
    pub head: ChainHead,
    /// The first fault; `None`: the trail is whole.
    pub fault: Option<ChainFault>,
    /// What became of the head that was expected; `None` when none was, or
    /// there is a fault before it.
    pub expectation: Option<Expectation>,
    /// What is stored of the chain beside the entries.
    pub chain: Chain,
}

impl ChainReport {
    /// Whether the trail is whole, and up to the expected head the same.
    pub fn is_good(&self) -> bool {
        self.fault.is_none() && matches!(self.expectation, None | Some(Expectation::Met))
    }
}

/// Holds a trail against its chain, entry by entry.
pub struct Verifier {
    chain: Chain,
    expected: Option<ChainHead>,
    met: Option<Expectation>,
    entries: u64,
    at: ChainHead,
    fault: Option<ChainFault>,
}

impl Verifier {
    /// Begins before the first entry.
    pub fn new(chain: Chain, expected: Option<ChainHead>) -> Self {
        let at = ChainHead { number: 0, hash: ChainHash::START };
        let mut verifier = Self { chain, expected, met: None, entries: 0, at, fault: None };
        verifier.reach(at);
        verifier
    }

    /// Takes the next entry by its number, with the hash that is stored with
    /// it; `None`: it cannot be read. `false`: it is not what was recorded, and
    /// what follows tells nothing more.
    pub fn take(&mut self, number: u64, entry: Option<(ChainHash, &AuditEntry)>) -> bool {
        self.pass_runs(number);
        let expected = self.at.number.saturating_add(1);
        let kind = if number < expected {
            Some((number, FaultKind::Added))
        } else if number > expected {
            Some((expected, FaultKind::Removed))
        } else {
            match entry {
                None => Some((number, FaultKind::Unreadable)),
                Some((hash, entry)) if self.at.hash.after(entry) != hash => {
                    Some((number, FaultKind::Changed))
                }
                Some((hash, _)) => {
                    self.entries += 1;
                    self.reach(ChainHead { number, hash });
                    None
                }
            }
        };
        self.fault = kind.map(|(number, kind)| ChainFault { number, kind });
        self.fault.is_none()
    }

    /// How the trail stands, of which `newest` is the newest number that was
    /// given.
    pub fn end(mut self, newest: u64) -> ChainReport {
        if self.fault.is_none() {
            self.pass_runs(u64::MAX);
            let kind = match self.at.number.cmp(&newest) {
                std::cmp::Ordering::Less => Some((self.at.number.saturating_add(1), FaultKind::Removed)),
                std::cmp::Ordering::Greater => Some((newest.saturating_add(1), FaultKind::Added)),
                std::cmp::Ordering::Equal => None,
            };
            self.fault = kind.map(|(number, kind)| ChainFault { number, kind });
        }
        let missed = self.expected.filter(|_| self.fault.is_none()).map(|expected| {
            if expected.number > self.at.number { Expectation::CutOff } else { Expectation::Forgotten }
        });
        ChainReport {
            entries: self.entries,
            head: self.at,
            fault: self.fault,
            expectation: self.met.or(missed),
            chain: self.chain,
        }
    }

    /// Passes over what was forgotten before `number`. One that was not passes
    /// for it, where it lies in such a run.
    fn pass_runs(&mut self, number: u64) {
        while let Some(run) =
            self.chain.runs.iter().find(|run| run.first == self.at.number.saturating_add(1)).copied()
        {
            if run.last < run.first {
                return;
            }
            self.reach(ChainHead { number: run.last, hash: run.hash });
            if run.last >= number {
                return;
            }
        }
    }

    fn reach(&mut self, head: ChainHead) {
        self.at = head;
        if let Some(expected) = self.expected.filter(|expected| expected.number == head.number) {
            let same = expected.hash == head.hash;
            self.met = Some(if same { Expectation::Met } else { Expectation::Differs });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{Field, FieldValue};
    use crate::domain::{Action, Actor, ActorKind, FieldChange, SiteId, Timestamp};

    fn entry(id: u64) -> AuditEntry {
        AuditEntry {
            id,
            at: Timestamp::from_unix(1_900_000_000).unwrap(),
            actor: Actor {
                kind: ActorKind::Admin,
                name: "anna".to_owned(),
                token: Some("nightly".to_owned()),
                ip: Some("192.0.2.1".parse().unwrap()),
            },
            action: Action::SiteLocked,
            site_id: Some(SiteId::from_u128(7)),
            admin: None,
            changes: vec![FieldChange {
                field: Field::LockReason,
                before: None,
                after: Some(FieldValue::Text("unpaid".to_owned())),
            }],
        }
    }

    fn hashes(count: u64) -> Vec<ChainHash> {
        let mut hash = ChainHash::START;
        let next = |id| {
            hash = hash.after(&entry(id));
            hash
        };
        (1..=count).map(next).collect()
    }

    fn verified(
        numbers: &[u64],
        runs: Vec<ForgottenRun>,
        newest: u64,
        expected: Option<ChainHead>,
    ) -> ChainReport {
        let hashes = hashes(20);
        let mut verifier = Verifier::new(Chain::of(0, runs), expected);
        for &number in numbers {
            let hash = hashes[usize::try_from(number).unwrap() - 1];
            if !verifier.take(number, Some((hash, &entry(number)))) {
                break;
            }
        }
        verifier.end(newest)
    }

    fn run(first: u64, last: u64) -> ForgottenRun {
        ForgottenRun { first, last, hash: hashes(last)[usize::try_from(last).unwrap() - 1] }
    }

    fn head(number: u64) -> ChainHead {
        ChainHead { number, hash: run(number, number).hash }
    }

    /// Computed by Python's hashlib from the words of [`ChainHash::after`].
    /// Databases and noted heads hang on it: it is never changed.
    #[test]
    fn the_hash_of_an_entry_is_what_its_description_says() {
        let told = [
            Some("sitewarden audit entry 1"),
            Some("1"),
            Some("2030-03-17T17:46:40Z"),
            Some("anna"),
            Some("admin"),
            Some("nightly"),
            Some("192.0.2.1"),
            Some("site_locked"),
            Some("00000000-0000-0000-0000-000000000007"),
            None,
            Some("1"),
            Some("lock_reason"),
            None,
            Some("unpaid"),
        ];
        let mut bytes = vec![0; 32];
        for text in told {
            bytes.push(u8::from(text.is_some()));
            if let Some(text) = text {
                bytes.extend((text.len() as u64).to_be_bytes());
                bytes.extend(text.as_bytes());
            }
        }
        let expected = digest::digest(&digest::SHA256, &bytes);
        let hash = ChainHash::START.after(&entry(1));
        assert_eq!(hash.as_bytes().as_slice(), expected.as_ref());
        assert_eq!(hash.to_string(), "844e0f33262a0d0a44022ec18d647c338d9b0ad59567bf42ad6916388e633178");
    }

    #[test]
    fn a_head_is_read_as_it_is_written_and_nothing_else_is_one() {
        let head = head(3);
        assert_eq!(head.to_string().parse(), Ok(head));
        assert_eq!(format!(" {head}\n").to_uppercase().parse(), Ok(head));
        let digits = "0".repeat(64);
        for bad in
            ["", "3", ":", "3:00", &format!(":{digits}"), &format!("+3:{digits}"), &format!("3:{digits}0")]
        {
            assert_eq!(bad.parse::<ChainHead>(), Err(HEAD_FORM), "{bad}");
        }
        assert_eq!(format!("99999999999999999999:{digits}").parse::<ChainHead>(), Err(HEAD_FORM));
        assert_eq!(format!("3:{}ü", "0".repeat(62)).parse::<ChainHead>(), Err(HEAD_FORM));
    }

    #[test]
    fn runs_that_touch_become_one_and_others_stay_apart() {
        let mut chain = Chain::default();
        for (first, last) in [(1, 2), (5, 6), (9, 9), (7, 8), (3, 3)] {
            assert!(chain.forget(run(first, last)));
        }
        assert_eq!(chain.runs(), [run(1, 3), run(5, 9)]);
        assert_eq!((chain.hash_at(3), chain.hash_at(4)), (Some(run(3, 3).hash), None));
        assert!(chain.forget(run(4, 4)));
        assert_eq!(chain.runs(), [run(1, 9)]);
    }

    #[test]
    fn there_are_so_many_runs_and_no_more() {
        let run = |number| ForgottenRun { first: number, last: number, hash: ChainHash::START };
        let mut chain = Chain::default();
        let most = MAX_RUNS as u64;
        for number in 1..=most {
            assert!(chain.forget(run(2 * number)));
        }
        assert!(!chain.forget(run(2 * most + 2)));
        assert_eq!(chain.runs().len(), MAX_RUNS);
        assert!(chain.forget(run(2 * most + 1)), "which lengthens one");
        assert!(chain.forget(run(3)), "which joins two");
    }

    #[test]
    fn a_trail_is_whole_with_what_was_forgotten_and_broken_without_a_word_of_it() {
        let fault = |number, kind| Some(ChainFault { number, kind });
        let found = |numbers: &[u64], runs, newest| verified(numbers, runs, newest, None).fault;
        assert_eq!(found(&[1, 2, 3], vec![], 3), None);
        assert_eq!(found(&[], vec![], 0), None);
        assert_eq!(found(&[4, 7], vec![run(1, 3), run(5, 6)], 7), None);
        assert_eq!(found(&[], vec![run(1, 3)], 3), None);
        assert_eq!(found(&[1, 3], vec![], 3), fault(2, FaultKind::Removed));
        assert_eq!(found(&[1, 2], vec![], 3), fault(3, FaultKind::Removed));
        assert_eq!(found(&[1, 2, 3], vec![], 2), fault(3, FaultKind::Added));
        assert_eq!(found(&[2, 4], vec![run(1, 3)], 4), fault(2, FaultKind::Added));
        assert_eq!(found(&[4], vec![run(1, 2)], 4), fault(3, FaultKind::Removed));
        assert_eq!(
            found(&[4], vec![ForgottenRun { hash: ChainHash::START, ..run(1, 3) }], 4),
            fault(4, FaultKind::Changed)
        );
    }

    #[test]
    fn an_expected_head_is_met_where_the_trail_up_to_it_is_the_same() {
        let wrong = ChainHead { hash: ChainHash::START, ..head(2) };
        let became = |numbers: &[u64], runs, newest, expected| {
            verified(numbers, runs, newest, Some(expected)).expectation
        };
        assert_eq!(became(&[1, 2, 3], vec![], 3, head(2)), Some(Expectation::Met));
        assert_eq!(
            became(&[1, 2, 3], vec![], 3, ChainHead { number: 0, hash: ChainHash::START }),
            Some(Expectation::Met)
        );
        assert_eq!(became(&[1, 2, 3], vec![], 3, wrong), Some(Expectation::Differs));
        assert_eq!(became(&[1, 2, 3], vec![], 3, head(4)), Some(Expectation::CutOff));
        assert_eq!(became(&[4], vec![run(1, 3)], 4, head(3)), Some(Expectation::Met));
        assert_eq!(became(&[4], vec![run(1, 3)], 4, head(2)), Some(Expectation::Forgotten));
        assert_eq!(became(&[1, 3], vec![], 3, head(3)), None, "the fault before it says enough");
    }
}
