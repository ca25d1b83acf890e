//! Says ahead of time how much of a search will be scored in time: what stands before it, its lane's share, and what it costs itself.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Flight, Schedule, Search, Worker, pace::Work};

/// How much longer than predicted a search may take: at least, at most, and how that changes with one that came too late and one that
/// was in time. What it costs itself is known better than what stands before it, and counts with the least.
const CAUTION: (f64, f64) = (1.1, 1.5);
const MORE_CAUTION: f64 = 1.05;
const LESS_CAUTION: f64 = 0.998;
/// What comes behind the last score: the page is cut and sent.
const BEHIND: Duration = Duration::from_millis(1);

/// What stands before a search.
struct Ahead {
    own_lane: Work,
    other_lanes: Vec<Work>,
    /// Seconds until what is under way has come to an end.
    under_way: f64,
}

// === impl Schedule ===

impl Schedule {
    /// Returns how many of the first documents of these costs will be scored before the deadline; all of them as long as nothing is
    /// known of the model.
    pub(super) fn fits(&self, (lane, deadline): (usize, Instant), costs: &[u32], now: Instant) -> usize {
        let budget = deadline.saturating_duration_since(now).saturating_sub(BEHIND).as_secs_f64();
        if self.is_trial(now) {
            return costs.len();
        }
        let ahead = self.ahead(lane, deadline, now);
        let Some(before) = self.takes(&ahead, &Work::default()) else { return costs.len() };
        let is_late = |count: usize| {
            let mut own = Work::default();
            costs[..count].iter().for_each(|cost| own.add(*cost));
            let together = self.takes(&ahead, &own);
            together.is_some_and(|seconds| before * self.caution + (seconds - before) * CAUTION.0 > budget)
        };
        if !is_late(costs.len()) {
            return costs.len();
        }
        // The more documents, the later: halves are left out until the first that is late is found.
        let (mut fit, mut late) = (0, costs.len());
        while fit + 1 < late {
            let middle = fit.midpoint(late);
            if is_late(middle) { late = middle } else { fit = middle }
        }
        fit
    }

    /// Returns whether a search that stands first in its lane will be late whatever is done: its time is better spent on the next.
    pub(super) fn is_hopeless(&self, search: &Search, now: Instant) -> bool {
        if search.partial || self.passes < search.tries_until {
            return false;
        }
        let left = search.deadline.saturating_duration_since(now).as_secs_f64();
        let ahead = Ahead { own_lane: Work::default(), under_way: 0.0, ..self.ahead(search.lane, search.entered, now) };
        self.takes(&ahead, &search.left).is_some_and(|seconds| seconds > left)
    }

    /// Learns from a search that was let in, and had its scores in time, or cost something and had not.
    pub(super) fn learn_caution(&mut self, in_time: bool) {
        let factor = if in_time { LESS_CAUTION } else { MORE_CAUTION };
        self.caution = (self.caution * factor).clamp(CAUTION.0, CAUTION.1);
    }

    /// Whether nothing was measured for a while and nothing is: what was known is not believed then, lest a device that was slow once is
    /// never asked again.
    pub(super) fn is_trial(&self, now: Instant) -> bool {
        const BELIEVED: Duration = Duration::from_secs(1);
        let is_idle = self.workers.iter().all(|worker| worker.flight.is_none());
        let nobody_waits = self.searches.values().all(|search| search.pending.is_empty() && search.reserved == 0);
        is_idle && nobody_waits && self.measured.is_none_or(|measured| measured + BELIEVED <= now)
    }

    fn ahead(&self, lane: usize, deadline: Instant, now: Instant) -> Ahead {
        let mut lanes: BTreeMap<usize, Work> = BTreeMap::new();
        for search in self.searches.values().filter(|search| search.deadline > now) {
            if search.lane != lane || search.deadline <= deadline {
                lanes.entry(search.lane).or_default().add_all(&search.left);
            }
        }
        let own_lane = lanes.remove(&lane).unwrap_or_default();
        let flights = self.workers.iter().filter_map(|worker| worker.flight.as_ref());
        let under_way = flights.map(|flight| flight.seconds_left(now)).sum::<f64>() / self.workers.len().max(1) as f64;
        Ahead { own_lane, other_lanes: lanes.into_values().collect(), under_way }
    }

    /// Returns the seconds until `own` is done. Lanes are served alike: until the own one has got what it needs, each other gets as
    /// much, or all that it wants.
    fn takes(&self, ahead: &Ahead, own: &Work) -> Option<f64> {
        let mut together = ahead.own_lane;
        together.add_all(own);
        let lane = self.drain(&together)?.max(self.drain(&ahead.own_lane)? + self.pass(own)?);
        let others: Option<f64> = ahead.other_lanes.iter().map(|work| Some(self.drain(work)?.min(lane))).sum();
        Some(ahead.under_way + lane + others?)
    }

    /// Returns the seconds in which all devices together do this work; `None` when none of them is known.
    fn drain(&self, work: &Work) -> Option<f64> {
        let speeds = self.settled().filter_map(|worker| Some(1.0 / worker.pace.drain(work)?.as_secs_f64().max(1e-9)));
        let together: f64 = speeds.sum();
        (together > 0.0).then(|| 1.0 / together)
    }

    fn settled(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(|worker| worker.pace.is_settled())
    }

    /// Returns the seconds of one pass on the fastest device.
    fn pass(&self, work: &Work) -> Option<f64> {
        let passes = self.settled().filter_map(|worker| worker.pace.pass(work));
        passes.min().map(|pass| pass.as_secs_f64())
    }
}

// === impl Flight ===

impl Flight {
    fn seconds_left(&self, now: Instant) -> f64 {
        let ran = now.saturating_duration_since(self.begun);
        match self.expected {
            // Who is very late will be later still.
            Some(expected) if ran > expected * 2 => ran.as_secs_f64(),
            Some(expected) => expected.saturating_sub(ran).as_secs_f64(),
            None => 0.0,
        }
    }
}
