//! Rerankers that need no weights and behave, or misbehave, on purpose.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    Card, Detection, Document, Family, Fault, Fingerprint, Folder, LoadError, LoadOptions, Loaded, Pair, Part, Prepared, PreparedQuery,
    Preparer, Progress, Query, Scale, Score, Scorer, Source, StateId, Stop, Vector,
};

/// What a fake does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// The same score for all: the engine's order stays. Looks at no text, so that it costs nothing.
    Identity,
    /// Each document of a search scores above the one before it: the window is turned round.
    Reverse,
    /// The share of the query's words that the document holds: a real, if simple, relevance.
    Overlap,
    /// As [`Behaviour::Overlap`], after sleeping this long for each document.
    FixedCost(Duration),
    /// Never answers and never looks at [`Stop`].
    Hang,
    /// Panics.
    Panic,
    /// Computes NaN.
    Nan,
    /// Answers one result too few.
    WrongCount,
    /// Says that the model is broken.
    Broken,
}

/// A family whose only model is a fake.
#[derive(Clone, Copy, Debug)]
pub struct Fake(pub Behaviour);

struct FakePreparer {
    card: Card,
    behaviour: Behaviour,
}

struct FakeScorer {
    behaviour: Behaviour,
    queries: HashMap<StateId, Arc<[String]>>,
    next: u64,
}

/// A query's words, and how many documents were prepared for it.
struct QueryWords {
    words: Arc<[String]>,
    prepared: AtomicU32,
}

/// A document's words, and which of its query's documents it is, from 1.
pub(super) struct Words {
    pub(super) words: Vec<String>,
    number: u32,
}

// === impl Fake ===

impl Fake {
    /// Returns the model without loading anything.
    pub fn loaded(self) -> Loaded {
        let Self(behaviour) = self;
        let fingerprint = Fingerprint(std::array::from_fn(|index| self.kind().as_bytes().get(index).copied().unwrap_or(0)));
        let card = Card::new(self.kind(), fingerprint, Scale::Logit, u32::MAX);
        let worker = FakeScorer { behaviour, queries: HashMap::new(), next: 0 };
        Loaded::Local { preparer: Arc::new(FakePreparer { card, behaviour }), workers: vec![Box::new(worker)] }
    }
}

impl Family for Fake {
    fn kind(&self) -> &'static str {
        match self.0 {
            Behaviour::Identity => "fake-identity",
            Behaviour::Reverse => "fake-reverse",
            Behaviour::Overlap => "fake-overlap",
            Behaviour::FixedCost(_) => "fake-fixed-cost",
            Behaviour::Hang => "fake-hang",
            Behaviour::Panic => "fake-panic",
            Behaviour::Nan => "fake-nan",
            Behaviour::WrongCount => "fake-wrong-count",
            Behaviour::Broken => "fake-broken",
        }
    }

    fn detect(&self, _folder: &Folder) -> Detection {
        Detection::No
    }

    fn load(&self, _source: &Source, _options: &LoadOptions, _progress: &dyn Progress) -> Result<Loaded, LoadError> {
        Ok(self.loaded())
    }
}

// === impl FakePreparer ===

impl Preparer for FakePreparer {
    fn card(&self) -> &Card {
        &self.card
    }

    fn query(&self, query: &Query) -> Result<PreparedQuery, Fault> {
        let words = self.words(&query.parts);
        Ok(PreparedQuery::new(words.len() as u32, QueryWords { words: words.into(), prepared: AtomicU32::new(0) }))
    }

    fn document(&self, query: &PreparedQuery, document: &Document) -> Result<Prepared, Fault> {
        let words = self.words(&document.parts);
        let QueryWords { prepared, .. } = query.inner()?;
        let number = prepared.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Prepared::new(words.len().max(1) as u32, Words { words, number }))
    }
}

impl FakePreparer {
    fn words(&self, parts: &[Part]) -> Vec<String> {
        if self.behaviour == Behaviour::Identity { Vec::new() } else { words(parts) }
    }
}

fn words(parts: &[Part]) -> Vec<String> {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text { text, .. } => Some(text),
        Part::Image(_) | Part::Video(_) => None,
    });
    texts
        .flat_map(|text| text.split(|letter: char| !letter.is_alphanumeric()))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

// === impl FakeScorer ===

impl Scorer for FakeScorer {
    fn begin(&mut self, queries: &[&PreparedQuery], _stop: &Stop) -> Vec<Result<StateId, Fault>> {
        let mut begin = |query: &&PreparedQuery| {
            let QueryWords { words, .. } = query.inner()?;
            let id = StateId(self.next);
            self.next += 1;
            self.queries.insert(id, Arc::clone(words));
            Ok(id)
        };
        queries.iter().map(&mut begin).collect()
    }

    fn end(&mut self, state: StateId) {
        self.queries.remove(&state);
    }

    fn score(&mut self, batch: &[Pair<'_>]) -> Vec<Result<Score, Fault>> {
        let wanted = if self.behaviour == Behaviour::WrongCount { batch.len().saturating_sub(1) } else { batch.len() };
        batch[..wanted].iter().map(|pair| self.score_one(*pair)).collect()
    }

    fn encode(&mut self, _batch: &[&Prepared], _stop: &Stop) -> Option<Vec<Result<Vector, Fault>>> {
        None
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.queries.clear();
        Ok(())
    }
}

impl FakeScorer {
    fn score_one(&mut self, Pair { state, document, stop }: Pair<'_>) -> Result<Score, Fault> {
        if stop.asked() && self.behaviour != Behaviour::Hang {
            return Err(Fault::Stopped);
        }
        let Words { words, number } = document.inner()?;
        let query = self.queries.get(&state).ok_or(Fault::Model("unknown state".into()))?;
        let order = match self.behaviour {
            Behaviour::Identity => 0.0,
            Behaviour::Reverse => *number as f32,
            Behaviour::Overlap | Behaviour::WrongCount => overlap(query, words),
            Behaviour::FixedCost(cost) => {
                thread::sleep(cost);
                overlap(query, words)
            }
            Behaviour::Hang => loop {
                thread::sleep(Duration::from_secs(3600));
            },
            Behaviour::Panic => panic!("this fake panics on purpose"),
            Behaviour::Nan => f32::NAN,
            Behaviour::Broken => return Err(Fault::Model("this fake is broken on purpose".into())),
        };
        Ok(Score::new(order, Scale::Logit)?)
    }
}

fn overlap(query: &[String], document: &[String]) -> f32 {
    let found = query.iter().filter(|word| document.contains(word)).count();
    found as f32 / query.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::{Behaviour, Fake};
    use crate::testing::conformance;

    #[test]
    fn the_well_behaved_fakes_conform() {
        for behaviour in [Behaviour::Identity, Behaviour::Overlap] {
            conformance::check(Fake(behaviour).loaded(), conformance::Tolerance::EXACT);
        }
    }

    #[test]
    #[should_panic(expected = "as many results as pairs")]
    fn a_wrong_count_does_not_conform() {
        conformance::check(Fake(Behaviour::WrongCount).loaded(), conformance::Tolerance::EXACT);
    }

    #[test]
    #[should_panic(expected = "order of the batch")]
    fn scores_that_depend_on_their_neighbours_do_not_conform() {
        conformance::check(Fake(Behaviour::Reverse).loaded(), conformance::Tolerance::EXACT);
    }
}
