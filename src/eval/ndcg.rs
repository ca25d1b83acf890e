//! NDCG@10 with linear gain: the ideal ranking is made of all judged documents, retrieved or not.

use std::collections::HashMap;

/// How far down a ranking counts.
const DEPTH: usize = 10;

/// What each judged document is worth to one query; the others are worth nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgments(HashMap<String, f64>);

// === impl Judgments ===

impl Judgments {
    /// Returns the NDCG@10 of ranked ids; `None` when nothing relevant is judged.
    pub fn ndcg_at_10<'a>(&self, ranked: impl IntoIterator<Item = &'a str>) -> Option<f64> {
        let mut ideal: Vec<f64> = self.0.values().copied().collect();
        ideal.sort_by(|left, right| right.total_cmp(left));
        let best = discounted(ideal.into_iter());
        let reached = discounted(ranked.into_iter().map(|id| self.worth(id)));
        (best > 0.0).then(|| reached / best)
    }

    /// Returns what a document is worth.
    pub fn worth(&self, id: &str) -> f64 {
        self.0.get(id).copied().unwrap_or(0.0)
    }
}

impl<I: Into<String>> FromIterator<(I, f64)> for Judgments {
    fn from_iter<T: IntoIterator<Item = (I, f64)>>(judged: T) -> Self {
        Self(judged.into_iter().map(|(id, worth)| (id.into(), worth)).collect())
    }
}

fn discounted(gains: impl Iterator<Item = f64>) -> f64 {
    gains.take(DEPTH).enumerate().map(|(place, gain)| gain / (place as f64 + 2.0).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::Judgments;

    fn reached(ranked: &[&str], judged: &[(&str, f64)]) -> Option<f64> {
        judged.iter().copied().collect::<Judgments>().ndcg_at_10(ranked.iter().copied())
    }

    #[test]
    fn the_ideal_ranking_reaches_one() {
        assert_eq!(reached(&["b", "a", "x"], &[("a", 1.0), ("b", 4.0)]), Some(1.0));
    }

    #[test]
    fn a_relevant_document_counts_less_further_down() {
        // 3 at place 2: (3 / log2 3) / (3 / log2 2)
        let reached = reached(&["x", "a"], &[("a", 3.0)]).expect("a relevant document is judged");
        assert!((reached - 0.630_929_753_571_457_5).abs() < 1e-12, "{reached}");
    }

    #[test]
    fn judged_documents_that_were_not_retrieved_count_against_the_ranking() {
        // 2 / (2 + 2 / log2 3)
        let reached = reached(&["a"], &[("a", 2.0), ("b", 2.0)]).expect("a relevant document is judged");
        assert!((reached - 0.613_147_192_765_458_4).abs() < 1e-12, "{reached}");
    }

    #[test]
    fn the_eleventh_place_does_not_count() {
        let mut ids = vec!["x"; 10];
        ids.push("a");
        assert_eq!(reached(&ids, &[("a", 1.0)]), Some(0.0));
    }

    #[test]
    fn a_query_without_relevant_documents_has_no_ndcg() {
        assert_eq!(reached(&["a"], &[("a", 0.0)]), None);
    }
}
