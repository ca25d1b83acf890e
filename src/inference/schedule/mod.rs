//! Which pairs a model scores next, for whom, and who is told that it would be too late: the whole of the scheduling, without a
//! thread or a clock. Every method is told the time, so that its promises are tested in virtual time.
//!
//! A search [enters](Schedule::enter) before its documents are tokenised, and is shed here when it would be late; its pairs are
//! [supplied](Schedule::supply) afterwards; workers [take](Schedule::take) passes and [finish](Schedule::finish) them; the search
//! [leaves](Schedule::leave) with what is scored, at its deadline at the latest.
//!
//! **Invariant:** a pair is computed once, however many searches wait for it, and its result goes to those that still wait.

mod aside;
mod choose;
mod finish;
mod fit;
mod late;
mod leave;
mod pace;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use rerank_plugin::{Digest128, Fault, Prepared, PreparedQuery, Score, Stop};

use self::{
    aside::Aside,
    late::LateLine,
    pace::{Pace, Work},
};
pub use self::{
    choose::{PassPair, Task, TaskWork},
    finish::{Ended, Tally},
    late::LateSearch,
};
use super::{PairKey, QueryKey};
use crate::rerank::Reason;

/// Passes that tell how fast a model is.
const TRIAL: u64 = 4;

/// What holds for all passes of a model.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Pairs that may wait.
    pub max_queue: usize,
    /// Tokens of one pass.
    pub batch_tokens: u32,
    /// How long a pass should take: the price of a search that gives up, and of one that comes next.
    pub target: Duration,
    /// Whether a score that comes too late is kept for the next search.
    pub keeps: bool,
    /// Whether what a document costs is known only when it is prepared, because it may be in the host's store.
    pub keeps_vectors: bool,
    /// Devices.
    pub workers: usize,
}

/// The name of one search in the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SearchId(u64);

/// What a search is, before its documents are prepared.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Whose searches it stands in line with.
    pub lane: usize,
    /// When it leaves.
    pub deadline: Instant,
    /// How many documents it has, those that need no scoring included.
    pub documents: usize,
    /// Fewer of the first documents are of no use to it.
    pub least: usize,
    /// Whether some of its scores are of use without the others.
    pub partial: bool,
    /// Of each document that is to be scored: its place among all, and how long its texts are, in bytes.
    pub missing: &'a [(usize, usize)],
}

/// A search's pairs, prepared.
pub struct Supply {
    /// The name of its query.
    pub name: QueryKey,
    /// Its query.
    pub query: PreparedQuery,
    /// What is to be scored, in the order of places.
    pub items: Vec<Item>,
}

/// One document of a search.
pub struct Item {
    /// Its place in the search.
    pub place: usize,
    /// Of what the model sees of it.
    pub document: Digest128,
    /// It, or why it has no score.
    pub prepared: Result<Prepared, Fault>,
}

/// What a search leaves with.
#[derive(Debug, Default)]
pub struct Left {
    /// By place; a document that is not among them is late.
    pub results: Vec<(usize, Result<Score, Fault>)>,
    /// Why the whole search has no scores.
    pub refused: Option<Reason>,
    /// What the model said when it failed on the search.
    pub fault: Option<Fault>,
}

/// A model's searches and pairs, from their entry to their scores.
pub struct Schedule {
    settings: Settings,
    searches: HashMap<SearchId, Search>,
    lanes: BTreeMap<usize, Lane>,
    pairs: HashMap<PairKey, Pair>,
    groups: HashMap<QueryKey, Group>,
    late: LateLine,
    aside: Aside,
    workers: Vec<Worker>,
    /// Pairs that wait, and their tokens.
    waiting: (usize, u64),
    /// Tokens of one byte of text, of late.
    tokens_per_byte: Option<f64>,
    /// Searches that may leave.
    done: Vec<SearchId>,
    /// Panics since the last score, and what was left out for them.
    panics: u32,
    suspects: Vec<PairKey>,
    /// The most tokens that fit into one pass, where a device said that it was too much.
    ceiling: Option<f64>,
    refuses: Option<Reason>,
    /// How much longer than predicted a search may take.
    caution: f64,
    /// Passes that ended, and when the last did.
    passes: u64,
    measured: Option<Instant>,
    next: u64,
}

