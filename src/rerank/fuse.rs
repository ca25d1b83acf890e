//! The engine's and the model's scores become one: formulas and measurements in docs/fusion.md.

use rerank_plugin::{Scale, Score};

use crate::config::Fusion;

/// How far a model is to be believed on one index, learnt from windows: rho is the running mean of the correlation of
/// the engine's scores with the model's inside a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trust {
    windows: f64,
    rho: f64,
}

/// One scored hit of a window, in the engine's order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The engine's score, if it gave one.
    pub first_stage: Option<f64>,
    /// Its place in the engine's order, from 0.
    pub rank: usize,
    /// The model's score.
    pub rerank: Score,
}

/// What the fused score needs besides the pairs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The formula.
    pub fusion: Fusion,
    /// The model's unit: how much higher it scores matched than unmatched pairs; measured, `None` when it does not.
    pub unit: Option<f64>,
    /// Trust in the model, for [`Fusion::Adaptive`].
    pub trust: f64,
    /// Hits of the window, scored or not.
    pub window: usize,
}

const LEAST_TRUST: f64 = 0.1;
const FULL_TRUST_RHO: f64 = 0.45;
const MOST_WINDOWS: f64 = 500.0;
const LEAST_PAIRS_TO_LEARN: usize = 8;
const RRF_CONSTANT: f64 = 60.0;

/// Returns the rule's fusion, or the one that fits the model: adaptive for cosines, which say little by themselves, where the
/// model's unit could be measured.
pub fn fusion_of(rule: Option<Fusion>, scale: Scale, has_unit: bool) -> Fusion {
    rule.unwrap_or(match scale {
        Scale::Cosine if has_unit => Fusion::Adaptive,
        Scale::Cosine | Scale::Logit | Scale::Probability => Fusion::Replace,
    })
}

/// Returns the final score of each pair, all finite; a larger one is better and equal ones keep the engine's order.
///
/// `None` stands for the engine's own order: fewer than two pairs, or adaptive fusion of a model without a unit.
pub fn fuse(pairs: &[Pair], settings: &Settings) -> Option<Vec<f64>> {
    if pairs.len() < 2 {
        return None;
    }
    let orders = || pairs.iter().map(|pair| f64::from(pair.rerank.order()));
    match settings.fusion {
        Fusion::Replace => Some(orders().collect()),
        Fusion::Weighted { weight } => Some(weighted(pairs, weight, settings.window)),
        Fusion::Rrf => Some(reciprocal_ranks(pairs)),
        Fusion::Adaptive => {
            let unit = settings.unit?;
            let least = orders().fold(f64::INFINITY, f64::min);
            let first_stage = first_stage_parts(pairs, settings.window, |low, high| low.min((2.0 * low - high).max(0.0)));
            let finals = first_stage.iter().zip(orders()).map(|(part, order)| (part + settings.trust * (order - least) / unit) / 2.0);
            Some(finals.collect())
        }
    }
}

/// Returns the score that people see in `_score` for a fused score: never negative.
pub fn presented(fusion: Fusion, fused: f64, rerank: Score) -> f64 {
    match fusion {
        Fusion::Replace => f64::from(rerank.presented()),
        Fusion::Adaptive | Fusion::Weighted { .. } | Fusion::Rrf => fused.max(0.0),
    }
}

fn weighted(pairs: &[Pair], weight: f64, window: usize) -> Vec<f64> {
    let model = pairs.iter().map(|pair| match pair.rerank.scale() {
        Scale::Cosine => f64::from(pair.rerank.order()),
        Scale::Logit | Scale::Probability => f64::from(pair.rerank.presented()),
    });
    let first_stage = first_stage_parts(pairs, window, |low, _| low);
    model.zip(first_stage).map(|(model, part)| weight * model + (1.0 - weight) * part).collect()
}

/// Ranks by the model are shared by equal scores, so that a model without an opinion changes nothing.
fn reciprocal_ranks(pairs: &[Pair]) -> Vec<f64> {
    let mut orders: Vec<f32> = pairs.iter().map(|pair| pair.rerank.order()).collect();
    orders.sort_unstable_by(|one, other| other.total_cmp(one));
    let better = |pair: &Pair| orders.partition_point(|order| *order > pair.rerank.order());
    let reciprocal = |rank: usize| 1.0 / (RRF_CONSTANT + rank as f64 + 1.0);
    pairs.iter().enumerate().map(|(place, pair)| reciprocal(place) + reciprocal(better(pair))).collect()
}

