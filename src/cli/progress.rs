//! Tells people how far a download or a load is: a bar on a terminal, lines in a log.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use rerank_plugin::Progress;
use tracing::info;

/// Writes the beginning of every step to the log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Logged;

/// Draws a bar on standard error where that is a terminal, and nothing elsewhere.
#[derive(Debug, Default)]
pub(super) struct Bar(Mutex<Option<ProgressBar>>);

/// Of bytes whose number is known, and is not.
const BYTES: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const MORE_BYTES: &str = "{spinner} {msg} {bytes} {bytes_per_sec}";

// === impl Logged ===

impl Progress for Logged {
    fn begin(&self, what: &str, total: Option<u64>) {
        info!(bytes = total, "{what}");
    }

    fn advance(&self, _bytes: u64) {}
}

// === impl Bar ===

impl Bar {
    /// Draws a new bar instead of the one before it; `{rate}` in its template is how many a second.
    pub(super) fn draw(&self, what: &str, total: Option<u64>, template: &str) {
        // What is drawn wrong is not worth an error.
        let rate = |state: &ProgressState, out: &mut dyn fmt::Write| _ = write!(out, "{:.1}/s", state.per_sec());
        let style = ProgressStyle::with_template(template).expect("the templates of this program are right").with_key("rate", rate);
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style).with_message(what.to_owned());
        self.replace(Some(bar));
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.replace(None);
    }

    fn replace(&self, bar: Option<ProgressBar>) {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), bar);
        if let Some(before) = before {
            before.finish_and_clear();
        }
    }
}

impl Progress for Bar {
    fn begin(&self, what: &str, total: Option<u64>) {
        self.draw(what, total, if total.is_some() { BYTES } else { MORE_BYTES });
    }

    fn advance(&self, bytes: u64) {
        if let Some(bar) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            bar.inc(bytes);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}
