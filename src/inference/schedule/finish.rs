//! What becomes of a pass: scores go to those who wait, a pass that was too large is tried smaller, a panic is traced to its pair.

use std::{
    mem,
    time::{Duration, Instant},
};

use rerank_plugin::{Fault, Score, Stop};

use super::{Flight, PairKey, Schedule, SearchId, State, panicked};

/// Panics without a score between them after which the model is to blame, and not its pairs.
const PANICS: u32 = 6;
/// Panics of one pair alone after which it is left out.
const PANICS_ALONE: u32 = 2;
/// How a pass grows again after one that was too large, with each that fitted.
const GROWTH: f64 = 1.05;

/// How a pass ended.
pub enum Ended {
    /// With one result for each pair, in order.
    Results(Vec<Result<Score, Fault>>),
    /// The model panicked; it was reset.
    Panic,
}

/// What a pass came to, for those who count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Pairs that have scores now.
    pub scored: usize,
    /// Scores that nobody waited for any more.
    pub late: usize,
    /// Pairs that are left out from now on.
    pub set_aside: usize,
}

// === impl Schedule ===

impl Schedule {
    /// Takes the results of a worker's pass, which took so long. Results that come after a search's deadline are not its own any more.
    pub fn finish(&mut self, worker: usize, ended: Ended, took: Duration, now: Instant) -> Tally {
        let mut tally = Tally::default();
        let Some(flight) = self.workers[worker].flight.take() else { return tally };
        self.measured = Some(now);
        self.passes += 1;
        match ended {
            Ended::Panic => self.panicked((worker, &flight.pairs), &mut tally, now),
            Ended::Results(results) => {
                let sound = results.iter().all(|result| matches!(result, Ok(_) | Err(Fault::Input(_))));
                if sound {
                    self.workers[worker].pace.learn(&flight.work, took);
                    self.ceiling = self.ceiling.map(|ceiling| ceiling * GROWTH);
                }
                self.too_much(&flight, &results);
                for (key, result) in flight.pairs.iter().zip(results) {
                    self.finish_pair((*key, flight.pairs.len()), result, &mut tally, now);
                }
            }
        }
        tally
    }

    fn finish_pair(&mut self, (key, together): (PairKey, usize), result: Result<Score, Fault>, tally: &mut Tally, now: Instant) {
        match result {
            Ok(_) => {
                tally.scored += 1;
                self.panics = 0;
                self.suspects.clear();
                self.deliver(key, &result, tally, now);
            }
            Err(Fault::Batch(_)) if together > 1 => self.try_again(key, together / 2),
            Err(Fault::Batch(reason)) => self.deliver(key, &Err(Fault::Input(reason)), tally, now),
            Err(Fault::Input(_)) => self.deliver(key, &result, tally, now),
            Err(Fault::Stopped) => {
                // Whoever came to wait for it since it was asked to stop has it scored.
                if let Some(pair) = self.pairs.get_mut(&key) {
                    pair.stop = Stop::default();
                }
                self.try_again(key, usize::MAX);
            }
            Err(fault) => self.fail(key, &fault),
        }
    }

    /// Gives a result to all who wait for it.
    fn deliver(&mut self, key: PairKey, result: &Result<Score, Fault>, tally: &mut Tally, now: Instant) {
        let Some(pair) = self.remove_pair(key) else { return };
        let mut in_time = false;
        for (id, place) in pair.waiters {
            let Some(search) = self.searches.get_mut(&id).filter(|search| search.deadline > now) else { continue };
            search.left_with.results.push((place, result.clone()));
            search.missing -= 1;
            in_time = true;
            if search.missing == 0 {
                self.learn_caution(true);
            }
            self.check_done(id);
        }
        tally.late += usize::from(!in_time && result.is_ok());
    }

    /// Lets all searches go that wait for a pair on which the model failed.
    fn fail(&mut self, key: PairKey, fault: &Fault) {
        let Some(pair) = self.remove_pair(key) else { return };
        for (id, _) in pair.waiters {
            let Some(search) = self.searches.get_mut(&id).filter(|search| search.left_with.fault.is_none()) else { continue };
            search.left_with.fault = Some(fault.clone());
            self.check_done(id);
            self.retire(id);
        }
    }

    /// Puts a pair back into the lines of those who wait for it, to be scored with fewer others.
    fn try_again(&mut self, key: PairKey, most: usize) {
        let Some(pair) = self.pairs.get_mut(&key) else { return };
        pair.most = pair.most.min(most.max(1));
        let cost = pair.prepared.cost();
        pair.state = State::Waiting;
        self.waiting.0 += 1;
        self.waiting.1 += u64::from(cost);
        if pair.waiters.is_empty() {
            return self.put_behind(key);
        }
        let waiters: Vec<SearchId> = pair.waiters.iter().map(|(id, _)| *id).collect();
        for id in waiters {
            if let Some(search) = self.searches.get_mut(&id) {
                search.left.add(cost);
                search.pending.push_back(key);
            }
            self.line_up(id);
        }
    }

    /// Remembers how much was too much.
    fn too_much(&mut self, flight: &Flight, results: &[Result<Score, Fault>]) {
        if flight.pairs.len() > 1 && results.iter().any(|result| matches!(result, Err(Fault::Batch(_)))) {
            let costs = flight.pairs.iter().filter_map(|key| self.pairs.get(key)).map(|pair| f64::from(pair.prepared.cost().max(1)));
            let tokens: f64 = costs.sum();
            self.ceiling = Some(self.ceiling.map_or(tokens / 2.0, |known| known.min(tokens / 2.0)));
        }
    }

    /// The pairs of a pass that panicked are tried one at a time; one that panics alone again and again is left out.
    fn panicked(&mut self, (worker, keys): (usize, &[PairKey]), tally: &mut Tally, now: Instant) {
        self.panics += 1;
        // The states were dropped with the reset.
        self.groups.values_mut().for_each(|group| group.begun.retain(|begun| *begun != worker));
        if self.panics >= PANICS {
            // It is not the pairs then.
            mem::take(&mut self.suspects).into_iter().for_each(|key| self.aside.remove(key));
            let fault = Fault::Model("the model panicked again and again".into());
            keys.iter().for_each(|key| self.fail(*key, &fault));
            return;
        }
        for key in keys {
            let Some(pair) = self.pairs.get_mut(key) else { continue };
            pair.panics += u32::from(keys.len() == 1);
            if pair.panics < PANICS_ALONE {
                self.try_again(*key, 1);
                continue;
            }
            self.aside.put(*key, now);
            self.suspects.push(*key);
            tally.set_aside += 1;
            self.deliver(*key, &Err(panicked()), &mut Tally::default(), now);
        }
    }

    /// Gives up a pass whose worker ended with it.
    pub fn lose(&mut self, worker: usize, fault: &Fault) {
        let flight = self.workers[worker].flight.take();
        flight.into_iter().flat_map(|flight| flight.pairs).for_each(|key| self.fail(key, fault));
    }
}
