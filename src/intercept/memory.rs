//! What earlier answers taught, bounded and forgetful: losing it costs speed, never correctness.

use std::{sync::Arc, time::Duration};

use moka::{Entry, sync::Cache};
use rerank_plugin::Digest128;

use crate::{
    config::Rule,
    es::reading::Reading,
    intercept::plan::SearchPlan,
    rerank::{Digester, fuse::Pair, fuse::Trust},
};

/// How long an engine's refusal, or the shape of an index, is believed.
const BELIEVED: Duration = Duration::from_secs(300);
const ENTRIES: u64 = 10_000;
/// Bytes of rendered templates, and what one weighs besides its text.
const RENDERED_BYTES: u64 = 16 << 20;
const OVERHEAD: usize = 100;

/// The part of the cap that is left free: for what is not hits, and for hits that are larger than the others were.
const ROOM: usize = 4;

/// The memory of one gateway. Keys are digests: paths are attacker-supplied.
pub struct Memory {
    digester: Digester,
    refused: Cache<Digest128, ()>,
    read_fields: Cache<Digest128, ()>,
    hit_bytes: Cache<Digest128, usize>,
    trust: Cache<Digest128, Trust>,
    learnt: Cache<Digest128, ()>,
    rendered: Cache<Digest128, Arc<str>>,
}

// === impl Memory ===

impl Memory {
    /// Returns an empty memory.
    pub fn new(digester: Digester) -> Self {
        let trust = Cache::builder().max_capacity(ENTRIES).build();
        let weigh = |_: &Digest128, text: &Arc<str>| u32::try_from(text.len() + OVERHEAD).unwrap_or(u32::MAX);
        let rendered = Cache::builder().max_capacity(RENDERED_BYTES).weigher(weigh).time_to_live(BELIEVED).build();
        Self { digester, refused: forgetful(), read_fields: forgetful(), hit_bytes: forgetful(), trust, learnt: forgetful(), rendered }
    }

    /// Returns whether the engine refuses what the plan adds to searches of this path.
    pub fn is_refused(&self, path: &str, rule: &Rule, plan: &SearchPlan) -> bool {
        self.refused.contains_key(&self.refusal_key(path, rule, plan))
    }

    /// The engine refused what was added, and answered the same search without it.
    pub fn remember_refusal(&self, path: &str, rule: &Rule, plan: &SearchPlan) {
        self.refused.insert(self.refusal_key(path, rule, plan), ());
    }

    /// Returns whether the engine refuses a multi search of this name as soon as its items are widened.
    pub fn is_call_refused(&self, name: Digest128) -> bool {
        self.refused.contains_key(&name)
    }

    /// The engine refused a multi search as a whole, and answered it without what was added.
    pub fn remember_call_refusal(&self, name: Digest128) {
        self.refused.insert(name, ());
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
        self.hit_bytes.get(&self.key(path, rule, &[])).map(|bytes| (cap - cap / ROOM) / bytes.max(1))
    }

    /// Returns how large an answer of so many hits of this path is, as far as is known.
    pub fn likely_size(&self, path: &str, rule: &Rule, hits: usize) -> usize {
        self.hit_bytes.get(&self.key(path, rule, &[])).map_or(0, |bytes| bytes.saturating_mul(hits))
    }

    /// Hits of this path have that many bytes each. Larger hits are believed at once, smaller ones slowly.
    pub fn remember_size(&self, path: &str, rule: &Rule, bytes: usize) {
        let key = self.key(path, rule, &[]);
        let known = self.hit_bytes.get(&key).unwrap_or(bytes);
        self.hit_bytes.insert(key, bytes.max(known - known / 8));
    }

    /// Returns what the engine made of an inline template of this name.
    pub fn rendered(&self, name: Digest128) -> Option<Arc<str>> {
        self.rendered.get(&name)
    }

    /// The engine rendered an inline template, its parameters included.
    pub fn remember_rendered(&self, name: Digest128, text: Arc<str>) {
        self.rendered.insert(name, text);
    }

    /// Returns the trust that the model has on this path.
    pub fn trust(&self, path: &str, rule: &Rule) -> f64 {
        self.trust.get(&self.trust_key(path, rule)).unwrap_or_default().value()
    }

