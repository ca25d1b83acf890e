//! The schedule in virtual time: what it promises, whatever comes.

mod drive;
mod load;
mod steps;

use proptest::prelude::*;
use rerank_plugin::{Digest128, Fingerprint};

use self::drive::{Device, Drive, Planned, ms};
use crate::{
    inference::{PairKey, QueryKey, ScoreCache},
    rerank::Digester,
};

thread_local! {
    static CACHE: ScoreCache = ScoreCache::new(0, Digester::new());
}

pub(super) fn query(number: u128) -> QueryKey {
    CACHE.with(|cache| cache.key(&Fingerprint([0; 32]), None, Digest128(number)))
}

pub(super) fn pair(number: u128, document: u128) -> PairKey {
    query(number).pair(Digest128(document))
}

/// Searches of a few queries over a few documents, so that they share pairs.
fn searches() -> impl Strategy<Value = Vec<Planned>> {
    let one = (
        (0..2000_u64, 0..3_usize, 5..400_u64, 0..4_u128),
        prop::collection::vec(0..40_u128, 1..40),
        (1..40_usize, any::<bool>(), prop::option::weighted(0.2, 0..300_u64), 0..6_u64, 0..10_u64),
    );
    let planned = one.prop_map(|((at, lane, budget, query), documents, (least, partial, cancelled, prepares, leaves_late))| Planned {
        at: ms(at),
        lane,
        budget: ms(budget),
        query,
        least: least.min(documents.len()),
        documents,
        partial,
        cancelled: cancelled.map(ms),
        prepares: ms(prepares),
        leaves_late: ms(leaves_late),
    });
    prop::collection::vec(planned, 1..40)
}

fn devices() -> impl Strategy<Value = Device> {
    (1..3_usize, 0..10_u64, 1..200_u64, any::<[bool; 2]>()).prop_map(|(workers, fixed, per_token, [keeps, keeps_vectors])| Device {
        workers,
        fixed: ms(fixed),
        per_token: std::time::Duration::from_micros(per_token),
        keeps,
        keeps_vectors,
        ..Device::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The driver checks at each step: a result belongs to its document, comes before the deadline, and is not asked for again; a
    /// search that leaves early has all that it was to have; in the end nothing is left behind.
    #[test]
    fn whatever_comes_every_search_has_its_own_scores_in_time_and_none_twice(planned in searches(), device in devices()) {
        let mut drive = Drive::new(device);
        drive.run(planned);
        drive.assert_nothing_left();
    }

    /// The same with a model that panics on some documents, and to which some passes are too much.
    #[test]
    fn a_model_that_fails_now_and_then_loses_nothing_but_what_it_fails_on(
        planned in searches(),
        device in devices(),
        panics in prop::collection::hash_set(0..40_u128, 0..4),
        most in prop::option::of(1..8_usize),
    ) {
        let mut drive = Drive::new(Device { panics, most, ..device });
        drive.run(planned);
        drive.assert_nothing_left();
    }
}
