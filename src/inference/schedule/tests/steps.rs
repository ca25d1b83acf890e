//! Single steps of the schedule.

use std::time::{Duration, Instant};

use rerank_plugin::{Digest128, Fault, Prepared, PreparedQuery, Scale, Score};

use super::{super::*, query};
use crate::rerank::Reason;

const LONG: Duration = Duration::from_secs(60);

fn schedule(keeps: bool) -> Schedule {
    Schedule::new(Settings {
        max_queue: 100,
        batch_tokens: 1000,
        target: Duration::from_millis(25),
        keeps,
        keeps_vectors: false,
        workers: 1,
    })
}

fn score() -> Score {
    Score::new(1.0, Scale::Logit).expect("finite")
}

fn enter(schedule: &mut Schedule, documents: usize, now: Instant) -> Result<SearchId, Reason> {
    let missing: Vec<(usize, usize)> = (0..documents).map(|place| (place, 10)).collect();
    let entry = Entry { lane: 0, deadline: now + LONG, documents, least: documents, partial: false, missing: &missing };
    schedule.enter(&entry, now).map(|(id, _)| id)
}

fn supply(schedule: &mut Schedule, id: SearchId, documents: std::ops::Range<u128>, now: Instant) -> usize {
    let item = |document: u128| Item { place: document as usize, document: Digest128(document), prepared: Ok(Prepared::new(10, ())) };
    let supply = Supply { name: query(1), query: PreparedQuery::new(0, ()), items: documents.map(item).collect() };
    schedule.supply(id, supply, |_| None, now).expect("it fits")
}

/// A search for the documents from 0.
fn search(schedule: &mut Schedule, documents: u128, now: Instant) -> SearchId {
    let id = enter(schedule, documents as usize, now).expect("there is room");
    supply(schedule, id, 0..documents, now);
    id
}

fn take(schedule: &mut Schedule, now: Instant) -> Vec<u128> {
    match schedule.take(0, now).work {
        TaskWork::Pass(pairs) => pairs.iter().map(|pair| pair.document.0).collect(),
        _ => Vec::new(),
    }
}

fn finish(schedule: &mut Schedule, count: usize, now: Instant) -> Tally {
    schedule.finish(0, Ended::Results(vec![Ok(score()); count]), Duration::from_millis(1), now)
}

#[test]
fn before_anything_is_known_one_pair_is_tried_and_nothing_is_shed() {
    let (mut schedule, now) = (schedule(true), Instant::now());
    search(&mut schedule, 60, now);
    assert_eq!(take(&mut schedule, now), [0], "the best hit");
    finish(&mut schedule, 1, now);
    assert_eq!(take(&mut schedule, now).len(), 4, "four times as much as was measured");
}

#[test]
fn a_search_that_asks_the_same_shares_the_pairs_and_takes_over_when_the_first_goes() {
    let (mut schedule, now) = (schedule(false), Instant::now());
    let first = search(&mut schedule, 3, now);
    let second = search(&mut schedule, 3, now);
    assert_eq!(schedule.waiting().0, 3);
    assert_eq!(take(&mut schedule, now), [0]);
    schedule.leave(first, now);
    assert_eq!(schedule.waiting().0, 2, "the second waits for them");
    finish(&mut schedule, 1, now);
    assert_eq!(take(&mut schedule, now), [1, 2]);
    finish(&mut schedule, 2, now);
    assert_eq!(schedule.take_done(), [second]);
    assert_eq!(schedule.leave(second, now).results.len(), 3);
}

#[test]
fn what_nobody_waits_for_is_stopped_and_dropped_where_it_would_not_be_kept() {
    let (mut schedule, now) = (schedule(false), Instant::now());
    let id = search(&mut schedule, 3, now);
    let TaskWork::Pass(pass) = schedule.take(0, now).work else { panic!("pairs wait") };
    schedule.leave(id, now);
    assert!(pass[0].stop.asked() && schedule.waiting() == (0, 0));
    // Somebody comes who wants the pair that is being stopped.
    let again = search(&mut schedule, 1, now);
    schedule.finish(0, Ended::Results(vec![Err(Fault::Stopped)]), Duration::ZERO, now);
    let TaskWork::Pass(second) = schedule.take(0, now).work else { panic!("it is tried again") };
    assert!(!second[0].stop.asked());
    finish(&mut schedule, 1, now);
    assert_eq!(schedule.take_done(), [again]);
}

