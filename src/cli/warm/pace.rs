//! How fast an index is read: as fast as the cluster answers easily, in pages that the model works through in a while; and what is done
//! when the cluster says no. Knows no clock: it is told how long things took.

use std::time::Duration;

/// Documents of the first page, of the smallest and of the largest.
const FIRST: usize = 100;
const SMALLEST: usize = 10;
const LARGEST: usize = 1000;
/// The largest that engines give.
const MOST: usize = 10_000;

/// An answer that takes longer was work for the cluster: it gets a pause as long as that, and smaller pages.
const HARD: Duration = Duration::from_secs(1);
/// One that took less was none, if it was small, too.
const EASY: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Bytes of an answer that ask for smaller pages, and that allow larger ones.
const HEAVY: usize = 8 << 20;
const LIGHT: usize = 2 << 20;

/// How long the model may work on a page: the point in time is kept from one page to the next, and a bar should move.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(15);

/// How often a page is asked for again, and the pauses before it: doubled up to the second value.
const TRIES: u32 = 8;
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What one page was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// From the request to the last byte.
    pub(super) took: Duration,
    /// How long the model was not ready to take it.
    pub(super) waited: Duration,
    /// Of the answer.
    pub(super) bytes: usize,
}

/// The pace of one reader.
#[derive(Debug)]
pub(super) struct Pace {
    size: usize,
    refused: u32,
}

// === impl Pace ===

impl Pace {
    pub(super) fn new() -> Self {
        Self::of(FIRST)
    }

    /// Begins with pages of this many documents.
    pub(super) fn of(size: usize) -> Self {
        Self { size, refused: 0 }
    }

    /// How many documents the next page should have.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Takes note of a page, and returns how long to leave the cluster alone.
    pub(super) fn after(&mut self, page: Page) -> Duration {
        self.refused = 0;
        let Page { took, waited, bytes } = page;
        if took > HARD || waited > LONG || bytes > HEAVY {
            self.shrink();
        } else if took < EASY && waited < SHORT && bytes < LIGHT {
            self.size = (self.size * 2).min(LARGEST);
        }
        if took > HARD { took.min(LONGEST_PAUSE) } else { Duration::ZERO }
    }

    /// Takes note that the cluster has too much to do or did not answer, and returns how long to wait before it is asked again; `None`
    /// when it was asked often enough.
    pub(super) fn refused(&mut self) -> Option<Duration> {
        self.shrink();
        self.refused += 1;
        let (first, longest) = BACKOFF;
        (self.refused < TRIES).then(|| (first * 2_u32.pow(self.refused - 1)).min(longest))
    }

    /// Takes note that an answer was too large to be read; whether a smaller page may do.
    pub(super) fn too_large(&mut self) -> bool {
        let can_shrink = self.size > 1;
        self.size = (self.size / 2).max(1);
        can_shrink
    }

    /// Asks for a larger page, where a smaller one gets nowhere; whether there is one.
    pub(super) fn larger(&mut self) -> bool {
        let can_grow = self.size < MOST;
        self.size = (self.size * 2).min(MOST);
        can_grow
    }

    fn shrink(&mut self) {
        self.size = (self.size / 2).max(SMALLEST.min(self.size));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FIRST, LARGEST, Pace, Page, SMALLEST};

    const EASY: Page = Page { took: Duration::from_millis(20), waited: Duration::ZERO, bytes: 10_000 };

    #[test]
    fn pages_grow_while_it_is_easy_and_nobody_waits() {
        let mut pace = Pace::new();
        assert_eq!(pace.size(), FIRST);
        for _ in 0..20 {
            assert_eq!(pace.after(EASY), Duration::ZERO);
        }
        assert_eq!(pace.size(), LARGEST);
    }

    #[test]
    fn a_cluster_that_answers_slowly_is_left_alone_as_long_and_asked_for_less() {
        let mut pace = Pace::new();
        assert_eq!(pace.after(Page { took: Duration::from_secs(3), ..EASY }), Duration::from_secs(3));
        assert_eq!(pace.size(), FIRST / 2);
        for _ in 0..20 {
            assert_eq!(pace.after(Page { took: Duration::from_secs(50), ..EASY }), Duration::from_secs(10));
        }
        assert_eq!(pace.size(), SMALLEST);
        assert_eq!(pace.after(Page { took: Duration::from_millis(500), ..EASY }), Duration::ZERO);
        assert_eq!(pace.size(), SMALLEST, "neither easy nor hard");
    }

    #[test]
    fn pages_shrink_for_a_slow_model_and_for_large_documents() {
        for hard in [Page { waited: Duration::from_secs(100), ..EASY }, Page { bytes: 20 << 20, ..EASY }] {
            let mut pace = Pace::new();
            assert_eq!(pace.after(hard), Duration::ZERO, "the cluster is not to blame");
            assert_eq!(pace.size(), FIRST / 2);
        }
    }

    #[test]
    fn a_refusal_is_waited_out_for_longer_and_longer_and_not_for_ever() {
        let mut pace = Pace::new();
        let waits: Vec<Option<u64>> = (0..9).map(|_| pace.refused().map(|wait| wait.as_secs())).collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4), Some(8), Some(16), Some(30), Some(30), None, None]);
        pace.after(EASY);
        assert_eq!(pace.refused(), Some(Duration::from_secs(1)), "a page that came makes up for it");
    }

    #[test]
    fn too_large_answers_end_at_single_documents() {
        let mut pace = Pace::new();
        let mut halved = 0;
        while pace.too_large() {
            halved += 1;
        }
        assert_eq!((halved, pace.size()), (6, 1));
        pace.after(Page { bytes: 20 << 20, ..EASY });
        assert_eq!(pace.size(), 1);
    }
}
