//! One thread of one device: takes a search's documents in micro-batches and looks up between them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rerank_plugin::{Fault, Pair, Prepared, Score, Scorer, StateId, Stop};
use tracing::{error, warn};

use crate::inference::queue::{Job, Queue, Work};

/// How long a micro-batch should take: the price of a search that gives up, and of one that comes next.
const MICRO_BATCH: Duration = Duration::from_millis(25);

/// Results of one micro-batch: each document's number in the search, and what became of it.
pub type Batch = Vec<(usize, Result<Score, Fault>)>;

/// What a worker needs to know of its model.
#[derive(Clone)]
pub struct Settings {
    /// The model's name, for logs and the thread.
    pub model: Arc<str>,
    /// Token budget of one forward pass.
    pub batch_tokens: u32,
    /// Whether documents that nobody waits for any more are worth computing.
    pub keeps_vectors: bool,
}

struct Worker {
    scorer: Box<dyn Scorer>,
    queue: Arc<Queue>,
    settings: Settings,
    /// Measured, tokens a second; `None` before the first micro-batch.
    speed: Option<f64>,
}

/// Starts the thread; it ends when the queue is closed.
///
/// # Errors
/// The system has no thread to give.
pub fn start(scorer: Box<dyn Scorer>, queue: Arc<Queue>, settings: Settings) -> std::io::Result<()> {
    let name = format!("model-{}", settings.model);
    let worker = Worker { scorer, queue, settings, speed: None };
    thread::Builder::new().name(name).spawn(move || worker.run()).map(drop)
}

// === impl Worker ===

impl Worker {
    fn run(mut self) {
        while let Some(work) = self.queue.next(self.micro_batch_tokens()) {
            match work {
                Work::Search(job) => self.search(&job),
                Work::Fill(documents) => self.fill(&documents),
            }
        }
    }

    /// Scores a search's documents until all are done, nobody waits, or the model fails.
    fn search(&mut self, job: &Job) {
        let mut rest = job.documents.as_slice();
        if !nobody_waits(job) {
            match self.begin(job) {
                Ok(state) => {
                    rest = self.score(job, state);
                    // A panic while freeing leaves a state behind, which is the plugin's own loss.
                    let _ = self.guarded(|scorer| {
                        scorer.end(state);
                        Ok(())
                    });
                }
                Err(fault) => {
                    let failed = job.documents.iter().map(|(number, _)| (*number, Err(fault.clone()))).collect();
                    let _ = job.results.send(failed);
                    return;
                }
            }
        }
        if self.settings.keeps_vectors {
            self.queue.fill(rest.iter().map(|(_, document)| document.clone()));
        }
    }

    fn begin(&mut self, job: &Job) -> Result<StateId, Fault> {
        self.guarded(|scorer| {
            let state = scorer.begin(&[&job.query], &job.stop).pop();
            state.unwrap_or(Err(Fault::Model("the number of states is not the number of queries".into())))
        })
    }

    /// Returns the documents that were left when everybody had gone.
    fn score<'a>(&mut self, job: &'a Job, state: StateId) -> &'a [(usize, Prepared)] {
        let mut rest = job.documents.as_slice();
        while !rest.is_empty() && !nobody_waits(job) {
            let (batch, later) = rest.split_at(self.micro_batch_length(rest));
            let results = self.micro_batch(batch, state, &job.stop);
            let stopped = results.contains(&Err(Fault::Stopped));
            let broken = results.iter().any(|result| matches!(result, Err(fault) if !matches!(fault, Fault::Input(_) | Fault::Stopped)));
            let numbers = batch.iter().map(|(number, _)| *number);
            let _ = job.results.send(numbers.zip(results).collect());
            if broken {
                return &[];
            }
            if stopped {
                return rest;
            }
            rest = later;
        }
        rest
    }

    fn micro_batch(&mut self, batch: &[(usize, Prepared)], state: StateId, stop: &Stop) -> Vec<Result<Score, Fault>> {
        let pairs: Vec<Pair<'_>> = batch.iter().map(|(_, document)| Pair { state, document, stop }).collect();
        let started = Instant::now();
        let scored = self.guarded(|scorer| {
            let results = scorer.score(&pairs);
            let counted = results.len() == pairs.len();
            counted.then_some(results).ok_or(Fault::Model("the number of scores is not the number of pairs".into()))
        });
        match scored {
            Ok(results) => {
                if !results.contains(&Err(Fault::Stopped)) {
                    self.learn_speed(pairs.iter().map(|pair| pair.document.cost()).sum(), started.elapsed());
                }
                results
            }
            Err(fault) => vec![Err(fault); batch.len()],
        }
    }

    fn fill(&mut self, documents: &[Prepared]) {
        let borrowed: Vec<&Prepared> = documents.iter().collect();
        let encoded = self.guarded(|scorer| Ok(scorer.encode(&borrowed, &Stop::default())));
        let fault = match encoded {
            Ok(results) => results.and_then(|results| results.into_iter().find_map(Result::err)),
            Err(fault) => Some(fault),
        };
        if let Some(fault) = fault {
            warn!(model = %self.settings.model, %fault, "computing vectors ahead failed");
        }
    }

    /// Runs the plugin's code; a panic in it becomes a fault of the model, which is then made ready for the next search.
    fn guarded<T>(&mut self, call: impl FnOnce(&mut dyn Scorer) -> Result<T, Fault>) -> Result<T, Fault> {
        let scorer = self.scorer.as_mut();
        catch_unwind(AssertUnwindSafe(|| call(&mut *scorer))).unwrap_or_else(|_| {
            let again = catch_unwind(AssertUnwindSafe(|| scorer.reset())).unwrap_or(Err(Fault::Model("it panicked again".into())));
            error!(model = %self.settings.model, reset = ?again.err(), "the model panicked");
            Err(Fault::Model("the model panicked".into()))
        })
    }

    /// Returns how many of the first documents fit into one micro-batch, at least one.
    fn micro_batch_length(&self, documents: &[(usize, Prepared)]) -> usize {
        let mut left = self.micro_batch_tokens();
        let fits = |(_, document): &&(usize, Prepared)| {
            let enough = document.cost() <= left;
            left = left.saturating_sub(document.cost());
            enough
        };
        documents.iter().take_while(fits).count().max(1)
    }

    fn micro_batch_tokens(&self) -> u32 {
        let measured = self.speed.map_or(1.0, |speed| speed * MICRO_BATCH.as_secs_f64());
        (measured as u32).clamp(1, self.settings.batch_tokens)
    }

    fn learn_speed(&mut self, tokens: u32, took: Duration) {
        const WEIGHT: f64 = 0.2;
        if tokens > 0 {
            let speed = f64::from(tokens) / took.as_secs_f64().max(1e-6);
            self.speed = Some(self.speed.map_or(speed, |known| known + WEIGHT * (speed - known)));
        }
    }
}

fn nobody_waits(job: &Job) -> bool {
    job.stop.asked() || job.results.is_closed()
}
