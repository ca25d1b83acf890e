//! What people see of it: lines, a bar on a terminal, and lines now and then where there is none.

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
};

use rerank_plugin::{Progress, Silent};

use crate::cli::progress::Bar;

const BAR: &str = "{msg} {wide_bar} {human_pos}/{human_len} {rate:>8} {eta} left";

/// Tells people on standard error; programs nothing.
#[derive(Clone)]
pub(super) struct Steps(Option<Arc<Bar>>);

// === impl Steps ===

impl Steps {
    pub(super) fn new(is_quiet: bool) -> Self {
        Self((!is_quiet).then(Arc::default))
    }

    /// Writes a line.
    pub(super) fn say(&self, line: &str) {
        if let Some(bar) = &self.0 {
            bar.clear();
            // With the terminal gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }

    /// Draws a bar of so many documents.
    pub(super) fn count(&self, what: &str, documents: u64) {
        if let Some(bar) = &self.0 {
            bar.draw(what, Some(documents), BAR);
        }
    }

    /// Moves the bar.
    pub(super) fn advance(&self, documents: u64) {
        if let Some(bar) = &self.0 {
            bar.advance(documents);
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.clear();
        }
    }

    /// Whether lines are wanted instead of a bar.
    pub(super) fn wants_lines(&self) -> bool {
        self.0.is_some() && !io::stderr().is_terminal()
    }

    /// Shows a model's download.
    pub(super) fn progress(&self) -> Arc<dyn Progress> {
        match &self.0 {
            Some(bar) => Arc::clone(bar) as Arc<dyn Progress>,
            None => Arc::new(Silent),
        }
    }
}
