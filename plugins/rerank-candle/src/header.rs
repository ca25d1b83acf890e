//! Looks at the beginning of a safetensors file, so that nothing is read or reserved for one that is not as long as it says.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

use rerank_plugin::LoadError;
use serde::Deserialize;

/// The longest header that is read; the format allows no longer ones.
const LONGEST: u64 = 100_000_000;

/// One tensor, or the file's own words about itself, which lie nowhere.
#[derive(Deserialize)]
struct Entry {
    data_offsets: Option<(u64, u64)>,
}

/// Makes sure that a file ends where its last tensor does.
///
/// # Errors
/// [`LoadError::Malformed`] with what is wrong, [`LoadError::Unreadable`] with the system's words.
pub(crate) fn check(path: &Path) -> Result<(), LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let malformed = |reason| LoadError::Malformed { path: path.to_owned(), reason };
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let (header, begins) = read(file, length).map_err(unreadable)?.map_err(malformed)?;
    let entries: BTreeMap<String, Entry> =
        serde_json::from_slice(&header).map_err(|error| malformed(format!("its header cannot be read: {error}")))?;
    let end = entries.values().filter_map(|entry| entry.data_offsets).map(|(_, end)| end).max().unwrap_or_default();
    match begins.checked_add(end) {
        Some(says) if says == length => Ok(()),
        _ => Err(malformed(format!("it has {length} bytes, and not as many as its header says: get the file anew"))),
    }
}

/// Returns the header, and where the numbers behind it begin; or what is wrong.
fn read(mut file: File, length: u64) -> io::Result<Result<(Vec<u8>, u64), String>> {
    let mut first = [0; 8];
    if length < 8 {
        return Ok(Err(format!("it has {length} bytes and no header: get the file anew")));
    }
    file.read_exact(&mut first)?;
    let says = u64::from_le_bytes(first);
    if says > LONGEST || says > length - 8 {
        return Ok(Err(format!("its header has {says} bytes, and the file {length}: it is no safetensors file, or cut off")));
    }
    let mut header = Vec::new();
    file.take(says).read_to_end(&mut header)?;
    Ok(Ok((header, 8 + says)))
}
