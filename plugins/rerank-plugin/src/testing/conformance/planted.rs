//! A reranker that keeps all promises, and one for each promise that breaks it: the kit finds every one of them.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{Change, Tolerance, check, check_chunks, check_fingerprints};
use crate::{
    Artifact, ArtifactKey, ArtifactStore, Card, Chunking, ControlTokens, Detection, Document, Family, Fault, Fingerprint, Folder,
    LoadError, LoadOptions, Loaded, Pair, Part, Prepared, PreparedQuery, Preparer, Progress, Query, Scale, Score, Scorer, Silent, Slot,
    Source, StateId, Stop, Vector, testing::MapStore,
};

/// What is wrong with a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    Nothing,
    OneResultTooFew,
    LooksAtNeighbours,
    LooksAtPlaces,
    HasOneQueryAtATime,
    BreaksOnEmptyTexts,
    RefusesToPrepareEmojis,
    PanicsOnHugeTexts,
    BreaksBehindEmptyQueries,
    SpoilsNeighboursOfEmptyTexts,
    TellsNoCosts,
    TellsCostsOfWholeTexts,
    NeverLooksAtStop,
    LooksAtStopOnce,
    StopsAllForOne,
    ForgetsWhatWasScored,
    ScoresOfAPartOfTheChunks,
    KeepsEndedQueries,
    KeepsQueriesOverAReset,
    HasNoVectorsAfterAll,
    ForgetsVectors,
    TakesTheMeanOfChunks,
    TakesTheFirstChunk,
    CutsShortDocuments,
    Fingerprint(&'static str),
}

/// Scores by words that query and document share, and by what words are.
#[derive(Clone, Copy)]
struct Planted {
    plant: Plant,
    vectors: bool,
}

struct Words {
    planted: Planted,
    card: Card,
    store: Arc<dyn ArtifactStore>,
}

/// A document's words, in chunks.
struct Rows {
    chunks: Vec<Vec<String>>,
    key: ArtifactKey,
}

struct WordScorer {
    planted: Planted,
    store: Arc<dyn ArtifactStore>,
    queries: HashMap<StateId, Vec<String>>,
    next: u64,
}

// === impl Planted ===

impl Planted {
    fn has(self, plant: Plant) -> bool {
        self.plant == plant
    }

    fn load_with(self, set: Change<'_>) -> Loaded {
        let mut options = LoadOptions::new(Arc::new(MapStore::default()));
        set(&mut options);
        let nowhere = Source::Endpoints(crate::Endpoints::default());
        self.load(&nowhere, &options, &Silent).expect("it loads")
    }

    fn fingerprint(self, options: &LoadOptions) -> Fingerprint {
        let is_planted = |name: &str| matches!(self.plant, Plant::Fingerprint(own) if own == name);
        let number = |name: &str, number: u32| if is_planted(name) { 0 } else { number };
        let Chunking { tokens, overlap, max } = options.chunking.unwrap_or(Chunking { tokens: 0, overlap: 0, max: 0 });
        let chunks = [number("chunking.tokens", tokens), number("chunking.overlap", overlap), number("chunking.max", max)];
        let all = [
            number("max-tokens", options.max_tokens.unwrap_or(0)),
            number("dtype", options.dtype.map_or(0, |dtype| dtype as u32)),
            number("control-tokens", u32::from(options.control_tokens == ControlTokens::Parse)),
            number("dimensions", options.dimensions.unwrap_or(0)),
            number("vectors", options.half_vectors.into()),
            chunks.into_iter().fold(0, |all, own| all * 100 + own),
            if is_planted("threads") { options.threads as u32 } else { 0 },
            if is_planted("batch-tokens") { options.batch_tokens } else { 0 },
        ];
        let mut bytes = all.into_iter().flat_map(u32::to_le_bytes);
        Fingerprint(std::array::from_fn(|_| bytes.next().unwrap_or(0)))
    }
}