/// Returns `(b - zero) / (max - zero)`; all parts are 0 when all scores are equal or null, and a single null counts by its rank.
fn first_stage_parts(pairs: &[Pair], window: usize, zero: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let Some((low, high)) = range(pairs) else { return vec![0.0; pairs.len()] };
    let zero = zero(low, high);
    let by_rank = |rank: usize| 1.0 - rank as f64 / window.max(1) as f64;
    pairs.iter().map(|pair| pair.first_stage.map_or_else(|| by_rank(pair.rank), |score| (score - zero) / (high - zero))).collect()
}

/// Returns the least and the greatest first-stage score, if they differ.
fn range(pairs: &[Pair]) -> Option<(f64, f64)> {
    let scores = || pairs.iter().filter_map(|pair| pair.first_stage);
    let low = scores().fold(f64::INFINITY, f64::min);
    let high = scores().fold(f64::NEG_INFINITY, f64::max);
    (high > low).then_some((low, high))
}

// === impl Trust ===

impl Default for Trust {
    /// What is believed before the first window.
    fn default() -> Self {
        Self { windows: 20.0, rho: 0.30 }
    }
}

impl Trust {
    /// Returns the trust after one more scored window. Windows that tell nothing leave it as it is.
    #[must_use]
    pub fn learn(self, pairs: &[Pair]) -> Self {
        let Some(correlation) = correlation(pairs) else { return self };
        let windows = (self.windows + 1.0).min(MOST_WINDOWS);
        Self { windows, rho: self.rho + (correlation - self.rho) / windows }
    }

    /// Trust in the model, 0.1..=1.
    pub fn value(self) -> f64 {
        (self.rho.max(0.0) / FULL_TRUST_RHO).powi(2).clamp(LEAST_TRUST, 1.0)
    }
}

