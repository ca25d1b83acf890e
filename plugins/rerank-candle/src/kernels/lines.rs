//! The loops themselves, over lines of numbers. They are written so that the compiler makes them as wide as the processor that
//! `pulp` finds at run time; nothing here knows of tensors.

use pulp::NullaryFnOnce;

/// Sums run in so many lanes, because a compiler keeps the order of additions.
const LANES: usize = 16;

/// Adds a bias to each line, then GELU by the error function.
pub(super) struct Gelu<'a> {
    pub(super) lines: &'a mut [f32],
    pub(super) bias: &'a [f32],
}

/// The first half of each line through GELU, times the second.
pub(super) struct Gated<'a> {
    pub(super) lines: &'a [f32],
    pub(super) found: &'a mut [f32],
    pub(super) width: usize,
}

/// Adds a bias and what was there before to each line, then norms it.
pub(super) struct Norm<'a> {
    pub(super) lines: &'a mut [f32],
    pub(super) before: &'a [f32],
    /// Bias, weight and shift, one after the other.
    pub(super) parameters: &'a [f32],
    pub(super) eps: f32,
}

/// Makes each line's exponentials sum to one.
pub(super) struct Softmax<'a> {
    pub(super) lines: &'a mut [f32],
    pub(super) width: usize,
}

/// Copies one head's part of some lines, with its part of the bias.
pub(super) struct Head<'a> {
    pub(super) lines: &'a [f32],
    /// How wide a line is, and where the head begins in it.
    pub(super) place: (usize, usize),
    pub(super) bias: Option<&'a [f32]>,
    pub(super) found: &'a mut [f32],
    pub(super) size: usize,
}

/// Runs one of them, with AVX2 where the processor has it.
#[cfg(target_arch = "x86_64")]
pub(super) fn run(work: impl NullaryFnOnce<Output = ()>) {
    match pulp::x86::V3::try_new() {
        Some(wide) => wide.vectorize(work),
        None => work.call(),
    }
}

/// Runs one of them; what these processors always have is wide enough.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn run(work: impl NullaryFnOnce<Output = ()>) {
    work.call();
}

impl NullaryFnOnce for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for line in self.lines.chunks_exact_mut(self.bias.len()) {
            for (number, bias) in line.iter_mut().zip(self.bias) {
                *number = gelu(*number + bias);
            }
        }
    }
}

impl NullaryFnOnce for Gated<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (line, found) in self.lines.chunks_exact(2 * self.width).zip(self.found.chunks_exact_mut(self.width)) {
            let (opened, gates) = line.split_at(self.width);
            for ((product, number), gate) in found.iter_mut().zip(opened).zip(gates) {
                *product = gelu(*number) * gate;
            }
        }
    }
}

impl NullaryFnOnce for Norm<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let width = self.parameters.len() / 3;
        let (biases, rest) = self.parameters.split_at(width);
        let (weights, shifts) = rest.split_at(width);
        for (line, line_before) in self.lines.chunks_exact_mut(width).zip(self.before.chunks_exact(width)) {
            for ((number, before), bias) in line.iter_mut().zip(line_before).zip(biases) {
                *number += before + bias;
            }
            let mean = sum(line, |number| number) / width as f32;
            let spread = sum(line, |number| (number - mean) * (number - mean)) / width as f32;
            let scale = 1.0 / (spread + self.eps).sqrt();
            for ((number, weight), shift) in line.iter_mut().zip(weights).zip(shifts) {
                *number = (*number - mean) * scale * weight + shift;
            }
        }
    }
}

impl NullaryFnOnce for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for line in self.lines.chunks_exact_mut(self.width) {
            let most = most(line);
            line.iter_mut().for_each(|number| *number = exp(*number - most));
            let share = 1.0 / sum(line, |number| number);
            line.iter_mut().for_each(|number| *number *= share);
        }
    }
}

impl NullaryFnOnce for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (width, start) = self.place;
        for (line, found) in self.lines.chunks_exact(width).zip(self.found.chunks_exact_mut(self.size)) {
            found.copy_from_slice(&line[start..start + self.size]);
            if let Some(bias) = self.bias {
                found.iter_mut().zip(&bias[start..start + self.size]).for_each(|(number, bias)| *number += bias);
            }
        }
    }
}