#[test]
fn late_pairs_come_last_and_at_most_as_many_as_may_wait() {
    let (mut schedule, now) = (schedule(true), Instant::now());
    for turn in 0..10_u128 {
        let id = enter(&mut schedule, 100, now).expect("there is room");
        let item = |place: usize| Item { place, document: Digest128(1000 * turn + place as u128), prepared: Ok(Prepared::new(10, ())) };
        let items = (0..100).map(item).collect();
        schedule.supply(id, Supply { name: query(turn), query: PreparedQuery::new(0, ()), items }, |_| None, now).expect("it fits");
        schedule.leave(id, now);
    }
    assert_eq!((schedule.waiting(), schedule.pairs.len(), schedule.groups.len()), ((0, 0), 100, 1));
    search(&mut schedule, 2, now);
    assert_eq!(take(&mut schedule, now), [0], "who waits comes first");
    finish(&mut schedule, 1, now);
    assert_eq!(take(&mut schedule, now), [1]);
    let tally = finish(&mut schedule, 1, now);
    assert_eq!(tally, Tally { scored: 1, late: 0, set_aside: 0 });
    let late = take(&mut schedule, now);
    assert!(late.iter().all(|document| (9000..9100).contains(document)), "{late:?}");
    assert_eq!(finish(&mut schedule, late.len(), now).late, late.len());
}

#[test]
fn a_late_pair_that_somebody_asks_for_waits_again() {
    let (mut schedule, now) = (schedule(true), Instant::now());
    let id = search(&mut schedule, 3, now);
    schedule.leave(id, now);
    assert_eq!((schedule.waiting().0, schedule.pairs.len()), (0, 3));
    let again = search(&mut schedule, 3, now);
    assert_eq!((schedule.waiting().0, schedule.pairs.len()), (3, 3));
    for expected in [1, 2] {
        let taken = take(&mut schedule, now).len();
        assert_eq!(taken, expected);
        finish(&mut schedule, taken, now);
    }
    assert_eq!(schedule.take_done(), [again]);
    assert!(schedule.pairs.is_empty() && take(&mut schedule, now).is_empty());
}

#[test]
fn a_full_line_takes_nothing_more() {
    let (mut schedule, now) = (schedule(true), Instant::now());
    search(&mut schedule, 60, now);
    assert_eq!(enter(&mut schedule, 50, now), Err(Reason::QueueFull));
    let preparing = enter(&mut schedule, 30, now).expect("there is room for forty");
    assert_eq!(enter(&mut schedule, 20, now), Err(Reason::QueueFull), "what is being prepared has its places");
    schedule.leave(preparing, now);
    assert!(enter(&mut schedule, 40, now).is_ok());
}

#[test]
fn a_pass_that_was_too_much_is_tried_in_halves_down_to_the_pair_itself() {
    let (mut schedule, now) = (schedule(true), Instant::now());
    let id = search(&mut schedule, 60, now);
    let mut sizes = Vec::new();
    while schedule.searches[&id].missing > 0 {
        let pass = take(&mut schedule, now);
        sizes.push(pass.len());
        let too_much = || Err(Fault::Batch("no room".into()));
        let results = pass.iter().map(|document| if pass.len() > 3 || *document == 5 { too_much() } else { Ok(score()) }).collect();
        schedule.finish(0, Ended::Results(results), Duration::from_millis(1), now);
    }
    let Left { results, refused, fault } = schedule.leave(id, now);
    assert_eq!((results.len(), refused, fault), (60, None, None));
    let unscored: Vec<usize> = results.iter().filter(|(_, result)| result.is_err()).map(|(place, _)| *place).collect();
    assert_eq!(unscored, [5], "{sizes:?}");
    assert!(sizes.iter().filter(|size| **size > 3).count() <= 12, "what was too much once is not tried again and again: {sizes:?}");
}

#[test]
fn a_pair_that_makes_the_model_panic_is_found_and_left_out() {
    let (mut schedule, now) = (schedule(true), Instant::now());
    let mut panics = 0;
    for _ in 0..2 {
        let id = search(&mut schedule, 30, now);
        while schedule.searches[&id].missing > 0 {
            let pass = take(&mut schedule, now);
            if pass.contains(&7) {
                panics += 1;
                schedule.finish(0, Ended::Panic, Duration::ZERO, now);
            } else {
                finish(&mut schedule, pass.len(), now);
            }
        }
        let results = schedule.leave(id, now).results;
        assert_eq!(results.iter().filter(|(place, result)| result.is_err() == (*place == 7)).count(), 30);
    }
    assert_eq!(panics, 3, "with others, alone, and once more alone; the second search does not try it");
    let later = now + Duration::from_secs(601);
    search(&mut schedule, 8, later);
    while !take(&mut schedule, later).contains(&7) {
        finish(&mut schedule, 1, later);
    }
}

