//! How long forward passes take: learnt from those that were made, apart for each length of documents.

use std::{collections::VecDeque, time::Duration};

use super::TRIAL;

/// Lengths that are told apart: nothing left to compute, up to 32 tokens, up to 64, and so on; the last has no end.
pub const LENGTHS: usize = 9;
/// Passes of one length that are remembered.
const SAMPLES: usize = 24;
/// A pass is at most so much larger than the largest that was measured: the way up is felt, not jumped.
const GROWTH: f64 = 4.0;
/// So many passes in a row that took twice, or half, of what they should: the machine has changed, and what was before is forgotten.
const CHANGED: i32 = 3;

/// What is to be computed: tokens by the length of their documents; documents that have nothing left count one each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work([u64; LENGTHS]);

/// The pace of one device with one model.
#[derive(Debug)]
pub struct Pace {
    lines: [Line; LENGTHS],
    target: Duration,
    most_tokens: f64,
    passes: u32,
}

/// Seconds of a pass of one length: `fixed + slope * amount`.
#[derive(Debug, Default)]
struct Line {
    samples: VecDeque<Sample>,
    fixed: f64,
    slope: f64,
    largest: f64,
    strange: i32,
    warm: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    amount: f64,
    seconds: f64,
}

// === impl Work ===

impl Work {
    /// Adds a document.
    pub fn add(&mut self, cost: u32) {
        self.0[length(cost)] += u64::from(cost.max(1));
    }

    /// Takes a document away.
    pub fn remove(&mut self, cost: u32) {
        let own = &mut self.0[length(cost)];
        *own = own.saturating_sub(u64::from(cost.max(1)));
    }

    /// Adds other work.
    pub fn add_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, more)| *own += more);
    }

    fn amounts(&self) -> impl Iterator<Item = (usize, f64)> {
        self.0.iter().enumerate().filter(|(_, amount)| **amount > 0).map(|(at, amount)| (at, *amount as f64))
    }
}

fn length(cost: u32) -> usize {
    if cost == 0 { 0 } else { (1 + cost.div_ceil(32).next_power_of_two().ilog2() as usize).min(LENGTHS - 1) }
}

// === impl Pace ===

impl Pace {
    /// Knows nothing yet; passes are to take `target` and have at most `most_tokens`.
    pub fn new(target: Duration, most_tokens: u32) -> Self {
        Self { lines: Default::default(), target, most_tokens: f64::from(most_tokens), passes: 0 }
    }

    /// Whether enough was measured to turn searches away for it: the first passes are small, and warm caches up.
    pub fn is_settled(&self) -> bool {
        self.passes >= TRIAL as u32
    }

    /// Learns how long a pass of this work took.
    pub fn learn(&mut self, work: &Work, took: Duration) {
        let share = |(at, amount): (usize, f64)| self.line(at).map_or(amount, |line| line.slope * amount);
        let Some((main, amount)) = work.amounts().max_by(|one, other| share(*one).total_cmp(&share(*other))) else { return };
        let rest: f64 = work.amounts().filter(|(at, _)| *at != main).filter_map(|(at, other)| Some(self.line(at)?.slope * other)).sum();
        let seconds = took.as_secs_f64();
        self.passes = self.passes.saturating_add(1);
        // What the other lengths took is known only about.
        self.lines[main].learn(Sample { amount, seconds: (seconds - rest).max(seconds * 0.1) });
    }

    /// Returns how long one pass of this work takes; `None` before anything was measured.
    pub fn pass(&self, work: &Work) -> Option<Duration> {
        let mut fixed = 0.0_f64;
        let mut seconds = 0.0;
        for (at, amount) in work.amounts() {
            let line = self.line(at)?;
            fixed = fixed.max(line.fixed);
            seconds += line.slope * amount;
        }
        Some(duration(fixed + seconds))
    }

    /// Returns how long this work takes when it goes through in passes of the usual size, with that of others.
    pub fn drain(&self, work: &Work) -> Option<Duration> {
        let mut seconds = 0.0;
        for (at, amount) in work.amounts() {
            let line = self.line(at)?;
            seconds += amount * (line.slope + line.fixed / self.amount_in(line, self.target_of(line)).max(1.0));
        }
        Some(duration(seconds))
    }

