//! Figures of rounds: quantiles, medians with their spread.

use std::{fmt, time::Duration};

/// A figure of each round.
#[derive(Clone, Debug)]
pub struct Spread(Vec<f64>);

/// Returns the latency below which this share of them lies, in milliseconds; not a number when there is none.
pub fn quantile(latencies: &[Duration], share: f64) -> f64 {
    let mut sorted: Vec<f64> = latencies.iter().map(|latency| latency.as_secs_f64() * 1e3).collect();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

// === impl Spread ===

impl Spread {
    /// Keeps one figure for each round.
    pub fn new(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }

    /// The median round's figure.
    pub fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Spread {
    /// Writes the median and, in brackets, the least and the greatest.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [least, greatest] = [self.0.first(), self.0.last()].map(|figure| figure.copied().unwrap_or(f64::NAN));
        write!(out, "{:.2} ({least:.2} to {greatest:.2})", self.median())
    }
}
