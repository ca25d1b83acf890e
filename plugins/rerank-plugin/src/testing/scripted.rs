//! A fake whose behaviour is changed while it runs.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{Behaviour, Fake, fakes::Words};
use crate::{
    Detection, Family, Fault, Folder, LoadError, LoadOptions, Loaded, Pair, Prepared, PreparedQuery, Progress, Score, Scorer, Source,
    StateId, Stop, Vector,
};

/// What a [`Scripted`] model does from now on. Without changes it scores by overlap, at no cost.
#[derive(Debug)]
pub struct Script {
    pass_micros: AtomicU64,
    pair_micros: AtomicU64,
    hangs: AtomicBool,
    broken: AtomicBool,
    resets_fail: AtomicBool,
    most: AtomicUsize,
    panics_on: Mutex<Option<String>>,
    scored: AtomicUsize,
    passes: AtomicUsize,
}

/// A family whose only model follows a script.
#[derive(Clone, Debug, Default)]
pub struct Scripted(pub Arc<Script>);

struct ScriptedScorer {
    scorer: Box<dyn Scorer>,
    script: Arc<Script>,
}

// === impl Script ===

impl Default for Script {
    fn default() -> Self {
        Self {
            pass_micros: AtomicU64::new(0),
            pair_micros: AtomicU64::new(0),
            hangs: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            resets_fail: AtomicBool::new(false),
            most: AtomicUsize::new(usize::MAX),
            panics_on: Mutex::new(None),
            scored: AtomicUsize::new(0),
            passes: AtomicUsize::new(0),
        }
    }
}

impl Script {
    /// Each pass takes so long, and each of its pairs.
    pub fn costs(&self, pass: Duration, pair: Duration) {
        self.pass_micros.store(pass.as_micros() as u64, Ordering::SeqCst);
        self.pair_micros.store(pair.as_micros() as u64, Ordering::SeqCst);
    }

    /// Whether passes do not come to an end, until this is taken back.
    pub fn hangs(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::SeqCst);
    }

    /// Whether the model says that it is broken.
    pub fn breaks(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// Whether the model cannot be made ready again after a panic.
    pub fn fails_to_reset(&self, fails: bool) {
        self.resets_fail.store(fails, Ordering::SeqCst);
    }

    /// More pairs than these are too much for one pass.
    pub fn takes_at_most(&self, pairs: usize) {
        self.most.store(pairs, Ordering::SeqCst);
    }

    /// Documents with this word, in lower case, make it panic.
    pub fn panics_on(&self, word: Option<&str>) {
        *self.panics_on.lock().unwrap_or_else(PoisonError::into_inner) = word.map(str::to_owned);
    }

    /// Pairs that were scored.
    pub fn scored(&self) -> usize {
        self.scored.load(Ordering::SeqCst)
    }

    /// Passes that were begun.
    pub fn passes(&self) -> usize {
        self.passes.load(Ordering::SeqCst)
    }

    fn panic_word(&self) -> Option<String> {
        self.panics_on.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

// === impl Scripted ===

impl Family for Scripted {
    fn kind(&self) -> &'static str {
        "fake-scripted"
    }

    fn detect(&self, _folder: &Folder) -> Detection {
        Detection::No
    }

    fn load(&self, _source: &Source, _options: &LoadOptions, _progress: &dyn Progress) -> Result<Loaded, LoadError> {
        let loaded = Fake(Behaviour::Overlap).loaded();
        let Loaded::Local { preparer, workers } = loaded else { return Ok(loaded) };
        let script = |scorer| Box::new(ScriptedScorer { scorer, script: Arc::clone(&self.0) }) as Box<dyn Scorer>;
        Ok(Loaded::Local { preparer, workers: workers.into_iter().map(script).collect() })
    }
}

// === impl ScriptedScorer ===

impl Scorer for ScriptedScorer {
    fn begin(&mut self, queries: &[&PreparedQuery], stop: &Stop) -> Vec<Result<StateId, Fault>> {
        self.scorer.begin(queries, stop)
    }

    fn end(&mut self, state: StateId) {
        self.scorer.end(state);
    }

    fn score(&mut self, batch: &[Pair<'_>]) -> Vec<Result<Score, Fault>> {
        let script = &self.script;
        script.passes.fetch_add(1, Ordering::SeqCst);
        while script.hangs.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        if script.broken.load(Ordering::SeqCst) {
            return vec![Err(Fault::Model("this fake is broken on purpose".into())); batch.len()];
        }
        if batch.len() > script.most.load(Ordering::SeqCst) {
            return vec![Err(Fault::Batch("this fake takes fewer".into())); batch.len()];
        }
        if let Some(word) = script.panic_word() {
            let holds = |pair: &Pair<'_>| pair.document.inner().is_ok_and(|Words { words, .. }| words.contains(&word));
            assert!(!batch.iter().any(holds), "this fake panics on purpose");
        }
        let [pass, pair] = [&script.pass_micros, &script.pair_micros].map(|micros| micros.load(Ordering::SeqCst));
        thread::sleep(Duration::from_micros(pass + pair * batch.len() as u64));
        script.scored.fetch_add(batch.len(), Ordering::SeqCst);
        self.scorer.score(batch)
    }

    fn encode(&mut self, batch: &[&Prepared], stop: &Stop) -> Option<Vec<Result<Vector, Fault>>> {
        self.scorer.encode(batch, stop)
    }

    fn reset(&mut self) -> Result<(), Fault> {
        if self.script.resets_fail.load(Ordering::SeqCst) {
            return Err(Fault::Model("this fake is not made ready again on purpose".into()));
        }
        self.scorer.reset()
    }
}
