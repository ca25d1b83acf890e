//! Plays searches and devices against a schedule, one event after the other, on a clock of its own.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use rerank_plugin::{Digest128, Document, Fault, Prepared, PreparedQuery, Query, Scale, Score};

use super::{super::*, query};
use crate::rerank::Reason;

/// Queries that are told apart.
const QUERIES: u128 = 1000;

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// One search that will come.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) at: Duration,
    pub(super) lane: usize,
    pub(super) budget: Duration,
    pub(super) query: u128,
    pub(super) documents: Vec<u128>,
    pub(super) least: usize,
    pub(super) partial: bool,
    /// Its client goes away so long after it came.
    pub(super) cancelled: Option<Duration>,
    /// How long its texts take to be prepared.
    pub(super) prepares: Duration,
    /// How much later than its deadline its timer wakes it.
    pub(super) leaves_late: Duration,
}

/// What the model costs, and how it fails.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) workers: usize,
    pub(super) fixed: Duration,
    pub(super) per_token: Duration,
    /// Whether scores are kept.
    pub(super) keeps: bool,
    /// Whether a document that was scored once costs nothing any more, for any query.
    pub(super) keeps_vectors: bool,
    pub(super) batch_tokens: u32,
    pub(super) max_queue: usize,
    /// Documents that make it panic.
    pub(super) panics: HashSet<u128>,
    /// Pairs of a pass that are too much.
    pub(super) most: Option<usize>,
    pub(super) length: fn(u128) -> u32,
}

/// A pass that was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) costs: Vec<u32>,
    pub(super) took: Duration,
    pub(super) begun: Duration,
    pub(super) is_late: bool,
}

/// What became of a search.
#[derive(Clone, Debug)]
pub(super) struct Became {
    pub(super) planned: Planned,
    pub(super) asked: usize,
    /// Documents with scores.
    pub(super) scored: usize,
    pub(super) took: Duration,
    pub(super) refused: Option<Reason>,
}

impl Became {
    /// Whether all that was asked for has scores.
    pub(super) fn is_whole(&self) -> bool {
        self.refused.is_none() && self.scored == self.asked
    }
}

struct Running {
    planned: Planned,
    id: SearchId,
    asked: usize,
    known: usize,
    missing: Vec<usize>,
    supplies_at: Option<Instant>,
    leaves_at: Instant,
}

pub(super) struct Drive {
    pub(super) schedule: Schedule,
    device: Device,
    start: Instant,
    now: Instant,
    passes: Vec<Option<(Instant, Instant, Vec<PassPair>)>>,
    running: Vec<Running>,
    scores: HashMap<PairKey, Score>,
    vectors: HashSet<u128>,
    /// When each pair was computed.
    computed: HashMap<PairKey, Vec<Instant>>,
    names: HashMap<QueryKey, u128>,
    pub(super) made: Vec<Made>,
    pub(super) became: Vec<Became>,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            workers: 1,
            fixed: ms(1),
            per_token: Duration::from_micros(10),
            keeps: true,
            keeps_vectors: false,
            batch_tokens: 16_384,
            max_queue: 4096,
            panics: HashSet::new(),
            most: None,
            length: |document| 1 + (document as u32 * 37) % 300,
        }
    }
}

fn score_of(query: u128, document: u128) -> Score {
    Score::new((query * 10_000 + document) as f32, Scale::Logit).expect("finite")
}

impl Drive {
    pub(super) fn new(device: Device) -> Self {
        let settings = Settings {
            max_queue: device.max_queue,
            batch_tokens: device.batch_tokens,
            target: ms(25),
            keeps: device.keeps || device.keeps_vectors,
            keeps_vectors: device.keeps_vectors,
            workers: device.workers,
        };
        let now = Instant::now();
        Self {
            schedule: Schedule::new(settings),
            start: now,
            now,
            passes: (0..device.workers).map(|_| None).collect(),
            device,
            running: Vec::new(),
            scores: HashMap::new(),
            vectors: HashSet::new(),
            computed: HashMap::new(),
            names: (0..QUERIES).map(|number| (query(number), number)).collect(),
            made: Vec::new(),
            became: Vec::new(),
        }
    }

    /// Makes the devices faster or slower.
    pub(super) fn speed(&mut self, per_token: Duration) {
        self.device.per_token = per_token;
    }

    /// Plays all searches, and then until nothing moves.
    pub(super) fn run(&mut self, mut planned: Vec<Planned>) {
        planned.sort_by_key(|search| search.at);
        let mut coming = planned.into_iter().peekable();
        loop {
            let finishes = self.passes.iter().flatten().map(|(_, end, _)| *end);
            let leaves = self.running.iter().map(|search| search.leaves_at);
            let supplies = self.running.iter().filter_map(|search| search.supplies_at);
            let comes = coming.peek().map(|search| self.start + search.at);
            let Some(next) = finishes.chain(leaves).chain(supplies).chain(comes).min() else { return };
            self.now = self.now.max(next);
            self.finish_passes();
            self.wake();
            while coming.next_if(|search| self.start + search.at <= self.now).map(|search| self.enter(search)).is_some() {}
            self.supply();
            self.leave_late();
            self.wake();
            self.start_passes();
            self.wake();
        }
    }

