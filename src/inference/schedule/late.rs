//! What nobody waits for any more, or nobody will wait for: it is scored when there is nothing else to do, so that the next search
//! that asks the same is served whole.

use std::collections::VecDeque;

use rerank_plugin::{Digest128, Document, Prepared, PreparedQuery, Query};

use super::{PairKey, QueryKey, Schedule};
use crate::inference::bytes;

/// Documents that are prepared between two looks for something better to do.
const AT_ONCE: usize = 8;
/// Bytes of documents that are not prepared yet: their texts are whole, however little of them the model reads.
const MOST_BYTES: usize = 16 << 20;

/// A search that was shed before its documents were prepared.
#[derive(Clone, Debug)]
pub struct LateSearch {
    /// The name of its query.
    pub name: QueryKey,
    /// Its query.
    pub query: Query,
    /// Its documents without scores.
    pub documents: Vec<Document>,
}

/// The two waiting lines of what is late.
#[derive(Debug, Default)]
pub(super) struct LateLine {
    pairs: VecDeque<PairKey>,
    searches: VecDeque<LateSearch>,
    /// Of all of `searches`.
    documents: usize,
    bytes: usize,
}

// === impl LateLine ===

impl LateLine {
    /// Puts a pair at the end, and returns those that give way: no more than `most` wait.
    pub(super) fn push(&mut self, key: PairKey, most: usize) -> Vec<PairKey> {
        self.pairs.push_back(key);
        let over = self.pairs.len().saturating_sub(most);
        self.pairs.drain(..over).collect()
    }

    /// Returns the pairs in their order; some may not be late any more.
    pub(super) fn pairs(&self) -> impl Iterator<Item = PairKey> {
        self.pairs.iter().copied()
    }

    /// Takes those pairs out for which `stays` does not hold.
    pub(super) fn retain(&mut self, stays: impl Fn(&PairKey) -> bool) {
        self.pairs.retain(stays);
    }

    /// Puts a search at the end, unless one of its name is there; the oldest give way.
    fn push_search(&mut self, search: LateSearch, most: usize) {
        if self.searches.iter().any(|own| own.name == search.name) {
            return;
        }
        self.documents += search.documents.len();
        self.bytes += search.bytes();
        self.searches.push_back(search);
        while self.documents > most || self.bytes > MOST_BYTES {
            let Some(oldest) = self.searches.pop_front() else { break };
            self.documents -= oldest.documents.len();
            self.bytes -= oldest.bytes();
        }
    }

    /// Takes the first documents of the oldest search out: few, because whoever comes waits until they are prepared.
    pub(super) fn pop_search(&mut self) -> Option<LateSearch> {
        let mut oldest = self.searches.pop_front()?;
        let few = oldest.documents.len().min(AT_ONCE);
        let documents = oldest.documents.drain(..few).collect();
        let first = LateSearch { name: oldest.name, query: oldest.query.clone(), documents };
        self.documents -= few;
        self.bytes -= first.bytes();
        if !oldest.documents.is_empty() {
            self.searches.push_front(oldest);
        }
        Some(first)
    }
}

// === impl LateSearch ===

impl LateSearch {
    fn bytes(&self) -> usize {
        self.documents.iter().map(|document| bytes(&document.parts)).sum()
    }
}

// === impl Schedule ===

impl Schedule {
    /// Keeps a search that was shed for the time when there is nothing else to do.
    pub fn shed(&mut self, search: LateSearch) {
        if self.refuses.is_none() && self.settings.keeps {
            self.late.push_search(search, self.settings.max_queue);
        }
    }

    /// Keeps pairs that were prepared and that nobody waits for.
    pub fn keep_late(&mut self, name: QueryKey, query: &PreparedQuery, pairs: Vec<(usize, Digest128, Prepared)>) {
        if self.refuses.is_some() || !self.settings.keeps {
            return;
        }
        for (_, document, prepared) in pairs {
            let key = name.pair(document);
            if !self.pairs.contains_key(&key) {
                self.add_pair((name, query), document, prepared);
                let over = self.late.push(key, self.settings.max_queue);
                over.into_iter().for_each(|oldest| self.drop_late(oldest));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rerank_plugin::{Digest128, Fingerprint, testing::conformance};

    use super::{LateLine, LateSearch, MOST_BYTES};
    use crate::{inference::ScoreCache, rerank::Digester};

    fn search(number: u128, bytes: usize) -> LateSearch {
        let name = ScoreCache::new(0, Digester::new()).key(&Fingerprint([0; 32]), None, Digest128(number));
        let documents = (0..10).map(|_| conformance::document(&"a".repeat(bytes / 10))).collect();
        LateSearch { name, query: conformance::query("a"), documents }
    }

    #[test]
    fn texts_that_wait_are_bounded_in_documents_and_in_bytes_and_wait_once() {
        let mut line = LateLine::default();
        let large = search(1, MOST_BYTES);
        line.push_search(large.clone(), 1000);
        line.push_search(large, 1000);
        assert_eq!((line.searches.len(), line.documents, line.bytes), (1, 10, MOST_BYTES / 10 * 10));
        line.push_search(search(2, 1000), 1000);
        assert_eq!((line.searches.len(), line.documents, line.bytes), (1, 10, 1000), "the oldest gives way");
        (3..20).for_each(|number| line.push_search(search(number, 1000), 30));
        assert_eq!((line.searches.len(), line.documents, line.bytes), (3, 30, 3000));
        while line.pop_search().is_some() {}
        assert_eq!((line.documents, line.bytes), (0, 0));
    }
}
