//! A model's two waiting lines: searches first, and what is scored ahead of the next search when nobody waits.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use rerank_plugin::{Prepared, PreparedQuery, Stop};
use tokio::sync::mpsc;

use crate::{inference::worker::Batch, rerank::Reason};

/// One search's documents, best first-stage hit first.
pub struct Job {
    /// The query.
    pub query: PreparedQuery,
    /// The documents that could be prepared, each with its number in the search.
    pub documents: Vec<(usize, Prepared)>,
    /// Asked when nobody waits any more.
    pub stop: Stop,
    /// Where results go, micro-batch by micro-batch.
    pub results: mpsc::UnboundedSender<Batch>,
}

/// What a worker does next.
pub enum Work {
    /// Score a search's documents.
    Search(Job),
    /// Compute vectors that somebody will ask for.
    Fill(Vec<Prepared>),
}

/// The bounded lines of one model. Bounds count documents.
pub struct Queue {
    lines: Mutex<Lines>,
    more: Condvar,
    most: usize,
}

#[derive(Default)]
struct Lines {
    searches: VecDeque<Job>,
    waiting: usize,
    fill: VecDeque<Prepared>,
    closed: bool,
}

// === impl Queue ===

impl Queue {
    /// Returns a queue in which at most `most` documents wait, and as many to be filled.
    pub fn new(most: usize) -> Self {
        Self { lines: Mutex::default(), more: Condvar::new(), most }
    }

    /// Puts a search at the end of the line.
    ///
    /// # Errors
    /// [`Reason::QueueFull`] when its documents do not fit; [`Reason::ModelUnavailable`] when the model is gone.
    pub fn push(&self, job: Job) -> Result<(), Reason> {
        let mut lines = self.lines();
        if lines.closed {
            return Err(Reason::ModelUnavailable);
        }
        if lines.waiting + job.documents.len() > self.most {
            return Err(Reason::QueueFull);
        }
        lines.waiting += job.documents.len();
        lines.searches.push_back(job);
        self.more.notify_one();
        Ok(())
    }

    /// Keeps documents for a time when nobody waits; the oldest give way.
    pub fn fill(&self, documents: impl IntoIterator<Item = Prepared>) {
        let mut lines = self.lines();
        lines.fill.extend(documents.into_iter().filter(|document| document.cost() > 0));
        let over = lines.fill.len().saturating_sub(self.most);
        lines.fill.drain(..over);
        self.more.notify_one();
    }

    /// Waits for work; `None` when the queue is closed. `tokens`: how much to take of what is filled, at least one.
    pub fn next(&self, tokens: u32) -> Option<Work> {
        let mut lines = self.lines();
        loop {
            if lines.closed {
                return None;
            }
            if let Some(job) = lines.searches.pop_front() {
                lines.waiting -= job.documents.len();
                return Some(Work::Search(job));
            }
            if let Some(first) = lines.fill.pop_front() {
                return Some(Work::Fill(lines.take_fill(first, tokens)));
            }
            lines = self.more.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the workers end; searches that wait are given up.
    pub fn close(&self) {
        *self.lines() = Lines { closed: true, ..Lines::default() };
        self.more.notify_all();
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Lines ===

impl Lines {
    fn take_fill(&mut self, first: Prepared, tokens: u32) -> Vec<Prepared> {
        let mut left = tokens.saturating_sub(first.cost());
        let mut taken = vec![first];
        while let Some(next) = self.fill.pop_front_if(|next| next.cost() <= left) {
            left -= next.cost();
            taken.push(next);
        }
        taken
    }
}
