//! One thread of one device: asks the schedule what to score, has it scored, and makes the model ready again when it panics.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use rerank_plugin::{Fault, Pair, PreparedQuery, Preparer, Score, Scorer, StateId, Stop};
use tracing::{error, warn};

use super::{
    QueryKey, ScoreCache,
    measures::Measures,
    queue::Queue,
    schedule::{Ended, LateSearch, PassPair, TaskWork},
};

/// What a model's workers share.
#[derive(Clone)]
pub struct Shared {
    /// The model's name, for logs and threads.
    pub model: Arc<str>,
    /// Prepares what is scored ahead.
    pub preparer: Arc<dyn Preparer>,
    /// What is to be done.
    pub queue: Arc<Queue>,
    /// Where scores are kept.
    pub scores: ScoreCache,
    /// What is counted.
    pub measures: Arc<Measures>,
    /// Told when the model cannot be made ready again; hung up when it is not needed any more.
    pub broken: mpsc::Sender<()>,
}

struct Worker {
    number: usize,
    scorer: Box<dyn Scorer>,
    shared: Shared,
    states: HashMap<QueryKey, StateId>,
}

/// The model's copy on this device cannot be used again.
struct Broken;

/// The plugin's code panicked.
struct Panicked;

/// Starts the thread; it ends when the queue is closed, or when the model is broken for good.
///
/// # Errors
/// The system has no thread to give.
pub fn start(number: usize, scorer: Box<dyn Scorer>, shared: Shared) -> std::io::Result<()> {
    let name = format!("model-{}", shared.model);
    let (queue, broken) = (Arc::clone(&shared.queue), shared.broken.clone());
    let mut worker = Worker { number, scorer, shared, states: HashMap::new() };
    let run = move || {
        let ended = catch_unwind(AssertUnwindSafe(|| worker.run()));
        if !matches!(ended, Ok(Ok(()))) {
            error!(model = %worker.shared.model, "the model cannot be made ready again; it is loaded anew");
            queue.lose(number);
            // Nobody listens where the model was loaded for one task.
            let _ = broken.send(());
        }
    };
    thread::Builder::new().name(name).spawn(run).map(drop)
}

// === impl Worker ===

impl Worker {
    fn run(&mut self) -> Result<(), Broken> {
        while let Some(task) = self.shared.queue.next(self.number) {
            self.end(&task.ended)?;
            match task.work {
                TaskWork::Nothing => {}
                TaskWork::Pass(pairs) => self.pass(&pairs)?,
                TaskWork::Prepare(search) => self.prepare(search),
            }
        }
        Ok(())
    }

    /// Scores the pairs, and tells the schedule.
    fn pass(&mut self, pairs: &[PassPair]) -> Result<(), Broken> {
        let begun = Instant::now();
        let (ended, reset) = match self.guarded(|worker| worker.score(pairs)) {
            Ok(results) => (Ended::Results(results), Ok(())),
            Err(Panicked) => (Ended::Panic, self.reset()),
        };
        let took = begun.elapsed();
        if let Ended::Results(results) = &ended {
            self.keep(pairs, results);
            self.complain(results);
        }
        reset?;
        self.shared.queue.finish(self.number, ended, took, |tally| {
            self.shared.measures.pass(pairs, tally, took);
            if tally.set_aside > 0 {
                warn!(model = %self.shared.model, pairs = tally.set_aside, "a text makes the model panic: it is left out for ten minutes");
            }
        });
        Ok(())
    }

    /// Puts scores into the cache, before anybody can ask for them in vain.
    fn keep(&self, pairs: &[PassPair], results: &[Result<Score, Fault>]) {
        if !self.shared.scores.is_on() {
            return;
        }
        let mut by_query: HashMap<QueryKey, Vec<_>> = HashMap::new();
        for (pair, result) in pairs.iter().zip(results) {
            if let Ok(score) = result {
                by_query.entry(pair.name).or_default().push((pair.document, *score));
            }
        }
        by_query.into_iter().for_each(|(name, scores)| self.shared.scores.put_all(name, scores.into_iter()));
    }

    /// Writes down what the model says of its own faults, once a pass.
    fn complain(&self, results: &[Result<Score, Fault>]) {
        let own = |result: &&Result<Score, Fault>| matches!(result, Err(Fault::Model(_) | Fault::Batch(_)));
        if let Some(Err(fault)) = results.iter().find(own) {
            warn!(model = %self.shared.model, %fault, "the model failed");
        }
    }

