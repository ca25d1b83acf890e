//! What a layer does to numbers beside products: one walk over them on a processor in f32, where candle takes several and computes
//! some functions one number at a time. On other devices, and in other types, candle's operations do the same.
//!
//! Walks run on the threads of the caller's pool; candle's element-wise operations have a pool of their own.

mod lines;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, InplaceOp1, InplaceOp2, InplaceOp3, Layout, Shape, Tensor, bail};
use candle_nn::{LayerNorm, Module, ops::softmax_last_dim};
use rayon::prelude::*;

use crate::layers::Activation;

/// How many numbers a thread takes at once.
const PART: usize = 16 << 10;

/// A product that a bias and an activation still follow, or a residual and a norm.
pub(crate) struct Product(Tensor);

/// A norm of a product, its bias and what was there before.
pub(crate) struct SumNorm {
    bias: Tensor,
    norm: LayerNorm,
    /// Bias, weight and shift, one after the other.
    parameters: Tensor,
}

struct BiasGelu;
struct Gate;
struct Softmax;
struct Normed(f32);
struct Heads {
    rows: usize,
    heads: usize,
}

/// Whether the walks here know such numbers.
fn known(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32 && tensor.is_contiguous()
}

// === impl Product ===

impl Product {
    /// Multiplies states with the weights of a layer.
    pub(crate) fn new(states: &Tensor, weights: &Tensor) -> candle_core::Result<Self> {
        Ok(Self(states.matmul(&weights.t()?)?))
    }

    /// Adds the bias and applies the activation.
    pub(crate) fn activated(self, bias: &Tensor, activation: Activation) -> candle_core::Result<Tensor> {
        if activation == Activation::Gelu && known(&self.0) && known(bias) {
            self.0.inplace_op2(bias, &BiasGelu)?;
            return Ok(self.0);
        }
        activation.apply(&self.0.broadcast_add(bias)?)
    }
}

// === impl SumNorm ===

impl SumNorm {
    pub(crate) fn new(bias: Tensor, norm: LayerNorm) -> candle_core::Result<Self> {
        let shift = norm.bias().map_or_else(|| norm.weight().zeros_like(), |shift| Ok(shift.clone()))?;
        let parameters = Tensor::cat(&[&bias, norm.weight(), &shift], 0)?;
        Ok(Self { bias, norm, parameters })
    }

    /// Norms the sum of a product, its bias and what was there before.
    pub(crate) fn forward(&self, product: Product, before: &Tensor) -> candle_core::Result<Tensor> {
        if known(&product.0) && known(before) && known(&self.parameters) {
            product.0.inplace_op3(before, &self.parameters, &Normed(self.norm.eps() as f32))?;
            return Ok(product.0);
        }
        self.norm.forward(&(product.0.broadcast_add(&self.bias)? + before)?)
    }
}

/// Makes the exponentials of each line sum to one; the scores themselves are overwritten where that is possible.
pub(crate) fn softmax(scores: Tensor) -> candle_core::Result<Tensor> {
    if known(&scores) {
        scores.inplace_op1(&Softmax)?;
        return Ok(scores);
    }
    softmax_last_dim(&scores)
}

/// Returns the first half of each line, activated, times the second half.
pub(crate) fn gated(lines: &Tensor, activation: Activation) -> candle_core::Result<Tensor> {
    if activation == Activation::Gelu && known(lines) {
        return lines.apply_op1_no_bwd(&Gate);
    }
    let inner = lines.dim(1)? / 2;
    activation.apply(&lines.narrow(1, 0, inner)?.contiguous()?)? * lines.narrow(1, inner, inner)?
}

/// Returns queries, keys and values, each `[rows, heads, places, head size]`, of lines that hold them side by side for each place.
pub(crate) fn by_head(lines: &Tensor, bias: Option<&Tensor>, (rows, heads): (usize, usize)) -> candle_core::Result<Tensor> {
    let split = Heads { rows, heads };
    if known(lines) && bias.is_none_or(known) {
        return bias.map_or_else(|| lines.apply_op1_no_bwd(&split), |bias| lines.apply_op2_no_bwd(bias, &split));
    }
    let sums = bias.map_or_else(|| Ok(lines.clone()), |bias| lines.broadcast_add(bias))?;
    let (tokens, width) = sums.dims2()?;
    sums.reshape((rows, tokens / rows, 3, heads, width / 3 / heads))?.permute((2, 0, 3, 1, 4))?.contiguous()
}

