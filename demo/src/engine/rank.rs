//! Collects the best documents of one index: by the sort keys, and among equals by the order in which they were written.

use std::{cmp::Ordering, collections::BinaryHeap};

use tantivy::{
    DocAddress, DocId, Score, SegmentOrdinal, SegmentReader,
    collector::{Collector, SegmentCollector},
    columnar::{Column as Values, ColumnType, MonotonicallyMappableToU64, StrColumn},
};

use super::{
    schema::Column,
    sort::{BoundKey, By, SortValue},
    store::SEQUENCE,
};

/// Which documents are wanted, and in which order.
pub(super) struct Rank {
    /// How many.
    pub(super) limit: usize,
    pub(super) keys: Vec<BoundKey>,
    /// Whether scores are computed.
    pub(super) scored: bool,
    /// Documents that score less are no hits.
    pub(super) least_score: Option<f32>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Ranked {
    /// How many documents match.
    pub(super) count: u64,
    pub(super) best_score: Option<f32>,
    /// The first ones, in order.
    pub(super) found: Vec<Found>,
}

/// One of the first.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) address: DocAddress,
    pub(super) score: f32,
    pub(super) sequence: u64,
    pub(super) values: Vec<SortValue>,
}

/// Collects in one segment, where keys are plain numbers.
pub(super) struct SegmentRank {
    segment: SegmentOrdinal,
    limit: usize,
    least_score: Option<f32>,
    keys: Vec<SegmentKey>,
    sequences: Values<u64>,
    count: u64,
    best_score: Option<f32>,
    best: BinaryHeap<Candidate>,
    /// The place values of the document at hand.
    places: Vec<(u8, u64)>,
}

struct SegmentKey {
    key: BoundKey,
    source: Source,
}

enum Source {
    Score,
    Sequence,
    /// No document of this segment has the field.
    Nothing,
    Numbers(Values<u64>, ColumnType),
    Words(StrColumn),
}

/// A document in the heap, whose greatest is the one that comes last.
#[derive(PartialEq, Eq)]
struct Candidate {
    /// For each key whether the value is missing (0 before, 2 behind the others), and the value so that less comes first.
    places: Vec<(u8, u64)>,
    sequence: u64,
    doc: DocId,
    score_bits: u32,
}

// === impl Candidate ===

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.places, self.sequence).cmp(&(&other.places, other.sequence))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

// === impl Rank ===

impl Collector for Rank {
    type Fruit = Ranked;
    type Child = SegmentRank;

    fn for_segment(&self, segment: SegmentOrdinal, reader: &SegmentReader) -> tantivy::Result<SegmentRank> {
        let keys = self.keys.iter().map(|key| SegmentKey::open(key, reader)).collect::<tantivy::Result<_>>()?;
        let sequences = reader.fast_fields().u64(SEQUENCE)?;
        Ok(SegmentRank {
            segment,
            limit: self.limit,
            least_score: self.least_score,
            keys,
            sequences,
            count: 0,
            best_score: None,
            best: BinaryHeap::new(),
            places: Vec::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        self.scored
    }

    fn merge_fruits(&self, segments: Vec<tantivy::Result<Ranked>>) -> tantivy::Result<Ranked> {
        let mut all = Ranked::default();
        for segment in segments {
            let segment = segment?;
            all.count += segment.count;
            all.best_score = greater(all.best_score, segment.best_score);
            all.found.extend(segment.found);
        }
        all.found.sort_by(|left, right| compare_keys(&self.keys, left, right).then(left.sequence.cmp(&right.sequence)));
        all.found.truncate(self.limit);
        Ok(all)
    }
}

/// Compares two documents by their keys: the one that comes first is less.
pub(super) fn compare_keys(keys: &[BoundKey], left: &Found, right: &Found) -> Ordering {
    let mut values = keys.iter().zip(left.values.iter().zip(&right.values));
    let decided = values.find_map(|(key, (one, other))| Some(key.compare(one, other)).filter(|order| order.is_ne()));
    decided.unwrap_or(Ordering::Equal)
}

/// Returns the greater score, if there is one.
pub(super) fn greater(left: Option<f32>, right: Option<f32>) -> Option<f32> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.max(right)),
        (left, right) => left.or(right),
    }
}

// === impl SegmentRank ===

impl SegmentCollector for SegmentRank {
    type Fruit = tantivy::Result<Ranked>;

