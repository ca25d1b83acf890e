//! A model's schedule behind a lock: searches are woken when they may leave, workers when there is something to do.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rerank_plugin::{Digest128, Fault, Prepared, PreparedQuery};
use tokio::sync::oneshot;

use super::{
    QueryKey, ScoreCache,
    schedule::{Ended, Entry, LateSearch, Left, Schedule, SearchId, Settings, Supply, Tally, Task, TaskWork},
};
use crate::rerank::Reason;

/// The waiting lines of one model.
pub struct Queue {
    lines: Mutex<Lines>,
    more: Condvar,
    scores: ScoreCache,
}

struct Lines {
    schedule: Schedule,
    sleeping: HashMap<SearchId, oneshot::Sender<()>>,
    closed: bool,
}

/// A search's place in the lines; it leaves them when this is dropped.
pub struct Ticket {
    queue: Arc<Queue>,
    id: SearchId,
    /// How many of its first documents are to be scored.
    pub asked: usize,
    done: oneshot::Receiver<()>,
}

// === impl Queue ===

impl Queue {
    /// Returns empty lines.
    pub fn new(settings: Settings, scores: ScoreCache) -> Self {
        let lines = Lines { schedule: Schedule::new(settings), sleeping: HashMap::new(), closed: false };
        Self { lines: Mutex::new(lines), more: Condvar::new(), scores }
    }

    /// Takes a search in, before its documents are prepared.
    ///
    /// # Errors
    /// Why it is shed: see [`Schedule::enter`].
    pub fn enter(self: &Arc<Self>, entry: &Entry<'_>) -> Result<Ticket, Reason> {
        let mut lines = self.lines();
        let (id, asked) = lines.schedule.enter(entry, Instant::now())?;
        let (wake, done) = oneshot::channel();
        lines.sleeping.insert(id, wake);
        Ok(Ticket { queue: Arc::clone(self), id, asked, done })
    }

    /// Keeps a search that was shed for when there is nothing else to do.
    pub fn shed(&self, search: LateSearch) {
        self.lines().schedule.shed(search);
        self.more.notify_one();
    }

    /// Keeps pairs that nobody waits for for when there is nothing else to do.
    pub fn keep_late(&self, name: QueryKey, query: &PreparedQuery, pairs: Vec<(usize, Digest128, Prepared)>) {
        self.lines().schedule.keep_late(name, query, pairs);
    }

    /// Waits until there is something for a worker to do; `None` when the model is not needed any more.
    pub fn next(&self, worker: usize) -> Option<Task> {
        let mut lines = self.lines();
        loop {
            if lines.closed {
                return None;
            }
            let task = lines.schedule.take(worker, Instant::now());
            lines.wake();
            if !matches!(task.work, TaskWork::Nothing) || !task.ended.is_empty() {
                return Some(task);
            }
            lines = self.more.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Hands in what became of a worker's pass; it is counted before anybody hears of it.
    pub fn finish(&self, worker: usize, ended: Ended, took: Duration, count: impl FnOnce(Tally)) {
        let mut lines = self.lines();
        count(lines.schedule.finish(worker, ended, took, Instant::now()));
        lines.wake();
    }

    /// A worker has ended, and with it the model: all searches go.
    pub fn lose(&self, worker: usize) {
        let mut lines = self.lines();
        lines.schedule.lose(worker, &Fault::Model("the model could not be made ready again".into()));
        lines.schedule.refuse(Reason::ModelUnavailable);
        lines.wake();
        lines.closed = true;
        self.more.notify_all();
    }

    /// Lets the workers end; searches that wait go.
    pub fn close(&self) {
        let mut lines = self.lines();
        lines.schedule.refuse(Reason::ModelUnavailable);
        lines.wake();
        lines.closed = true;
        self.more.notify_all();
    }

    /// Whether the model takes searches.
    pub fn is_open(&self) -> bool {
        !self.lines().closed
    }

    /// See [`Schedule::is_hung`].
    pub fn is_hung(&self) -> bool {
        self.lines().schedule.is_hung(Instant::now())
    }

    /// Returns how many pairs wait, and how many tokens they have.
    pub fn waiting(&self) -> (usize, u64) {
        self.lines().schedule.waiting()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Lines ===

impl Lines {
    fn wake(&mut self) {
        for id in self.schedule.take_done() {
            if let Some(wake) = self.sleeping.remove(&id) {
                // Nobody hears it: the search has gone.
                let _ = wake.send(());
            }
        }
    }
}

// === impl Ticket ===

impl Ticket {
    /// Hands in the search's pairs, and returns how many of its first documents will be scored.
    ///
    /// # Errors
    /// Why it is shed after all.
    pub fn supply(&mut self, supply: Supply) -> Result<usize, Reason> {
        let mut lines = self.queue.lines();
        // Under the lock: what was computed since the search looked is in the cache before it is out of the lines.
        let asked = lines.schedule.supply(self.id, supply, |pair| self.queue.scores.get(pair), Instant::now());
        lines.wake();
        drop(lines);
        self.queue.more.notify_all();
        self.asked = asked?;
        Ok(self.asked)
    }

    /// Waits until all is scored that is to be.
    pub async fn done(&mut self) {
        // Lines that are gone have no scores either.
        let _ = (&mut self.done).await;
    }

    /// Leaves with what is scored.
    pub fn leave(self) -> Left {
        self.queue.lines().schedule.leave(self.id, Instant::now())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut lines = self.queue.lines();
        lines.schedule.leave(self.id, Instant::now());
        lines.sleeping.remove(&self.id);
    }
}
