//! The loaded models by name, and the threads that load them: the gateway serves before they are there.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, Weak, mpsc},
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use rerank_plugin::{Device, Family, Loaded, Part, Placement, Progress};
use tracing::{field::display, info, warn};

use crate::{
    config::{self, Config, Environment, Fusion},
    inference::{Pairs, Reranker, ScoreCache, Settings},
    models::{Downloads, ModelError, Store, Vectors, load, unit::PAIRS},
    rerank::{Digester, Reason, fuse::fusion_of},
};

/// How long to wait before a failed load is tried again: doubled up to the second value.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// How long to wait before a model that broke is loaded again, the first time.
const RELOAD: Duration = Duration::from_secs(1);

/// Where a model stands.
#[derive(Clone)]
pub enum State {
    /// Nobody has asked for it yet, and it is loaded for the first who does.
    Idle,
    /// It is being found, downloaded or read.
    Loading,
    /// It can score.
    Ready(Arc<Reranker>),
    /// It broke, for good: it answers from the cache while it is loaded anew.
    Broken(Arc<Reranker>),
    /// The last try failed, for this reason; another follows.
    Unavailable(Arc<str>),
}

/// All models of a configuration.
#[derive(Default)]
pub struct Registry {
    entries: BTreeMap<Arc<str>, Entry>,
}

struct Entry {
    state: Arc<ArcSwap<State>>,
    /// Waits for the first who asks.
    idle: Mutex<Option<Loader>>,
}

/// What loading needs besides the model's own settings.
#[derive(Clone)]
pub struct Surroundings {
    /// The kinds of models that there are.
    pub families: Arc<[Box<dyn Family>]>,
    /// Caches, hubs and tokens.
    pub environment: Arc<Environment>,
    /// Where models keep vectors.
    pub store: Store,
    /// The vectors that were computed ahead.
    pub vectors: Vectors,
    /// Where scores are kept.
    pub scores: ScoreCache,
    /// Hashes what models see.
    pub digester: Digester,
    /// Told how far a download is.
    pub progress: Arc<dyn Progress>,
    /// The downloads under way, to be given up when the process ends.
    pub downloads: Downloads,
}

/// Why a model is not there.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It was not found, or is not what it should be.
    #[error(transparent)]
    Load(#[from] ModelError),
    /// A rule tells the model what to do, and the model cannot be told.
    #[error("rules[{rule}].instruction is set, and a model of kind {kind} takes no instruction: leave it out, or use a model that does")]
    Instruction {
        /// The rule's place in the file.
        rule: usize,
        /// The model's kind.
        kind: &'static str,
    },
    /// A rule fuses by a unit, which is measured on models that run here alone.
    #[error("rules[{rule}].fusion is adaptive, which needs a model that runs here: write weighted, replace or rrf, or leave it out")]
    Adaptive {
        /// The rule's place in the file.
        rule: usize,
    },
    /// A bug, ours or a library's.
    #[error("loading panicked, which is a bug: please report it with the model's name")]
    Panicked,
    /// The system has no thread to give.
    #[error("no thread for the model: {0}")]
    Thread(#[from] std::io::Error),
}

struct Loader {
    model: Arc<config::Model>,
    rules: Vec<Arc<config::Rule>>,
    surroundings: Surroundings,
    state: Weak<ArcSwap<State>>,
}

/// Loads one model and starts its workers, on this thread.
///
/// # Errors
/// In words that name what was tried and the remedies.
pub fn load_now(model: &config::Model, rules: &[Arc<config::Rule>], surroundings: &Surroundings) -> Result<Reranker, StartError> {
    // Nobody loads it anew.
    load_watched(model, rules, surroundings, mpsc::channel().0)
}

/// The same, with somebody who is told when the model cannot be made ready again.
fn load_watched(
    model: &config::Model,
    rules: &[Arc<config::Rule>],
    surroundings: &Surroundings,
    broken: mpsc::Sender<()>,
) -> Result<Reranker, StartError> {
    let loaded = catch_unwind(AssertUnwindSafe(|| load(model, surroundings))).map_err(|_| StartError::Panicked)??;
    let card = match &loaded {
        Loaded::Local { preparer, .. } => preparer.card(),
        Loaded::Remote(remote) => remote.card(),
    };
    let scale = card.scale;
    let tells = |rule: &&Arc<config::Rule>| rule.model == model.name && rule.instruction.is_some();
    if let Some(rule) = rules.iter().find(tells).filter(|_| !card.takes_instruction) {
        return Err(StartError::Instruction { rule: rule.number, kind: card.kind });
    }
    let fuses_adaptively = |rule: &Arc<config::Rule>| rule.model == model.name && fusion_of(rule.fusion, scale, true) == Fusion::Adaptive;
    if let (Loaded::Remote(_), Some(rule)) = (&loaded, rules.iter().find(|rule| fuses_adaptively(rule))) {
        return Err(StartError::Adaptive { rule: rule.number });
    }
    let settings = Settings {
        name: Arc::clone(&model.name),
        batch_tokens: model.batch_tokens,
        max_queue: model.max_queue,
        measure_unit: rules.iter().any(fuses_adaptively),
        device: slowest(card.placement.as_ref()),
        scores: surroundings.scores.clone(),
        broken,
    };
    Ok(Reranker::start(loaded, &settings, &pairs(&surroundings.digester))?)
}

/// Returns the device by which passes are cut: searches may come to any of them.
fn slowest(placement: Option<&Placement>) -> Device {
    let devices = placement.map(|placement| placement.devices.as_slice()).unwrap_or_default();
    devices.iter().copied().find(|device| *device == Device::Cpu).or(devices.first().copied()).unwrap_or(Device::Cpu)
}

/// Returns the built-in pairs on which a model's unit is measured.
fn pairs(digester: &Digester) -> Pairs {
    let query = |(query, _): &(&str, &str)| digester.query(None, vec![Part::text(*query)]);
    let document = |(_, passage): &(&str, &str)| digester.document(vec![Part::text(*passage)]);
    Pairs { queries: PAIRS.iter().map(query).collect(), documents: PAIRS.iter().map(document).collect() }
}

// === impl Registry ===

impl Registry {
    /// Starts to load every model on a thread of its own and returns at once. A load that fails is tried again.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(config: &Config, surroundings: &Surroundings) -> std::io::Result<Self> {
        let mut entries = BTreeMap::new();
        for (name, model) in &config.models {
            let state = Arc::new(ArcSwap::from_pointee(if model.lazy { State::Idle } else { State::Loading }));
            let loader = Loader {
                model: Arc::clone(model),
                rules: config.rules.clone(),
                surroundings: surroundings.clone(),
                state: Arc::downgrade(&state),
            };
            let idle = if model.lazy { Some(loader) } else { loader.start().map(|()| None)? };
            entries.insert(Arc::clone(name), Entry { state, idle: Mutex::new(idle) });
        }
        Ok(Self { entries })
    }

    /// Returns the model, or the reason why it cannot score. Whoever asks first for one that is loaded lazily has its load started.
    ///
    /// # Errors
    /// [`Reason::ModelLoading`] or [`Reason::ModelUnavailable`].
    pub fn get(&self, name: &str) -> Result<Arc<Reranker>, Reason> {
        let Some(entry) = self.entries.get(name) else { return Err(Reason::ModelUnavailable) };
        match &**entry.state.load() {
            State::Ready(reranker) | State::Broken(reranker) => Ok(Arc::clone(reranker)),
            State::Loading => Err(Reason::ModelLoading),
            State::Unavailable(_) => Err(Reason::ModelUnavailable),
            State::Idle => Err(entry.wake()),
        }
    }

    /// Returns every model's name and where it stands.
    pub fn states(&self) -> impl Iterator<Item = (&str, State)> {
        self.entries.iter().map(|(name, entry)| (name.as_ref(), State::clone(&entry.state.load())))
    }
}

