//! Runs what costs processor time where it may take its time, and keeps a panic in it from costing the client the answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::task;

/// Work on more bytes than these leaves the async threads.
const LARGE: usize = 256 << 10;

/// Returns what `work` on that many bytes comes to; `None` when it panicked.
pub(super) fn compute<T>(bytes: usize, work: impl FnOnce() -> T) -> Option<T> {
    let guarded = || catch_unwind(AssertUnwindSafe(work)).ok();
    if bytes > LARGE { task::block_in_place(guarded) } else { guarded() }
}
