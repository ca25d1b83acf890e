//! Computes the vectors that are missing, each once, and writes them down in time.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{anyhow, bail};
use rerank_plugin::{Digest128, Document, Fault, Fingerprint, Prepared, PreparedQuery, Preparer, Scorer, Stop, Vector};
use serde::Serialize;
use tokio::sync::mpsc;

use super::reader::Chunk;
use crate::models::vectors::{Shape, VectorsWriter};

/// Documents that are given to the model together; the bar moves after each.
const BATCH: usize = 16;

/// What waits to be written: a crash costs no more than this.
const UNWRITTEN: usize = 4096;
const UNWRITTEN_TIME: Duration = Duration::from_secs(10);

/// What became of the documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Of the index.
    pub(super) documents: u64,
    /// Without any text in the rule's fields.
    pub(super) without_text: u64,
    /// Whose vectors the file had.
    pub(super) known: u64,
    /// That look to the model as one before them.
    pub(super) alike: u64,
    /// Whose vectors were computed.
    pub(super) computed: u64,
    /// That the model could not read.
    pub(super) refused: u64,
}

/// Where vectors go, shared by all workers.
pub(super) struct Sink {
    known: HashSet<Digest128>,
    seen: HashSet<Digest128>,
    counts: Counts,
    fingerprint: Fingerprint,
    writer: VectorsWriter,
    unwritten: Vec<(Digest128, Vector)>,
    written: u64,
    shape: Option<Shape>,
    written_at: Instant,
}

/// What all workers share.
pub(super) struct Work {
    pub(super) preparer: Arc<dyn Preparer>,
    /// Any query will do: only what belongs to the documents is kept.
    pub(super) query: PreparedQuery,
    pub(super) chunks: Mutex<mpsc::Receiver<Chunk>>,
    pub(super) sink: Mutex<Sink>,
    pub(super) stop: Stop,
    /// Documents that are done with.
    pub(super) done: AtomicU64,
    pub(super) progress: Box<dyn Fn(u64) + Send + Sync>,
}

// === impl Work ===

impl Work {
    /// Works until there are no more documents, or until it is told to stop. For a thread of its own.
    pub(super) fn run(&self, mut scorer: Box<dyn Scorer>) -> anyhow::Result<()> {
        loop {
            let next = self.chunks.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
            let Some(chunk) = next.filter(|_| !self.stop.asked()) else { return Ok(()) };
            self.compute(scorer.as_mut(), chunk)?;
        }
    }

    fn compute(&self, scorer: &mut dyn Scorer, chunk: Chunk) -> anyhow::Result<()> {
        let read = chunk.read as u64;
        let fresh = self.sink().claim(chunk);
        self.advance(read - fresh.len() as u64);
        let mut prepared = Vec::with_capacity(fresh.len());
        let mut unreadable = 0;
        for document in &fresh {
            match self.preparer.document(&self.query, document) {
                Ok(ready) => prepared.push((document.digest, ready)),
                Err(Fault::Input(_)) => unreadable += 1,
                Err(fault) => bail!("the model does not prepare a document: {fault}"),
            }
        }
        self.sink().counts.refused += unreadable;
        self.advance(unreadable);
        // Like lengths together: the least padding in models that pad, and the slowest batches first.
        prepared.sort_by_key(|(_, ready)| std::cmp::Reverse(ready.cost()));
        for batch in prepared.chunks(BATCH) {
            let documents: Vec<&Prepared> = batch.iter().map(|(_, ready)| ready).collect();
            let results = encode(scorer, &documents, &self.stop)?;
            let mut sink = self.sink();
            for ((digest, _), result) in batch.iter().zip(results) {
                match result {
                    Ok(vector) => sink.take(*digest, vector)?,
                    Err(Fault::Stopped) => return sink.write(),
                    Err(_) => sink.counts.refused += 1,
                }
            }
            drop(sink);
            self.advance(batch.len() as u64);
        }
        Ok(())
    }

    pub(super) fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Documents that are done with.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    fn advance(&self, documents: u64) {
        self.done.fetch_add(documents, Ordering::Relaxed);
        (self.progress)(documents);
    }
}

/// A vector or a fault for each document of a batch.
type Encoded = Vec<Result<Vector, Fault>>;

/// Encodes a batch. What is too much together, or panics, is tried in halves, down to one document, whose fault it is then.
fn encode(scorer: &mut dyn Scorer, batch: &[&Prepared], stop: &Stop) -> anyhow::Result<Encoded> {
    let Ok(encoded) = catch_unwind(AssertUnwindSafe(|| scorer.encode(batch, stop))) else {
        scorer.reset().map_err(|fault| anyhow!("the model panicked and cannot go on: {fault}"))?;
        return if batch.len() > 1 { in_halves(scorer, batch, stop) } else { Ok(vec![Err(Fault::Input("the model panicked".into()))]) };
    };
    let results = encoded.ok_or_else(|| anyhow!("the model makes no vectors, though its card says so"))?;
    if results.len() != batch.len() {
        bail!("the model made {} vectors of {} documents", results.len(), batch.len());
    }
    for result in &results {
        match result {
            Err(Fault::Batch(_)) if batch.len() > 1 => return in_halves(scorer, batch, stop),
            Err(fault @ (Fault::Model(_) | Fault::Busy(_))) => bail!("the model failed: {fault}"),
            _ => {}
        }
    }
    Ok(results)
}

