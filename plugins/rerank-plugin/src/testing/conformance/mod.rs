//! What every local reranker promises, checked on any of them. That each check finds its fault is shown in `planted`.

mod chunks;
mod fingerprints;
#[cfg(test)]
mod planted;

use std::{array, sync::Arc};

use crate::{
    Digest128, Document, Fault, LoadOptions, Loaded, Pair, Part, Prepared, PreparedQuery, Preparer, Query, Score, Scorer, StateId, Stop,
};

pub use chunks::check_chunks;
pub use fingerprints::check_fingerprints;

const SENTENCE: &str = "a red running shoe with a white sole, made for wet roads ";
const OTHER: &str = "a book about the history of shipping, from rafts to steamers ";

/// How far two computations of one score may lie apart.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance(pub f32);

/// What is changed in the options that a model is loaded with.
pub type Change<'a> = &'a dyn Fn(&mut LoadOptions);

struct Model<'a> {
    preparer: &'a dyn Preparer,
    scorer: &'a mut dyn Scorer,
    tolerance: f32,
}

// === impl Tolerance ===

impl Tolerance {
    /// No difference at all.
    pub const EXACT: Self = Self(0.0);
    /// For f32 models whose batches change the order of additions.
    pub const F32: Self = Self(1e-5);
}

/// Checks a loaded local model.
///
/// # Panics
/// Where a promise of the trait is broken, in words that name it.
pub fn check(loaded: Loaded, Tolerance(tolerance): Tolerance) {
    let Loaded::Local { preparer, workers } = loaded else { panic!("conformance is about local models") };
    assert!(!workers.is_empty(), "a local model has a worker");
    for mut worker in workers {
        let mut model = Model { preparer: preparer.as_ref(), scorer: worker.as_mut(), tolerance };
        model.batches_equal_singles();
        model.order_does_not_matter();
        model.searches_mix();
        model.costs_are_told();
        model.awkward_texts_are_scored_or_refused_alone();
        model.asking_to_stop_stops();
        model.asking_midway_leaves_the_rest();
        model.states_end();
        model.vectors_are_told_truly();
    }
}

/// Returns a query of one text.
pub fn query(text: &str) -> Query {
    Query { instruction: None, parts: vec![Part::text(text)], digest: digest(text) }
}

/// Returns a document of one text.
pub fn document(text: &str) -> Document {
    Document { parts: vec![Part::text(text)], digest: digest(text) }
}

