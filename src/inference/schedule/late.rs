//! What nobody waits for any more, or nobody will wait for: it is scored when there is nothing else to do, so that the next search
//! that asks the same is served whole.

use std::collections::VecDeque;

use rerank_plugin::{Digest128, Document, Prepared, PreparedQuery, Query};

use super::{PairKey, QueryKey, Schedule};

/// Documents that are prepared between two looks for something better to do.
const AT_ONCE: usize = 8;

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

    /// Puts a search at the end; the oldest give way.
    fn push_search(&mut self, search: LateSearch, most: usize) {
        self.documents += search.documents.len();
        self.searches.push_back(search);
        while self.documents > most {
            let Some(oldest) = self.searches.pop_front() else { break };
            self.documents -= oldest.documents.len();
        }
    }

    /// Takes the first documents of the oldest search out: few, because whoever comes waits until they are prepared.
    pub(super) fn pop_search(&mut self) -> Option<LateSearch> {
        let mut oldest = self.searches.pop_front()?;
        let few = oldest.documents.len().min(AT_ONCE);
        let documents = oldest.documents.drain(..few).collect();
        self.documents -= few;
        let (name, query) = (oldest.name, oldest.query.clone());
        if !oldest.documents.is_empty() {
            self.searches.push_front(oldest);
        }
        Some(LateSearch { name, query, documents })
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
