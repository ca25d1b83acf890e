//! Models for tests of the whole gateway: the fakes of the plugin crate, and some that tell what they do or do not load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rerank_plugin::{
    Detection, Family, Fault, Folder, LoadError, LoadOptions, Loaded, Pair, Prepared, PreparedQuery, Progress, Score, Scorer, Source,
    StateId, Stop, Vector,
    testing::{Behaviour, Fake},
};

/// Kinds beside the plugin crate's.
pub(crate) const MORE_KINDS: [&str; 4] = ["test-observed", "test-loading", "test-missing", "fake-scripted"];

/// What a document costs the observed model.
pub(crate) const COST: Duration = Duration::from_millis(5);

/// What the observed model was asked to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    searches: Arc<AtomicUsize>,
    documents: Arc<AtomicUsize>,
}

struct ObservedScorer {
    scorer: Box<dyn Scorer>,
    observed: Observed,
}

/// Words by overlap, slowly, and counted.
struct Counted(Observed);
struct Loading;
struct Missing;

/// Returns all families of these tests.
pub(crate) fn families(observed: &Observed) -> Vec<Box<dyn Family>> {
    let behaviours = [
        Behaviour::Identity,
        Behaviour::Reverse,
        Behaviour::Overlap,
        Behaviour::FixedCost(Duration::from_millis(20)),
        Behaviour::Hang,
        Behaviour::Panic,
        Behaviour::Nan,
        Behaviour::WrongCount,
        Behaviour::Broken,
    ];
    let mut families: Vec<Box<dyn Family>> = vec![Box::new(Counted(observed.clone())), Box::new(Loading), Box::new(Missing)];
    families.extend(behaviours.map(|behaviour| Box::new(Fake(behaviour)) as Box<dyn Family>));
    families
}

// === impl Observed ===

impl Observed {
    /// Searches that were begun.
    pub(crate) fn searches(&self) -> usize {
        self.searches.load(Ordering::SeqCst)
    }

    /// Documents that were scored.
    pub(crate) fn documents(&self) -> usize {
        self.documents.load(Ordering::SeqCst)
    }
}

impl Scorer for ObservedScorer {
    fn begin(&mut self, queries: &[&PreparedQuery], stop: &Stop) -> Vec<Result<StateId, Fault>> {
        self.observed.searches.fetch_add(queries.len(), Ordering::SeqCst);
        self.scorer.begin(queries, stop)
    }

    fn end(&mut self, state: StateId) {
        self.scorer.end(state);
    }

    fn score(&mut self, batch: &[Pair<'_>]) -> Vec<Result<Score, Fault>> {
        let results = self.scorer.score(batch);
        self.observed.documents.fetch_add(results.iter().flatten().count(), Ordering::SeqCst);
        results
    }

    fn encode(&mut self, batch: &[&Prepared], stop: &Stop) -> Option<Vec<Result<Vector, Fault>>> {
        self.scorer.encode(batch, stop)
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.scorer.reset()
    }
}

// === impl Family ===

impl Family for Counted {
    fn kind(&self) -> &'static str {
        MORE_KINDS[0]
    }

    fn detect(&self, _folder: &Folder) -> Detection {
        Detection::No
    }

    fn load(&self, _source: &Source, _options: &LoadOptions, _progress: &dyn Progress) -> Result<Loaded, LoadError> {
        let Loaded::Local { preparer, workers } = Fake(Behaviour::FixedCost(COST)).loaded() else { unreachable!("fakes are local") };
        let observe = |scorer| Box::new(ObservedScorer { scorer, observed: self.0.clone() }) as Box<dyn Scorer>;
        Ok(Loaded::Local { preparer, workers: workers.into_iter().map(observe).collect() })
    }
}

impl Family for Loading {
    fn kind(&self) -> &'static str {
        MORE_KINDS[1]
    }

    fn detect(&self, _folder: &Folder) -> Detection {
        Detection::No
    }

    fn load(&self, _source: &Source, _options: &LoadOptions, _progress: &dyn Progress) -> Result<Loaded, LoadError> {
        loop {
            thread::sleep(Duration::from_secs(3600));
        }
    }
}

impl Family for Missing {
    fn kind(&self) -> &'static str {
        MORE_KINDS[2]
    }

    fn detect(&self, _folder: &Folder) -> Detection {
        Detection::No
    }

    fn load(&self, _source: &Source, _options: &LoadOptions, _progress: &dyn Progress) -> Result<Loaded, LoadError> {
        panic!("there is no such model")
    }
}
