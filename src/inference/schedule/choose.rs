//! Chooses the next pass: lanes in turn by what they have had, in a lane the most urgent search, in a search the best hit, and with
//! it what is about as long.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use rerank_plugin::{Digest128, Prepared, PreparedQuery, Stop};

use super::{Flight, LateSearch, PairKey, QueryKey, Schedule, Search, SearchId, State, Work};
use crate::rerank::Reason;

/// Pairs among which those of like length are chosen.
const IN_SIGHT: usize = 256;
/// The same, of a search for which the best hits count most: what is scored at its deadline is of use without the rest.
const IN_SIGHT_PARTIAL: usize = 16;
/// Tokens of a document by which it is judged how much a pass is.
const TYPICAL_COST: u32 = 256;
/// The share of a pass that may be padding, in a model that pads.
const MOST_PADDING: f64 = 0.1;

/// What a worker does next.
pub struct Task {
    /// Queries whose states it frees first.
    pub ended: Vec<QueryKey>,
    /// What it does then.
    pub work: TaskWork,
}

/// What a worker does next, once it has tidied up.
pub enum TaskWork {
    /// There is nothing to do.
    Nothing,
    /// Score these pairs, and tell the schedule when that is [done](Schedule::finish).
    Pass(Vec<PassPair>),
    /// Prepare the documents of a search that was shed, and [hand them in](Schedule::keep_late).
    Prepare(LateSearch),
}

/// One pair of a pass.
pub struct PassPair {
    /// The name of its query, which has one state.
    pub name: QueryKey,
    /// The query, where the worker has no state of it.
    pub query: PreparedQuery,
    /// Of what the model sees of the document.
    pub document: Digest128,
    /// The document.
    pub prepared: Prepared,
    /// Asked when nobody waits for it any more.
    pub stop: Stop,
}

#[derive(Clone, Copy)]
struct Candidate {
    key: PairKey,
    lane: Option<usize>,
    cost: u32,
    most: usize,
    rank: usize,
}

// === impl Schedule ===

impl Schedule {
    /// Returns what a worker does next.
    pub fn take(&mut self, worker: usize, now: Instant) -> Task {
        self.retire_late(now);
        let ended = std::mem::take(&mut self.workers[worker].ended);
        let pass = match self.choose(worker) {
            pass if pass.is_empty() => self.choose_late(worker),
            pass => pass,
        };
        let work = if pass.is_empty() {
            self.late.pop_search().map_or(TaskWork::Nothing, TaskWork::Prepare)
        } else {
            TaskWork::Pass(self.start(worker, &pass, now))
        };
        Task { ended, work }
    }

    /// Takes searches out that are late, or will be whatever is done.
    fn retire_late(&mut self, now: Instant) {
        let lanes: Vec<usize> = self.lanes.keys().copied().collect();
        for lane in lanes {
            while let Some((deadline, id)) = self.first_of(lane) {
                let hopeless = self.searches.get(&id).is_some_and(|search| self.is_hopeless(search, now));
                if deadline > now && !hopeless {
                    break;
                }
                if self.searches.get(&id).is_some_and(Search::has_cost_in_vain) {
                    self.learn_caution(false);
                }
                if hopeless && let Some(search) = self.searches.get_mut(&id) {
                    search.left_with.refused = Some(Reason::Overloaded);
                    self.done.push(id);
                }
                self.retire(id);
            }
        }
    }

    fn first_of(&self, lane: usize) -> Option<(Instant, SearchId)> {
        self.lanes.get(&lane)?.searches.first().copied()
    }