/// A digest that differs where texts differ; no secret key, so for tests only.
fn digest(text: &str) -> Digest128 {
    let fnv = |offset: u64| text.bytes().fold(offset, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    Digest128(u128::from(fnv(0xcbf2_9ce4_8422_2325)) << 64 | u128::from(fnv(0x9e37_79b9_7f4a_7c15)))
}

fn some_texts() -> Vec<Arc<str>> {
    let texts = ["red shoe", "shoe rack, red", "a book about the history of shipping", "x", "wet roads ahead"];
    let long = [3, 20, 60].map(|times| SENTENCE.repeat(times));
    texts.into_iter().map(Arc::from).chain(long.into_iter().map(Arc::from)).collect()
}

/// Texts that no model reads in whole.
fn long_texts() -> [String; 2] {
    ["word ".repeat(100_000), "x".repeat(1_000_000)]
}

/// Texts that people and programs leave behind, and those that somebody makes to break a model.
fn awkward_texts() -> Vec<String> {
    let short = [
        "",
        " ",
        "\r\n\t\u{2028}\u{85}",
        "\u{0}\u{feff}",
        "red\u{0}shoes",
        "\u{301}\u{302}\u{20dd}",
        "👩‍👩‍👧‍👦 ẞ ﷽ 🏳️‍🌈",
        "\u{202e}abc שלום مرحبا\u{202c}",
        "\u{fffd}\u{fffd} red \u{fffd}",
        "\u{e000}\u{10ffff}\u{10fffe}",
        "红色的鞋子",
        "[SEP] [CLS] </s> <|im_end|> <|endoftext|>",
    ];
    let long = ["e\u{301}".repeat(1000), " ".repeat(10_000)];
    short.into_iter().map(String::from).chain(long).chain(long_texts()).collect()
}

/// Returns documents of a dozen sentences, whose texts begin with `name`, and say what searches of this file ask for far behind it.
fn long_documents(name: &str, count: usize) -> Vec<Arc<str>> {
    let (first, then) = (OTHER.repeat(4), SENTENCE.repeat(8));
    (0..count).map(|number| Arc::from(format!("{name} {number} {first}{then}"))).collect()
}

fn is_scored_or_blamed<T>(result: &Result<T, Fault>) -> bool {
    matches!(result, Ok(_) | Err(Fault::Input(_)))
}

// === impl Model ===

impl Model<'_> {
    fn prepare(&self, text: &str, documents: &[Arc<str>]) -> (PreparedQuery, Vec<Prepared>) {
        let prepared = self.preparer.query(&query(text)).expect("the query can be prepared");
        let documents =
            documents.iter().map(|own| self.preparer.document(&prepared, &document(own)).expect("the document can be prepared"));
        let documents = documents.collect();
        (prepared, documents)
    }

    fn begin(&mut self, query: &PreparedQuery) -> StateId {
        let states = self.scorer.begin(&[query], &Stop::default());
        assert_eq!(states.len(), 1, "as many states as queries");
        states.into_iter().next().expect("one state").expect("the query can begin")
    }

    fn results(&mut self, batch: &[(StateId, &Prepared)], stop: &Stop) -> Vec<Result<Score, Fault>> {
        let pairs: Vec<Pair<'_>> = batch.iter().map(|(state, document)| Pair { state: *state, document, stop }).collect();
        self.scorer.score(&pairs)
    }

    fn score(&mut self, batch: &[(StateId, &Prepared)]) -> Vec<f32> {
        let results = self.results(batch, &Stop::default());
        assert_eq!(results.len(), batch.len(), "as many results as pairs");
        results.into_iter().map(|result| result.map(Score::order).expect("the pair can be scored")).collect()
    }

    fn scores_of(&mut self, text: &str, documents: &[Arc<str>]) -> Vec<f32> {
        let (prepared, documents) = self.prepare(text, documents);
        let state = self.begin(&prepared);
        let batch: Vec<_> = documents.iter().map(|document| (state, document)).collect();
        let scores = self.score(&batch);
        self.scorer.end(state);
        scores
    }

    fn assert_equal(&self, left: &[f32], right: &[f32], promise: &str) {
        let near = |(one, other): (&f32, &f32)| (one - other).abs() <= self.tolerance;
        assert!(left.len() == right.len() && left.iter().zip(right).all(near), "{promise}: {left:?} against {right:?}");
    }

    fn batches_equal_singles(&mut self) {
        let texts = some_texts();
        let singles: Vec<f32> = texts.iter().flat_map(|text| self.scores_of("red shoes", array::from_ref(text))).collect();
        let together = self.scores_of("red shoes", &texts);
        self.assert_equal(&singles, &together, "a score does not depend on the rest or the order of the batch");
    }

    fn order_does_not_matter(&mut self) {
        let mut texts = some_texts();
        let mut forward = self.scores_of("wet roads", &texts);
        texts.reverse();
        forward.reverse();
        let backward = self.scores_of("wet roads", &texts);
        self.assert_equal(&forward, &backward, "a score does not depend on the order of the batch");
    }

    fn searches_mix(&mut self) {
        let texts = some_texts();
        let queries = ["red shoes", "history"];
        let alone = queries.map(|text| self.scores_of(text, &texts));
        let prepared = queries.map(|text| self.prepare(text, &texts));
        let begun = self.scorer.begin(&[&prepared[0].0, &prepared[1].0], &Stop::default());
        let states: Vec<StateId> = begun.into_iter().map(|state| state.expect("the query can begin")).collect();
        assert_eq!(states.len(), 2, "as many states as queries");
        assert_ne!(states[0], states[1], "each query has a state of its own");
        let batch: Vec<_> = (0..texts.len()).flat_map(|text| [0, 1].map(|query| (states[query], &prepared[query].1[text]))).collect();
        let mixed = self.score(&batch);
        states.into_iter().for_each(|state| self.scorer.end(state));
        for (query, expected) in alone.iter().enumerate() {
            let own: Vec<f32> = mixed.iter().skip(query).step_by(2).copied().collect();
            self.assert_equal(expected, &own, "a batch may mix searches");
        }
    }

    /// What is still to be computed is something, and never more than the model reads.
    fn costs_are_told(&self) {
        let card = self.preparer.card();
        let most = u64::from(card.max_tokens) * card.chunking.map_or(1, |chunking| u64::from(chunking.max));
        let asked = self.preparer.query(&query("red shoes")).expect("the query can be prepared");
        for text in some_texts().iter().map(|text| format!("{text}, not seen yet")).chain(long_texts()) {
            let cost = self.preparer.document(&asked, &document(&text)).map_or(1, |prepared| u64::from(prepared.cost()));
            assert!((1..=most).contains(&cost), "a document costs from 1 to {most} tokens, and not {cost}");
        }
    }

    fn awkward_texts_are_scored_or_refused_alone(&mut self) {
        let plain: Arc<str> = Arc::from("wet roads ahead");
        let alone = self.scores_of("red shoes", array::from_ref(&plain));
        for text in awkward_texts() {
            let start: String = text.chars().take(20).collect();
            let prepared = self.preparer.query(&query("red shoes")).expect("the query can be prepared");
            match self.preparer.document(&prepared, &document(&text)) {
                Ok(awkward) => {
                    let other = self.preparer.document(&prepared, &document(&plain)).expect("the document can be prepared");
                    let state = self.begin(&prepared);
                    let results = self.results(&[(state, &awkward), (state, &other)], &Stop::default());
                    self.scorer.end(state);
                    let [own, neighbour] = results.as_slice() else { panic!("as many results as pairs: {results:?}") };
                    assert!(is_scored_or_blamed(own), "an awkward text is scored or refused: {start:?} {own:?}");
                    let neighbour = neighbour.as_ref().expect("an awkward text leaves its neighbour alone").order();
                    self.assert_equal(&alone, &[neighbour], "an awkward text does not change its neighbour's score");
                }
                Err(fault) => assert!(matches!(fault, Fault::Input(_)), "an awkward text is the document's fault: {start:?} {fault:?}"),
            }
            self.awkward_query(&text, &plain);
        }
    }

    fn awkward_query(&mut self, text: &str, plain: &str) {
        let prepared = match self.preparer.query(&query(text)) {
            Ok(prepared) => prepared,
            Err(Fault::Input(_)) => return,
            Err(fault) => panic!("an awkward query is its own fault, not {fault:?}"),
        };
        let document = self.preparer.document(&prepared, &document(plain)).expect("the document can be prepared");
        let begun = self.scorer.begin(&[&prepared], &Stop::default()).remove(0);
        assert!(is_scored_or_blamed(&begun), "an awkward query begins or is refused: {begun:?}");
        if let Ok(state) = begun {
            let results = self.results(&[(state, &document)], &Stop::default());
            assert!(results.len() == 1 && is_scored_or_blamed(&results[0]), "behind an awkward query a document is scored: {results:?}");
            self.scorer.end(state);
        }
    }

    fn asking_to_stop_stops(&mut self) {
        let texts: Vec<Arc<str>> = (0..64).map(|number| Arc::from(format!("document number {number} that nobody waits for"))).collect();
        let (prepared, documents) = self.prepare("nobody waits", &texts);
        let state = self.begin(&prepared);
        let batch: Vec<_> = documents.iter().map(|document| (state, document)).collect();
        let stop = Stop::default();
        stop.ask();
        let results = self.results(&batch, &stop);
        assert_eq!(results.len(), batch.len(), "as many results as pairs, also when stopped");
        assert!(results.contains(&Err(Fault::Stopped)), "a scorer that is asked to stop leaves work undone");
        let go_on = Stop::default();
        let mixed: Vec<Pair<'_>> =
            documents[..4].iter().zip([&stop, &go_on, &stop, &go_on]).map(|(document, stop)| Pair { state, document, stop }).collect();
        let kept = self.scorer.score(&mixed);
        assert!(kept[1].is_ok() && kept[3].is_ok(), "one search that stops leaves the others of its batch alone: {kept:?}");
        self.scorer.end(state);
    }

    /// From some look at `stop` on, it finds that somebody asked.
    fn asking_midway_leaves_the_rest(&mut self) {
        const FAR: u64 = u64::MAX - 1;
        let counted = Stop::after(FAR);
        let whole = self.long_results("whole", &counted);
        assert!(whole.iter().all(Result::is_ok), "nobody asked to stop: {whole:?}");
        let looks = FAR - counted.looks_left();
        assert!(looks >= 2, "a scorer looks at `stop` between its passes: {looks} looks");
        // Each name makes other documents, so that no kept vector helps.
        for (name, after) in [("quarter", looks / 4), ("half", looks / 2), ("nearly all", looks - 1)] {
            let cut = self.long_results(name, &Stop::after(after));
            let is_fit = |result: &Result<Score, Fault>| matches!(result, Ok(_) | Err(Fault::Stopped));
            assert!(cut.iter().all(is_fit), "what is left undone is stopped: {cut:?}");
            if name == "half" {
                assert!(cut.iter().any(Result::is_ok), "what was computed before somebody asked is kept: {cut:?}");
                assert!(cut.contains(&Err(Fault::Stopped)), "what comes after is left: {cut:?}");
            }
            let again = self.long_results(name, &Stop::default());
            for (kept, full) in cut.iter().zip(&again).filter(|(kept, _)| kept.is_ok()) {
                let orders = [kept, full].map(|result| result.as_ref().map(|score| score.order()).expect("a score"));
                self.assert_equal(&orders[..1], &orders[1..], "a search that is stopped changes no score");
            }
        }
    }

    /// Scores two dozen long documents, whose texts begin with `name`.
    fn long_results(&mut self, name: &str, stop: &Stop) -> Vec<Result<Score, Fault>> {
        let texts = long_documents(name, 24);
        let (prepared, documents) = self.prepare("red shoes", &texts);
        let state = self.begin(&prepared);
        let batch: Vec<_> = documents.iter().map(|document| (state, document)).collect();
        let results = self.results(&batch, stop);
        self.scorer.end(state);
        assert_eq!(results.len(), texts.len(), "as many results as pairs");
        results
    }

    fn states_end(&mut self) {
        let (prepared, documents) = self.prepare("red shoes", &some_texts());
        let state = self.begin(&prepared);
        self.scorer.end(state);
        self.scorer.end(state);
        let results = self.results(&[(state, &documents[0])], &Stop::default());
        assert!(matches!(results.as_slice(), [Err(_)]), "a query that ended is a fault: {results:?}");
        let dropped = self.begin(&prepared);
        self.scorer.reset().expect("a scorer that is well can be reset");
        let gone = self.results(&[(dropped, &documents[0])], &Stop::default());
        assert!(matches!(gone.as_slice(), [Err(_)]), "a reset drops all states: {gone:?}");
    }

    fn vectors_are_told_truly(&mut self) {
        let (_, documents) = self.prepare("red shoes", &some_texts());
        let borrowed: Vec<&Prepared> = documents.iter().collect();
        let vectors = self.scorer.encode(&borrowed, &Stop::default());
        assert_eq!(vectors.is_some(), self.preparer.card().keeps_vectors, "the card tells whether there are vectors");
        if let Some(vectors) = vectors {
            assert!(vectors.len() == documents.len() && vectors.iter().all(Result::is_ok), "each document has a vector");
            let (_, again) = self.prepare("another query", &some_texts());
            assert!(again.iter().all(|document| document.cost() == 0), "a document whose vector is kept costs nothing, whatever the query");
        }
    }
}