fn in_halves(scorer: &mut dyn Scorer, batch: &[&Prepared], stop: &Stop) -> anyhow::Result<Encoded> {
    let (first, second) = batch.split_at(batch.len() / 2);
    let mut results = encode(scorer, first, stop)?;
    results.extend(encode(scorer, second, stop)?);
    Ok(results)
}

// === impl Sink ===

impl Sink {
    pub(super) fn new(known: HashSet<Digest128>, fingerprint: Fingerprint, writer: VectorsWriter) -> Self {
        let (seen, unwritten) = (HashSet::new(), Vec::new());
        Self { known, seen, counts: Counts::default(), fingerprint, writer, unwritten, written: 0, shape: None, written_at: Instant::now() }
    }

    /// Counts a page's documents, and returns those whose vectors nobody has and nobody computes.
    fn claim(&mut self, chunk: Chunk) -> Vec<Document> {
        self.counts.documents += chunk.read as u64;
        self.counts.without_text += chunk.read.saturating_sub(chunk.documents.len()) as u64;
        let mut fresh = Vec::new();
        for document in chunk.documents {
            if self.known.contains(&document.digest) {
                self.counts.known += 1;
            } else if self.seen.insert(document.digest) {
                fresh.push(document);
            } else {
                self.counts.alike += 1;
            }
        }
        fresh
    }

    fn take(&mut self, digest: Digest128, vector: Vector) -> anyhow::Result<()> {
        self.counts.computed += 1;
        self.unwritten.push((digest, vector));
        if self.unwritten.len() >= UNWRITTEN || self.written_at.elapsed() >= UNWRITTEN_TIME { self.write() } else { Ok(()) }
    }

    /// Writes what was computed so far.
    pub(super) fn write(&mut self) -> anyhow::Result<()> {
        self.written_at = Instant::now();
        let vectors = std::mem::take(&mut self.unwritten);
        // A model's vectors are all alike.
        for alike in vectors.chunk_by(|(_, one), (_, next)| Shape::of(self.fingerprint, one) == Shape::of(self.fingerprint, next)) {
            let shape = Shape::of(self.fingerprint, &alike[0].1);
            self.writer.append(shape, alike)?;
            self.written += alike.len() as u64;
            self.shape = Some(shape);
        }
        Ok(())
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// How many vectors were written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// What they look like, if there are any.
    pub(super) fn shape(&self) -> Option<Shape> {
        self.shape
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        self.writer.path()
    }

    /// How long the file is.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.bytes()
    }
}

#[cfg(test)]
mod tests {
    use rerank_plugin::{Fault, Pair, Prepared, PreparedQuery, Score, Scorer, StateId, Stop, Vector};

    use super::encode;

    /// Encodes numbers: takes three at a time, refuses 3, panics at 5, breaks at 9, and cannot be used after a panic before it is reset.
    #[derive(Default)]
    struct Awkward {
        calls: usize,
        is_upset: bool,
    }

    impl Scorer for Awkward {
        fn begin(&mut self, queries: &[&PreparedQuery], _stop: &Stop) -> Vec<Result<StateId, Fault>> {
            queries.iter().map(|_| Err(Fault::Stopped)).collect()
        }

        fn end(&mut self, _state: StateId) {}

        fn score(&mut self, batch: &[Pair<'_>]) -> Vec<Result<Score, Fault>> {
            batch.iter().map(|_| Err(Fault::Stopped)).collect()
        }

        fn encode(&mut self, batch: &[&Prepared], _stop: &Stop) -> Option<Vec<Result<Vector, Fault>>> {
            self.calls += 1;
            if self.is_upset {
                return Some(vec![Err(Fault::Model("not reset".into())); batch.len()]);
            }
            if batch.len() > 3 {
                return Some(vec![Err(Fault::Batch("too many".into())); batch.len()]);
            }
            let encoded = batch.iter().map(|document| match document.inner::<u32>()? {
                3 => Err(Fault::Input("three".into())),
                5 => {
                    self.is_upset = true;
                    panic!("five")
                }
                9 => Err(Fault::Model("nine".into())),
                number => Ok(Vector::new([*number as f32])),
            });
            Some(encoded.collect())
        }

        fn reset(&mut self) -> Result<(), Fault> {
            self.is_upset = false;
            Ok(())
        }
    }

    fn encoded(numbers: impl Iterator<Item = u32>) -> Result<Vec<String>, String> {
        let documents: Vec<Prepared> = numbers.map(|number| Prepared::new(1, number)).collect();
        let results = encode(&mut Awkward::default(), &documents.iter().collect::<Vec<_>>(), &Stop::default());
        let told =
            |result: Result<Vector, Fault>| result.map_or_else(|fault| fault.to_string(), |vector| vector.components()[0].to_string());
        results.map(|results| results.into_iter().map(told).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_too_much_together_or_panics_is_tried_in_halves() {
        let expected = ["0", "1", "2", "input: three", "4", "input: the model panicked", "6", "7"];
        assert_eq!(encoded(0..8), Ok(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_broken_model_ends_it() {
        assert_eq!(encoded(6..12), Err("the model failed: model: nine".to_owned()));
    }
}
