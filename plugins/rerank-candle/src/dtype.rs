//! What models compute in.

use candle_core::DType;
use rerank_plugin::Dtype;

/// Returns candle's name of what is asked for; on a processor nothing is faster than f32, and nothing more exact.
pub fn dtype(asked: Option<Dtype>) -> DType {
    match asked {
        None | Some(Dtype::F32) => DType::F32,
        Some(Dtype::F16) => DType::F16,
        Some(Dtype::Bf16) => DType::BF16,
    }
}

/// Returns its name, for fingerprints.
pub fn dtype_name(asked: Option<Dtype>) -> &'static str {
    dtype(asked).as_str()
}
