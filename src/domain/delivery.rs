//! Whether what was decided has arrived: the last change of what a site may
//! do, from the decision to the word of the site's local backend that it has
//! applied it.

use super::terms::VerdictRevision;
use super::time::Timestamp;

/// How far the last change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// No heartbeat has been answered since.
    Pending,
    /// A heartbeat was answered with it. That is not to say that the answer
    /// arrived.
    Answered,
    /// The local backend has said that it applied it.
    Acknowledged,
}

impl DeliveryState {
    /// Every state, in their order.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Answered, Self::Acknowledged];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Answered => "answered",
            Self::Acknowledged => "acknowledged",
        }
    }
}

/// A revision, and when it came that far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The revision.
    pub revision: u64,
    /// When.
    pub at: Timestamp,
}

/// What is stored of what a site was told and has applied. Neither part ever
/// goes back to an older revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    /// The newest revision that a heartbeat was answered with, and when that
    /// was first.
    pub answered: Option<Reached>,
    /// The newest revision that the local backend said it had applied, and
    /// when it first said so.
    pub acknowledged: Option<Reached>,
}

impl Delivered {
    /// After a heartbeat that said that the local backend had `applied` a
    /// revision and is answered, at `now`, with `answered`. A revision that no
    /// heartbeat was answered with is not believed.
    pub fn after(self, applied: Option<u64>, answered: u64, now: Timestamp) -> Self {
        let known = self.answered.map_or(0, |reached| reached.revision);
        let applied = applied.filter(|&revision| revision <= known);
        let newer = |reached: Option<Reached>, revision: u64| match reached {
            Some(reached) if revision <= reached.revision => reached,
            _ => Reached { revision, at: now },
        };
        Self {
            answered: Some(newer(self.answered, answered)),
            acknowledged: applied
                .map_or(self.acknowledged, |revision| Some(newer(self.acknowledged, revision))),
        }
    }

    /// How far `revision` has come, and when it was answered and
    /// acknowledged.
    pub fn of(self, revision: VerdictRevision) -> Delivery {
        let reached = |reached: Option<Reached>| {
            reached.filter(|reached| reached.revision >= revision.number).map(|reached| reached.at)
        };
        let (answered_at, acknowledged_at) = (reached(self.answered), reached(self.acknowledged));
        let state = match (answered_at, acknowledged_at) {
            (_, Some(_)) => DeliveryState::Acknowledged,
            (Some(_), None) => DeliveryState::Answered,
            (None, None) => DeliveryState::Pending,
        };
        Delivery { state, revision, answered_at, acknowledged_at }
    }
}

/// How far the last change of what a site may do has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// How far.
    pub state: DeliveryState,
    /// The change.
    pub revision: VerdictRevision,
    /// When a heartbeat was first answered with it.
    pub answered_at: Option<Timestamp>,
    /// When the local backend first said that it had applied it.
    pub acknowledged_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn state(delivered: Delivered, number: u64) -> DeliveryState {
        delivered.of(VerdictRevision { number, changed_at: at(0) }).state
    }

    #[test]
    fn a_change_is_pending_then_answered_then_acknowledged() {
        let none = Delivered::default();
        assert_eq!(state(none, 2), DeliveryState::Pending);
        let told = none.after(None, 2, at(10));
        assert_eq!(state(told, 2), DeliveryState::Answered);
        assert_eq!(state(told, 3), DeliveryState::Pending);
        let applied = told.after(Some(2), 2, at(20)).after(Some(2), 2, at(30));
        let delivery = applied.of(VerdictRevision { number: 2, changed_at: at(5) });
        assert_eq!((delivery.answered_at, delivery.acknowledged_at), (Some(at(10)), Some(at(20))));
    }

    #[test]
    fn a_revision_that_nobody_was_told_is_not_believed() {
        let told = Delivered::default().after(Some(1), 1, at(10));
        assert_eq!(told.acknowledged, None, "nothing was answered before");
        assert_eq!(told.after(Some(2), 2, at(20)).acknowledged, None);
    }

    proptest! {
        #[test]
        fn it_never_runs_backwards(beats in proptest::collection::vec((any::<Option<u8>>(), 1_u64..50), 1..60)) {
            let mut delivered = Delivered::default();
            for (now, (applied, answered)) in (0_i64..).zip(beats) {
                let after = delivered.after(applied.map(u64::from), answered, at(now));
                for number in 1..50 {
                    let rank = |delivered| state(delivered, number) as u8;
                    prop_assert!(rank(after) >= rank(delivered));
                }
                let number = |reached: Option<Reached>| reached.map_or(0, |reached| reached.revision);
                prop_assert!(number(after.acknowledged) <= number(after.answered));
                delivered = after;
            }
        }
    }
}
