//! An order of hits that can only be a permutation.

/// The places of hits in their new order: `ranking.order()[0]` is the place, in the engine's answer, of the new first hit.
///
/// **Invariant:** no place is lost, invented or repeated; there is no way to build one that breaks this. Hits that are dropped are
/// declared, and keep their positions, which stay empty: so pages agree, whichever of them is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    order: Vec<usize>,
    /// Places, ascending.
    dropped: Vec<usize>,
}

// === impl Ranking ===

impl Ranking {
    /// Returns the engine's own order of `count` hits.
    pub fn identity(count: usize) -> Self {
        Self { order: (0..count).collect(), dropped: Vec::new() }
    }

    /// Returns the order, or `None` when it is not a permutation.
    pub fn new(order: Vec<usize>) -> Option<Self> {
        let mut seen = vec![false; order.len()];
        let fresh = |place: &usize| seen.get_mut(*place).is_some_and(|seen| !std::mem::replace(seen, true));
        order.iter().all(fresh).then_some(Self { order, dropped: Vec::new() })
    }

    /// Returns the same order with hits, by their places, that are not shown; `None` where one has no place in it.
    pub fn dropping(self, places: impl IntoIterator<Item = usize>) -> Option<Self> {
        let mut dropped: Vec<usize> = places.into_iter().collect();
        dropped.sort_unstable();
        dropped.dedup();
        dropped.iter().all(|place| *place < self.order.len()).then_some(Self { dropped, ..self })
    }

    /// The places in their new order, those of dropped hits too.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Whether the hit at this place is not shown.
    pub fn drops(&self, place: usize) -> bool {
        self.dropped.binary_search(&place).is_ok()
    }

    /// The places that are shown of `size` positions from `from` on.
    pub fn page(&self, from: usize, size: usize) -> impl Iterator<Item = usize> {
        self.order.iter().copied().skip(from).take(size).filter(|place| !self.drops(*place))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Ranking;

    proptest! {
        #[test]
        fn only_permutations_exist(order in prop::collection::vec(0_usize..6, 0..6)) {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            let permutation = sorted.iter().copied().eq(0..order.len());
            prop_assert_eq!(Ranking::new(order).is_some(), permutation);
        }

        #[test]
        fn pages_together_are_all_hits_but_the_dropped(
            order in Just((0..12).collect::<Vec<usize>>()).prop_shuffle(),
            dropped in prop::collection::vec(0_usize..12, 0..6),
            size in 1_usize..13,
        ) {
            let ranking = Ranking::new(order.clone()).and_then(|ranking| ranking.dropping(dropped.clone())).expect("a permutation");
            let pages: Vec<usize> = (0..12).step_by(size).flat_map(|from| ranking.page(from, size).collect::<Vec<_>>()).collect();
            let kept: Vec<usize> = order.into_iter().filter(|place| !dropped.contains(place)).collect();
            prop_assert_eq!(pages, kept);
            prop_assert!(ranking.dropping([12]).is_none());
        }
    }
}
