//! Rounds of requests to several targets in turn, and what each target's took.

use std::{io, time::Duration};

use super::{
    arrivals::{Schedule, Served, Target, send},
    report::{Spread, quantile},
};

/// Requests that may be under way at one time.
const CONNECTIONS: usize = 16;

/// A warm round before those that count, in seconds.
const WARM: f64 = 1.0;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// A figure is the median of them.
    pub count: usize,
    /// Requests in a second, all targets together.
    pub rate: f64,
    /// Seconds of one.
    pub seconds: f64,
}

/// What one target's requests took, round by round.
#[derive(Debug, Default)]
pub struct Measured {
    rounds: Vec<Vec<Duration>>,
}

/// Runs the rounds, each over all targets; fails when any answer was not the expected one.
///
/// # Errors
/// The first answer that was not expected.
pub fn measure(targets: &[Target], rounds: &Rounds) -> io::Result<Vec<Measured>> {
    let schedule = |seconds| Schedule { rate: rounds.rate, duration: Duration::from_secs_f64(seconds), connections: CONNECTIONS };
    // What it fills the caches with is expected to be in them afterwards: its own answers are not looked at.
    drop(send(targets, schedule(WARM)));
    let mut measured: Vec<Measured> = targets.iter().map(|_| Measured::default()).collect();
    for _ in 0..rounds.count {
        let served = check(send(targets, schedule(rounds.seconds)))?;
        measured.iter_mut().zip(served).for_each(|(all, one)| all.rounds.push(one.latencies));
    }
    Ok(measured)
}

/// Passes on what no target failed at.
///
/// # Errors
/// The first answer that was not expected.
pub fn check(served: Vec<Served>) -> io::Result<Vec<Served>> {
    match served.iter().enumerate().find_map(|(number, one)| Some((number, one.failed, one.failure.as_ref()?))) {
        Some((number, failed, failure)) => Err(io::Error::other(format!("target {number}: {failed} failed, the first: {failure}"))),
        None => Ok(served),
    }
}

// === impl Measured ===

impl Measured {
    /// The median of each round.
    pub fn p50(&self) -> Spread {
        Spread::new(self.rounds.iter().map(|round| quantile(round, 0.5)))
    }

    /// The 99th percentile of each round.
    pub fn p99(&self) -> Spread {
        Spread::new(self.rounds.iter().map(|round| quantile(round, 0.99)))
    }

    /// The difference of a quantile, round by round.
    pub fn added_to(&self, direct: &Self, share: f64) -> Spread {
        Spread::new(self.rounds.iter().zip(&direct.rounds).map(|(own, other)| quantile(own, share) - quantile(other, share)))
    }

    /// A quantile over all rounds: one round has too few requests for a rare one.
    pub fn pooled(&self, share: f64) -> f64 {
        quantile(&self.rounds.concat(), share)
    }
}