    /// Returns the pairs of the next pass; none when nothing waits.
    fn choose(&mut self, worker: usize) -> Vec<Candidate> {
        let mut lanes: Vec<(u64, (Instant, SearchId), usize)> =
            self.lanes.iter().filter_map(|(number, lane)| Some((lane.served, lane.searches.first().copied()?, *number))).collect();
        lanes.sort_unstable();
        // A lane that is ahead by more than a pass waits for the others.
        let pass = self.workers[worker].pace.fits(TYPICAL_COST, self.settings.target) as u64;
        let Some(level) = lanes.first().map(|(served, _, _)| served + pass) else { return Vec::new() };
        lanes.retain(|(served, _, _)| *served <= level);
        let each = (IN_SIGHT / lanes.len()).max(IN_SIGHT_PARTIAL);
        let mut candidates = Vec::new();
        let mut shortest = Duration::MAX;
        for (_, _, lane) in lanes {
            self.look_along(lane, each, &mut candidates, &mut shortest);
        }
        // A search stays with the worker that has its state, unless others have nothing to do.
        let home = |candidate: &Candidate| self.home_of(candidate.key).is_none_or(|home| home == worker);
        if candidates.iter().any(home) {
            candidates.retain(home);
        }
        self.fill_pass(worker, candidates, shortest / 8)
    }

    fn home_of(&self, key: PairKey) -> Option<usize> {
        self.groups.get(&self.pairs.get(&key)?.query)?.begun.first().copied()
    }

    /// Adds the first pairs of a lane, in the order in which it wants them, and finds the shortest budget.
    fn look_along(&self, number: usize, each: usize, candidates: &mut Vec<Candidate>, shortest: &mut Duration) {
        let Some(lane) = self.lanes.get(&number) else { return };
        let end = candidates.len() + each;
        for search in lane.searches.iter().filter_map(|(_, id)| self.searches.get(id)) {
            let in_sight = if search.partial { IN_SIGHT_PARTIAL } else { each };
            let waiting = search.pending.iter().filter_map(|key| Some((*key, self.pairs.get(key)?)));
            for (key, pair) in waiting.filter(|(_, pair)| pair.state == State::Waiting).take(in_sight) {
                candidates.push(Candidate { key, lane: Some(number), cost: pair.prepared.cost(), most: pair.most, rank: candidates.len() });
            }
            *shortest = (*shortest).min(search.deadline.saturating_duration_since(search.entered));
            if candidates.len() >= end {
                return;
            }
        }
    }

    /// Returns late pairs for a pass that is short, because somebody may come.
    fn choose_late(&mut self, worker: usize) -> Vec<Candidate> {
        let Self { late, pairs, .. } = self;
        late.retain(|key| pairs.get(key).is_some_and(|pair| pair.state == State::Late));
        let candidate = |(rank, key)| {
            let pair = self.pairs.get(&key)?;
            Some(Candidate { key, lane: None, cost: pair.prepared.cost(), most: pair.most, rank })
        };
        let candidates = self.late.pairs().take(IN_SIGHT).enumerate().filter_map(candidate).collect();
        self.fill_pass(worker, candidates, self.settings.target / 2)
    }

    /// Returns the first candidate, and as many of about its length as fit into a pass of this time.
    fn fill_pass(&self, worker: usize, mut candidates: Vec<Candidate>, time: Duration) -> Vec<Candidate> {
        let Some(first) = candidates.first().copied() else { return Vec::new() };
        // Several searches may wait for one pair, and one search for the same text twice.
        let mut seen = HashSet::new();
        candidates.retain(|candidate| seen.insert(candidate.key));
        let fits = self.workers[worker].pace.fits(first.cost, time).min(self.ceiling.unwrap_or(f64::MAX)) as u64;
        // What is computed and what is only looked up do not go together.
        candidates.retain(|candidate| (candidate.cost == 0) == (first.cost == 0));
        candidates.sort_by_key(|candidate| (candidate.cost, candidate.rank));
        let at = candidates.iter().position(|candidate| candidate.rank == first.rank).unwrap_or(0);
        let (mut shorter, mut longer) = (at, at + 1);
        let mut pass = Filling { fits, tokens: u64::from(first.cost.max(1)), longest: first.cost, most: first.most, pairs: vec![first] };
        while !pass.is_full() {
            let below = shorter.checked_sub(1).map(|place| candidates[place]);
            let above = candidates.get(longer).copied();
            let near = |candidate: Option<Candidate>| candidate.map(|candidate| candidate.cost.abs_diff(first.cost));
            let takes_below = match (near(below), near(above)) {
                (Some(below), Some(above)) => below <= above,
                (below, None) => below.is_some(),
                (None, Some(_)) => false,
            };
            match (takes_below, below, above) {
                (true, Some(candidate), _) => {
                    shorter -= 1;
                    pass.add(candidate);
                }
                (_, _, Some(candidate)) => {
                    longer += 1;
                    pass.add(candidate);
                }
                _ => break,
            }
        }
        pass.pairs.sort_by_key(|candidate| candidate.rank);
        pass.pairs
    }

