//! An order of hits that can only be a permutation.

/// The places of hits in their new order: `ranking.order()[0]` is the place, in the engine's answer, of the new first hit.
///
/// **Invariant:** no place is lost, invented or repeated; there is no way to build one that breaks this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking(Vec<usize>);

// === impl Ranking ===

impl Ranking {
    /// Returns the engine's own order of `count` hits.
    pub fn identity(count: usize) -> Self {
        Self((0..count).collect())
    }

    /// Returns the order, or `None` when it is not a permutation.
    pub fn new(order: Vec<usize>) -> Option<Self> {
        let mut seen = vec![false; order.len()];
        let fresh = |place: &usize| seen.get_mut(*place).is_some_and(|seen| !std::mem::replace(seen, true));
        order.iter().all(fresh).then_some(Self(order))
    }

    /// The places in their new order.
    pub fn order(&self) -> &[usize] {
        &self.0
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
    }
}
