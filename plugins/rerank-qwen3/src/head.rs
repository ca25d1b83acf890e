//! Takes the answer out of the weights: of a language model's head two rows, and of them the difference.

use candle_core::{DType, Tensor};
use rerank_candle::{Decoder, DecoderShape, Weights};
use rerank_plugin::LoadError;

use crate::checkpoint::Words;

const HEAD: &str = "lm_head.weight";

/// Returns the direction in which hidden states say yes rather than no, in f32, `[hidden size, 1]`: their product is the log-odds.
pub(crate) fn take_words(weights: &mut Weights, decoder: &Decoder, shape: &DecoderShape, words: Words) -> Result<Tensor, LoadError> {
    let Words { yes, no } = words;
    if yes as usize >= shape.vocabulary() || no as usize >= shape.vocabulary() {
        return Err(weights.malformed(format!("the answers are tokens {yes} and {no}, and config.json says {}", shape.vocabulary())));
    }
    let head = if weights.has(HEAD) {
        // In the numbers of the file, as f32 holds them all.
        Some(weights.take_rows(HEAD, &[shape.vocabulary(), shape.hidden()], &[yes, no], DType::F32)?)
    } else {
        None
    };
    if head.is_none() && !shape.tied() {
        return Err(weights.malformed(format!("{HEAD} is missing, and config.json says that it is not the embeddings")));
    }
    let own = head.map(|rows| rows.get(0)? - rows.get(1)?);
    let embedded = decoder.embedding(yes).and_then(|row| row - decoder.embedding(no)?);
    let direction = match own {
        Some(own) if shape.tied() => own.and_then(|own| agreed(own, embedded?)),
        Some(own) => own,
        None => embedded,
    };
    let direction = direction.and_then(|row| row.reshape((shape.hidden(), 1)));
    direction.map_err(|error| weights.failed(&error))
}

/// Returns the head's one row, in f32, `[hidden size, 1]`.
pub(crate) fn take_logit(weights: &mut Weights, shape: &DecoderShape) -> Result<Tensor, LoadError> {
    let row = take_own(weights, shape, 1)?;
    row.reshape((shape.hidden(), 1)).map_err(|error| weights.failed(&error))
}

/// Returns the difference of the head's two rows, in f32, `[hidden size, 1]`.
pub(crate) fn take_rows(weights: &mut Weights, shape: &DecoderShape, (yes, no): (usize, usize)) -> Result<Tensor, LoadError> {
    let rows = take_own(weights, shape, 2)?;
    let difference = rows.get(yes).and_then(|row| row - rows.get(no)?).and_then(|row| row.reshape((shape.hidden(), 1)));
    difference.map_err(|error| weights.failed(&error))
}

fn take_own(weights: &mut Weights, shape: &DecoderShape, rows: usize) -> Result<Tensor, LoadError> {
    if weights.has(HEAD) {
        // A conversion may have left it there; nobody asks it.
        weights.take_rows(HEAD, &[shape.vocabulary(), shape.hidden()], &[0], DType::F32)?;
    }
    weights.take("score.weight", &[rows, shape.hidden()], DType::F32)
}

/// Makes sure that a head which is said to be the embeddings is.
fn agreed(own: Tensor, embedded: Tensor) -> candle_core::Result<Tensor> {
    const ROUNDING: f32 = 1e-2;
    let apart = (&own - &embedded)?.abs()?.max_all()?.to_scalar::<f32>()?;
    let size = own.abs()?.max_all()?.to_scalar::<f32>()?;
    if apart > ROUNDING * size {
        candle_core::bail!("tie_word_embeddings says that {HEAD} is the embeddings, and it is not: correct config.json or the file");
    }
    Ok(own)
}
