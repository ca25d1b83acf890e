//! A model whose time is set: it sleeps so long for each batch and so long for each pair of it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    thread,
    time::Duration,
};

use rerank_plugin::{
    Card, Detection, Document, Family, Fault, Fingerprint, Folder, LoadError, LoadOptions, Loaded, Pair, Part, Prepared, PreparedQuery,
    Preparer, Progress, Query, Scale, Score, Scorer, Source, StateId, Stop, Vector,
};

/// What is written under `kind`.
pub const KIND: &str = "timed";

/// The family of this model.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// Of each batch, however small.
    pub batch: Duration,
    /// Of each pair.
    pub pair: Duration,
}

struct Words {
    card: Card,
}

struct Sleeper {
    timed: Timed,
    next: u64,
}

/// A document's text, as a number.
struct Digested(u64);

/// Returns the order of a text, which nothing but the text decides: every document has another place than the engine gave it.
pub fn order(text: &str) -> f32 {
    (digest(text) % 100_003) as f32 / 1e5
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

// === impl Timed ===

impl Family for Timed {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn detect(&self, _folder: &Folder) -> Detection {
        Detection::No
    }

    fn load(&self, _source: &Source, _options: &LoadOptions, _progress: &dyn Progress) -> Result<Loaded, LoadError> {
        let card = Card::new(KIND, Fingerprint([7; 32]), Scale::Logit, u32::MAX);
        Ok(Loaded::Local { preparer: Arc::new(Words { card }), workers: vec![Box::new(Sleeper { timed: *self, next: 0 })] })
    }
}

// === impl Words ===

impl Preparer for Words {
    fn card(&self) -> &Card {
        &self.card
    }

    fn query(&self, _query: &Query) -> Result<PreparedQuery, Fault> {
        Ok(PreparedQuery::new(1, ()))
    }

    fn document(&self, _query: &PreparedQuery, document: &Document) -> Result<Prepared, Fault> {
        let text: String =
            document.parts.iter().filter_map(|part| if let Part::Text { text, .. } = part { Some(&**text) } else { None }).collect();
        let words = text.split(' ').count();
        Ok(Prepared::new(u32::try_from(words).unwrap_or(u32::MAX), Digested((order(&text) * 1e5) as u64)))
    }
}

// === impl Sleeper ===

impl Scorer for Sleeper {
    fn begin(&mut self, queries: &[&PreparedQuery], _stop: &Stop) -> Vec<Result<StateId, Fault>> {
        let first = self.next;
        self.next += queries.len() as u64;
        (first..self.next).map(|number| Ok(StateId(number))).collect()
    }

    fn end(&mut self, _state: StateId) {}

    fn score(&mut self, batch: &[Pair<'_>]) -> Vec<Result<Score, Fault>> {
        thread::sleep(self.timed.batch + self.timed.pair * u32::try_from(batch.len()).unwrap_or(u32::MAX));
        let score = |pair: &Pair<'_>| {
            let Digested(digest) = pair.document.inner()?;
            Ok(Score::new(*digest as f32 / 1e5, Scale::Logit)?)
        };
        batch.iter().map(score).collect()
    }

    fn encode(&mut self, _batch: &[&Prepared], _stop: &Stop) -> Option<Vec<Result<Vector, Fault>>> {
        None
    }

    fn reset(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
