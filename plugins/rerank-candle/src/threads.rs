//! The threads that one worker computes on: on a processor below the priority of the threads that serve clients.

use rayon::{ThreadPool, ThreadPoolBuilder};
use rerank_plugin::LoadError;

/// The most tokens of one forward pass on a processor, where larger passes are no faster (measured: from 512 to 16384 tokens the
/// same within the noise), and whether to stop is asked between them.
const PASS_TOKENS: usize = 1024;

/// A worker's own threads; `None` for a CUDA device, which the worker's thread only tells what to do.
pub struct Threads(Option<ThreadPool>);

// === impl Threads ===

impl Threads {
    /// Returns those of a CUDA device.
    pub fn none() -> Self {
        Self(None)
    }

    /// Starts those of a processor.
    ///
    /// # Errors
    /// [`LoadError::Unsupported`] when the system gives no more threads.
    pub fn start(count: usize) -> Result<Self, LoadError> {
        let named = |number| format!("model-{number}");
        let pool = ThreadPoolBuilder::new().num_threads(count).thread_name(named).start_handler(|_| step_back()).build();
        let refused = |error| LoadError::Unsupported {
            reason: format!("{count} threads cannot be started: {error}"),
            remedy: "set `threads` to a smaller number".into(),
        };
        pool.map(|pool| Self(Some(pool))).map_err(refused)
    }

    /// Returns how many tokens of `batch_tokens` go into one forward pass.
    pub fn pass_tokens(&self, batch_tokens: u32) -> usize {
        let batch_tokens = batch_tokens as usize;
        if self.0.is_some() { batch_tokens.min(PASS_TOKENS) } else { batch_tokens }
    }

    /// Runs `work` on these threads, and so all that it splits by rayon.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

/// Lowers the calling thread's priority; where that is refused, the thread goes on as it is.
#[cfg(target_os = "linux")]
fn step_back() {
    const NICE: i32 = 10;
    let _ = rustix::process::nice(NICE);
}

/// Only Linux has a priority for each thread; elsewhere the whole process would step back.
#[cfg(not(target_os = "linux"))]
fn step_back() {}

#[cfg(test)]
mod tests {
    use super::Threads;

    #[test]
    fn work_runs_on_as_many_threads_as_asked() {
        for count in [1, 3] {
            let threads = Threads::start(count).expect("threads");
            assert_eq!(threads.run(rayon::current_num_threads), count);
            assert_eq!([1, 16384].map(|tokens| Threads::none().pass_tokens(tokens)), [1, 16384]);
            assert_eq!([1, 16384].map(|tokens| threads.pass_tokens(tokens)), [1, 1024]);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_priority_of_workers_alone_is_lowered() {
        let priority = || rustix::process::nice(0).expect("the own priority can be read");
        let before = priority();
        let threads = Threads::start(1).expect("threads");
        assert_eq!(threads.run(priority), (before + 10).min(19));
        assert_eq!(priority(), before);
    }
}
