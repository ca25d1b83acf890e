//! All that is logged, at the finest level, searched for what must not be there. One subscriber serves the whole program:
//! one per test would miss callsites that another test's thread has met before.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Mutex, Once,
        atomic::{AtomicUsize, Ordering},
    },
};

use tracing::{Level, Subscriber, span};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry::LookupSpan,
};

/// What tests write wherever a secret could stand.
pub(crate) const CANARY: &str = "tweety";

static LEAKS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static FAILED_CONNECTS: AtomicUsize = AtomicUsize::new(0);
static SEARCHES_ANSWERED: AtomicUsize = AtomicUsize::new(0);

/// The spans that there were: the parent's name and the child's.
static SPANS: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

/// Keeps which spans there were.
struct Spans;

/// Keeps the lines that hold the canary, and counts some that are known to come.
struct Searched;

/// Begins to search the log, once; before anything can be logged.
pub(crate) fn search() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false).with_writer(|| Searched).finish();
        tracing::subscriber::set_global_default(subscriber.with(Spans)).unwrap();
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

/// Returns the spans that there were, each below its parent's name.
pub(crate) fn spans() -> BTreeSet<(String, String)> {
    SPANS.lock().unwrap().clone()
}

// === impl Spans ===

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if let Some(parent) = context.span(id).and_then(|span| span.parent()) {
            SPANS.lock().unwrap().insert((parent.name().to_owned(), attributes.metadata().name().to_owned()));
        }
    }
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
