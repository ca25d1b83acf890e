//! Bounds what is looked into at one time: how many searches, and how many bytes of them and of their answers.
//!
//! **Invariant:** nobody waits here. What does not fit streams through as it came (`overloaded`).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

use crate::config::Limits;

/// The bounds of one gateway.
#[derive(Clone, Debug)]
pub struct Admission {
    searches: Arc<Bound>,
    memory: Memory,
}

/// The bytes that may be held at one time.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Bound>);

/// So much of something is taken, and given back when this is dropped.
#[derive(Debug)]
pub struct Taken {
    amount: usize,
    of: Arc<Bound>,
    refused: bool,
}

#[derive(Debug)]
struct Bound {
    taken: AtomicUsize,
    most: usize,
}

/// Bytes that count until nobody holds them any more.
struct Held {
    bytes: Bytes,
    _taken: Taken,
}

// === impl Admission ===

impl Admission {
    /// Returns the bounds that are configured.
    pub fn new(limits: &Limits) -> Self {
        let bound = |most| Arc::new(Bound { taken: AtomicUsize::new(0), most });
        Self { searches: bound(limits.max_concurrent_searches), memory: Memory(bound(limits.inspected_memory)) }
    }

    /// Returns a place for one more search, unless too many are under way.
    pub fn enter(&self) -> Option<Taken> {
        let mut place = Taken::none(&self.searches);
        place.add(1).then_some(place)
    }

    /// Returns how many searches are under way, and how many bytes are held.
    pub fn under_way(&self) -> (usize, usize) {
        let taken = |bound: &Bound| bound.taken.load(Ordering::Relaxed);
        (taken(&self.searches), taken(&self.memory.0))
    }

    /// The bytes that may be held.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

// === impl Memory ===

impl Memory {
    /// Returns room for nothing yet.
    pub fn room(&self) -> Taken {
        Taken::none(&self.0)
    }

    /// Whether there is so much at this moment, and some at all.
    pub fn has(&self, bytes: usize) -> bool {
        self.room().add(bytes.max(1))
    }

    /// Counts what came of decoding, unless it is the same bytes, which count already; `None` where it is too much.
    pub fn keep(&self, decoded: Bytes, coded: &Bytes) -> Option<Bytes> {
        if decoded.as_ptr() == coded.as_ptr() {
            return Some(decoded);
        }
        let mut room = self.room();
        room.add(decoded.len()).then(|| room.until_dropped(decoded))
    }

    /// Counts bytes that there are already, though they may be too many: others are refused then.
    pub fn hold(&self, bytes: Bytes) -> Bytes {
        self.0.taken.fetch_add(bytes.len(), Ordering::Relaxed);
        let taken = Taken { amount: bytes.len(), of: Arc::clone(&self.0), refused: false };
        taken.until_dropped(bytes)
    }
}

// === impl Taken ===

impl Taken {
    fn none(of: &Arc<Bound>) -> Self {
        Self { amount: 0, of: Arc::clone(of), refused: false }
    }

    /// Takes so much more, if there is as much.
    pub fn add(&mut self, more: usize) -> bool {
        let fits = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= self.of.most);
        let added = self.of.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if added {
            self.amount += more;
        }
        self.refused |= !added;
        added
    }

    /// Whether there was too little at some time.
    pub fn was_refused(&self) -> bool {
        self.refused
    }

    /// Returns the bytes, for which this stands until the last copy of them is gone.
    pub fn until_dropped(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held { bytes, _taken: self })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.of.taken.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

// === impl Held ===

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Admission, Memory};
    use crate::config::Limits;

    fn admission(searches: usize, bytes: usize) -> Admission {
        Admission::new(&Limits { max_inspected_body: bytes, inspected_memory: bytes, max_concurrent_searches: searches })
    }

    #[test]
    fn as_many_searches_enter_as_may_be_under_way() {
        let admission = admission(2, 0);
        let first = admission.enter().expect("a place");
        let second = admission.enter();
        assert!(second.is_some() && admission.enter().is_none());
        drop(first);
        assert!(admission.enter().is_some());
    }

    #[test]
    fn bytes_count_until_the_last_copy_is_gone() {
        let memory: Memory = admission(1, 10).memory().clone();
        let mut room = memory.room();
        assert!(room.add(4) && room.add(4) && !room.was_refused());
        let held = room.until_dropped(Bytes::from_static(b"12345678"));
        let copy = held.slice(2..4);
        drop(held);
        let mut other = memory.room();
        assert!(!other.add(3) && other.was_refused() && other.add(2), "what was refused took nothing");
        drop((copy, other));
        assert!(memory.room().add(10));
    }

    #[test]
    fn what_was_decoded_counts_once() {
        let memory = admission(1, 10).memory().clone();
        let coded = Bytes::from_static(b"0123456789");
        assert_eq!(memory.keep(coded.clone(), &coded), Some(coded.clone()));
        assert!(memory.room().add(10), "the same bytes count already");
        let decoded = memory.keep(Bytes::from_static(b"012345"), &coded);
        assert!(decoded.is_some() && memory.keep(Bytes::from_static(b"012345"), &coded).is_none());
    }

    #[test]
    fn what_is_there_already_is_counted_even_where_it_is_too_much() {
        let memory = admission(1, 10).memory().clone();
        let held = memory.hold(Bytes::from_static(b"0123456789abcdef"));
        assert!(!memory.room().add(1));
        assert_eq!(held, "0123456789abcdef");
        drop(held);
        assert!(memory.room().add(10));
        assert!(!memory.room().add(usize::MAX), "it does not wrap around");
    }
}