// === the walks as candle's operations ===

impl InplaceOp2 for BiasGelu {
    fn name(&self) -> &'static str {
        "bias-gelu"
    }

    fn cpu_fwd(&self, lines: &mut CpuStorage, place: &Layout, bias: &CpuStorage, bias_place: &Layout) -> candle_core::Result<()> {
        let bias = given(bias, bias_place)?;
        changed(lines, place)?.par_chunks_mut(part(bias.len())).for_each(|some| lines::run(lines::Gelu { lines: some, bias }));
        Ok(())
    }
}

impl InplaceOp3 for Normed {
    fn name(&self) -> &'static str {
        "sum-norm"
    }

    fn cpu_fwd(
        &self,
        lines: &mut CpuStorage,
        place: &Layout,
        before: &CpuStorage,
        before_place: &Layout,
        parameters: &CpuStorage,
        parameters_place: &Layout,
    ) -> candle_core::Result<()> {
        let parameters = given(parameters, parameters_place)?;
        let (width, numbers) = (parameters.len() / 3, given(before, before_place)?);
        let sums = changed(lines, place)?;
        if sums.len() != numbers.len() || !sums.len().is_multiple_of(width) {
            bail!("{} numbers are added to {}, in lines of {width}", numbers.len(), sums.len());
        }
        let size = part(width);
        let norm = |(some, own)| lines::run(lines::Norm { lines: some, before: own, parameters, eps: self.0 });
        sums.par_chunks_mut(size).zip(numbers.par_chunks(size)).for_each(norm);
        Ok(())
    }
}

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax-in-place"
    }

    fn cpu_fwd(&self, lines: &mut CpuStorage, place: &Layout) -> candle_core::Result<()> {
        let width = last(place);
        changed(lines, place)?.par_chunks_mut(part(width)).for_each(|some| lines::run(lines::Softmax { lines: some, width }));
        Ok(())
    }
}

impl CustomOp1 for Gate {
    fn name(&self) -> &'static str {
        "gated-gelu"
    }

    fn cpu_fwd(&self, lines: &CpuStorage, place: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (all, width) = (given(lines, place)?, last(place) / 2);
        let mut gated = vec![0.0; all.len() / 2];
        let size = part(width);
        let gate = |(some, found)| lines::run(lines::Gated { lines: some, found, width });
        all.par_chunks(2 * size).zip(gated.par_chunks_mut(size)).for_each(gate);
        let shape = Shape::from((gated.len() / width, width));
        Ok((CpuStorage::F32(gated), shape))
    }
}

impl Heads {
    fn split(&self, lines: &[f32], width: usize, bias: Option<&[f32]>) -> (CpuStorage, Shape) {
        let (size, tokens) = (width / 3 / self.heads, lines.len() / width);
        let places = tokens / self.rows;
        let mut heads = vec![0.0; lines.len()];
        let split = |(number, found)| {
            let (kind, row, head) = (number / self.heads / self.rows, number / self.heads % self.rows, number % self.heads);
            let own = &lines[row * places * width..][..places * width];
            lines::run(lines::Head { lines: own, place: (width, (kind * self.heads + head) * size), bias, found, size });
        };
        heads.par_chunks_mut(places * size).enumerate().for_each(split);
        (CpuStorage::F32(heads), Shape::from((3, self.rows, self.heads, places, size)))
    }
}

impl CustomOp1 for Heads {
    fn name(&self) -> &'static str {
        "by-head"
    }

    fn cpu_fwd(&self, lines: &CpuStorage, place: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok(self.split(given(lines, place)?, last(place), None))
    }
}

impl CustomOp2 for Heads {
    fn name(&self) -> &'static str {
        "by-head-with-bias"
    }

    fn cpu_fwd(&self, lines: &CpuStorage, place: &Layout, bias: &CpuStorage, at: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok(self.split(given(lines, place)?, last(place), Some(given(bias, at)?)))
    }
}

/// Returns how many numbers of whole lines a thread takes at once.
fn part(width: usize) -> usize {
    width * (PART / width).max(1)
}

