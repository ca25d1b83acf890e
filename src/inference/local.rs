//! A model that runs here: one search's way through it, from documents to scores, with its deadline kept by a timer of its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use rerank_plugin::{Card, Document, Fault, PreparedQuery, Preparer, Query, Scorer, Stop};
use tokio::{task, time};
use tracing::warn;

use super::{
    Answer, Ask, Found, Measures, Settings, accept, bytes, pass_time,
    queue::{Queue, Ticket},
    reason_of,
    schedule::{self, Entry, Item, LateSearch, Left, Supply},
    worker,
};
use crate::rerank::Reason;

/// What may be prepared on an async thread: so much in all, and texts of so many bytes, which take a part of it.
const INLINE: Duration = Duration::from_micros(200);
const INLINE_BYTES: usize = 2048;

/// A local model.
pub struct Local {
    name: Arc<str>,
    preparer: Arc<dyn Preparer>,
    queue: Arc<Queue>,
}

/// A search's texts on their way to tokens.
struct Preparing {
    preparer: Arc<dyn Preparer>,
    query: Query,
    prepared: Option<PreparedQuery>,
    /// The last is the next.
    left: Vec<(usize, Document)>,
    items: Vec<Item>,
}

/// Asks for work to stop when it is dropped: the search was answered, or its client is gone.
struct StopOnDrop(Stop);

// === impl Local ===

impl Local {
    /// Starts the model's workers.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(
        (preparer, workers): (Arc<dyn Preparer>, Vec<Box<dyn Scorer>>),
        settings: &Settings,
        measures: &Arc<Measures>,
    ) -> std::io::Result<Self> {
        let keeps_vectors = preparer.card().keeps_vectors;
        let schedule = schedule::Settings {
            max_queue: settings.max_queue,
            batch_tokens: settings.batch_tokens,
            target: pass_time(settings.device),
            keeps: keeps_vectors || settings.scores.is_on(),
            keeps_vectors,
            workers: workers.len(),
        };
        let queue = Arc::new(Queue::new(schedule, settings.scores.clone()));
        let shared = worker::Shared {
            model: Arc::clone(&settings.name),
            preparer: Arc::clone(&preparer),
            queue: Arc::clone(&queue),
            scores: settings.scores.clone(),
            measures: Arc::clone(measures),
            broken: settings.broken.clone(),
        };
        for (number, scorer) in workers.into_iter().enumerate() {
            worker::start(number, scorer, shared.clone())?;
        }
        Ok(Self { name: Arc::clone(&settings.name), preparer, queue })
    }

    pub fn card(&self) -> &Card {
        self.preparer.card()
    }

    pub fn is_open(&self) -> bool {
        self.queue.is_open()
    }

    pub fn is_hung(&self) -> bool {
        self.queue.is_hung()
    }

    pub fn waiting(&self) -> (usize, u64) {
        self.queue.waiting()
    }

    /// Scores what was not found.
    pub async fn score(&self, ask: &Ask, found: &Found) -> Result<Answer, Reason> {
        let missing: Vec<(usize, usize)> = found.missing().map(|place| (place, bytes(&ask.documents[place].parts))).collect();
        let entry = Entry {
            lane: ask.lane,
            deadline: ask.deadline.0,
            documents: ask.documents.len(),
            least: ask.least,
            partial: ask.partial,
            missing: &missing,
        };
        let ticket = self.queue.enter(&entry).inspect_err(|reason| self.keep_shed(ask, found, *reason))?;
        let wanted = missing.into_iter().map(|(place, _)| place).take_while(|place| *place < ticket.asked);
        let mut left: Vec<(usize, Document)> = wanted.map(|place| (place, ask.documents[place].clone())).collect();
        left.reverse();
        let preparing =
            Preparing { preparer: Arc::clone(&self.preparer), query: ask.query.clone(), prepared: None, left, items: Vec::new() };
        let prepared = time::timeout_at(ask.deadline.0.into(), self.prepare(preparing)).await;
        let (query, items) = prepared.unwrap_or(Err(Reason::Timeout))?;
        self.wait(ticket, Supply { name: found.name, query, items }, ask).await
    }

    /// Hands the pairs in, and waits for their scores until the deadline.
    async fn wait(&self, mut ticket: Ticket, supply: Supply, ask: &Ask) -> Result<Answer, Reason> {
        let places: Vec<usize> = supply.items.iter().map(|item| item.place).collect();
        let free: Vec<usize> = supply.items.iter().filter(|item| item.is_free()).map(|item| item.place).collect();
        let asked = ticket.supply(supply)?;
        let is_late = time::timeout_at(ask.deadline.0.into(), ticket.done()).await.is_err();
        let Left { results, refused, fault } = ticket.leave();
        if let Some(reason) = refused.or(fault.as_ref().map(reason_of)) {
            return Err(reason);
        }
        let wanted = places.iter().filter(|place| **place < asked).count();
        let results = results.into_iter().map(|(place, result)| Ok((place, accept(result)?))).collect::<Result<Vec<_>, Reason>>()?;
        let is_short = results.len() < wanted;
        if is_short && !is_late {
            // The lines were closed.
            return Err(Reason::ModelUnavailable);
        }
        Ok(Answer { asked, cached: free.iter().filter(|place| **place < asked).count(), results, is_late: is_short })
    }

    /// Prepares the texts: here as long as that is cheap, which it is when their vectors are known, then on a thread for it.
    async fn prepare(&self, mut preparing: Preparing) -> Result<(PreparedQuery, Vec<Item>), Reason> {
        let begun = Instant::now();
        let small = bytes(&preparing.query.parts) <= INLINE_BYTES;
        let mut ended = if small { preparing.guarded(|_, bytes| bytes <= INLINE_BYTES && begun.elapsed() < INLINE) } else { Ok(()) };
        if ended.is_ok() && !preparing.is_done() {
            let stop = StopOnDrop(Stop::default());
            let asked = stop.0.clone();
            let rest = task::spawn_blocking(move || {
                let all = preparing.guarded(|_, _| !asked.asked());
                (preparing, all)
            });
            (preparing, ended) = rest.await.map_err(|_| Reason::ModelError)?;
        }
        ended.map_err(|fault| match fault {
            // Nothing that a client can type is the model's fault.
            Fault::Input(_) => Reason::NoQueryText,
            fault => {
                warn!(model = %self.name, %fault, "the model failed");
                reason_of(&fault)
            }
        })?;
        let Preparing { prepared, items, .. } = preparing;
        Ok((prepared.ok_or(Reason::Internal)?, items))
    }

    /// Vectors of a search that was shed are worth computing when there is time.
    fn keep_shed(&self, ask: &Ask, found: &Found, reason: Reason) {
        if reason == Reason::Overloaded && self.card().keeps_vectors {
            let documents = found.missing().map(|place| ask.documents[place].clone()).collect();
            self.queue.shed(LateSearch { name: found.name, query: ask.query.clone(), documents });
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.queue.close();
    }
}