/// Returns Pearson's correlation over the pairs that have both scores, if there are enough of them and both vary.
fn correlation(pairs: &[Pair]) -> Option<f64> {
    let both: Vec<(f64, f64)> = pairs.iter().filter_map(|pair| Some((pair.first_stage?, f64::from(pair.rerank.order())))).collect();
    if both.len() < LEAST_PAIRS_TO_LEARN {
        return None;
    }
    let count = both.len() as f64;
    let mean = |side: fn(&(f64, f64)) -> f64| both.iter().map(side).sum::<f64>() / count;
    let (mean_first, mean_rerank) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let moment = |product: &dyn Fn(f64, f64) -> f64| {
        both.iter().map(|(first, rerank)| product(first - mean_first, rerank - mean_rerank)).sum::<f64>()
    };
    let covariance = moment(&|first, rerank| first * rerank);
    let spread = moment(&|first, _| first * first) * moment(&|_, rerank| rerank * rerank);
    Some(covariance / spread.sqrt()).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rerank_plugin::{Scale, Score};

    use super::{Pair, Settings, Trust, fuse};
    use crate::config::Fusion;

    fn pairs(scores: &[(Option<f64>, f32)]) -> Vec<Pair> {
        let pair = |(rank, (first_stage, order)): (usize, &(Option<f64>, f32))| Pair {
            first_stage: *first_stage,
            rank,
            rerank: Score::new(*order, Scale::Cosine).expect("finite"),
        };
        scores.iter().enumerate().map(pair).collect()
    }

    fn settings(fusion: Fusion, trust: f64) -> Settings {
        Settings { fusion, unit: Some(0.5), trust, window: 4 }
    }

    fn assert_close(left: Option<Vec<f64>>, right: &[f64]) {
        let left = left.expect("fused");
        assert!(left.len() == right.len() && left.iter().zip(right).all(|(one, other)| (one - other).abs() < 1e-6), "{left:?} {right:?}");
    }

    #[test]
    fn adaptive_is_the_documented_formula() {
        // z = min(4, max(0, 2·4 − 10)) = 0, so B = b / 10; model part = 0.6 · (c − 0.1) / 0.5.
        let pairs = pairs(&[(Some(10.0), 0.1), (Some(6.0), 0.6), (Some(4.0), 0.3)]);
        assert_close(fuse(&pairs, &settings(Fusion::Adaptive, 0.6)), &[0.5, 0.6, 0.32]);
    }

    #[test]
    fn adaptive_zero_rises_where_scores_lie_close_together() {
        // z = min(9, max(0, 18 − 10)) = 8, so B = (b − 8) / 2.
        let pairs = pairs(&[(Some(10.0), 0.0), (Some(9.0), 0.0)]);
        assert_close(fuse(&pairs, &settings(Fusion::Adaptive, 1.0)), &[0.5, 0.25]);
    }

    #[test]
    fn weighted_replace_and_rrf_are_the_documented_formulas() {
        let pairs = pairs(&[(Some(3.0), 0.2), (Some(2.0), 0.9), (Some(1.0), 0.2)]);
        assert_close(fuse(&pairs, &settings(Fusion::Weighted { weight: 0.5 }, 1.0)), &[0.6, 0.7, 0.1]);
        assert_close(fuse(&pairs, &settings(Fusion::Replace, 1.0)), &[0.2, 0.9, 0.2]);
        assert_close(
            fuse(&pairs, &settings(Fusion::Rrf, 1.0)),
            &[1.0 / 61.0 + 1.0 / 62.0, 1.0 / 62.0 + 1.0 / 61.0, 1.0 / 63.0 + 1.0 / 62.0],
        );
    }

    #[test]
    fn case_24_equal_or_missing_first_stage_scores_leave_the_decision_to_the_model() {
        for first_stage in [None, Some(0.0), Some(7.0)] {
            let pairs = pairs(&[(first_stage, 0.1), (first_stage, 0.6)]);
            assert_close(fuse(&pairs, &settings(Fusion::Adaptive, 1.0)), &[0.0, 0.5]);
        }
        let pairs = pairs(&[(Some(2.0), 0.0), (None, 0.0), (Some(1.0), 0.0)]);
        assert_close(fuse(&pairs, &settings(Fusion::Weighted { weight: 0.5 }, 1.0)), &[0.5, 0.375, 0.0]);
    }

    #[test]
    fn too_few_pairs_or_a_model_without_a_unit_keep_the_engines_order() {
        let two = pairs(&[(Some(2.0), 0.0), (Some(1.0), 1.0)]);
        assert_eq!(fuse(&two[..1], &settings(Fusion::Replace, 1.0)), None);
        assert_eq!(fuse(&two, &Settings { unit: None, ..settings(Fusion::Adaptive, 1.0) }), None);
    }

    #[test]
    fn trust_follows_the_correlation_of_windows() {
        let agreeing: Vec<_> = (0..10_u8).map(|number| (Some(f64::from(number)), f32::from(number))).collect();
        let opposed: Vec<_> = (0..10_u8).map(|number| (Some(f64::from(number)), -f32::from(number))).collect();
        let start = Trust::default();
        assert!((start.value() - (0.30_f64 / 0.45).powi(2)).abs() < 1e-9);
        assert!((start.learn(&pairs(&agreeing)).rho - (0.30 + 0.70 / 21.0)).abs() < 1e-9);
        assert_eq!(start.learn(&pairs(&agreeing[..7])), start, "seven pairs tell too little");
        assert_eq!(start.learn(&pairs(&[(Some(1.0), 0.5); 9])), start, "equal scores tell nothing");
        let believed = (0..1000).fold(start, |trust, _| trust.learn(&pairs(&agreeing)));
        assert_eq!((believed.value(), believed.windows), (1.0, 500.0));
        let distrusted = (0..1000).fold(start, |trust, _| trust.learn(&pairs(&opposed)));
        assert_eq!(distrusted.value(), 0.1);
    }

    proptest! {
        #[test]
        fn fused_scores_are_finite(scores in prop::collection::vec((prop::option::of(-1e30_f64..1e30), -1e30_f32..1e30), 2..20)) {
            for fusion in [Fusion::Adaptive, Fusion::Weighted { weight: 0.3 }, Fusion::Replace, Fusion::Rrf] {
                let fused = fuse(&pairs(&scores), &settings(fusion, 0.5)).expect("two pairs or more");
                prop_assert!(fused.iter().all(|score| score.is_finite()));
            }
        }
    }
}
