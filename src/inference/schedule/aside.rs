//! Pairs that broke the model more than once: they are left out for a while, so that they break nothing else.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use crate::inference::PairKey;

/// How long a pair is left out.
const REST: Duration = Duration::from_secs(600);
/// More of them are not remembered: the oldest is tried again.
const MOST: usize = 4096;

/// The pairs that are left out.
#[derive(Debug, Default)]
pub struct Aside {
    until: HashMap<PairKey, Instant>,
    oldest_first: VecDeque<PairKey>,
}

// === impl Aside ===

impl Aside {
    /// Leaves a pair out from now on.
    pub fn put(&mut self, pair: PairKey, now: Instant) {
        if self.until.insert(pair, now + REST).is_none() {
            self.oldest_first.push_back(pair);
        }
        while self.oldest_first.len() > MOST {
            self.forget_oldest();
        }
    }

    /// Returns whether a pair is left out.
    pub fn holds(&mut self, pair: PairKey, now: Instant) -> bool {
        while self.oldest_first.front().is_some_and(|oldest| self.until.get(oldest).is_none_or(|until| *until <= now)) {
            self.forget_oldest();
        }
        self.until.get(&pair).is_some_and(|until| *until > now)
    }

    /// Tries a pair again.
    pub fn remove(&mut self, pair: PairKey) {
        if self.until.remove(&pair).is_some() {
            self.oldest_first.retain(|known| *known != pair);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.oldest_first.pop_front() {
            self.until.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Aside, MOST, REST};
    use crate::inference::schedule::tests::pair;

    #[test]
    fn a_pair_is_left_out_for_a_while_and_the_oldest_gives_way() {
        let (mut aside, now) = (Aside::default(), Instant::now());
        aside.put(pair(1, 1), now);
        assert!(aside.holds(pair(1, 1), now) && !aside.holds(pair(1, 2), now));
        assert!(!aside.holds(pair(1, 1), now + REST));
        (0..=MOST as u128).for_each(|number| aside.put(pair(2, number), now));
        assert!(!aside.holds(pair(2, 0), now) && aside.holds(pair(2, 1), now));
        assert_eq!((aside.until.len(), aside.oldest_first.len()), (MOST, MOST));
    }
}
