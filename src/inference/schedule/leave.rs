//! Lets searches go: what they waited for is dropped, or kept for the time when there is nothing else to do.

use std::time::Instant;

use super::{Left, Pair, PairKey, Schedule, SearchId, State, Work};

// === impl Schedule ===

impl Schedule {
    /// Lets a search go, with what is scored of it. Pairs that nobody waits for any more are dropped, or kept for later.
    pub fn leave(&mut self, id: SearchId, now: Instant) -> Left {
        if self.searches.get(&id).is_some_and(|search| search.deadline <= now && search.has_cost_in_vain()) {
            self.learn_caution(false);
        }
        self.retire(id);
        self.searches.remove(&id).map(|search| search.left_with).unwrap_or_default()
    }

    /// Takes a search out of all lines; it may stay until it is asked to leave.
    pub(super) fn retire(&mut self, id: SearchId) {
        let Some(search) = self.searches.get_mut(&id) else { return };
        (search.left, search.reserved) = (Work::default(), 0);
        search.pending.clear();
        let (keys, missing) = (std::mem::take(&mut search.keys), search.missing);
        let (lane, place) = (search.lane, (search.deadline, id));
        self.leave_line(lane, place);
        if missing > 0 {
            keys.into_iter().for_each(|key| self.give_up(key, id));
        }
    }

    fn leave_line(&mut self, number: usize, place: (Instant, SearchId)) {
        if let Some(lane) = self.lanes.get_mut(&number) {
            lane.searches.remove(&place);
            if self.lanes.values().all(|other| other.searches.is_empty()) {
                self.lanes.clear();
            }
        }
    }

    /// A search does not wait for a pair any more.
    fn give_up(&mut self, key: PairKey, id: SearchId) {
        let Some(pair) = self.pairs.get_mut(&key) else { return };
        pair.waiters.retain(|(waiter, _)| *waiter != id);
        if !pair.waiters.is_empty() {
            return;
        }
        match pair.state {
            State::Waiting => self.put_behind(key),
            State::Flying if !self.settings.keeps => pair.stop.ask(),
            State::Flying | State::Late => {}
        }
    }

    /// Nobody waits for a pair that waits: it is kept for later, or dropped.
    pub(super) fn put_behind(&mut self, key: PairKey) {
        let Some(pair) = self.pairs.get_mut(&key) else { return };
        self.waiting.0 -= 1;
        self.waiting.1 -= u64::from(pair.prepared.cost());
        pair.state = State::Late;
        if self.settings.keeps && self.refuses.is_none() {
            let over = self.late.push(key, self.settings.max_queue);
            over.into_iter().for_each(|oldest| self.drop_late(oldest));
        } else {
            self.remove_pair(key);
        }
    }

    pub(super) fn drop_late(&mut self, key: PairKey) {
        if self.pairs.get(&key).is_some_and(|pair| pair.state == State::Late) {
            self.remove_pair(key);
        }
    }

    pub(super) fn remove_pair(&mut self, key: PairKey) -> Option<Pair> {
        let pair = self.pairs.remove(&key)?;
        if let Some(group) = self.groups.get_mut(&pair.query) {
            group.pairs -= 1;
            if group.pairs == 0 {
                for worker in &group.begun {
                    self.workers[*worker].ended.push(pair.query);
                }
                self.groups.remove(&pair.query);
            }
        }
        Some(pair)
    }
}