struct Search {
    lane: usize,
    entered: Instant,
    deadline: Instant,
    partial: bool,
    least: usize,
    documents: usize,
    /// Passes after which it may be given up: one that was let in to find out how fast the model is has the time for that.
    tries_until: u64,
    /// Whether none of its documents was in the cache.
    wants_all: bool,
    /// Of its texts that are prepared.
    bytes: usize,
    /// What waits of it; an estimate before it is supplied.
    left: Work,
    /// Pairs that are to come: counted as waiting.
    reserved: usize,
    /// Its pairs that wait, best hit first; some may have been taken for another search.
    pending: VecDeque<PairKey>,
    /// All pairs that it waits or waited for.
    keys: Vec<PairKey>,
    missing: usize,
    left_with: Left,
}

#[derive(Default)]
struct Lane {
    /// Tokens that were taken of it, from where it was last level with the others.
    served: u64,
    /// Searches that have pairs waiting, the most urgent first.
    searches: BTreeSet<(Instant, SearchId)>,
}

struct Pair {
    query: QueryKey,
    document: Digest128,
    prepared: Prepared,
    waiters: Vec<(SearchId, usize)>,
    state: State,
    /// Pairs of the largest pass that it may be part of.
    most: usize,
    /// How often it made the model panic when it was alone.
    panics: u32,
    stop: Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Flying,
    /// Nobody waits for it, but somebody may ask for it again.
    Late,
}

/// What the pairs of one query share.
struct Group {
    query: PreparedQuery,
    pairs: usize,
    /// The workers that have its state; the first is the one that its pairs go to.
    begun: Vec<usize>,
}

struct Worker {
    pace: Pace,
    flight: Option<Flight>,
    /// Queries that have no pairs any more, and of which it has a state.
    ended: Vec<QueryKey>,
}

/// A pass that is under way.
struct Flight {
    pairs: Vec<PairKey>,
    work: Work,
    begun: Instant,
    expected: Option<Duration>,
}

// === impl Schedule ===

impl Schedule {
    /// Returns one in which nothing waits.
    pub fn new(settings: Settings) -> Self {
        let worker = || Worker { pace: Pace::new(settings.target, settings.batch_tokens), flight: None, ended: Vec::new() };
        Self {
            settings,
            searches: HashMap::new(),
            lanes: BTreeMap::new(),
            pairs: HashMap::new(),
            groups: HashMap::new(),
            late: LateLine::default(),
            aside: Aside::default(),
            workers: (0..settings.workers).map(|_| worker()).collect(),
            waiting: (0, 0),
            tokens_per_byte: None,
            done: Vec::new(),
            panics: 0,
            suspects: Vec::new(),
            ceiling: None,
            refuses: None,
            caution: 1.0,
            passes: 0,
            measured: None,
            next: 0,
        }
    }

    /// Takes a search in, and returns how many of its first documents are to be prepared.
    ///
    /// # Errors
    /// [`Reason::Overloaded`] when not even the least would be scored in time, [`Reason::QueueFull`] when there is no room for it; or
    /// why nothing is taken any more.
    pub fn enter(&mut self, entry: &Entry<'_>, now: Instant) -> Result<(SearchId, usize), Reason> {
        if let Some(reason) = self.refuses {
            return Err(reason);
        }
        let costs: Vec<u32> = entry.missing.iter().map(|(_, bytes)| self.estimated_cost(*bytes)).collect();
        let room = self.settings.max_queue.saturating_sub(self.waiting.0 + self.reserved());
        let fits = self.fits((entry.lane, entry.deadline), &costs, now);
        let asked = |count: usize| entry.missing.get(count).map_or(entry.documents, |(place, _)| *place);
        if asked(fits) < entry.least {
            return Err(Reason::Overloaded);
        }
        let taken = fits.min(room);
        if asked(taken) < entry.least {
            return Err(Reason::QueueFull);
        }
        let id = SearchId(self.next);
        self.next += 1;
        let mut left = Work::default();
        costs[..taken].iter().for_each(|cost| left.add(*cost));
        let search = Search {
            lane: entry.lane,
            entered: now,
            deadline: entry.deadline,
            partial: entry.partial,
            least: entry.least,
            documents: asked(taken),
            tries_until: if self.is_trial(now) { self.passes + TRIAL } else { 0 },
            wants_all: entry.missing.len() == entry.documents,
            bytes: entry.missing[..taken].iter().map(|(_, bytes)| bytes).sum(),
            left,
            reserved: taken,
            pending: VecDeque::new(),
            keys: Vec::new(),
            missing: taken,
            left_with: Left::default(),
        };
        self.searches.insert(id, search);
        Ok((id, asked(taken)))
    }