    fn enter(&mut self, planned: Planned) {
        let names: Vec<PairKey> = planned.documents.iter().map(|document| query(planned.query).pair(Digest128(*document))).collect();
        let missing: Vec<usize> = (0..names.len()).filter(|place| !self.scores.contains_key(&names[*place])).collect();
        let sizes: Vec<(usize, usize)> =
            missing.iter().map(|place| (*place, 4 * (self.device.length)(planned.documents[*place]) as usize)).collect();
        let deadline = self.now + planned.budget;
        let (lane, least, partial, documents) = (planned.lane, planned.least, planned.partial, planned.documents.len());
        let entered = self.schedule.enter(&Entry { lane, deadline, documents, least, partial, missing: &sizes }, self.now);
        match entered {
            Ok((id, asked)) => {
                assert!((least..=documents).contains(&asked), "{asked} of {documents}, at least {least}");
                let leaves_at = match planned.cancelled {
                    Some(after) if after < planned.budget => self.now + after,
                    _ => deadline + planned.leaves_late,
                };
                let (supplies_at, known) = (Some(self.now + planned.prepares), documents - missing.len());
                self.running.push(Running { planned, id, asked, known, missing, supplies_at, leaves_at });
            }
            Err(reason) => {
                if reason == Reason::Overloaded && self.device.keeps_vectors {
                    self.shed(&planned, &missing);
                }
                self.became.push(Became { planned, asked: 0, scored: 0, took: Duration::ZERO, refused: Some(reason) });
            }
        }
    }

    /// Hands in what is worth computing when there is time.
    fn shed(&mut self, planned: &Planned, missing: &[usize]) {
        let document = |place: &usize| Document { parts: Vec::new(), digest: Digest128(planned.documents[*place]) };
        let of_none = Query { instruction: None, parts: Vec::new(), digest: Digest128(planned.query) };
        let documents = missing.iter().map(document).collect();
        self.schedule.shed(LateSearch { name: query(planned.query), query: of_none, documents });
    }

    /// Prepares documents that were handed in so.
    fn prepare(&mut self, search: LateSearch) {
        assert!(self.device.keeps_vectors, "nothing is handed in unprepared");
        let pairs = search.documents.iter().map(|own| (0, own.digest, self.prepared(own.digest.0))).collect();
        self.schedule.keep_late(search.name, &PreparedQuery::new(3, ()), pairs);
    }

    fn prepared(&self, document: u128) -> Prepared {
        let is_known = self.vectors.contains(&document);
        Prepared::new(if is_known { 0 } else { (self.device.length)(document) }, document)
    }

    fn items(&self, search: &Running) -> Vec<Item> {
        let item = |place: usize| {
            let document = search.planned.documents[place];
            Item { place, document: Digest128(document), prepared: Ok(self.prepared(document)) }
        };
        search.missing.iter().copied().take_while(|place| *place < search.asked).map(item).collect()
    }

    fn supply(&mut self) {
        let mut shed = Vec::new();
        for turn in 0..self.running.len() {
            if self.running[turn].supplies_at.is_none_or(|at| at > self.now) {
                continue;
            }
            let items = self.items(&self.running[turn]);
            let search = &mut self.running[turn];
            search.supplies_at = None;
            let supply = Supply { name: query(search.planned.query), query: PreparedQuery::new(3, ()), items };
            let known = |key: PairKey| self.scores.get(&key).copied();
            match self.schedule.supply(search.id, supply, known, self.now) {
                Ok(asked) => {
                    assert!((search.planned.least..=search.asked).contains(&asked));
                    search.asked = asked;
                }
                Err(reason) => shed.push((search.id, reason)),
            }
        }
        for (id, reason) in shed {
            let place = self.running.iter().position(|search| search.id == id).expect("it runs");
            let Running { planned, .. } = self.running.remove(place);
            self.became.push(Became { planned, asked: 0, scored: 0, took: Duration::ZERO, refused: Some(reason) });
        }
    }

    fn wake(&mut self) {
        for id in self.schedule.take_done() {
            if let Some(place) = self.running.iter().position(|search| search.id == id) {
                let search = self.running.remove(place);
                self.leave(search, true);
            }
        }
    }

    fn leave_late(&mut self) {
        while let Some(place) = self.running.iter().position(|search| search.leaves_at <= self.now) {
            let search = self.running.remove(place);
            self.leave(search, false);
        }
    }

