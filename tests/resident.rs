//! Caches weigh what they take: a program with nothing else in it stays under one and a half times their sizes, however often what they
//! keep has changed.

#![allow(clippy::unwrap_used, reason = "all of it is a test; clippy knows only the functions that are marked")]
#![allow(clippy::print_stdout, reason = "what an entry weighs is in the documents")]

use std::fs;

use podium::{cached::Cached, inference::ScoreCache, models::Store, rerank::Digester};
use rerank_plugin::{Artifact, ArtifactKey, ArtifactStore, Digest128, Fingerprint, Scale, Score, Slot, Vector};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 16 * MIB;
const FINGERPRINT: Fingerprint = Fingerprint([7; 32]);

fn resident() -> u64 {
    const PAGE: u64 = 4096;
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * PAGE
}

/// Fills a cache three times over, asserts what all that is kept takes since the program had `before`, and empties it.
fn assert_weighs_what_it_takes(name: &str, before: u64, cache: &dyn Cached, fill: impl Fn(u64)) {
    (0..3).for_each(fill);
    let (size, added) = (cache.size(), resident().saturating_sub(before));
    println!(
        "{name}: {} entries of {} bytes each; the process grew by {} MiB",
        size.entries,
        size.bytes / size.entries.max(1),
        added / MIB
    );
    assert!((SIZE / 2..=SIZE).contains(&size.bytes), "{name}: {size:?}");
    // The first one finds no memory that another has left.
    assert!((SIZE / 2..SIZE * 3 / 2).contains(&added), "{name}: {size:?} takes {} MiB", added / MIB);
    cache.clear();
    assert_eq!(cache.size().bytes, 0, "{name}");
}

/// One test, since the program's memory is shared.
#[test]
fn caches_weigh_what_they_take() {
    let before = resident();
    let scores = ScoreCache::new(SIZE, Digester::new());
    for per_query in [100_u128, 1] {
        let score = Score::new(0.5, Scale::Logit).unwrap();
        assert_weighs_what_it_takes("scores", before, &scores, |round| {
            for number in 0..SIZE / (200 + 25 * per_query as u64) {
                let query = scores.key(&FINGERPRINT, None, Digest128(u128::from(round << 32 | number)));
                scores.put_all(
                    query,
                    (0..per_query).map(|document| (Digest128(document.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)), score)),
                );
            }
        });
    }
    let vectors = Store::new(SIZE);
    assert_weighs_what_it_takes("vectors", before, &vectors, |round| {
        for number in 0..SIZE / 1700 {
            let digest = Digest128(u128::from(round << 32 | number));
            let key = ArtifactKey { fingerprint: FINGERPRINT, slot: Slot::Document, digest };
            vectors.put(key, Artifact::Vector(Vector::new(vec![0.5; 384])));
        }
    });
}