impl Family for Planted {
    fn kind(&self) -> &'static str {
        "planted"
    }

    fn detect(&self, _folder: &Folder) -> Detection {
        Detection::No
    }

    fn makes_vectors(&self) -> bool {
        self.vectors
    }

    fn cuts_chunks(&self) -> bool {
        !self.vectors
    }

    fn load(&self, _source: &Source, options: &LoadOptions, _progress: &dyn Progress) -> Result<Loaded, LoadError> {
        let mut card = Card::new(self.kind(), self.fingerprint(options), Scale::Logit, options.max_tokens.unwrap_or(100));
        (card.keeps_vectors, card.chunking) = (self.vectors, options.chunking);
        let store = Arc::clone(&options.store);
        let worker = WordScorer { planted: *self, store: Arc::clone(&store), queries: HashMap::new(), next: 0 };
        Ok(Loaded::Local { preparer: Arc::new(Words { planted: *self, card, store }), workers: vec![Box::new(worker)] })
    }
}

// === impl Words ===

impl Words {
    fn words(&self, parts: &[Part]) -> Vec<String> {
        let [Part::Text { text, .. }] = parts else { return Vec::new() };
        let most = self.card.chunking.map_or(self.card.max_tokens, |chunking| chunking.tokens * chunking.max);
        text.split_whitespace().take(most as usize).map(str::to_owned).collect()
    }

    fn chunks(&self, words: Vec<String>) -> Vec<Vec<String>> {
        let Some(Chunking { tokens, overlap, max }) = self.card.chunking else { return vec![words] };
        let short = words.len() <= tokens as usize;
        if short && self.planted.has(Plant::CutsShortDocuments) {
            return vec![words[..words.len() / 2].to_vec()];
        }
        let starts = (0..if short { 1 } else { max as usize }).map(|chunk| chunk * (tokens - overlap) as usize);
        let all = starts.map(|start| words.iter().skip(start).take(tokens as usize).cloned().collect::<Vec<_>>());
        all.filter(|chunk| short || !chunk.is_empty()).collect()
    }
}

impl Preparer for Words {
    fn card(&self) -> &Card {
        &self.card
    }

    fn query(&self, query: &Query) -> Result<PreparedQuery, Fault> {
        let words = self.words(&query.parts);
        Ok(PreparedQuery::new(words.len() as u32, words))
    }

    fn document(&self, _query: &PreparedQuery, document: &Document) -> Result<Prepared, Fault> {
        let [Part::Text { text, .. }] = document.parts.as_slice() else { return Err(Fault::Input("text alone".into())) };
        if self.planted.has(Plant::RefusesToPrepareEmojis) && text.contains('👩') {
            return Err(Fault::Model("a family".into()));
        }
        assert!(!self.planted.has(Plant::PanicsOnHugeTexts) || text.len() < 600_000, "huge");
        let chunks = self.chunks(self.words(&document.parts));
        let key = ArtifactKey { fingerprint: self.card.fingerprint, slot: Slot::Document, digest: document.digest };
        let known = self.planted.vectors && self.store.get(&key).is_some();
        let cost = match self.planted.plant {
            Plant::TellsNoCosts => 0,
            Plant::TellsCostsOfWholeTexts => text.len().max(1),
            _ if known => 0,
            _ => chunks.iter().map(Vec::len).sum::<usize>().max(1),
        };
        Ok(Prepared::new(cost as u32, Rows { chunks, key }))
    }
}

// === impl WordScorer ===

impl WordScorer {
    fn row(query: &[String], words: &[String]) -> f32 {
        let weight = |word: &String| word.bytes().fold(7_u32, |hash, byte| (hash * 31 + u32::from(byte)) % 1009) as f32 / 1009.0;
        let shared = query.iter().filter(|word| words.contains(word)).count() as f32;
        shared + words.iter().map(weight).sum::<f32>() / words.len().max(1) as f32
    }

    /// Scores one document, of which the stop may leave chunks out.
    fn score_one(&self, (query, rows): (&[String], &Rows), stop: &Stop) -> Result<Score, Fault> {
        let planted = self.planted;
        if planted.has(Plant::BreaksOnEmptyTexts) && rows.chunks[0].is_empty() {
            return Err(Fault::Model("nothing to do".into()));
        }
        if planted.has(Plant::BreaksBehindEmptyQueries) && query.is_empty() {
            return Err(Fault::Model("nobody asks".into()));
        }
        let looks = !planted.has(Plant::NeverLooksAtStop) && !planted.has(Plant::LooksAtStopOnce);
        let mut scores = Vec::new();
        for chunk in &rows.chunks {
            if looks && stop.asked() {
                break;
            }
            scores.push(Self::row(query, chunk));
        }
        let whole = scores.len() == rows.chunks.len() || planted.has(Plant::ScoresOfAPartOfTheChunks);
        let best = scores.iter().copied().fold(f32::MIN, f32::max);
        let order = match planted.plant {
            Plant::TakesTheMeanOfChunks => scores.iter().sum::<f32>() / scores.len().max(1) as f32,
            Plant::TakesTheFirstChunk => scores.first().copied().unwrap_or_default(),
            _ => best,
        };
        if whole && !scores.is_empty() { Ok(Score::new(order, Scale::Logit)?) } else { Err(Fault::Stopped) }
    }

