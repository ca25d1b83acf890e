//! Says on standard error how far the demo is: a bar for each step on a terminal, a line for its beginning elsewhere.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use rerank_plugin::Progress;

use crate::cli::progress::Bar;

/// Counted in pieces.
const PIECES: &str = "{msg} {wide_bar} {pos}/{len} {per_sec} {eta}";

/// One step after the other, from the start of the program on.
#[derive(Debug)]
pub(super) struct Steps {
    start: Instant,
    bar: Bar,
    drawn: bool,
}

// === impl Steps ===

impl Steps {
    /// Returns steps that are drawn as bars, or written as lines.
    pub(super) fn new(drawn: bool) -> Self {
        Self { start: Instant::now(), bar: Bar::default(), drawn }
    }

    /// A step of so many pieces begins; [`Progress::advance`] moves it.
    pub(super) fn count(&self, what: &str, pieces: usize) {
        match self.drawn {
            true => self.bar.draw(what, Some(pieces as u64), PIECES),
            false => say(&format!("{what} ({pieces})")),
        }
    }

    /// Something is done, or worth to know: one line that stays.
    pub(super) fn done(&self, line: &str) {
        self.bar.clear();
        say(line);
    }

    pub(super) fn since_start(&self) -> Duration {
        self.start.elapsed()
    }

    /// Takes a bar away that is left.
    pub(super) fn clear(&self) {
        self.bar.clear();
    }
}

impl Progress for Steps {
    fn begin(&self, what: &str, total: Option<u64>) {
        match self.drawn {
            true => self.bar.begin(what, total),
            false => say(what),
        }
    }

    fn advance(&self, pieces: u64) {
        self.bar.advance(pieces);
    }
}

fn say(line: &str) {
    // With the terminal gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{line}");
}
