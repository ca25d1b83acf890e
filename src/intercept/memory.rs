//! What earlier answers taught, bounded and forgetful: losing it costs speed, never correctness.

use std::time::Duration;

use moka::sync::Cache;
use rerank_plugin::Digest128;

use crate::{
    config::Rule,
    es::reading::Reading,
    rerank::{Digester, fuse::Pair, fuse::Trust},
};

/// How long an engine's refusal, or the shape of an index, is believed.
const BELIEVED: Duration = Duration::from_secs(300);
const ENTRIES: u64 = 10_000;

/// The memory of one gateway. Keys are digests: paths are attacker-supplied.
pub struct Memory {
    digester: Digester,
    refused: Cache<Digest128, ()>,
    read_fields: Cache<Digest128, ()>,
    weights: Cache<Digest128, Weight>,
    trust: Cache<Digest128, Trust>,
}

/// What an answer weighs, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weight {
    /// One hit, on the average; nothing when there was none.
    pub hit: usize,
    /// All but the hits: aggregations take much and do not grow with the window.
    pub outside: usize,
}

// === impl Memory ===

impl Memory {
    /// Returns an empty memory.
    pub fn new(digester: Digester) -> Self {
        let forgetful = || Cache::builder().max_capacity(ENTRIES).time_to_live(BELIEVED).build();
        let trust = Cache::builder().max_capacity(ENTRIES).build();
        Self {
            digester,
            refused: forgetful(),
            read_fields: forgetful(),
            weights: Cache::builder().max_capacity(ENTRIES).time_to_live(BELIEVED).build(),
            trust,
        }
    }

    /// Returns whether the engine refuses what the rule adds to searches of this path.
    pub fn is_refused(&self, path: &str, rule: &Rule, reading: &Reading) -> bool {
        self.refused.contains_key(&self.key(path, rule, added(reading)))
    }

    /// The engine refused what was added, and answered the same search without it.
    pub fn remember_refusal(&self, path: &str, rule: &Rule, reading: &Reading) {
        self.refused.insert(self.key(path, rule, added(reading)), ());
    }

    /// Returns whether the rule's fields are not in the `_source` of this path's hits.
    pub fn reads_fields(&self, path: &str, rule: &Rule) -> bool {
        self.read_fields.contains_key(&self.key(path, rule, &[]))
    }

    /// No hit's full `_source` had any text.
    pub fn remember_to_read_fields(&self, path: &str, rule: &Rule) {
        self.read_fields.insert(self.key(path, rule, &[]), ());
    }

    /// Returns how many hits of this path fit under the cap, as far as is known.
    pub fn most_hits(&self, path: &str, rule: &Rule, cap: usize) -> Option<usize> {
        self.weights.get(&self.key(path, rule, &[])).map(|known| cap.saturating_sub(known.outside) / known.hit.max(1))
    }

    /// An answer weighed this. What is heavier is believed at once, what is lighter slowly.
    pub fn remember_weight(&self, path: &str, rule: &Rule, seen: Weight) {
        let key = self.key(path, rule, &[]);
        let known = self.weights.get(&key).unwrap_or_default();
        let believed = |before: usize, now: usize| now.max(before - before / 8);
        self.weights.insert(key, Weight { hit: believed(known.hit, seen.hit), outside: believed(known.outside, seen.outside) });
    }

    /// Learns from one scored window, and returns the trust that the model has on this path from now on.
    pub fn learn_trust(&self, path: &str, rule: &Rule, pairs: &[Pair]) -> f64 {
        let key = self.digester.start().piece(path.as_bytes()).piece(rule.model.as_bytes()).finish();
        let learnt =
            self.trust.entry(key).and_upsert_with(|known| known.map_or_else(Trust::default, |entry| entry.into_value()).learn(pairs));
        learnt.into_value().value()
    }

    fn key(&self, path: &str, rule: &Rule, added: &[std::sync::Arc<str>]) -> Digest128 {
        let start = self.digester.start().piece(path.as_bytes()).piece(&rule.number.to_le_bytes());
        added.iter().fold(start, |digest, name| digest.piece(name.as_bytes())).finish()
    }
}

fn added(reading: &Reading) -> &[std::sync::Arc<str>] {
    match reading {
        Reading::Source => &[],
        Reading::Fields { added } => added,
    }
}
