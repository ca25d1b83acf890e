//! The table of published scores that `just real-weights` compares with: it can be read, and says where each number stands.

#[path = "../real_weights/published.rs"]
mod table;

use table::{Scale, all};

#[test]
fn every_published_score_says_where_it_stands_and_can_be_one() {
    for published in all() {
        let name = &published.name;
        assert!(name.split('/').count() == 2 && published.revision == "main" && !published.computed.is_empty(), "{name}");
        assert!(published.source.starts_with("https://"), "{name}: {}", published.source);
        assert!((1e-5..=5e-2).contains(&published.tolerance), "{name}");
        let possible = match published.scale {
            Scale::Logit => -20.0..=20.0,
            Scale::Cosine => -1.0..=1.0,
            Scale::Presented => 0.0..=1.0,
        };
        assert!(published.pairs.len() > 1, "{name}");
        for (query, document, score) in &published.pairs {
            assert!(!query.is_empty() && !document.is_empty() && possible.contains(score), "{name}: {document}: {score}");
        }
    }
}
