//! What comes of more work than there is time for.

use std::time::Duration;

use super::drive::{Became, Device, Drive, Planned, ms};

/// Ten searches a second: each has 100 documents of 100 tokens, at 10 µs a token.
const CAPACITY: usize = 10;

fn search(at: Duration, lane: usize, query: u128, count: u128) -> Planned {
    Planned {
        at,
        lane,
        budget: ms(300),
        query,
        documents: (0..count).collect(),
        least: count as usize,
        partial: false,
        cancelled: None,
        prepares: ms(1),
        leaves_late: ms(1),
    }
}

fn alike(_: u128) -> u32 {
    100
}

/// A flood of other searches each time, evenly spaced, for ten seconds.
fn flood(times: usize) -> Vec<Planned> {
    let count = CAPACITY * times * 10;
    (0..count).map(|turn| search(Duration::from_secs(10) * turn as u32 / count as u32, 0, turn as u128 % 900, 100)).collect()
}

fn run(planned: Vec<Planned>, device: Device) -> Drive {
    let mut drive = Drive::new(device);
    drive.run(planned);
    drive.assert_nothing_left();
    drive
}

fn whole(became: &[Became]) -> usize {
    became.iter().filter(|became| became.is_whole()).count()
}

#[test]
fn goodput_stays_when_ten_times_as_much_comes_as_can_be_done() {
    let device = Device { length: alike, keeps: false, fixed: ms(0), ..Device::default() };
    for times in [2, 10] {
        let drive = run(flood(times), device.clone());
        let served = whole(&drive.became);
        println!("{times} times the capacity: {served} of {} searches are served, 100 could be", drive.became.len());
        assert!(served >= 90, "{times}: {served}");
        let begun_in_vain = drive.became.iter().filter(|became| became.refused.is_none() && !became.is_whole()).count();
        assert!(begun_in_vain <= 3, "{times}: {begun_in_vain} searches were begun and came too late");
        assert!(drive.became.iter().all(|became| became.took <= ms(301)));
    }
}

#[test]
fn a_window_that_may_be_smaller_is_made_smaller_instead_of_shed() {
    let device = Device { length: alike, keeps: false, fixed: ms(0), ..Device::default() };
    let planned = flood(3).into_iter().map(|planned| Planned { least: 20, ..planned }).collect();
    let drive = run(planned, device);
    // After the first, before which nothing is known.
    let served = whole(&drive.became);
    let windows: usize = drive.became.iter().filter(|became| became.is_whole()).map(|became| became.asked).sum();
    println!("at three times the capacity {served} of 300 searches are served, with {} documents each", windows / served);
    assert!(served >= 250, "{served}");
    assert!(windows >= 9000, "and the device is busy: {windows} documents, 10000 could be");
}

#[test]
fn a_heavy_lane_does_not_starve_a_light_one() {
    let device = Device { length: alike, keeps: false, fixed: ms(0), ..Device::default() };
    let mut planned = flood(10);
    // A tenth of what the device can do.
    planned.extend((0..100).map(|turn| search(ms(100 * turn), 1, 900 + turn as u128 % 90, 10)));
    let drive = run(planned, device);
    let light: Vec<&Became> = drive.became.iter().filter(|became| became.planned.lane == 1).collect();
    let served = light.iter().filter(|became| became.is_whole()).count();
    let mut times: Vec<Duration> = light.iter().map(|became| became.took).collect();
    times.sort_unstable();
    println!("the light lane: {served} of 100 served, half of them within {:?}, all within {:?}", times[50], times[99]);
    assert!(served >= 99, "{served}");
    // Its own 10 ms, as much of the other lane, and what is under way.
    assert!(times[95] <= ms(80), "{:?}", times[95]);
    let heavy = drive.became.iter().filter(|became| became.planned.lane == 0 && became.is_whole()).count();
    println!("the heavy lane: {heavy} of 90 that could be");
    assert!(heavy >= 75, "what is left goes to the other lane: {heavy}");
}

#[test]
fn two_heavy_lanes_share_alike() {
    let device = Device { length: alike, keeps: false, fixed: ms(0), ..Device::default() };
    let mut planned = flood(5);
    planned.extend(flood(20).into_iter().map(|other| Planned { lane: 1, query: other.query + 1, ..other }));
    let drive = run(planned, device);
    let served = [0, 1].map(|lane| drive.became.iter().filter(|became| became.planned.lane == lane && became.is_whole()).count());
    println!("one lane asks four times as much as the other: {served:?}");
    assert!(served.iter().all(|served| (40..=60).contains(served)), "{served:?}");
}