    fn spoil(&self, (place, score): (usize, Score), batch: &[Pair<'_>]) -> Result<Score, Fault> {
        let is_empty = |pair: &Pair<'_>| pair.document.inner::<Rows>().is_ok_and(|rows| rows.chunks[0].is_empty());
        let more = match self.planted.plant {
            Plant::LooksAtNeighbours => batch.len() as f32,
            Plant::LooksAtPlaces if batch.len() > 1 && place == 0 => 1.0,
            Plant::SpoilsNeighboursOfEmptyTexts if batch.iter().any(is_empty) => 1.0,
            _ => 0.0,
        };
        Ok(Score::new(score.order() + more, score.scale())?)
    }
}

impl Scorer for WordScorer {
    fn begin(&mut self, queries: &[&PreparedQuery], _stop: &Stop) -> Vec<Result<StateId, Fault>> {
        let mut begin = |query: &&PreparedQuery| {
            let state = StateId(self.next);
            self.next += 1;
            if self.planted.has(Plant::HasOneQueryAtATime) {
                self.queries.values_mut().for_each(|words| words.clone_from(query.inner().expect("words")));
            }
            self.queries.insert(state, query.inner::<Vec<String>>()?.clone());
            Ok(state)
        };
        queries.iter().map(&mut begin).collect()
    }

    fn end(&mut self, state: StateId) {
        if !self.planted.has(Plant::KeepsEndedQueries) {
            self.queries.remove(&state);
        }
    }