// === impl Entry ===

impl Entry {
    /// Starts the load, once.
    fn wake(&self) -> Reason {
        let Some(loader) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Reason::ModelLoading };
        self.state.store(Arc::new(State::Loading));
        info!(model = %loader.model.name, "loading the model for the first search that needs it");
        match loader.start() {
            Ok(()) => Reason::ModelLoading,
            Err(error) => {
                self.state.store(Arc::new(State::Unavailable(format!("no thread for loading it: {error}").into())));
                Reason::ModelUnavailable
            }
        }
    }
}

// === impl Loader ===

impl Loader {
    /// Says that the model is broken, and returns whether anybody needs it.
    fn tell_broken(&self, reranker: Option<Arc<Reranker>>) -> bool {
        let (Some(state), Some(broken)) = (self.state.upgrade(), reranker) else { return false };
        state.store(Arc::new(State::Broken(broken)));
        true
    }

    fn start(self) -> std::io::Result<()> {
        thread::Builder::new().name(format!("load-{}", self.model.name)).spawn(move || self.run()).map(drop)
    }

    /// Loads until it works, and again when the model breaks, until nobody wants it any more.
    fn run(self) {
        let (mut pause, mut reload) = (RETRY.0, RELOAD);
        loop {
            let (tell, broken) = mpsc::channel();
            let loaded = load_watched(&self.model, &self.rules, &self.surroundings, tell);
            let begun = Instant::now();
            let Some(state) = self.state.upgrade() else { return };
            match loaded {
                Ok(reranker) => {
                    let card = reranker.card();
                    let runs_on = card.placement.as_ref().map(display);
                    info!(model = %self.model.name, runs_on, fingerprint = %card.fingerprint, unit = reranker.unit(), "model ready");
                    let ready = Arc::new(reranker);
                    let weak = Arc::downgrade(&ready);
                    state.store(Arc::new(State::Ready(ready)));
                    drop(state);
                    // Hung up when nobody needs the model any more.
                    if broken.recv().is_err() || !self.tell_broken(weak.upgrade()) {
                        return;
                    }
                    // One that had worked for long is loaded again soon.
                    pause = if begun.elapsed() > RETRY.1 { RELOAD } else { reload };
                    reload = (pause * 2).min(RETRY.1);
                    warn!(model = %self.model.name, retry_s = pause.as_secs(), "the model broke: it is loaded anew");
                }
                Err(error) => {
                    warn!(model = %self.model.name, %error, retry_s = pause.as_secs(), "model unavailable: searches keep the engine's order");
                    // One that broke has at least what is cached.
                    if !matches!(**state.load(), State::Broken(_)) {
                        state.store(Arc::new(State::Unavailable(error.to_string().into())));
                    }
                }
            }
            thread::sleep(pause);
            pause = (pause * 2).min(RETRY.1);
        }
    }
}