    fn score(&mut self, pairs: &[PassPair]) -> Vec<Result<Score, Fault>> {
        let refused = self.begin(pairs);
        let mut results: Vec<Option<Result<Score, Fault>>> =
            pairs.iter().map(|pair| refused.get(&pair.name).map(|fault| Err(fault.clone()))).collect();
        let begun = |pair: &&PassPair| self.states.contains_key(&pair.name);
        let batch: Vec<Pair<'_>> = pairs
            .iter()
            .filter(begun)
            .map(|pair| Pair { state: self.states[&pair.name], document: &pair.prepared, stop: &pair.stop })
            .collect();
        let mut scored = if batch.is_empty() { Vec::new() } else { self.scorer.score(&batch) };
        if scored.len() != batch.len() {
            scored = vec![Err(Fault::Model("the number of scores is not the number of pairs".into())); batch.len()];
        }
        let mut scored = scored.into_iter();
        for result in results.iter_mut().filter(|result| result.is_none()) {
            *result = scored.next();
        }
        let missing = || Err(Fault::Model("the query has no state".into()));
        results.into_iter().map(|result| result.unwrap_or_else(missing)).collect()
    }

    /// Begins the queries that have no state yet, and returns the faults of those that get none.
    fn begin(&mut self, pairs: &[PassPair]) -> HashMap<QueryKey, Fault> {
        let mut new: Vec<(QueryKey, &PreparedQuery)> = Vec::new();
        for pair in pairs {
            if !self.states.contains_key(&pair.name) && !new.iter().any(|(name, _)| *name == pair.name) {
                new.push((pair.name, &pair.query));
            }
        }
        let mut refused = self.begin_all(&new);
        if refused.values().any(|fault| matches!(fault, Fault::Batch(_))) {
            // No room: states that this pass does not need make some.
            let idle: Vec<QueryKey> = self.states.keys().filter(|name| !pairs.iter().any(|pair| pair.name == **name)).copied().collect();
            idle.into_iter().for_each(|name| self.end_one(name));
            new.retain(|(name, _)| matches!(refused.get(name), Some(Fault::Batch(_))));
            refused.retain(|_, fault| !matches!(fault, Fault::Batch(_)));
            refused.extend(new.iter().flat_map(|one| self.begin_all(std::slice::from_ref(one))));
        }
        refused
    }

    fn begin_all(&mut self, new: &[(QueryKey, &PreparedQuery)]) -> HashMap<QueryKey, Fault> {
        if new.is_empty() {
            return HashMap::new();
        }
        let queries: Vec<&PreparedQuery> = new.iter().map(|(_, query)| *query).collect();
        let mut begun = self.scorer.begin(&queries, &Stop::default()).into_iter();
        let mut refused = HashMap::new();
        for (name, _) in new {
            match begun.next().unwrap_or(Err(Fault::Model("the number of states is not the number of queries".into()))) {
                Ok(state) => {
                    self.states.insert(*name, state);
                }
                Err(fault) => {
                    refused.insert(*name, fault);
                }
            }
        }
        refused
    }

    /// Frees the states of queries that nobody asks any more.
    fn end(&mut self, names: &[QueryKey]) -> Result<(), Broken> {
        let ended = self.guarded(|worker| names.iter().for_each(|name| worker.end_one(*name)));
        ended.or_else(|Panicked| self.reset())
    }

    fn end_one(&mut self, name: QueryKey) {
        if let Some(state) = self.states.remove(&name) {
            self.scorer.end(state);
        }
    }

    /// Prepares a search that was shed, while there is nothing else to do.
    fn prepare(&self, LateSearch { name, query, documents }: LateSearch) {
        let prepare = || {
            let prepared = self.shared.preparer.query(&query)?;
            let document = |document| self.shared.preparer.document(&prepared, document).ok();
            let pairs = documents.iter().filter_map(|own| Some((0, own.digest, document(own)?))).collect();
            Ok::<_, Fault>((prepared, pairs))
        };
        // What cannot be prepared is told to the next search that asks.
        if let Ok(Ok((prepared, pairs))) = catch_unwind(AssertUnwindSafe(prepare)) {
            self.shared.queue.keep_late(name, &prepared, pairs);
        }
    }

    fn guarded<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> Result<T, Panicked> {
        catch_unwind(AssertUnwindSafe(|| call(self))).map_err(|_| Panicked)
    }

    /// Makes the model ready again after a panic.
    fn reset(&mut self) -> Result<(), Broken> {
        self.states.clear();
        let reset = self.guarded(|worker| worker.scorer.reset());
        let fault = match reset {
            Ok(Ok(())) => None,
            Ok(Err(fault)) => Some(fault.to_string()),
            Err(Panicked) => Some("it panicked again".to_owned()),
        };
        self.shared.measures.restarted();
        error!(model = %self.shared.model, reset = ?fault, "the model panicked");
        if fault.is_some() { Err(Broken) } else { Ok(()) }
    }
}
