//! Puts the scored hits of a window into their new order, and gives every hit of the answer the score that people see.

use rerank_plugin::Score;

use crate::{
    config::ScorePolicy,
    rerank::{Annotation, Arrangement, Ranking, candidates::is_pinned},
};

/// A hit that has a final score.
#[derive(Clone, Copy, Debug)]
pub struct Fused {
    /// Its place in the engine's answer.
    pub place: usize,
    /// What it is ordered by.
    pub order: f64,
    /// What people see.
    pub presented: f64,
    /// The model's score; a hit of an earlier page's window may have none.
    pub rerank: Option<Score>,
}

/// What the arrangement is made for.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many hits come before the first of the answer in the engine's order.
    pub skipped: usize,
    /// How many of the first hits may move.
    pub window: usize,
    /// What becomes of `_score`.
    pub score: ScorePolicy,
    /// Whether hits tell where they came from.
    pub annotate: bool,
}

/// Returns the arrangement of an answer.
///
/// `engine`: every hit's first-stage score, in the engine's order. `fused`: the scored hits, in the engine's order. All
/// other hits keep their places; equal finals keep the engine's order.
pub fn arrange(engine: &[Option<f64>], fused: &[Fused], settings: &Settings) -> Arrangement {
    let mut best_first: Vec<&Fused> = fused.iter().collect();
    best_first.sort_by(|one, other| other.order.total_cmp(&one.order));
    let mut order: Vec<usize> = (0..engine.len()).collect();
    for (slot, hit) in fused.iter().zip(&best_first) {
        order[slot.place] = hit.place;
    }
    let ranking = Ranking::new(order).unwrap_or_else(|| Ranking::identity(engine.len()));
    let (scores, max_score) = match settings.score {
        ScorePolicy::Keep => (vec![None; engine.len()], None),
        ScorePolicy::Replace => presented(engine, fused, &ranking, settings.window),
    };
    let annotations = if settings.annotate { annotate(engine, fused, settings.skipped) } else { Vec::new() };
    Arrangement { ranking, scores, max_score, annotations }
}

/// Returns each hit's new `_score` by its original place, descending in the new order, and the new `max_score`.
fn presented(engine: &[Option<f64>], fused: &[Fused], ranking: &Ranking, window: usize) -> (Vec<Option<f32>>, Option<f32>) {
    let mut by_place: Vec<Option<f64>> = vec![None; engine.len()];
    for hit in fused {
        by_place[hit.place] = Some(hit.presented);
    }
    let last = ranking.order().iter().rev().find_map(|place| by_place[*place]).unwrap_or(0.0);
    let window_end = engine[..window.min(engine.len())].last().copied().flatten();
    let mut below = last;
    for (position, place) in ranking.order().iter().enumerate().rev() {
        let score = match by_place[*place] {
            Some(score) => score,
            None if position >= window => last * share(engine[*place], window_end),
            None => below,
        };
        if position < window {
            below = score;
        }
        by_place[*place] = Some(score);
    }
    let scores: Vec<Option<f32>> = by_place
        .iter()
        .zip(engine)
        .map(|(score, own)| score.filter(|_| own.is_some() && !is_pinned(*own)).map(|score| score as f32))
        .collect();
    let any_pinned = engine.iter().any(|own| is_pinned(*own));
    let max_score = scores.iter().flatten().copied().reduce(f32::max).filter(|_| !any_pinned);
    (scores, max_score)
}

/// Returns how far down the tail a hit lies, in 0..=1, by its first-stage score against that of the window's last hit.
fn share(own: Option<f64>, window_end: Option<f64>) -> f64 {
    match (own, window_end) {
        (Some(own), Some(end)) if end > 0.0 => (own / end).clamp(0.0, 1.0),
        _ => 0.0,
    }
}

