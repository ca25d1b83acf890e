//! The cache of scores: what a model said of a pair is not computed again while it is kept.
//!
//! Scores are kept query by query, for that is how they are asked for and forgotten: a search looks once, and a hundred scores share one
//! entry's overhead. A key says everything that a score depends on (the model's fingerprint, the instruction, the query, what the model
//! sees of the document), so what is found is never wrong. Faults are never kept.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use metrics::{Counter, counter};
use moka::sync::Cache;
use rerank_plugin::{Digest128, Fingerprint, Score};

use crate::{
    cached::{Cached, Size},
    rerank::Digester,
    telemetry::names,
};

/// What the entry of a query takes in memory besides its scores, measured: the cache's node, its place in the order, the locks.
const QUERY_BYTES: usize = 400;
/// What one place of a table takes: key, score, and a byte of the table's own.
const PLACE_BYTES: usize = size_of::<(Name, Score)>() + 1;
/// Scores of one query; it is forgotten when there are more. Larger than the largest window.
const MOST_SCORES: usize = 1 << 14;

/// A bounded cache of scores, shared by all models and all searches.
#[derive(Clone, Debug)]
pub struct ScoreCache {
    kept: Option<Cache<QueryKey, Arc<OfQuery>, BuildHasherDefault<Hashed>>>,
    digester: Digester,
    looks: Looks,
}

/// What became of the looks of searches.
#[derive(Clone, Debug)]
struct Looks {
    found: Counter,
    missed: Counter,
}

/// The name of one query and the model that it is asked of: a keyed hash, for texts are attacker-supplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueryKey(Name);

/// The name of a query with one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PairKey {
    query: QueryKey,
    document: Name,
}

/// A digest in halves, which need less room than a whole one in a table.
type Name = [u64; 2];

/// The scores of one query.
#[derive(Debug, Default)]
struct OfQuery(RwLock<Scores>);

type Scores = HashMap<Name, Score, BuildHasherDefault<Hashed>>;

/// Names are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashed(u64);

// === impl ScoreCache ===

impl ScoreCache {
    /// Returns an empty cache of at most `bytes`, overhead included; 0 keeps nothing.
    pub fn new(bytes: u64, digester: Digester) -> Self {
        let kept = (bytes > 0).then(|| {
            let weigh = |_: &QueryKey, query: &Arc<OfQuery>| u32::try_from(query.weight()).unwrap_or(u32::MAX);
            Cache::builder().max_capacity(bytes).weigher(weigh).build_with_hasher(BuildHasherDefault::default())
        });
        let count = |name| counter!(name, names::CACHE => names::CACHE_SCORES);
        Self { kept, digester, looks: Looks { found: count(names::CACHE_HITS), missed: count(names::CACHE_MISSES) } }
    }

    /// Whether anything is ever kept.
    pub fn is_on(&self) -> bool {
        self.kept.is_some()
    }

    /// Returns what names a query and a model; with a `scope` its scores are shared by those alone who have the same one.
    pub fn key(&self, fingerprint: &Fingerprint, scope: Option<Digest128>, query: Digest128) -> QueryKey {
        let start = self.digester.start().piece(&fingerprint.0).piece(&query.0.to_le_bytes());
        let keyed = scope.iter().fold(start, |digest, scope| digest.piece(b"scope").piece(&scope.0.to_le_bytes()));
        QueryKey(name(keyed.finish()))
    }

    /// Returns the score of one pair.
    pub fn get(&self, pair: PairKey) -> Option<Score> {
        self.kept.as_ref()?.get(&pair.query)?.read().get(&pair.document).copied()
    }

    /// Returns the scores of a query's documents, in their order: one look for all of them.
    pub fn get_all(&self, query: QueryKey, documents: impl ExactSizeIterator<Item = Digest128>) -> Vec<Option<Score>> {
        let Some(kept) = &self.kept else { return vec![None; documents.len()] };
        let scores: Vec<Option<Score>> = match kept.get(&query) {
            Some(known) => {
                let known = known.read();
                documents.map(|document| known.get(&name(document)).copied()).collect()
            }
            None => vec![None; documents.len()],
        };
        let found = scores.iter().flatten().count();
        self.looks.found.increment(found as u64);
        self.looks.missed.increment((scores.len() - found) as u64);
        scores
    }