    fn collect(&mut self, doc: DocId, score: Score) {
        // Large boosts add up to infinity, which JSON does not have.
        let score = score.min(Score::MAX);
        if self.least_score.is_some_and(|least| score < least) {
            return;
        }
        self.count += 1;
        self.best_score = greater(self.best_score, Some(score));
        if self.limit == 0 {
            return;
        }
        let sequence = self.sequences.first(doc).unwrap_or_default();
        self.places.clear();
        self.places.extend(self.keys.iter().map(|key| key.place(doc, score, sequence)));
        if self.best.len() == self.limit {
            let is_better = self.best.peek().is_none_or(|last| (&self.places, sequence) < (&last.places, last.sequence));
            if !is_better {
                return;
            }
            self.best.pop();
        }
        self.best.push(Candidate { places: self.places.clone(), sequence, doc, score_bits: score.to_bits() });
    }

    fn harvest(self) -> tantivy::Result<Ranked> {
        let Self { segment, keys, count, best_score, best, .. } = self;
        let found = best.into_sorted_vec().into_iter().map(|candidate| {
            let score = f32::from_bits(candidate.score_bits);
            let values = keys.iter().zip(&candidate.places).map(|(key, place)| key.value(*place, score));
            Ok(Found {
                address: DocAddress::new(segment, candidate.doc),
                score,
                sequence: candidate.sequence,
                values: values.collect::<tantivy::Result<_>>()?,
            })
        });
        Ok(Ranked { count, best_score, found: found.collect::<tantivy::Result<_>>()? })
    }
}

// === impl SegmentKey ===

impl SegmentKey {
    fn open(key: &BoundKey, reader: &SegmentReader) -> tantivy::Result<Self> {
        let source = match &key.by {
            By::Score => Source::Score,
            By::Sequence => Source::Sequence,
            By::Column { name, holds: Column::Keyword } => reader.fast_fields().str(name)?.map_or(Source::Nothing, Source::Words),
            By::Column { name, .. } => {
                reader.fast_fields().u64_lenient(name)?.map_or(Source::Nothing, |(values, holds)| Source::Numbers(values, holds))
            }
        };
        Ok(Self { key: key.clone(), source })
    }

    /// Returns the document's place by this key: less comes first.
    fn place(&self, doc: DocId, score: Score, sequence: u64) -> (u8, u64) {
        let value = match &self.source {
            Source::Score => Some(u64::from(ordered(score))),
            Source::Sequence => Some(sequence),
            Source::Nothing => None,
            Source::Numbers(values, _) => self.chosen(values, doc),
            Source::Words(words) => self.chosen(words.ords(), doc),
        };
        match value {
            Some(value) => (1, if self.key.descending { !value } else { value }),
            None => (if self.key.missing_first { 0 } else { 2 }, 0),
        }
    }

    /// Of several values the one that comes first counts, as in the engines.
    fn chosen(&self, values: &Values<u64>, doc: DocId) -> Option<u64> {
        let values = values.values_for_doc(doc);
        if self.key.descending { values.max() } else { values.min() }
    }

    /// Returns what stands at a place.
    fn value(&self, (missing, place): (u8, u64), score: f32) -> tantivy::Result<SortValue> {
        if missing != 1 {
            return Ok(self.key.absent());
        }
        let place = if self.key.descending { !place } else { place };
        Ok(match &self.source {
            Source::Score => SortValue::Score(score),
            Source::Sequence => SortValue::Sequence(place),
            Source::Nothing => self.key.absent(),
            Source::Numbers(_, ColumnType::F64) => match &self.key.by {
                By::Column { holds: Column::Single, .. } => SortValue::Single(f64::from_u64(place)),
                _ => SortValue::Fraction(f64::from_u64(place)),
            },
            Source::Numbers(..) => SortValue::Whole(i64::from_u64(place)),
            Source::Words(words) => {
                let mut word = String::new();
                words.ord_to_str(place, &mut word)?;
                SortValue::Text(word)
            }
        })
    }
}

/// Returns bits that are ordered as the scores are.
fn ordered(score: f32) -> u32 {
    let bits = score.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

#[cfg(test)]
mod tests {
    use super::ordered;

    #[test]
    fn ordered_bits_are_ordered_as_scores() {
        let scores = [f32::NEG_INFINITY, -2.5, -0.0, 0.0, 1e-30, 0.3, 1.0, 7.5, f32::INFINITY];
        assert!(scores.map(ordered).is_sorted());
    }
}
