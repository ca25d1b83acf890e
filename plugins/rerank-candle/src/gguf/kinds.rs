//! The forms that a tensor's numbers can have in a file, by the numbers that GGUF gives them.

use candle_core::quantized::GgmlDType;

/// Forms that exist and are not read here: candle does not turn them into numbers.
const OTHERS: [(u32, &str); 24] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// Returns the form of that number, or the name of one that is not read.
pub(super) fn kind(number: u32) -> Result<GgmlDType, String> {
    let kind = match number {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        other => {
            let known = OTHERS.iter().find(|(own, _)| *own == other);
            return Err(known.map_or_else(|| format!("type {other}"), |(_, name)| (*name).to_owned()));
        }
    };
    Ok(kind)
}

/// Returns the bytes that a tensor takes: its last dimension is made of whole blocks.
pub(super) fn size(kind: GgmlDType, dimensions: &[usize]) -> Option<u64> {
    let last = dimensions.last()?;
    if !last.is_multiple_of(kind.block_size()) {
        return None;
    }
    let blocks = last / kind.block_size();
    let rows = dimensions[..dimensions.len() - 1].iter().try_fold(1_usize, |product, one| product.checked_mul(*one))?;
    // The numbers themselves are counted too: they may be more than an address can tell apart.
    rows.checked_mul(*last)?.checked_mul(size_of::<f32>())?;
    u64::try_from(rows.checked_mul(blocks)?.checked_mul(kind.type_size())?).ok()
}