    fn score(&mut self, batch: &[Pair<'_>]) -> Vec<Result<Score, Fault>> {
        let planted = self.planted;
        let asked_first = planted.has(Plant::LooksAtStopOnce) && batch.iter().all(|pair| pair.stop.asked());
        let one = |(place, pair): (usize, &Pair<'_>)| {
            let all = planted.has(Plant::StopsAllForOne) && batch.iter().any(|other| other.stop.asked());
            if asked_first || all {
                return Err(Fault::Stopped);
            }
            let query = self.queries.get(&pair.state).ok_or(Fault::Model("unknown state".into()))?;
            let score = self.score_one((query, pair.document.inner()?), pair.stop)?;
            self.spoil((place, score), batch)
        };
        let mut results: Vec<_> = batch.iter().enumerate().map(one).collect();
        if planted.has(Plant::ForgetsWhatWasScored) && results.len() > 4 && results.contains(&Err(Fault::Stopped)) {
            results.iter_mut().for_each(|result| *result = Err(Fault::Stopped));
        }
        results.truncate(batch.len() - usize::from(planted.has(Plant::OneResultTooFew)));
        results
    }

    fn encode(&mut self, batch: &[&Prepared], _stop: &Stop) -> Option<Vec<Result<Vector, Fault>>> {
        let put = |document: &&Prepared| {
            let rows: &Rows = document.inner()?;
            let vector = Vector::new([rows.chunks[0].len() as f32]);
            if !self.planted.has(Plant::ForgetsVectors) {
                self.store.put(rows.key, Artifact::Vector(vector.clone()));
            }
            Ok(vector)
        };
        let encodes = self.planted.vectors && !self.planted.has(Plant::HasNoVectorsAfterAll);
        encodes.then(|| batch.iter().map(put).collect())
    }

    fn reset(&mut self) -> Result<(), Fault> {
        if !self.planted.has(Plant::KeepsQueriesOverAReset) {
            self.queries.clear();
        }
        Ok(())
    }
}

/// Runs the whole kit on a model, and returns what it says.
fn verdict(planted: Planted) -> Result<(), String> {
    let chunked: Change<'_> = &|options| options.chunking = Some(Chunking { tokens: 16, overlap: 4, max: 4 });
    let all = || {
        check(planted.load_with(&|_| {}), Tolerance::EXACT);
        if planted.cuts_chunks() {
            check(planted.load_with(chunked), Tolerance::EXACT);
            check_chunks(|set| planted.load_with(set), Tolerance::EXACT);
        }
        check_fingerprints(&planted, |set| planted.load_with(set), 64);
    };
    catch_unwind(AssertUnwindSafe(all)).map_err(|panic| {
        let written = panic.downcast_ref::<String>().cloned();
        written.or_else(|| panic.downcast_ref::<&str>().map(|plain| (*plain).to_owned())).unwrap_or_default()
    })
}

/// What a fingerprint may forget or remember, and what the kit says of it.
const FINGERPRINTS: [(&str, &str); 10] = [
    ("max-tokens", "max-tokens changed"),
    ("dtype", "dtype f16 changed"),
    ("control-tokens", "control-tokens changed"),
    ("dimensions", "dimensions changed"),
    ("vectors", "vectors changed"),
    ("chunking.tokens", "chunking.tokens changed"),
    ("chunking.overlap", "chunking.overlap changed"),
    ("chunking.max", "chunking.max changed"),
    ("threads", "threads changes no score"),
    ("batch-tokens", "batch-tokens changes no score"),
];

#[test]
fn a_reranker_that_keeps_all_promises_conforms() {
    for vectors in [false, true] {
        assert_eq!(verdict(Planted { plant: Plant::Nothing, vectors }), Ok(()));
    }
}

#[test]
fn every_broken_promise_is_found() {
    let planted = [
        (Plant::OneResultTooFew, "as many results as pairs"),
        (Plant::LooksAtNeighbours, "does not depend on the rest"),
        (Plant::LooksAtPlaces, "does not depend on the rest"),
        (Plant::HasOneQueryAtATime, "a batch may mix searches"),
        (Plant::BreaksOnEmptyTexts, "an awkward text is scored or refused: \"\""),
        (Plant::RefusesToPrepareEmojis, "an awkward text is the document's fault"),
        (Plant::PanicsOnHugeTexts, "huge"),
        (Plant::BreaksBehindEmptyQueries, "behind an awkward query a document is scored"),
        (Plant::SpoilsNeighboursOfEmptyTexts, "an awkward text does not change its neighbour's score"),
        (Plant::TellsNoCosts, "a document costs from 1 to 100 tokens, and not 0"),
        (Plant::TellsCostsOfWholeTexts, "a document costs from 1 to 100 tokens, and not "),
        (Plant::NeverLooksAtStop, "a scorer that is asked to stop leaves work undone"),
        (Plant::LooksAtStopOnce, "a scorer looks at `stop` between its passes: 1 looks"),
        (Plant::StopsAllForOne, "one search that stops leaves the others of its batch alone"),
        (Plant::ForgetsWhatWasScored, "what was computed before somebody asked is kept"),
        (Plant::ScoresOfAPartOfTheChunks, "a search that is stopped changes no score"),
        (Plant::KeepsEndedQueries, "a query that ended is a fault"),
        (Plant::KeepsQueriesOverAReset, "a reset drops all states"),
        (Plant::TakesTheMeanOfChunks, "more chunks lower no score"),
        (Plant::TakesTheFirstChunk, "a chunk that is better than the first counts"),
        (Plant::CutsShortDocuments, "a short document scores as without chunking"),
    ];
    let with_vectors = [
        (Plant::HasNoVectorsAfterAll, "the card tells whether there are vectors"),
        (Plant::ForgetsVectors, "whose vector is kept costs nothing"),
    ];
    let fingerprints = FINGERPRINTS.map(|(name, words)| (Plant::Fingerprint(name), words));
    let is_of_vectors = |plant: &Plant| matches!(plant, Plant::Fingerprint("dimensions" | "vectors"));
    let all = planted.into_iter().chain(fingerprints).map(|(plant, words)| (plant, words, is_of_vectors(&plant)));
    for (plant, words, vectors) in all.chain(with_vectors.map(|(plant, words)| (plant, words, true))) {
        let said = verdict(Planted { plant, vectors });
        assert!(said.as_ref().is_err_and(|said| said.contains(words)), "{plant:?}: {said:?}");
    }
}
