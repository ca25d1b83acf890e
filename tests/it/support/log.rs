//! All that is logged, at the finest level, searched for what must not be there. One subscriber serves the whole program:
//! one per test would miss callsites that another test's thread has met before.

use std::{
    io,
    sync::{
        Mutex, Once,
        atomic::{AtomicUsize, Ordering},
    },
};

use tracing::Level;

/// What tests write wherever a secret could stand.
pub(crate) const CANARY: &str = "tweety";

static LEAKS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static FAILED_CONNECTS: AtomicUsize = AtomicUsize::new(0);
static SEARCHES_ANSWERED: AtomicUsize = AtomicUsize::new(0);

/// Keeps the lines that hold the canary, and counts some that are known to come.
struct Searched;

/// Begins to search the log, once; before anything can be logged.
pub(crate) fn search() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false).with_writer(|| Searched).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// Returns the lines that hold the canary.
pub(crate) fn leaks() -> Vec<String> {
    LEAKS.lock().unwrap().clone()
}

/// Returns how many failed connects were logged.
pub(crate) fn failed_connects() -> usize {
    FAILED_CONNECTS.load(Ordering::SeqCst)
}

/// Returns how many searches were said to be answered.
pub(crate) fn searches_answered() -> usize {
    SEARCHES_ANSWERED.load(Ordering::SeqCst)
}

// === impl Searched ===

impl io::Write for Searched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if text.contains("no connection") {
            FAILED_CONNECTS.fetch_add(1, Ordering::SeqCst);
        }
        if text.contains("search answered") {
            SEARCHES_ANSWERED.fetch_add(1, Ordering::SeqCst);
        }
        if text.contains(CANARY) {
            LEAKS.lock().unwrap().push(text.into_owned());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
