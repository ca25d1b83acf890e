//! Computes the vectors that are missing, in batches of like lengths, keeps them, and compares.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use rerank_candle::Threads;
use rerank_plugin::{
    Artifact, ArtifactKey, ArtifactStore, Fault, LoadOptions, Pair, Prepared, PreparedQuery, Scale, Score, Scorer, StateId, Stop, Vector,
};

use crate::{encoder::Encoder, preparer::Text};

/// One worker. Its state of a query is the query's vector.
pub(crate) struct EmbeddingScorer {
    encoder: Encoder,
    threads: Threads,
    batch_tokens: usize,
    shape: VectorShape,
    store: Arc<dyn ArtifactStore>,
    queries: HashMap<StateId, Vector>,
    next: u64,
}

/// What is made of pooled states.
#[derive(Clone, Copy)]
struct VectorShape {
    /// How many of the first components are kept.
    dimensions: usize,
    half: bool,
}

/// A text whose vector is to be computed.
struct Missing<'a> {
    place: usize,
    key: &'a ArtifactKey,
    tokens: &'a [u32],
    stop: &'a Stop,
}

// === impl EmbeddingScorer ===

impl EmbeddingScorer {
    /// Returns the worker whose vectors have the first `dimensions` components of the pooled states.
    pub(crate) fn new(encoder: Encoder, threads: Threads, dimensions: usize, options: &LoadOptions) -> Self {
        let (batch_tokens, store) = (threads.pass_tokens(options.batch_tokens), Arc::clone(&options.store));
        let shape = VectorShape { dimensions, half: options.half_vectors };
        Self { encoder, threads, batch_tokens, shape, store, queries: HashMap::new(), next: 0 }
    }

    /// Returns each text's vector; [`Fault::Stopped`] for those that nobody waited for any more.
    fn vectors(&self, texts: &[(&Text, &Stop)]) -> Vec<Result<Vector, Fault>> {
        let mut results = vec![Err(Fault::Stopped); texts.len()];
        let mut missing = Vec::new();
        for (place, (text, stop)) in texts.iter().enumerate() {
            match text {
                Text::Known(vector) => results[place] = Ok(vector.clone()),
                // Another search may have computed it since this one was prepared.
                Text::Tokens { key, tokens } => match self.store.get(key) {
                    Some(Artifact::Vector(vector)) => results[place] = Ok(vector),
                    _ => missing.push(Missing { place, key, tokens, stop }),
                },
            }
        }
        missing.sort_by_key(|text| Reverse(text.tokens.len()));
        loop {
            missing.retain(|text| !text.stop.asked());
            let Some(longest) = missing.first() else { return results };
            let fit = (self.batch_tokens / longest.tokens.len()).clamp(1, missing.len());
            let batch: Vec<Missing<'_>> = missing.drain(..fit).collect();
            for (text, result) in batch.iter().zip(self.forward(&batch)) {
                if let Ok(vector) = &result {
                    self.store.put(*text.key, Artifact::Vector(vector.clone()));
                }
                results[text.place] = result;
            }
        }
    }

    fn texts<'a>(documents: impl Iterator<Item = (&'a Prepared, &'a Stop)>) -> Result<Vec<(&'a Text, &'a Stop)>, Fault> {
        documents.map(|(document, stop)| Ok((document.inner()?, stop))).collect()
    }

    fn forward(&self, batch: &[Missing<'_>]) -> Vec<Result<Vector, Fault>> {
        let rows: Vec<&[u32]> = batch.iter().map(|text| text.tokens).collect();
        let nobody_waits = || batch.iter().all(|text| text.stop.asked());
        match self.threads.run(|| self.encoder.vectors(&rows, &nobody_waits)) {
            Ok(pooled) => pooled.into_iter().map(|states| self.shape.vector(states)).collect(),
            Err(halt) => vec![Err(halt.into()); rows.len()],
        }
    }
}

impl Scorer for EmbeddingScorer {
    fn begin(&mut self, queries: &[&PreparedQuery], stop: &Stop) -> Vec<Result<StateId, Fault>> {
        let texts: Result<Vec<_>, Fault> = queries.iter().map(|query| Ok((query.inner()?, stop))).collect();
        let vectors = match texts {
            Ok(texts) => self.vectors(&texts),
            Err(fault) => vec![Err(fault); queries.len()],
        };
        let mut begin = |vector: Result<Vector, Fault>| {
            let state = StateId(self.next);
            self.queries.insert(state, vector?);
            self.next += 1;
            Ok(state)
        };
        vectors.into_iter().map(&mut begin).collect()
    }

    fn end(&mut self, state: StateId) {
        self.queries.remove(&state);
    }

    fn score(&mut self, batch: &[Pair<'_>]) -> Vec<Result<Score, Fault>> {
        let vectors = match Self::texts(batch.iter().map(|pair| (pair.document, pair.stop))) {
            Ok(texts) => self.vectors(&texts),
            Err(fault) => vec![Err(fault); batch.len()],
        };
        let scored = batch.iter().zip(vectors).map(|(pair, vector)| {
            let query = self.queries.get(&pair.state).ok_or(Fault::Model("the query has ended".into()))?;
            Ok(Score::new(query.dot(&vector?), Scale::Cosine)?)
        });
        scored.collect()
    }

    fn encode(&mut self, batch: &[&Prepared], stop: &Stop) -> Option<Vec<Result<Vector, Fault>>> {
        Some(match Self::texts(batch.iter().map(|document| (*document, stop))) {
            Ok(texts) => self.vectors(&texts),
            Err(fault) => vec![Err(fault); batch.len()],
        })
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.queries.clear();
        Ok(())
    }
}

// === impl VectorShape ===

impl VectorShape {
    /// Cuts, and returns the vector of length 1 in that direction.
    fn vector(self, mut components: Vec<f32>) -> Result<Vector, Fault> {
        components.truncate(self.dimensions);
        let length = components.iter().map(|component| component * component).sum::<f32>().sqrt();
        if !length.is_finite() || length == 0.0 {
            return Err(Fault::Model(format!("the length of a vector is {length}").into()));
        }
        components.iter_mut().for_each(|component| *component /= length);
        Ok(if self.half { Vector::half(&components) } else { Vector::new(components) })
    }
}