    /// Keeps the score of one pair.
    pub fn put(&self, pair: PairKey, score: Score) {
        self.put_names(pair.query, [(pair.document, score)].into_iter());
    }

    /// Keeps scores of a query's documents: cheaper than one by one.
    pub fn put_all(&self, query: QueryKey, scores: impl Iterator<Item = (Digest128, Score)>) {
        self.put_names(query, scores.map(|(document, score)| (name(document), score)));
    }

    fn put_names(&self, query: QueryKey, scores: impl Iterator<Item = (Name, Score)>) {
        let mut scores = scores.peekable();
        let Some(kept) = self.kept.as_ref().filter(|_| scores.peek().is_some()) else { return };
        let known = kept.get_with(query, Arc::default);
        if known.put(scores) {
            // It is weighed when it is put.
            kept.insert(query, known);
        }
    }
}

impl Cached for ScoreCache {
    fn size(&self) -> Size {
        let Some(kept) = &self.kept else { return Size { entries: 0, bytes: 0 } };
        kept.run_pending_tasks();
        Size { entries: kept.iter().map(|(_, query)| query.read().len() as u64).sum(), bytes: kept.weighted_size() }
    }

    fn clear(&self) {
        if let Some(kept) = &self.kept {
            kept.invalidate_all();
        }
    }
}

// === impl QueryKey ===

impl QueryKey {
    /// Returns the name of the query with this document.
    pub fn pair(self, document: Digest128) -> PairKey {
        PairKey { query: self, document: name(document) }
    }
}

fn name(Digest128(digest): Digest128) -> Name {
    [digest as u64, (digest >> 64) as u64]
}

// === impl OfQuery ===

impl OfQuery {
    fn read(&self) -> RwLockReadGuard<'_, Scores> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Scores> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes scores in, and returns whether it weighs more or less than before.
    fn put(&self, new: impl Iterator<Item = (Name, Score)>) -> bool {
        let mut scores = self.write();
        let places = scores.capacity();
        for (document, score) in new {
            if scores.len() == MOST_SCORES {
                *scores = Scores::default();
            }
            scores.insert(document, score);
        }
        scores.capacity() != places
    }

    fn weight(&self) -> usize {
        // A table is filled to seven eighths.
        QUERY_BYTES + (self.read().capacity() * 8).div_ceil(7) * PLACE_BYTES
    }
}