    fn leave(&mut self, search: Running, is_done: bool) {
        let Left { results, refused, fault } = self.schedule.leave(search.id, self.now);
        let Running { planned, asked, known, missing, .. } = search;
        let deadline = self.start + planned.at + planned.budget;
        let mut places = HashSet::new();
        for (place, result) in &results {
            assert!(*place < asked && missing.contains(place) && places.insert(*place), "place {place} of {asked}");
            let document = planned.documents[*place];
            match result {
                Ok(score) => {
                    assert_eq!(*score, score_of(planned.query, document), "the score of another pair");
                    let computed = &self.computed[&query(planned.query).pair(Digest128(document))];
                    assert!(computed.iter().any(|at| *at < deadline), "a result after the deadline");
                }
                Err(own) => assert!(self.device.panics.contains(&document), "{own}"),
            }
        }
        let wanted = missing.iter().filter(|place| **place < asked).count();
        if is_done && refused.is_none() && fault.is_none() {
            assert_eq!(results.len(), wanted, "a search that is done has all that it waited for");
        }
        assert!(fault.is_none() || !self.device.panics.is_empty(), "{fault:?}");
        let refused = refused.or(fault.map(|_| Reason::ModelError));
        let known = known - planned.documents.len().saturating_sub(asked).min(known);
        let scored = results.iter().filter(|(_, result)| result.is_ok()).count() + known;
        self.became.push(Became { took: self.now - self.start - planned.at, planned, asked, scored, refused });
    }

    fn start_passes(&mut self) {
        for worker in 0..self.device.workers {
            if self.passes[worker].is_some() {
                continue;
            }
            let pairs = loop {
                match self.schedule.take(worker, self.now).work {
                    TaskWork::Pass(pairs) => break pairs,
                    TaskWork::Nothing => break Vec::new(),
                    TaskWork::Prepare(search) => self.prepare(search),
                }
            };
            if pairs.is_empty() {
                continue;
            }
            let costs: Vec<u32> = pairs.iter().map(|pair| pair.prepared.cost()).collect();
            let tokens: u32 = costs.iter().sum();
            assert!(tokens <= self.device.batch_tokens || pairs.len() == 1, "{tokens} tokens in a pass");
            let took = self.device.fixed + self.device.per_token * tokens;
            let is_late = !self.running.iter().any(|search| {
                pairs.iter().any(|pair| query(search.planned.query) == pair.name && search.planned.documents.contains(&pair.document.0))
            });
            self.made.push(Made { costs, took, begun: self.now - self.start, is_late });
            self.passes[worker] = Some((self.now, self.now + took, pairs));
        }
    }

    fn finish_passes(&mut self) {
        for worker in 0..self.device.workers {
            let Some((begun, end, pairs)) = self.passes[worker].take_if(|(_, end, _)| *end <= self.now) else { continue };
            let ended = self.end_of(&pairs);
            if let Ended::Results(results) = &ended {
                for (pair, result) in pairs.iter().zip(results) {
                    let Ok(score) = result else { continue };
                    let key = pair.name.pair(pair.document);
                    let computed = self.computed.entry(key).or_default();
                    computed.push(self.now);
                    let is_free = pair.prepared.cost() == 0;
                    assert!(computed.len() == 1 || !self.device.keeps || is_free, "a pair is computed twice");
                    self.vectors.extend(self.device.keeps_vectors.then_some(pair.document.0));
                    if self.device.keeps {
                        self.scores.insert(key, *score);
                    }
                }
            }
            self.schedule.finish(worker, ended, end - begun, self.now);
        }
    }

    fn end_of(&self, pairs: &[PassPair]) -> Ended {
        if pairs.iter().any(|pair| self.device.panics.contains(&pair.document.0)) {
            return Ended::Panic;
        }
        let too_many = self.device.most.is_some_and(|most| pairs.len() > most);
        let result = |pair: &PassPair| {
            if too_many {
                return Err(Fault::Batch("too many".into()));
            }
            assert_eq!(pair.prepared.inner::<u128>(), Ok(&pair.document.0), "the text of another document");
            Ok(score_of(self.names[&pair.name], pair.document.0))
        };
        Ended::Results(pairs.iter().map(result).collect())
    }

    /// Asserts that all searches have left, and that nothing of them is kept.
    pub(super) fn assert_nothing_left(&mut self) {
        assert!(self.running.is_empty() && self.schedule.searches.is_empty(), "searches are left");
        assert_eq!(self.schedule.waiting(), (0, 0));
        assert!(self.schedule.pairs.is_empty() && self.schedule.groups.is_empty(), "{} pairs are left", self.schedule.pairs.len());
        assert!(self.schedule.lanes.values().all(|lane| lane.searches.is_empty()));
        assert!(self.schedule.late.pop_search().is_none(), "searches that were shed are left");
    }
}
