use rerank_plugin::{Digest128, Fingerprint};

use crate::{
    inference::{PairKey, QueryKey, ScoreCache},
    rerank::Digester,
};

thread_local! {
    static CACHE: ScoreCache = ScoreCache::new(0, Digester::new());
}

pub(super) fn query(number: u128) -> QueryKey {
    CACHE.with(|cache| cache.key(&Fingerprint([0; 32]), None, Digest128(number)))
}

pub(super) fn pair(number: u128, document: u128) -> PairKey {
    query(number).pair(Digest128(document))
}
