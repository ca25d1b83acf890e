//! A model that does what a document's text tells it: panics, hangs, computes NaN, finds a batch too large, breaks.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rerank_plugin::{
    Card, Detection, Document, Family, Fault, Fingerprint, Folder, LoadError, LoadOptions, Loaded, Pair, Part, Prepared, PreparedQuery,
    Preparer, Progress, Query, Scale, Score, Scorer, Source, StateId, Stop, Vector,
};

use crate::{load::model::order, world::Trouble};

/// What is written under `kind`.
pub const KIND: &str = "chaotic";

/// What a panic says, so that it is told from one that nobody asked for.
pub const TOLD: &str = "told to panic";

/// Of each pair: so much that the queue is seldom empty.
const COST: Duration = Duration::from_micros(100);

/// Longer than any search has.
const HANG: Duration = Duration::from_millis(120);

/// Long enough to count as a model that does not answer.
const LONG_HANG: Duration = Duration::from_millis(2500);

/// Of so many resets after a panic one fails, so that the model is loaded anew.
const RESETS: u32 = 1000;

/// In one second of so many, everything is broken.
const BROKEN: (u64, u64) = (3, 20);

/// The family of this model.
pub struct Chaotic {
    /// When it was made.
    pub since: Instant,
}

struct Reader {
    card: Card,
}

struct Doer {
    since: Instant,
    states: u64,
    resets: u32,
}

struct Told {
    order: f32,
    trouble: Option<Trouble>,
}

// === impl Chaotic ===

impl Family for Chaotic {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn detect(&self, _folder: &Folder) -> Detection {
        Detection::No
    }

    fn load(&self, _source: &Source, _options: &LoadOptions, _progress: &dyn Progress) -> Result<Loaded, LoadError> {
        let card = Card::new(KIND, Fingerprint([9; 32]), Scale::Logit, u32::MAX);
        Ok(Loaded::Local { preparer: Arc::new(Reader { card }), workers: vec![Box::new(Doer { since: self.since, states: 0, resets: 0 })] })
    }
}

// === impl Reader ===

impl Preparer for Reader {
    fn card(&self) -> &Card {
        &self.card
    }

    fn query(&self, _query: &Query) -> Result<PreparedQuery, Fault> {
        Ok(PreparedQuery::new(1, ()))
    }

    fn document(&self, _query: &PreparedQuery, document: &Document) -> Result<Prepared, Fault> {
        let text: String =
            document.parts.iter().filter_map(|part| if let Part::Text { text, .. } = part { Some(&**text) } else { None }).collect();
        Ok(Prepared::new(10, Told { order: order(&text), trouble: Trouble::told_by(&text) }))
    }
}

// === impl Doer ===

impl Scorer for Doer {
    fn begin(&mut self, queries: &[&PreparedQuery], _stop: &Stop) -> Vec<Result<StateId, Fault>> {
        let first = self.states;
        self.states += queries.len() as u64;
        (first..self.states).map(|number| Ok(StateId(number))).collect()
    }

    fn end(&mut self, _state: StateId) {}

    fn score(&mut self, batch: &[Pair<'_>]) -> Vec<Result<Score, Fault>> {
        thread::sleep(COST * u32::try_from(batch.len()).unwrap_or(u32::MAX));
        let (second, of) = BROKEN;
        if self.since.elapsed().as_secs() % of == second {
            return batch.iter().map(|_| Err(Fault::Model("this is a bad second".into()))).collect();
        }
        let score = |pair: &Pair<'_>| {
            let told: &Told = pair.document.inner()?;
            match told.trouble {
                Some(Trouble::Panic) => panic!("{TOLD}"),
                Some(Trouble::Hang) => thread::sleep(HANG),
                Some(Trouble::LongHang) => thread::sleep(LONG_HANG),
                Some(Trouble::Nan) => return Ok(Score::new(f32::NAN, Scale::Logit)?),
                Some(Trouble::Batch) if batch.len() > 1 => return Err(Fault::Batch("told that it is too large".into())),
                Some(Trouble::Broken) => return Err(Fault::Model("told to break".into())),
                Some(Trouble::Batch) | None => {}
            }
            Ok(Score::new(told.order, Scale::Logit)?)
        };
        batch.iter().map(score).collect()
    }

    fn encode(&mut self, _batch: &[&Prepared], _stop: &Stop) -> Option<Vec<Result<Vector, Fault>>> {
        None
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.resets += 1;
        if self.resets.is_multiple_of(RESETS) { Err(Fault::Model("told not to come back".into())) } else { Ok(()) }
    }
}