#[test]
fn a_lane_does_not_pay_for_what_it_had_when_it_was_alone() {
    let device = Device { length: alike, keeps: false, fixed: ms(0), ..Device::default() };
    let later = |planned: Planned| Planned { at: planned.at + Duration::from_secs(20), ..planned };
    // Ten seconds of the one alone, ten of nobody but a few of the other, ten of both.
    let mut planned = flood(2);
    planned.extend((0..10).map(|turn| search(ms(12_000 + 500 * turn), 1, 900, 10)));
    planned.extend(flood(4).into_iter().map(later));
    planned.extend(flood(4).into_iter().map(|other| Planned { lane: 1, query: (other.query + 450) % 900, ..later(other) }));
    let drive = run(planned, device);
    let of = |became: &&Became, lane| became.planned.lane == lane && became.planned.at >= Duration::from_secs(20) && became.is_whole();
    let served = [0, 1].map(|lane| drive.became.iter().filter(|became| of(became, lane)).count());
    println!("both lanes ask the same: {served:?}");
    assert!(served.iter().all(|served| (35..=65).contains(served)), "{served:?}");
}

/// Lengths spread like those of abstracts: most around 150 tokens, a few of 500.
fn abstracts(document: u128) -> u32 {
    let spread = (document * 7919 % 1000) as f64 / 1000.0;
    (40.0 * (1.0 + 12.0 * spread * spread)) as u32 + (document % 17) as u32 * 5
}

#[test]
fn little_of_a_pass_would_be_padding() {
    let device = Device { length: abstracts, keeps: false, ..Device::default() };
    let planned = (0..16).map(|turn| Planned { budget: Duration::from_secs(60), ..search(ms(turn), 0, turn.into(), 100) }).collect();
    let drive = run(planned, device);
    assert_eq!(whole(&drive.became), 16);
    let (mut tokens, mut padded) = (0_u64, 0_u64);
    for pass in &drive.made {
        tokens += pass.costs.iter().map(|cost| u64::from(*cost)).sum::<u64>();
        padded += u64::from(*pass.costs.iter().max().expect("a pair")) * pass.costs.len() as u64;
    }
    let share = 1.0 - tokens as f64 / padded as f64;
    println!("{} passes of {:.1} pairs, {:.1} % padding", drive.made.len(), 1600.0 / drive.made.len() as f64, share * 100.0);
    assert!(share < 0.1, "{share}");
}

#[test]
fn passes_take_as_long_as_they_should() {
    let device = Device { length: abstracts, keeps: false, ..Device::default() };
    let drive = run(flood(2), device);
    // Once the way up is felt.
    let long = drive.made.iter().filter(|pass| pass.begun > ms(500) && pass.costs.len() > 1 && pass.took > ms(28)).count();
    assert!(long * 20 < drive.made.len(), "{long} of {} passes", drive.made.len());
    let usual = drive.made.iter().map(|pass| pass.took.as_secs_f64()).sum::<f64>() / drive.made.len() as f64;
    assert!(usual > 0.015, "{usual}: passes are filled");
}

#[test]
fn a_device_that_was_slow_for_a_while_is_tried_again() {
    let slow = Device { length: alike, keeps: false, fixed: ms(0), per_token: Duration::from_micros(100), ..Device::default() };
    let mut drive = Drive::new(slow.clone());
    drive.run(flood(1));
    assert_eq!(whole(&drive.became), 0, "each takes a second, and has 300 ms");
    let tried = drive.made.len();
    assert!(tried < 200, "{tried} passes for nothing");
    drive.speed(Duration::from_micros(10));
    drive.run(flood(1).into_iter().map(|planned| Planned { at: planned.at + Duration::from_secs(10), ..planned }).collect());
    let served = whole(&drive.became);
    assert!(served >= 80, "{served} of the second hundred");
}

#[test]
fn what_is_late_is_computed_when_there_is_nothing_else_to_do() {
    let device = Device { length: alike, fixed: ms(0), ..Device::default() };
    // Two at once, of which one is too much; half a second later each comes again.
    let mut planned: Vec<Planned> =
        (0..2).map(|query| Planned { partial: true, least: 1, ..search(ms(2 + query), 0, query as u128, 400) }).collect();
    planned.insert(0, search(ms(0), 0, 7, 10));
    planned.extend((0..2).map(|query| search(ms(2000), 0, query, 400)));
    let drive = run(planned, device);
    let again: Vec<&Became> = drive.became.iter().filter(|became| became.planned.at == ms(2000)).collect();
    assert!(drive.made.iter().any(|pass| pass.is_late), "nothing was computed late");
    assert!(again.len() == 2 && again.iter().any(|became| became.is_whole() && became.took < ms(100)), "{again:?}");
}