#[test]
fn a_model_that_panics_whatever_it_is_given_is_to_blame_itself() {
    let (mut schedule, now) = (schedule(true), Instant::now());
    for _ in 0..3 {
        let id = search(&mut schedule, 2, now);
        while !schedule.take_done().contains(&id) {
            assert!(!take(&mut schedule, now).is_empty());
            schedule.finish(0, Ended::Panic, Duration::ZERO, now);
        }
        assert!(matches!(schedule.leave(id, now).fault, Some(Fault::Model(_))));
    }
    let id = search(&mut schedule, 2, now);
    while !schedule.take_done().contains(&id) {
        let pass = take(&mut schedule, now).len();
        finish(&mut schedule, pass, now);
    }
    assert!(schedule.leave(id, now).results.iter().all(|(_, result)| result.is_ok()), "no pair was left out for it");
}

#[test]
fn a_fault_of_the_model_ends_all_searches_that_wait_for_the_pair() {
    let (mut schedule, now) = (schedule(true), Instant::now());
    let ids = [(); 2].map(|()| search(&mut schedule, 2, now));
    take(&mut schedule, now);
    schedule.finish(0, Ended::Results(vec![Err(Fault::Model("broken".into()))]), Duration::ZERO, now);
    let mut done = schedule.take_done();
    done.sort_unstable();
    assert_eq!(done, ids);
    assert!(ids.iter().all(|id| schedule.leave(*id, now).fault.is_some()));
}

#[test]
fn a_device_that_does_not_come_back_is_known_to_hang() {
    let (mut schedule, now) = (schedule(true), Instant::now());
    search(&mut schedule, 2, now);
    take(&mut schedule, now);
    assert!(!schedule.is_hung(now + Duration::from_secs(30)), "nobody knows how long it should take");
    assert!(schedule.is_hung(now + Duration::from_millis(30_001)));
    finish(&mut schedule, 1, now);
    assert!(!schedule.is_hung(now + LONG), "nothing is under way");
    take(&mut schedule, now);
    assert!(!schedule.is_hung(now + Duration::from_secs(2)));
    assert!(schedule.is_hung(now + Duration::from_millis(2001)), "now it is known");
}

#[test]
fn a_search_that_came_too_late_costs_nothing() {
    let (mut schedule, now) = (schedule(false), Instant::now());
    search(&mut schedule, 5, now);
    let later = now + LONG;
    assert!(take(&mut schedule, later).is_empty() && schedule.waiting() == (0, 0));
}

#[test]
fn a_search_that_is_known_to_be_late_goes_at_once() {
    let (mut schedule, now) = (schedule(false), Instant::now());
    let id = search(&mut schedule, 90, now);
    for turn in 1..=4 {
        let pass = take(&mut schedule, now).len();
        schedule.finish(
            0,
            Ended::Results(vec![Ok(score()); pass]),
            Duration::from_secs(2 * pass as u64),
            now + Duration::from_secs(2 * turn),
        );
    }
    assert!(take(&mut schedule, now + Duration::from_secs(8)).is_empty());
    assert_eq!(schedule.take_done(), [id], "the other documents of two seconds each do not fit into a minute");
    assert_eq!(schedule.leave(id, now).refused, Some(Reason::Overloaded));
    assert_eq!(enter(&mut schedule, 90, now + Duration::from_millis(8500)), Err(Reason::Overloaded), "and the next does not even come in");
}

#[test]
fn a_model_that_is_gone_lets_everybody_go() {
    let (mut schedule, now) = (schedule(true), Instant::now());
    let id = search(&mut schedule, 2, now);
    schedule.refuse(Reason::ModelUnavailable);
    assert_eq!(schedule.take_done(), [id]);
    assert_eq!(schedule.leave(id, now).refused, Some(Reason::ModelUnavailable));
    assert_eq!(enter(&mut schedule, 2, now), Err(Reason::ModelUnavailable));
    assert!(schedule.pairs.is_empty());
}