/// Returns the size of the last dimension.
fn last(place: &Layout) -> usize {
    place.dims().last().copied().unwrap_or(1)
}

fn given<'a>(storage: &'a CpuStorage, place: &Layout) -> candle_core::Result<&'a [f32]> {
    match (storage, place.contiguous_offsets()) {
        (CpuStorage::F32(numbers), Some((start, end))) => Ok(&numbers[start..end]),
        _ => bail!("numbers in f32, one after the other, are expected"),
    }
}

fn changed<'a>(storage: &'a mut CpuStorage, place: &Layout) -> candle_core::Result<&'a mut [f32]> {
    match (storage, place.contiguous_offsets()) {
        (CpuStorage::F32(numbers), Some((start, end))) => Ok(&mut numbers[start..end]),
        _ => bail!("numbers in f32, one after the other, are expected"),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use candle_nn::{LayerNorm, Module};

    use super::{Product, SumNorm, by_head, gated, softmax};
    use crate::layers::Activation;

    /// Narrower than the lanes of a sum, as wide, and between.
    const WIDTHS: [usize; 5] = [1, 15, 16, 17, 33];

    fn random(shape: (usize, usize)) -> Tensor {
        Tensor::randn(0f32, 2.0, shape, &Device::Cpu).unwrap()
    }

    fn line(width: usize) -> Tensor {
        random((1, width)).squeeze(0).unwrap()
    }

    #[track_caller]
    fn assert_near(found: &Tensor, right: &Tensor) {
        assert_eq!(found.dims(), right.dims());
        let apart = (found - right).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        assert!(apart < 2e-5, "{:?}: {apart}", found.dims());
    }

    /// More lines than a thread takes at once, of all widths, as candle's own operations have them.
    #[test]
    fn walks_give_what_candle_gives() {
        for width in WIDTHS {
            let lines = random((2 * super::PART / width + 3, width));
            let (bias, before) = (line(width), random(lines.dims2().unwrap()));
            let sum = lines.broadcast_add(&bias).unwrap();

            let activated = Product(lines.copy().unwrap()).activated(&bias, Activation::Gelu).unwrap();
            assert_near(&activated, &sum.gelu_erf().unwrap());

            let norm = LayerNorm::new(line(width), line(width), 1e-5);
            let summed = SumNorm::new(bias, norm.clone()).unwrap().forward(Product(lines.copy().unwrap()), &before).unwrap();
            // Of one number nothing is left but the shift, and much of that is rounding; of few, what is divided by may be small.
            if width > 2 {
                assert_near(&summed, &norm.forward(&(sum + before).unwrap()).unwrap());
            }
            assert_near(&softmax(lines.copy().unwrap()).unwrap(), &candle_nn::ops::softmax_last_dim(&lines).unwrap());

            let both = random((lines.dim(0).unwrap(), 2 * width));
            let halves = (both.narrow(1, 0, width).unwrap().contiguous().unwrap(), both.narrow(1, width, width).unwrap());
            assert_near(&gated(&both, Activation::Gelu).unwrap(), &(halves.0.gelu_erf().unwrap() * halves.1).unwrap());
        }
    }

    #[test]
    fn heads_are_split_of_lines_that_begin_anywhere() {
        let (rows, places, heads, size) = (3, 5, 2, 7);
        let all = random((rows * places + 4, 3 * heads * size));
        let (lines, bias) = (all.narrow(0, 4, rows * places).unwrap(), line(3 * heads * size));
        let split = |of: &Tensor| {
            let apart = of.reshape((rows, places, 3, heads, size)).unwrap();
            apart.permute((2, 0, 3, 1, 4)).unwrap().contiguous().unwrap()
        };
        assert_near(&by_head(&lines, None, (rows, heads)).unwrap(), &split(&lines));
        let sum = lines.broadcast_add(&bias).unwrap();
        assert_near(&by_head(&lines, Some(&bias), (rows, heads)).unwrap(), &split(&sum));
    }

    #[test]
    fn lines_of_other_numbers_are_not_added() {
        let norm = SumNorm::new(line(16), LayerNorm::new(line(16), line(16), 1e-5)).unwrap();
        assert!(norm.forward(Product(random((4, 16))), &random((3, 16))).is_err());
    }
}
