//! The threads that one CPU worker computes on, below the priority of the threads that serve clients.

use rayon::{ThreadPool, ThreadPoolBuilder};
use rerank_plugin::LoadError;

/// A worker's own threads.
pub struct Threads(ThreadPool);

// === impl Threads ===

impl Threads {
    /// Starts them.
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
        pool.map(Self).map_err(refused)
    }

    /// Runs `work` on these threads, and so all that it splits by rayon.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.0.install(work)
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