    /// Takes the pairs of a search that entered, and returns how many of its first documents will be scored. `known` looks up a
    /// score that came since the search was looked up itself.
    ///
    /// # Errors
    /// As [`Schedule::enter`]: now it is known what the documents cost. The search has left.
    pub fn supply(
        &mut self,
        id: SearchId,
        supply: Supply,
        known: impl Fn(PairKey) -> Option<Score>,
        now: Instant,
    ) -> Result<usize, Reason> {
        let Some(search) = self.searches.get_mut(&id) else { return Err(Reason::Internal) };
        (search.left, search.reserved) = (Work::default(), 0);
        let (lane, deadline, least, documents) = (search.lane, search.deadline, search.least, search.documents);
        let bytes = search.bytes;
        self.learn_lengths(bytes, &supply.items);
        let Supply { name, query, items } = supply;
        let mut results = Vec::new();
        let mut wanted = Vec::new();
        for Item { place, document, prepared } in items {
            let key = name.pair(document);
            match prepared {
                Ok(_) if self.aside.holds(key, now) => results.push((place, Err(panicked()))),
                Ok(prepared) if self.pairs.contains_key(&key) => wanted.push((place, document, prepared)),
                Ok(prepared) => match known(key) {
                    Some(score) => results.push((place, Ok(score))),
                    None => wanted.push((place, document, prepared)),
                },
                Err(fault) => results.push((place, Err(fault))),
            }
        }
        // What others wait for already costs nothing more.
        let is_new = |document: Digest128| self.pairs.get(&name.pair(document)).is_none_or(|pair| pair.state == State::Late);
        let costs: Vec<u32> = wanted.iter().map(|(_, document, prepared)| if is_new(*document) { prepared.cost() } else { 0 }).collect();
        let fits = self.fits((lane, deadline), &costs, now);
        let asked = wanted.get(fits).map_or(documents, |(place, _, _)| *place);
        let late = (deadline <= now).then_some(Reason::Timeout);
        if let Some(reason) = self.refuses.or(late).or((asked < least).then_some(Reason::Overloaded)) {
            self.searches.remove(&id);
            self.keep_late(name, &query, wanted);
            return Err(reason);
        }
        wanted.truncate(fits);
        results.retain(|(place, _)| *place < asked);
        self.begin(id, (name, query), wanted, results);
        Ok(asked)
    }

    /// Puts a search's pairs into their line.
    fn begin(
        &mut self,
        id: SearchId,
        (name, query): (QueryKey, PreparedQuery),
        wanted: Vec<(usize, Digest128, Prepared)>,
        results: Vec<(usize, Result<Score, Fault>)>,
    ) {
        let keys: Vec<PairKey> = wanted.iter().map(|(_, document, _)| name.pair(*document)).collect();
        for (place, document, prepared) in wanted {
            self.add_pair((name, &query), document, prepared).waiters.push((id, place));
        }
        if let Some(search) = self.searches.get_mut(&id) {
            search.missing = keys.len();
            search.left_with.results = results;
            search.keys.clone_from(&keys);
        }
        for key in &keys {
            self.wait(*key, id);
        }
        self.line_up(id);
        self.check_done(id);
    }

    /// Returns a pair, which is made if there is none. A new one waits for nobody.
    fn add_pair(&mut self, (name, query): (QueryKey, &PreparedQuery), document: Digest128, prepared: Prepared) -> &mut Pair {
        let Self { pairs, groups, .. } = self;
        pairs.entry(name.pair(document)).or_insert_with(|| {
            groups.entry(name).or_insert_with(|| Group { query: query.clone(), pairs: 0, begun: Vec::new() }).pairs += 1;
            let stop = Stop::default();
            Pair { query: name, document, prepared, waiters: Vec::new(), state: State::Late, most: usize::MAX, panics: 0, stop }
        })
    }

    /// Lets a search wait for a pair.
    fn wait(&mut self, key: PairKey, id: SearchId) {
        let (Some(pair), Some(search)) = (self.pairs.get_mut(&key), self.searches.get_mut(&id)) else { return };
        let cost = pair.prepared.cost();
        if pair.state == State::Late {
            pair.state = State::Waiting;
            self.waiting.0 += 1;
            self.waiting.1 += u64::from(cost);
        }
        if pair.state == State::Waiting {
            search.left.add(cost);
            search.pending.push_back(key);
        }
    }