    /// Returns how much of one length goes into a pass that is to take `time`: 0 when that is unknown.
    pub fn fits(&self, cost: u32, time: Duration) -> f64 {
        let Some(line) = self.line(length(cost)) else { return 0.0 };
        self.amount_in(line, self.target_of(line).min(time.as_secs_f64()))
    }

    /// A pass that takes much longer than its fixed part wastes little on it.
    fn target_of(&self, line: &Line) -> f64 {
        self.target.as_secs_f64().max(2.0 * line.fixed)
    }

    fn amount_in(&self, line: &Line, seconds: f64) -> f64 {
        let amount = (seconds - line.fixed).max(0.0) / line.slope.max(1e-12);
        amount.min(line.largest * GROWTH).min(self.most_tokens)
    }

    /// Returns what is known of a length, or of the nearest one that is known.
    fn line(&self, at: usize) -> Option<&Line> {
        let known = |length: &usize| !self.lines[*length].samples.is_empty();
        // Documents that have nothing left are like no others.
        let nearest = || (1..LENGTHS).filter(known).min_by_key(|other| other.abs_diff(at));
        let found = Some(at).filter(known).or_else(nearest)?;
        Some(&self.lines[found])
    }
}

// === impl Line ===

impl Line {
    fn at(&self, amount: f64) -> f64 {
        self.fixed + self.slope * amount
    }

    fn learn(&mut self, sample: Sample) {
        if self.samples.len() > 1 {
            let ratio = sample.seconds / self.at(sample.amount).max(1e-9);
            self.strange = match ratio {
                ratio if ratio > 2.0 => self.strange.max(0) + 1,
                ratio if ratio < 0.5 => self.strange.min(0) - 1,
                _ => 0,
            };
        }
        self.samples.push_back(sample);
        self.largest = self.largest.max(sample.amount);
        let mut keep = SAMPLES;
        if self.strange.abs() >= CHANGED {
            self.strange = 0;
            keep = CHANGED as usize;
        }
        // The very first pass warms caches up and tells little.
        if !self.warm && self.samples.len() > 1 {
            self.warm = true;
            keep = 1;
        }
        self.samples.drain(..self.samples.len().saturating_sub(keep));
        self.fit();
    }

    /// Puts a line through the samples, and another through those that lie near it.
    fn fit(&mut self) {
        let all: Vec<Sample> = self.samples.iter().copied().collect();
        (self.fixed, self.slope) = through(&all);
        let mut gaps: Vec<f64> = all.iter().map(|sample| (sample.seconds - self.at(sample.amount)).abs()).collect();
        gaps.sort_by(f64::total_cmp);
        let bound = 4.0 * gaps[gaps.len() / 2] + 1e-5;
        let near: Vec<Sample> = all.into_iter().filter(|sample| (sample.seconds - self.at(sample.amount)).abs() <= bound).collect();
        if near.len() > 1 {
            (self.fixed, self.slope) = through(&near);
        }
    }
}

/// Returns the line of least squares that makes sense: nothing takes less than no time, and more never takes less.
fn through(samples: &[Sample]) -> (f64, f64) {
    let count = samples.len() as f64;
    let (x, y) = samples.iter().fold((0.0, 0.0), |(x, y), sample| (x + sample.amount / count, y + sample.seconds / count));
    let spread: f64 = samples.iter().map(|sample| (sample.amount - x).powi(2)).sum();
    let along: f64 = samples.iter().map(|sample| (sample.amount - x) * (sample.seconds - y)).sum();
    let proportional = (0.0, y / x.max(1.0));
    if samples.len() < 4 || spread < count * (0.1 * x).powi(2) {
        return proportional;
    }
    let slope = (along / spread).max(0.05 * proportional.1);
    match y - slope * x {
        fixed if fixed > 0.0 => (fixed, slope),
        _ => proportional,
    }
}

