//! What is checked alike in every `config.json`.

pub(crate) const CONFIG: &str = "config.json";

/// Fails with the first size that is 0.
pub(crate) fn positive(sizes: &[(&str, u32)]) -> Result<(), String> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some((name, _)) => Err(format!("{name} is 0")),
        None => Ok(()),
    }
}

/// Returns how wide each head is.
pub(crate) fn head_size(hidden: u32, heads: u32) -> Result<u32, String> {
    if heads == 0 || !hidden.is_multiple_of(heads) {
        return Err(format!("hidden_size {hidden} cannot be split over {heads} heads"));
    }
    Ok(hidden / heads)
}
