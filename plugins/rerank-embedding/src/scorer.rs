//! Computes the vectors that are missing, in batches of like lengths, keeps them, and compares.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use rerank_candle::{Encoder, Threads};
use rerank_plugin::{Artifact, ArtifactStore, Fault, LoadOptions, Prepared, PreparedQuery, Scale, Score, Scorer, StateId, Stop, Vector};

use crate::preparer::Text;

/// One worker. Its state of a query is the query's vector.
pub(crate) struct EmbeddingScorer {
    encoder: Encoder,
    threads: Threads,
    batch_tokens: usize,
    store: Arc<dyn ArtifactStore>,
    queries: HashMap<StateId, Vector>,
    next: u64,
}

// === impl EmbeddingScorer ===

impl EmbeddingScorer {
    pub(crate) fn new(encoder: Encoder, threads: Threads, options: &LoadOptions) -> Self {
        let (batch_tokens, store) = (options.batch_tokens as usize, Arc::clone(&options.store));
        Self { encoder, threads, batch_tokens, store, queries: HashMap::new(), next: 0 }
    }

    /// Returns each text's vector; [`Fault::Stopped`] for those that were left.
    fn vectors(&self, texts: &[&Text], stop: &Stop) -> Vec<Result<Vector, Fault>> {
        let known = |text: &&Text| match text {
            Text::Known(vector) => Ok(vector.clone()),
            Text::Tokens { .. } => Err(Fault::Stopped),
        };
        let mut results: Vec<_> = texts.iter().map(known).collect();
        let missing = texts.iter().enumerate().filter_map(|(place, text)| match text {
            Text::Known(_) => None,
            Text::Tokens { key, tokens } => Some((place, key, tokens.as_slice())),
        });
        let mut missing: Vec<_> = missing.collect();
        missing.sort_by_key(|(_, _, tokens)| Reverse(tokens.len()));
        let mut rest = missing.as_slice();
        while let Some((_, _, longest)) = rest.first()
            && !stop.asked()
        {
            let rows = (self.batch_tokens / longest.len()).clamp(1, rest.len());
            let (batch, later) = rest.split_at(rows);
            let rows: Vec<&[u32]> = batch.iter().map(|(_, _, tokens)| *tokens).collect();
            for ((place, key, _), result) in batch.iter().zip(self.forward(&rows)) {
                if let Ok(vector) = &result {
                    self.store.put(**key, Artifact::Vector(vector.clone()));
                }
                results[*place] = result;
            }
            rest = later;
        }
        results
    }

    fn forward(&self, rows: &[&[u32]]) -> Vec<Result<Vector, Fault>> {
        match self.threads.run(|| self.encoder.means(rows)) {
            Ok(means) => means.into_iter().map(normalised).collect(),
            Err(error) => vec![Err(Fault::Model(error.to_string().into())); rows.len()],
        }
    }
}

impl Scorer for EmbeddingScorer {
    fn begin(&mut self, query: &PreparedQuery) -> Result<StateId, Fault> {
        let computed = self.vectors(&[query.inner()?], &Stop::default());
        let vector = computed.into_iter().next().expect("one text has one result")?;
        let state = StateId(self.next);
        self.next += 1;
        self.queries.insert(state, vector);
        Ok(state)
    }

    fn end(&mut self, state: StateId) {
        self.queries.remove(&state);
    }

    fn score(&mut self, batch: &[(StateId, &Prepared)], stop: &Stop) -> Vec<Result<Score, Fault>> {
        let documents: Vec<&Prepared> = batch.iter().map(|(_, document)| *document).collect();
        let vectors = self.encode(&documents, stop).into_iter().flatten();
        let scored = batch.iter().zip(vectors).map(|((state, _), vector)| {
            let query = self.queries.get(state).ok_or(Fault::Model("the query has ended".into()))?;
            Ok(Score::new(dot(query, &vector?), Scale::Cosine)?)
        });
        scored.collect()
    }

    fn encode(&mut self, batch: &[&Prepared], stop: &Stop) -> Option<Vec<Result<Vector, Fault>>> {
        let texts: Result<Vec<&Text>, Fault> = batch.iter().map(|document| document.inner()).collect();
        Some(match texts {
            Ok(texts) => self.vectors(&texts, stop),
            Err(fault) => vec![Err(fault); batch.len()],
        })
    }
}

/// Returns the vector of length 1 in the same direction.
fn normalised(mut components: Vec<f32>) -> Result<Vector, Fault> {
    let length = components.iter().map(|component| component * component).sum::<f32>().sqrt();
    if !length.is_finite() || length == 0.0 {
        return Err(Fault::Model(format!("the length of a vector is {length}").into()));
    }
    components.iter_mut().for_each(|component| *component /= length);
    Ok(Vector::new(components))
}

/// The cosine, as both are of length 1.
fn dot(left: &Vector, right: &Vector) -> f32 {
    left.components().iter().zip(right.components()).map(|(one, other)| one * other).sum()
}