// === impl Hashed ===

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, half: u64) {
        self.0 ^= half;
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks_exact(size_of::<u64>()) {
            self.0 ^= chunk.try_into().map_or(0, u64::from_le_bytes);
        }
    }

    /// Says nothing: names are of one length.
    fn write_usize(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rerank_plugin::{Digest128, Fingerprint, Scale, Score};

    use super::{MOST_SCORES, PairKey, QueryKey, ScoreCache};
    use crate::{
        cached::{Cached, Size},
        rerank::Digester,
    };

    fn score(order: f32) -> Score {
        Score::new(order, Scale::Logit).unwrap()
    }

    fn cache(bytes: u64) -> ScoreCache {
        ScoreCache::new(bytes, Digester::new())
    }

    fn query(cache: &ScoreCache, number: u128) -> QueryKey {
        cache.key(&Fingerprint([1; 32]), None, Digest128(number))
    }

    fn documents(count: u128) -> impl ExactSizeIterator<Item = Digest128> {
        (0..count as usize).map(|number| Digest128(((number as u128) << 64) | (number as u128 + 1)))
    }

    #[test]
    fn whatever_a_score_depends_on_is_in_its_key() {
        let one = cache(1 << 20);
        let key = |cache: &ScoreCache, fingerprint: u8, scope: Option<u128>, query: u128, document: u128| {
            cache.key(&Fingerprint([fingerprint; 32]), scope.map(Digest128), Digest128(query)).pair(Digest128(document))
        };
        let keys = [
            key(&one, 1, None, 2, 3),
            key(&one, 2, None, 2, 3),
            key(&one, 1, Some(0), 2, 3),
            key(&one, 1, Some(1), 2, 3),
            key(&one, 1, None, 3, 3),
            key(&one, 1, None, 2, 2),
        ];
        assert_eq!(keys.iter().collect::<HashSet<&PairKey>>().len(), keys.len());
        assert_eq!(keys[0], key(&one, 1, None, 2, 3));
        assert_ne!(keys[0], key(&cache(1 << 20), 1, None, 2, 3), "the key is this cache's secret");
        for (number, pair) in keys.into_iter().enumerate() {
            one.put(pair, score(number as f32));
        }
        assert!(keys.iter().enumerate().all(|(number, pair)| one.get(*pair) == Some(score(number as f32))));
    }

    #[test]
    fn a_search_finds_what_is_known_of_its_documents() {
        let cache = cache(1 << 20);
        let (asked, other) = (query(&cache, 1), query(&cache, 2));
        cache.put_all(asked, documents(3).skip(1).map(|document| (document, score(0.5))));
        cache.put(asked.pair(Digest128(9)), score(0.25));
        assert_eq!(cache.get_all(asked, documents(4)), [None, Some(score(0.5)), Some(score(0.5)), None]);
        assert_eq!(cache.get_all(other, documents(2)), [None, None]);
        assert_eq!(cache.get(asked.pair(Digest128(9))), Some(score(0.25)));
        cache.put_all(other, std::iter::empty());
        assert_eq!(cache.size(), Size { entries: 3, bytes: 500 }, "one query, a table of four places");
    }

    #[test]
    fn an_emptied_cache_goes_on() {
        let cache = cache(1 << 20);
        let key = query(&cache, 1);
        cache.put_all(key, documents(200).map(|document| (document, score(0.5))));
        assert!(cache.is_on() && cache.size().bytes > 200 * 24);
        cache.clear();
        assert_eq!((cache.get_all(key, documents(1)), cache.size()), (vec![None], Size { entries: 0, bytes: 0 }));
        cache.put(key.pair(Digest128(1)), score(0.25));
        assert_eq!((cache.get(key.pair(Digest128(1))), cache.size().entries), (Some(score(0.25)), 1));
    }

    #[test]
    fn a_cache_of_no_bytes_keeps_nothing() {
        let cache = cache(0);
        let key = query(&cache, 1);
        cache.put(key.pair(Digest128(1)), score(0.5));
        cache.clear();
        assert!(!cache.is_on());
        assert_eq!((cache.get(key.pair(Digest128(1))), cache.size()), (None, Size { entries: 0, bytes: 0 }));
    }

    #[test]
    fn the_cache_stays_under_its_bound_and_counts_what_it_forgets() {
        let cache = cache(200_000);
        for number in 0..1000 {
            cache.put_all(query(&cache, number), documents(20).map(|document| (document, score(0.0))));
        }
        let Size { entries, bytes } = cache.size();
        assert!((1..=200_000).contains(&bytes), "{bytes}");
        let kept = (0..1000).flat_map(|number| cache.get_all(query(&cache, number), documents(20))).flatten().count();
        assert_eq!(entries, kept as u64);
        assert!(kept >= 20 * 100, "{kept}");
    }

    #[test]
    fn a_query_with_too_many_documents_starts_again() {
        let cache = cache(1 << 30);
        let key = query(&cache, 1);
        cache.put_all(key, documents(MOST_SCORES as u128 + 5).map(|document| (document, score(0.0))));
        assert_eq!(cache.size().entries, 5);
        cache.put(key.pair(Digest128(0)), score(0.5));
        assert_eq!((cache.size().entries, cache.get(key.pair(Digest128(0)))), (6, Some(score(0.5))));
    }
}
