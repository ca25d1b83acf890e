//! NDCG@10 with linear gain: the ideal ranking is made of all judged documents, retrieved or not.

use std::collections::HashMap;

/// How far down a ranking counts.
const DEPTH: usize = 10;

/// Returns the NDCG@10 of ranked ids; `None` when nothing relevant is judged.
pub(crate) fn at_10(ranked: &[String], judged: &HashMap<String, f64>) -> Option<f64> {
    let mut ideal: Vec<f64> = judged.values().copied().collect();
    ideal.sort_by(|left, right| right.total_cmp(left));
    let best = discounted(ideal.into_iter());
    let reached = discounted(ranked.iter().map(|id| judged.get(id).copied().unwrap_or(0.0)));
    (best > 0.0).then(|| reached / best)
}

fn discounted(gains: impl Iterator<Item = f64>) -> f64 {
    gains.take(DEPTH).enumerate().map(|(place, gain)| gain / (place as f64 + 2.0).log2()).sum()
}

fn judged(grades: &[(&str, f64)]) -> HashMap<String, f64> {
    grades.iter().map(|(id, grade)| ((*id).to_owned(), *grade)).collect()
}

fn ranked(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn the_ideal_ranking_reaches_one() {
    assert_eq!(at_10(&ranked(&["b", "a", "x"]), &judged(&[("a", 1.0), ("b", 4.0)])), Some(1.0));
}

#[test]
fn a_relevant_document_counts_less_further_down() {
    // 3 at place 2: (3 / log2 3) / (3 / log2 2)
    let reached = at_10(&ranked(&["x", "a"]), &judged(&[("a", 3.0)])).expect("a relevant document is judged");
    assert!((reached - 0.630_929_753_571_457_5).abs() < 1e-12, "{reached}");
}

#[test]
fn judged_documents_that_were_not_retrieved_count_against_the_ranking() {
    // 2 / (2 + 2 / log2 3)
    let reached = at_10(&ranked(&["a"]), &judged(&[("a", 2.0), ("b", 2.0)])).expect("a relevant document is judged");
    assert!((reached - 0.613_147_192_765_458_4).abs() < 1e-12, "{reached}");
}

#[test]
fn the_eleventh_place_does_not_count() {
    let mut ids: Vec<String> = (0..10).map(|number| format!("x{number}")).collect();
    ids.push("a".to_owned());
    assert_eq!(at_10(&ids, &judged(&[("a", 1.0)])), Some(0.0));
}

#[test]
fn a_query_without_relevant_documents_has_no_ndcg() {
    assert_eq!(at_10(&ranked(&["a"]), &judged(&[("a", 0.0)])), None);
}
