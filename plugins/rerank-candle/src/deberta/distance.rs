//! How far apart two tokens are, as lines of the table of relative positions: near ones one by one, far ones in buckets.

use candle_core::{Device, Tensor};

/// Which line of the table stands for which distance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Distances {
    /// Lines for one direction.
    span: u32,
    buckets: Option<Buckets>,
}

/// Distances up to `near` have a line of their own; from there on, each line stands for more of them than the one before.
#[derive(Clone, Copy, Debug)]
struct Buckets {
    near: u32,
    most: u32,
}

/// The lines that rows of one length want, for every distance that there is in them.
pub(super) struct Lines {
    /// From the query behind all keys to the query before all keys, as a query sees its keys from the first to the last.
    pub(super) of_keys: Tensor,
    /// The other way, as a key sees its queries.
    pub(super) of_queries: Tensor,
}

// === impl Distances ===

impl Distances {
    /// Returns one line for each distance of up to `most`.
    pub(super) fn plain(most: u32) -> Self {
        Self { span: most, buckets: None }
    }

    /// Returns `buckets` lines for each direction; nothing when the formula of the reference has no value for such numbers.
    pub(super) fn in_buckets(buckets: u32, most: u32) -> Option<Self> {
        let near = buckets / 2;
        (near > 0 && most > near + 1).then_some(Self { span: buckets, buckets: Some(Buckets { near, most }) })
    }

    /// How many lines the table has.
    pub(super) fn lines(&self) -> usize {
        2 * self.span as usize
    }

    /// Returns the lines for rows that are so long.
    pub(super) fn of_rows(&self, length: usize, device: &Device) -> candle_core::Result<Lines> {
        let last = length as i64 - 1;
        let mut lines: Vec<u32> = (-last..=last).map(|distance| self.line(distance)).collect();
        let of_queries = Tensor::new(lines.as_slice(), device)?;
        lines.reverse();
        Ok(Lines { of_keys: Tensor::new(lines.as_slice(), device)?, of_queries })
    }

    /// Returns the line for a query that stands so far behind a key.
    fn line(&self, distance: i64) -> u32 {
        let counted = self.buckets.map_or(distance, |buckets| buckets.count(distance));
        (counted + i64::from(self.span)).clamp(0, 2 * i64::from(self.span) - 1) as u32
    }
}

// === impl Buckets ===

impl Buckets {
    /// In f32 and in this order, as the reference has it: a bucket ends where a logarithm is rounded up.
    fn count(self, distance: i64) -> i64 {
        let (near, away) = (self.near as f32, distance.unsigned_abs());
        if away <= u64::from(self.near) {
            return distance;
        }
        let share = (away as f32 / near).ln() / ((self.most - 1) as f32 / near).ln();
        distance.signum() * ((share * (near - 1.0)).ceil() as i64 + i64::from(self.near))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::Distances;

    /// Of the published models, which have 256 buckets for 512 positions: how many distances the buckets from the 129th to the
    /// 255th hold, as `make_log_bucket_position` of transformers 4.57.6 says.
    const FAR: [u8; 127] = [
        1, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 2, 1, 2, 2, 1, 2, 2, 1, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 2, 2,
        3, 2, 2, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 3, 2, 3, 3, 3, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 3, 3, 3, 4, 3, 3, 4, 3, 4, 3, 4, 4,
        3, 4, 4, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 4, 4, 5, 4, 4, 5, 4, 5, 5, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 5, 5, 6, 6,
    ];

    #[test]
    fn far_distances_share_the_buckets_of_the_reference() {
        let distances = Distances::in_buckets(256, 512).unwrap();
        let mut away = 0..;
        for bucket in 0..=128u32 {
            assert_eq!(distances.line(away.next().unwrap()), 256 + bucket);
        }
        for (bucket, count) in (129u32..).zip(FAR) {
            for distance in away.by_ref().take(usize::from(count)) {
                assert_eq!(distances.line(distance), 256 + bucket, "{distance}");
                assert_eq!(distances.line(-distance), 256 - bucket, "-{distance}");
            }
        }
        assert_eq!(away.next(), Some(512));
        assert_eq!([512, 600, 100_000, -100_000].map(|distance| distances.line(distance)), [511, 511, 511, 0]);
    }

    #[test]
    fn without_buckets_what_is_too_far_counts_as_the_farthest() {
        let distances = Distances::plain(3);
        assert_eq!([-9, -3, -2, 0, 2, 3, 9].map(|distance| distances.line(distance)), [0, 0, 1, 3, 5, 5, 5]);
        assert_eq!(distances.lines(), 6);
        let lines = distances.of_rows(3, &Device::Cpu).unwrap();
        assert_eq!(lines.of_queries.to_vec1::<u32>().unwrap(), [1, 2, 3, 4, 5]);
        assert_eq!(lines.of_keys.to_vec1::<u32>().unwrap(), [5, 4, 3, 2, 1]);
    }

    #[test]
    fn buckets_that_have_no_formula_are_none() {
        for (buckets, most) in [(1, 512), (256, 129), (256, 1)] {
            assert!(Distances::in_buckets(buckets, most).is_none(), "{buckets} {most}");
        }
        assert!(Distances::in_buckets(256, 130).is_some());
    }
}