fn duration(seconds: f64) -> Duration {
    const LONGEST: f64 = 1e6;
    Duration::from_secs_f64(seconds.clamp(0.0, LONGEST))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Pace, Work};

    const TARGET: Duration = Duration::from_millis(25);

    fn work(count: usize, cost: u32) -> Work {
        let mut work = Work::default();
        (0..count).for_each(|_| work.add(cost));
        work
    }

    /// A device that takes `fixed` for each pass and so much for each token, measured with passes of these sizes.
    fn measured(fixed: f64, per_token: f64, sizes: impl Iterator<Item = usize>) -> Pace {
        let mut pace = Pace::new(TARGET, 16_384);
        for size in sizes {
            pace.learn(&work(size, 100), Duration::from_secs_f64(fixed + per_token * 100.0 * size as f64));
        }
        pace
    }

    fn ms(duration: Option<Duration>) -> f64 {
        duration.expect("something was measured").as_secs_f64() * 1e3
    }

    #[test]
    fn nothing_is_assumed_before_anything_is_measured() {
        let pace = Pace::new(TARGET, 16_384);
        assert_eq!((pace.pass(&work(1, 10)), pace.drain(&work(1, 10)), pace.fits(10, TARGET)), (None, None, 0.0));
        assert_eq!(pace.pass(&Work::default()), Some(Duration::ZERO), "nothing takes no time");
    }

    #[test]
    fn the_fixed_part_and_the_part_of_each_token_are_told_apart() {
        let pace = measured(5e-3, 1e-5, (0..40).map(|turn| 1 + turn % 9));
        assert!((ms(pace.pass(&work(4, 100))) - 9.0).abs() < 0.1, "{:?}", pace.pass(&work(4, 100)));
        // 20 ms are left for tokens: 2000 of them in a pass.
        assert!((pace.fits(100, TARGET) - 2000.0).abs() < 50.0, "{}", pace.fits(100, TARGET));
        assert!((ms(pace.drain(&work(200, 100))) - 250.0).abs() < 10.0, "ten passes: {:?}", pace.drain(&work(200, 100)));
    }

    #[test]
    fn a_pass_that_took_unusually_long_changes_nothing_and_three_in_a_row_everything() {
        let mut pace = measured(0.0, 1e-5, (0..20).map(|turn| 1 + turn % 9));
        let slow = Duration::from_millis(100);
        for _ in 0..2 {
            pace.learn(&work(5, 100), slow);
            assert!((ms(pace.pass(&work(5, 100))) - 5.0).abs() < 1.0, "{:?}", pace.pass(&work(5, 100)));
        }
        pace.learn(&work(5, 100), slow);
        assert!((ms(pace.pass(&work(5, 100))) - 100.0).abs() < 1.0, "{:?}", pace.pass(&work(5, 100)));
    }

    #[test]
    fn the_first_pass_which_warms_up_is_forgotten_and_larger_ones_are_tried_step_by_step() {
        let mut pace = Pace::new(TARGET, 16_384);
        pace.learn(&work(1, 100), Duration::from_millis(500));
        assert_eq!(pace.fits(100, TARGET), 5.0, "less than one document");
        pace.learn(&work(1, 100), Duration::from_micros(100));
        assert_eq!(pace.fits(100, TARGET), 400.0, "four times what was measured");
    }

    #[test]
    fn lengths_are_told_apart_and_an_unknown_one_is_like_its_neighbour() {
        let mut pace = Pace::new(TARGET, 16_384);
        for _ in 0..5 {
            pace.learn(&work(10, 0), Duration::from_micros(10));
            pace.learn(&work(2, 500), Duration::from_millis(30));
        }
        assert!(ms(pace.pass(&work(100, 0))) < 0.2);
        assert!((ms(pace.pass(&work(1, 500))) - 15.0).abs() < 0.1);
        assert!((ms(pace.pass(&work(5, 100))) - 15.0).abs() < 0.1, "by the tokens of the nearest length");
    }

    #[test]
    fn a_dear_fixed_part_makes_passes_longer_than_usual() {
        let pace = measured(40e-3, 1e-5, (0..40).map(|turn| 1 + turn % 9));
        assert!(pace.fits(100, Duration::from_secs(1)) > 3000.0, "{}", pace.fits(100, Duration::from_secs(1)));
    }
}