    /// Learns from one scored window, and returns the trust that the model has on this path from now on. The same query
    /// teaches once in a while: a popular one is not a majority.
    pub fn learn_trust(&self, path: &str, rule: &Rule, query: Digest128, pairs: &[Pair]) -> f64 {
        let window = self.digester.start().piece(path.as_bytes()).piece(rule.model.as_bytes()).piece(&query.0.to_le_bytes()).finish();
        if !self.learnt.entry(window).or_insert(()).is_fresh() {
            return self.trust(path, rule);
        }
        let entry = self.trust.entry(self.trust_key(path, rule));
        let learn = |known: Option<Entry<Digest128, Trust>>| known.map_or_else(Trust::default, Entry::into_value).learn(pairs);
        entry.and_upsert_with(learn).into_value().value()
    }

    fn trust_key(&self, path: &str, rule: &Rule) -> Digest128 {
        self.digester.start().piece(path.as_bytes()).piece(rule.model.as_bytes()).finish()
    }

    /// Added fields are refused for every search of a path; where only more hits were asked for, it was about this search.
    fn refusal_key(&self, path: &str, rule: &Rule, plan: &SearchPlan) -> Digest128 {
        match &plan.reading {
            Reading::Fields { added } if !added.is_empty() => self.key(path, rule, added),
            Reading::Fields { .. } | Reading::Source => {
                self.digester.start().piece(&plan.pin_subject).piece(&rule.number.to_le_bytes()).finish()
            }
        }
    }

    fn key(&self, path: &str, rule: &Rule, added: &[Arc<str>]) -> Digest128 {
        let start = self.digester.start().piece(path.as_bytes()).piece(&rule.number.to_le_bytes());
        added.iter().fold(start, |digest, name| digest.piece(name.as_bytes())).finish()
    }
}

fn forgetful<V: Clone + Send + Sync + 'static>() -> Cache<Digest128, V> {
    Cache::builder().max_capacity(ENTRIES).time_to_live(BELIEVED).build()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rerank_plugin::{Digest128, Scale, Score};

    use super::Memory;
    use crate::{
        config::{KINDS, parse},
        rerank::{Digester, fuse::Pair},
    };

    const CONFIG: &str = "[upstream]\nnodes = ['http://127.0.0.1:9200']\n[models.m]\nsource = './m'\n\
        [[rules]]\nindex = ['shop']\nmodel = 'm'\nfields = ['title']\n";

    #[test]
    fn sizes_grow_at_once_and_shrink_slowly() {
        let config = parse(Path::new("p.toml"), CONFIG, KINDS).unwrap();
        let (memory, rule) = (Memory::new(Digester::new()), &config.rules[0]);
        assert_eq!(memory.most_hits("/shop/_search", rule, 1000), None);
        assert_eq!(memory.likely_size("/shop/_search", rule, 50), 0);
        memory.remember_size("/shop/_search", rule, 10);
        memory.remember_size("/shop/_search", rule, 100);
        assert_eq!(memory.likely_size("/shop/_search", rule, 50), 5000);
        assert_eq!(memory.most_hits("/shop/_search", rule, 1000), Some(7));
        memory.remember_size("/shop/_search", rule, 10);
        assert_eq!(memory.most_hits("/shop/_search", rule, 1000), Some(8));
        assert_eq!(memory.most_hits("/other/_search", rule, 1000), None);
    }

    #[test]
    fn trust_is_learnt_for_each_path() {
        let config = parse(Path::new("p.toml"), CONFIG, KINDS).unwrap();
        let (memory, rule) = (Memory::new(Digester::new()), &config.rules[0]);
        let start = memory.trust("/shop/_search", rule);
        let pair =
            |rank: u8| Pair { first_stage: Some(rank.into()), rank: rank.into(), rerank: Score::new(rank.into(), Scale::Cosine).unwrap() };
        let window: Vec<Pair> = (0..9).map(pair).collect();
        let learnt = memory.learn_trust("/shop/_search", rule, Digest128(1), &window);
        assert!(learnt > start);
        assert_eq!(memory.learn_trust("/shop/_search", rule, Digest128(1), &window), learnt, "the same window again tells nothing");
        assert!(memory.learn_trust("/shop/_search", rule, Digest128(2), &window) > learnt);
        assert_eq!(memory.trust("/other/_search", rule), start);
    }
}
