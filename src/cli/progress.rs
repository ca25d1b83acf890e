//! Tells people how far a download or a load is: a bar on a terminal, lines in a log.

use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rerank_plugin::Progress;
use tracing::info;

/// Writes the beginning of every step to the log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Logged;

/// Draws a bar on standard error where that is a terminal, and nothing elsewhere.
#[derive(Debug, Default)]
pub(super) struct Bar(Mutex<Option<ProgressBar>>);

// === impl Logged ===

impl Progress for Logged {
    fn begin(&self, what: &str, total: Option<u64>) {
        info!(bytes = total, "{what}");
    }

    fn advance(&self, _bytes: u64) {}
}

// === impl Bar ===

impl Progress for Bar {
    fn begin(&self, what: &str, total: Option<u64>) {
        const KNOWN: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        const UNKNOWN: &str = "{spinner} {msg} {bytes} {bytes_per_sec}";
        let template = if total.is_some() { KNOWN } else { UNKNOWN };
        let style = ProgressStyle::with_template(template).expect("the templates above are right");
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style).with_message(what.to_owned());
        if let Some(before) = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(bar) {
            before.finish_and_clear();
        }
    }

    fn advance(&self, bytes: u64) {
        if let Some(bar) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            bar.inc(bytes);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner) {
            bar.finish_and_clear();
        }
    }
}
