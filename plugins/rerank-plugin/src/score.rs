//! What a reranker answers for one pair: a finite score, or a fault that says who is to blame.

use std::{borrow::Cow, sync::Arc};

use half::{f16, slice::HalfFloatSliceExt};

/// How [`Score::order`] is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scale {
    /// A logit, or log-odds: unbounded; presented as its logistic.
    Logit,
    /// A cosine in -1..=1; presented as `(1 + cosine) / 2`.
    Cosine,
    /// A probability in 0..=1; presented as it is.
    Probability,
}

/// The relevance of one document to one query: larger is better. Always finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    order: f32,
    scale: Scale,
}

/// A model's output was NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the model's score is not a finite number: {0}")]
pub struct NotFinite(pub f32);

/// Why a pair has no score.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// This document, or this query, cannot be scored (undecodable image, empty after tokenising); others can.
    #[error("input: {0}")]
    Input(Cow<'static, str>),
    /// The batch was too much (out of memory): the same pairs may pass in smaller batches.
    #[error("batch: {0}")]
    Batch(Cow<'static, str>),
    /// The model or its device is broken; counts toward the circuit breaker.
    #[error("model: {0}")]
    Model(Cow<'static, str>),
    /// Nothing is broken, but there is too much to do at present (a remote model's 429): no fault of the model.
    #[error("busy: {0}")]
    Busy(Cow<'static, str>),
    /// Not computed, because the host asked to stop.
    #[error("stopped")]
    Stopped,
}

/// An embedding, shared without copying.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector(Components);

#[derive(Clone, Debug, PartialEq)]
enum Components {
    Full(Arc<[f32]>),
    Half(Arc<[f16]>),
}

// === impl Score ===

impl Score {
    /// Returns the score, or [`NotFinite`] for NaN and infinities.
    pub fn new(order: f32, scale: Scale) -> Result<Self, NotFinite> {
        if order.is_finite() { Ok(Self { order, scale }) } else { Err(NotFinite(order)) }
    }

    /// The value to order by (logit, cosine or probability, see [`Score::scale`]).
    pub fn order(self) -> f32 {
        self.order
    }

    /// How [`Score::order`] is to be read.
    pub fn scale(self) -> Scale {
        self.scale
    }

    /// The score as people read it, in 0..=1 for every scale. Saturates where [`Score::order`] does not.
    pub fn presented(self) -> f32 {
        match self.scale {
            Scale::Logit => 1.0 / (1.0 + (-self.order).exp()),
            Scale::Cosine => ((1.0 + self.order) / 2.0).clamp(0.0, 1.0),
            Scale::Probability => self.order.clamp(0.0, 1.0),
        }
    }
}

impl From<NotFinite> for Fault {
    fn from(error: NotFinite) -> Self {
        Self::Model(error.to_string().into())
    }
}

// === impl Vector ===

impl Vector {
    /// Takes the components as they are; normalising is the plugin's part.
    pub fn new(components: impl Into<Arc<[f32]>>) -> Self {
        Self(Components::Full(components.into()))
    }

    /// Rounds the components to f16, which halves the weight. Of vectors of length 1 the product is at most 1e-3 off, and
    /// always the same, because the rounding comes before the first use.
    pub fn half(components: &[f32]) -> Self {
        let mut rounded = vec![f16::ZERO; components.len()];
        rounded.convert_from_f32_slice(components);
        Self(Components::Half(rounded.into()))
    }

    /// The components.
    pub fn components(&self) -> Cow<'_, [f32]> {
        match &self.0 {
            Components::Full(components) => Cow::Borrowed(components),
            Components::Half(components) => Cow::Owned(components.to_f32_vec()),
        }
    }

    /// Whether the components were rounded to f16.
    pub fn is_half(&self) -> bool {
        matches!(self.0, Components::Half(_))
    }

    /// Appends the components as they are kept, little-endian: 2 bytes each of a rounded vector, else 4.
    pub fn write_le(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Components::Full(components) => out.extend(components.iter().flat_map(|component| component.to_le_bytes())),
            Components::Half(components) => out.extend(components.iter().flat_map(|component| component.to_le_bytes())),
        }
    }

    /// Returns the vector that [`Vector::write_le`] wrote, if all its components are finite and the bytes end where one ends.
    pub fn read_le(bytes: &[u8], half: bool) -> Option<Self> {
        if half {
            let (components, rest) = bytes.as_chunks();
            let components: Arc<[f16]> = components.iter().map(|two| f16::from_le_bytes(*two)).collect();
            return (rest.is_empty() && components.iter().all(|component| component.is_finite()))
                .then_some(Self(Components::Half(components)));
        }
        let (components, rest) = bytes.as_chunks();
        let components: Arc<[f32]> = components.iter().map(|four| f32::from_le_bytes(*four)).collect();
        (rest.is_empty() && components.iter().all(|component| component.is_finite())).then_some(Self(Components::Full(components)))
    }

    /// The sum of the products of the components, in f32: the cosine, where both vectors are of length 1.
    pub fn dot(&self, other: &Self) -> f32 {
        self.components().iter().zip(other.components().iter()).map(|(one, own)| one * own).sum()
    }

    /// What the vector weighs in a cache, in bytes.
    pub fn weight(&self) -> usize {
        match &self.0 {
            Components::Full(components) => size_of_val(&**components),
            Components::Half(components) => size_of_val(&**components),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NotFinite, Scale, Score, Vector};

    #[test]
    fn a_score_is_finite_or_does_not_exist() {
        assert!(Score::new(f32::NAN, Scale::Logit).is_err());
        assert_eq!(Score::new(f32::INFINITY, Scale::Logit), Err(NotFinite(f32::INFINITY)));
        assert!(Score::new(f32::MAX, Scale::Logit).is_ok());
    }

    #[test]
    fn every_scale_is_presented_between_zero_and_one() {
        let presented = |order, scale| Score::new(order, scale).map(Score::presented);
        assert_eq!(presented(0.0, Scale::Logit), Ok(0.5));
        assert_eq!(presented(-1e30, Scale::Logit), Ok(0.0));
        assert_eq!(presented(0.5, Scale::Cosine), Ok(0.75));
        assert_eq!(presented(-1.0, Scale::Cosine), Ok(0.0));
        assert_eq!(presented(1.5, Scale::Probability), Ok(1.0));
    }

    #[test]
    fn what_is_written_is_read_again_to_the_bit() {
        let numbers = [0.0, -0.0, 1.5, -3.25e-7, f32::MAX, f32::MIN_POSITIVE];
        let small = [0.1, -0.2, 0.333, -6.0e-8];
        for vector in [Vector::new(numbers), Vector::half(&small), Vector::new([]), Vector::half(&[])] {
            let mut bytes = Vec::new();
            vector.write_le(&mut bytes);
            assert_eq!(bytes.len(), vector.weight());
            assert_eq!(Vector::read_le(&bytes, vector.is_half()), Some(vector));
        }
    }

    #[test]
    fn what_is_no_vector_is_not_read() {
        assert_eq!(Vector::read_le(&[0; 6], false), None, "a component and a half");
        assert_eq!(Vector::read_le(&[0; 3], true), None);
        assert_eq!(Vector::read_le(&f32::NAN.to_le_bytes(), false), None);
        assert_eq!(Vector::read_le(&[0, 0, 0, 0x7c], true), None, "infinite");
    }

    #[test]
    fn rounded_vectors_weigh_half_and_their_product_is_near() {
        let unit = |seed: u32| {
            let numbers: Vec<f32> = (0..384_u32).map(|place| ((place * 7919 + seed * 104_729) % 1000) as f32 / 500.0 - 1.0).collect();
            let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
            numbers.iter().map(|number| number / length).collect::<Vec<f32>>()
        };
        let mut worst = 0.0_f32;
        for seed in 0..50 {
            let (one, other) = (unit(seed), unit(seed + 1));
            let (exact_one, exact_other) = (Vector::new(one.clone()), Vector::new(other.clone()));
            let (half_one, half_other) = (Vector::half(&one), Vector::half(&other));
            assert_eq!((exact_one.weight(), half_one.weight()), (4 * 384, 2 * 384));
            assert_eq!(Vector::half(&half_one.components()), half_one, "what is rounded stays as it is");
            worst = worst.max((exact_one.dot(&exact_other) - half_one.dot(&half_other)).abs());
        }
        println!("a product of 384 components is at most {worst:.1e} off in f16");
        assert!(worst > 0.0 && worst < 1e-3, "{worst}");
    }
}