// === impl Preparing ===

impl Preparing {
    fn is_done(&self) -> bool {
        self.prepared.is_some() && self.left.is_empty()
    }

    /// Prepares what is left while `goes_on`, which is told how many bytes come next.
    fn guarded(&mut self, goes_on: impl Fn(usize, usize) -> bool) -> Result<(), Fault> {
        let panicked = |_| Err(Fault::Model("the model panicked while tokenising".into()));
        catch_unwind(AssertUnwindSafe(|| self.run(goes_on))).unwrap_or_else(panicked)
    }

    fn run(&mut self, goes_on: impl Fn(usize, usize) -> bool) -> Result<(), Fault> {
        let query = match self.prepared.take() {
            Some(query) => query,
            None => self.preparer.query(&self.query)?,
        };
        while let Some((_, next)) = self.left.last()
            && goes_on(self.items.len(), bytes(&next.parts))
            && let Some((place, document)) = self.left.pop()
        {
            let prepared = self.preparer.document(&query, &document);
            self.items.push(Item { place, document: document.digest, prepared });
        }
        self.prepared = Some(query);
        Ok(())
    }
}

// === impl Item ===

impl Item {
    /// Whether nothing is left to compute of it.
    fn is_free(&self) -> bool {
        self.prepared.as_ref().is_ok_and(|prepared| prepared.cost() == 0)
    }
}

// === impl StopOnDrop ===

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.ask();
    }
}