    /// Puts a search into its lane, if it has pairs waiting.
    fn line_up(&mut self, id: SearchId) {
        let Some(search) = self.searches.get(&id).filter(|search| !search.pending.is_empty()) else { return };
        // A lane that had nothing to do does not save up for later, and none pays for what it had when nobody else wanted it.
        let busy = self.lanes.values().filter(|lane| !lane.searches.is_empty()).map(|lane| lane.served).min();
        let most = self.lanes.values().map(|lane| lane.served).max().unwrap_or(0);
        let lane = self.lanes.entry(search.lane).or_default();
        if lane.searches.is_empty() {
            lane.served = busy.map_or(most, |level| level.max(lane.served));
        }
        lane.searches.insert((search.deadline, id));
    }

    /// Notes that a search may leave, if nothing is missing any more.
    fn check_done(&mut self, id: SearchId) {
        let Some(search) = self.searches.get_mut(&id) else { return };
        let left = &mut search.left_with;
        if search.missing == 0 && search.wants_all && left.results.iter().all(|(_, result)| *result == Err(panicked())) {
            left.fault = Some(Fault::Model("the model panicked on all documents".into()));
            // It is not the documents then.
            std::mem::take(&mut self.suspects).into_iter().for_each(|key| self.aside.remove(key));
        }
        if search.missing == 0 || left.fault.is_some() || left.refused.is_some() {
            self.done.push(id);
        }
    }

    /// Returns the searches that may leave since this was last asked.
    pub fn take_done(&mut self) -> Vec<SearchId> {
        std::mem::take(&mut self.done)
    }

    /// Takes nothing any more, and lets all searches go for this reason.
    pub fn refuse(&mut self, reason: Reason) {
        self.refuses = Some(reason);
        for (id, search) in self.searches.iter_mut().filter(|(_, search)| search.left_with.fault.is_none()) {
            search.left_with.refused = Some(reason);
            self.done.push(*id);
        }
        self.late = LateLine::default();
    }

    /// Returns how many pairs wait, and how many tokens they have.
    pub fn waiting(&self) -> (usize, u64) {
        self.waiting
    }

    /// Returns whether no device has come to an end of what it does for much longer than it should take.
    pub fn is_hung(&self, now: Instant) -> bool {
        const LONG: Duration = Duration::from_secs(2);
        const TIMES: u32 = 10;
        // Of a pass of which it is not known how long it should take: the first of a large model may take its time.
        const LONGEST: Duration = Duration::from_secs(30);
        let hangs = |worker: &Worker| {
            worker.flight.as_ref().is_some_and(|flight| {
                let ran = now.saturating_duration_since(flight.begun);
                ran > flight.expected.map_or(LONGEST, |expected| LONG.max(expected * TIMES))
            })
        };
        self.workers.iter().all(hangs)
    }

    fn reserved(&self) -> usize {
        self.searches.values().map(|search| search.reserved).sum()
    }

    /// Learns how many tokens a byte of text comes to.
    fn learn_lengths(&mut self, bytes: usize, items: &[Item]) {
        const WEIGHT: f64 = 0.1;
        let tokens: u64 = items.iter().filter_map(|item| item.prepared.as_ref().ok()).map(|prepared| u64::from(prepared.cost())).sum();
        if bytes > 0 {
            let ratio = tokens as f64 / bytes as f64;
            self.tokens_per_byte = Some(self.tokens_per_byte.map_or(ratio, |known| known + WEIGHT * (ratio - known)));
        }
    }

    fn estimated_cost(&self, bytes: usize) -> u32 {
        match self.tokens_per_byte {
            Some(ratio) if !self.settings.keeps_vectors => (bytes as f64 * ratio) as u32,
            _ => 0,
        }
    }
}

// === impl Search ===

impl Search {
    /// Whether some of it was scored for it, and not all.
    fn has_cost_in_vain(&self) -> bool {
        0 < self.missing && self.missing < self.keys.len() && !self.partial
    }
}

/// What is said of a pair that is left out.
fn panicked() -> Fault {
    Fault::Input("it made the model panic".into())
}