#[inline(always)]
fn sum(line: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let parts = line.chunks_exact(LANES);
    let rest: f32 = parts.remainder().iter().map(|number| of(*number)).sum();
    for part in parts {
        for (lane, number) in lanes.iter_mut().zip(part) {
            *lane += of(*number);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Returns the largest number; one that is none (NaN) is not looked at.
#[inline(always)]
fn most(line: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let parts = line.chunks_exact(LANES);
    let rest = parts.remainder();
    for part in parts {
        for (lane, number) in lanes.iter_mut().zip(part) {
            *lane = if *number > *lane { *number } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |most, number| if *number > most { *number } else { most })
}

#[inline(always)]
fn gelu(number: f32) -> f32 {
    0.5 * number * (1.0 + erf(number * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function as a fraction of two polynomials, as Eigen has it: at most 3e-7 off. NaN stays NaN.
#[inline(always)]
fn erf(number: f32) -> f32 {
    const ABOVE: [f32; 7] =
        [-2.726_142_3e-10, 2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2];
    const BELOW: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_474e-2];
    let bounded = if number > 4.0 { 4.0 } else { number };
    let bounded = if bounded < -4.0 { -4.0 } else { bounded };
    let squared = bounded * bounded;
    let (mut above, mut below) = (ABOVE[0], BELOW[0]);
    for factor in &ABOVE[1..] {
        above = above * squared + factor;
    }
    for factor in &BELOW[1..] {
        below = below * squared + factor;
    }
    let value = bounded * above / below;
    // The fraction ends one unit before 1, which a large number would make something of.
    let value = if number > 4.0 { 1.0 } else { value };
    if number < -4.0 { -1.0 } else { value }
}

/// The exponential of a number that is not above 0, as Cephes has it: at most 2 units in the last place off. What would be less than
/// the least normal number counts as that; NaN stays NaN.
#[inline(always)]
fn exp(number: f32) -> f32 {
    /// Added and taken off again, it rounds to a whole number, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const FACTORS: [f32; 6] = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];
    let bounded = if number < -87.0 { -87.0 } else { number };
    let rounded = bounded * std::f32::consts::LOG2_E + ROUND;
    let whole = rounded - ROUND;
    let rest = bounded - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let mut series = FACTORS[0];
    for factor in &FACTORS[1..] {
        series = series * rest + factor;
    }
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    (series * rest * rest + rest + 1.0) * power
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::{Gelu, Softmax, exp, run};

    #[test]
    fn gelu_is_candles() {
        let numbers: Vec<f32> = (-80_000..80_000).map(|step| step as f32 / 10_000.0).collect();
        let stock = Tensor::new(numbers.as_slice(), &Device::Cpu).unwrap().gelu_erf().unwrap().to_vec1::<f32>().unwrap();
        let mut own = numbers.clone();
        run(Gelu { lines: &mut own, bias: &[0.0; 16] });
        for ((number, found), right) in numbers.iter().zip(&own).zip(stock) {
            assert!((found - right).abs() <= 4e-7 * number.abs().max(1.0), "{number}: {found} {right}");
        }
    }

    #[test]
    fn exponentials_are_those_of_the_library() {
        for step in 0..870_000 {
            let number = -(step as f32) / 10_000.0;
            let right = f64::from(number).exp();
            assert!((f64::from(exp(number)) - right).abs() <= 2.5e-7 * right, "{number}: {} {right}", exp(number));
        }
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn what_is_no_number_stays_so() {
        let mut lines = vec![0.5; 40];
        lines[21] = f32::NAN;
        run(Softmax { lines: &mut lines, width: 20 });
        assert!(lines[..20].iter().all(|share| (share - 0.05).abs() < 1e-7));
        assert!(lines[20..].iter().all(|share| share.is_nan()));
        let mut numbers = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0];
        run(Gelu { lines: &mut numbers, bias: &[0.0; 4] });
        assert!(numbers[0].is_nan());
        assert_eq!(numbers[1], f32::INFINITY);
        let mut far = [-1e4, -100.0, -6.0, 1e4];
        run(Gelu { lines: &mut far, bias: &[0.0; 4] });
        assert_eq!(far, [0.0, 0.0, 0.0, 1e4]);
    }
}