    /// Marks pairs as being scored by a worker.
    fn start(&mut self, worker: usize, pass: &[Candidate], now: Instant) -> Vec<PassPair> {
        let mut work = Work::default();
        let mut taken = Vec::new();
        for candidate in pass {
            let Some(pair) = self.pairs.get_mut(&candidate.key) else { continue };
            if pair.state == State::Waiting {
                self.waiting.0 -= 1;
                self.waiting.1 -= u64::from(candidate.cost);
            }
            pair.state = State::Flying;
            work.add(candidate.cost);
            for (id, _) in &pair.waiters {
                if let Some(search) = self.searches.get_mut(id) {
                    search.left.remove(candidate.cost);
                }
            }
            let Some(group) = self.groups.get_mut(&pair.query) else { continue };
            if !group.begun.contains(&worker) {
                group.begun.push(worker);
                work.add(group.query.cost());
            }
            let (name, prepared, stop) = (pair.query, pair.prepared.clone(), pair.stop.clone());
            taken.push(PassPair { name, query: group.query.clone(), document: pair.document, prepared, stop });
            if let Some(lane) = candidate.lane.and_then(|number| self.lanes.get_mut(&number)) {
                lane.served += u64::from(candidate.cost.max(1));
            }
        }
        self.tidy(pass);
        let expected = self.workers[worker].pace.pass(&work);
        let pairs = pass.iter().map(|candidate| candidate.key).collect();
        self.workers[worker].flight = Some(Flight { pairs, work, begun: now, expected });
        taken
    }

    /// Takes what does not wait any more out of the searches that a pass was chosen from, and searches without pairs out of their lanes.
    fn tidy(&mut self, pass: &[Candidate]) {
        let Self { pairs, searches, lanes, .. } = self;
        let mut touched: Vec<SearchId> =
            pass.iter().filter_map(|candidate| pairs.get(&candidate.key)).flat_map(|pair| pair.waiters.iter().map(|(id, _)| *id)).collect();
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            let Some(search) = searches.get_mut(&id) else { continue };
            search.pending.retain(|key| pairs.get(key).is_some_and(|pair| pair.state == State::Waiting));
            if search.pending.is_empty()
                && let Some(lane) = lanes.get_mut(&search.lane)
            {
                lane.searches.remove(&(search.deadline, id));
            }
        }
    }
}

/// A pass that is being filled.
struct Filling {
    fits: u64,
    tokens: u64,
    longest: u32,
    most: usize,
    pairs: Vec<Candidate>,
}

// === impl Filling ===

impl Filling {
    /// Takes a pair in, if there is room for it, and it is not so long or short that much of the pass would be padding.
    fn add(&mut self, candidate: Candidate) {
        let count = self.pairs.len() + 1;
        let longest = self.longest.max(candidate.cost);
        let tokens = self.tokens + u64::from(candidate.cost.max(1));
        let padded = f64::from(longest.max(1)) * count as f64;
        let wastes = padded - tokens as f64 > MOST_PADDING * padded && tokens > self.fits / 2;
        if tokens <= self.fits && count <= self.most.min(candidate.most) && !wastes {
            (self.tokens, self.longest, self.most) = (tokens, longest, self.most.min(candidate.most));
            self.pairs.push(candidate);
        }
    }

    fn is_full(&self) -> bool {
        self.tokens >= self.fits || self.pairs.len() >= self.most
    }
}