fn annotate(engine: &[Option<f64>], fused: &[Fused], skipped: usize) -> Vec<Option<Annotation>> {
    let mut annotations = vec![None; engine.len()];
    for hit in fused {
        let previous_score = engine[hit.place].map(|score| score as f32);
        annotations[hit.place] =
            hit.rerank.map(|score| Annotation { score: score.presented(), previous_score, previous_rank: skipped + hit.place + 1 });
    }
    annotations
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rerank_plugin::{Scale, Score};

    use super::{Fused, Settings, arrange};
    use crate::config::ScorePolicy;

    fn fused(place: usize, order: f64) -> Fused {
        Fused { place, order, presented: order.max(0.0), rerank: Score::new(order as f32, Scale::Logit).ok() }
    }

    fn settings(window: usize) -> Settings {
        Settings { skipped: 0, window, score: ScorePolicy::Replace, annotate: false }
    }

    #[test]
    fn scored_hits_move_among_their_own_places() {
        let engine = [Some(5.0), Some(4.0), Some(3.0), Some(2.0), Some(1.0)];
        let arrangement = arrange(&engine, &[fused(0, 0.2), fused(2, 0.9), fused(3, 0.4)], &settings(4));
        assert_eq!(arrangement.ranking.order(), [2, 1, 3, 0, 4]);
        assert_eq!(arrangement.scores, [Some(0.2), Some(0.4), Some(0.9), Some(0.4), Some(0.1)]);
        assert_eq!(arrangement.max_score, Some(0.9));
    }

    #[test]
    fn case_19_pinned_hits_keep_their_places_and_scores() {
        let engine = [Some(3e38), Some(2.0), Some(1.0)];
        let arrangement = arrange(&engine, &[fused(1, 0.1), fused(2, 0.3)], &settings(3));
        assert_eq!(arrangement.ranking.order(), [0, 2, 1]);
        assert_eq!((arrangement.scores, arrangement.max_score), (vec![None, Some(0.1), Some(0.3)], None));
    }

    #[test]
    fn a_null_score_stays_null_and_a_tail_without_scores_gets_zero() {
        let arrangement = arrange(&[None, Some(0.0), Some(0.0)], &[fused(0, 0.1), fused(1, 0.3)], &settings(2));
        assert_eq!(arrangement.scores, [None, Some(0.3), Some(0.0)]);
    }

    #[test]
    fn kept_scores_are_not_touched() {
        let kept = Settings { score: ScorePolicy::Keep, annotate: true, ..settings(2) };
        let arrangement = arrange(&[Some(2.0), Some(1.0)], &[fused(0, 0.0), fused(1, 1.0)], &kept);
        assert_eq!((arrangement.ranking.order(), &arrangement.scores[..], arrangement.max_score), (&[1, 0][..], &[None, None][..], None));
        let moved = arrangement.annotations[1].as_ref().expect("annotated");
        assert_eq!((moved.previous_rank, moved.previous_score), (2, Some(1.0)));
        let second_page = arrange(&[Some(2.0), Some(1.0)], &[fused(0, 0.0), fused(1, 1.0)], &Settings { skipped: 20, ..kept });
        assert_eq!(second_page.annotations[1].expect("annotated").previous_rank, 22);
    }

    proptest! {
        #[test]
        fn scores_descend_over_the_whole_answer(
            mut engine in prop::collection::vec(0.0_f64..50.0, 1..40),
            orders in prop::collection::vec(prop::option::of(-1.0_f64..3.0), 40),
            window in 1_usize..40,
        ) {
            engine.sort_by(|one, other| other.total_cmp(one));
            let window = window.min(engine.len());
            let fused: Vec<Fused> = orders[..window].iter().enumerate().filter_map(|(place, order)| order.map(|order| fused(place, order))).collect();
            prop_assume!(!fused.is_empty());
            let engine: Vec<Option<f64>> = engine.into_iter().map(Some).collect();
            let arrangement = arrange(&engine, &fused, &settings(window));
            let scores: Vec<f32> = arrangement.ranking.order().iter().map(|place| arrangement.scores[*place].expect("a score")).collect();
            prop_assert!(scores.is_sorted_by(|one, other| one >= other), "{scores:?}");
            prop_assert_eq!(arrangement.max_score, scores.first().copied());
            prop_assert!(arrangement.ranking.order()[window..].iter().copied().eq(window..engine.len()));
        }
    }
}
