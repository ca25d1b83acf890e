//! Reads a head and checks what it says of the tensors: each has a form that is known, lies inside the file, and alone.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use candle_core::quantized::GgmlDType;
use rerank_plugin::LoadError;

use super::{
    Gguf,
    bytes::{Bytes, Wrong},
    kinds::{kind, size},
    metadata::Metadata,
};

const MAGIC: u32 = u32::from_le_bytes(*b"GGUF");
const MOST_DIMENSIONS: u32 = 4;
/// Models of a hundred layers have some two thousand.
const MOST_TENSORS: usize = 1 << 16;

/// Where one tensor lies.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: GgmlDType,
    /// Rows first; the file has them the other way round.
    pub(super) dimensions: Vec<usize>,
    pub(super) start: u64,
    pub(super) length: u64,
}

/// Why a head is not taken.
enum Fault {
    Malformed(Wrong),
    Unsupported { reason: String, remedy: &'static str },
}

impl From<Wrong> for Fault {
    fn from(wrong: Wrong) -> Self {
        Self::Malformed(wrong)
    }
}

pub(super) fn read(path: &Path) -> Result<Gguf, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let parsed = parse(&mut Bytes::new(BufReader::new(file), length), length, path);
    parsed.map_err(|fault| match fault {
        Fault::Malformed(reason) => LoadError::Malformed { path: path.to_owned(), reason },
        Fault::Unsupported { reason, remedy } => {
            LoadError::Unsupported { reason: format!("{}: {reason}", path.display()), remedy: remedy.into() }
        }
    })
}

fn parse<R: Read>(bytes: &mut Bytes<R>, file: u64, path: &Path) -> Result<Gguf, Fault> {
    if bytes.u32().ok() != Some(MAGIC) {
        return Err(Fault::Malformed("it is no GGUF file: it does not begin with the letters GGUF".into()));
    }
    match bytes.u32()? {
        2 | 3 => {}
        other if (1..=3).contains(&other.swap_bytes()) => {
            return Err(Fault::Unsupported { reason: "its numbers are big-endian".into(), remedy: "take the little-endian conversion" });
        }
        other => {
            return Err(Fault::Unsupported {
                reason: format!("it is GGUF of version {other}, and 2 and 3 are read"),
                remedy: "convert it again with a current llama.cpp",
            });
        }
    }
    let (tensors, values) = (bytes.u64()?, bytes.u64()?);
    let metadata = Metadata::read(bytes, values, path.to_owned())?;
    let alignment = metadata.alignment()?;
    // A name's length, the number of dimensions, a type and an offset at least.
    let tensors = bytes.room(tensors, 8 + 4 + 4 + 8, "tensors")?;
    if tensors > MOST_TENSORS {
        return Err(Fault::Malformed(format!("it has {tensors} tensors, and no model has more than {MOST_TENSORS}")));
    }
    let mut entries = Vec::with_capacity(tensors);
    let mut known = BTreeSet::new();
    for _ in 0..tensors {
        let entry = entry(bytes, alignment)?;
        if !known.insert(entry.name.clone()) {
            return Err(Fault::Malformed(format!("the tensor {} stands in it twice", entry.name)));
        }
        entries.push(entry);
    }
    let data = bytes.position().next_multiple_of(alignment);
    place(&mut entries, data, file)?;
    Ok(Gguf { path: path.to_owned(), metadata, entries })
}

/// Reads one tensor's line; its start counts from where the data begins.
fn entry<R: Read>(bytes: &mut Bytes<R>, alignment: u64) -> Result<Entry, Fault> {
    let name = bytes.name()?;
    let count = bytes.u32()?;
    if count == 0 || count > MOST_DIMENSIONS {
        return Err(Fault::Malformed(format!("{name} has {count} dimensions")));
    }
    let written: Result<Vec<u64>, Wrong> = (0..count).map(|_| bytes.u64()).collect();
    let written = written?;
    let number = bytes.u32()?;
    let kind = kind(number).map_err(|other| Fault::Unsupported {
        reason: format!("{name} is {other}, which is not read"),
        remedy: "take a file whose tensors are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 or Q2_K to Q6_K, such as Q8_0 or Q4_K_M",
    })?;
    let start = bytes.u64()?;
    let rows_first: Option<Vec<usize>> = written.iter().rev().map(|one| usize::try_from(*one).ok().filter(|one| *one > 0)).collect();
    let sized = rows_first.and_then(|dimensions| size(kind, &dimensions).map(|length| (dimensions, length)));
    let (dimensions, length) = sized.ok_or_else(|| format!("{name} cannot be {written:?} numbers of {kind:?}"))?;
    if !start.is_multiple_of(alignment) {
        return Err(Fault::Malformed(format!("{name} begins at {start}, which is no multiple of {alignment}")));
    }
    Ok(Entry { name, kind, dimensions, start, length })
}

/// Puts the tensors in the order of the file and makes sure that each lies in it, behind the one before.
fn place(entries: &mut [Entry], data: u64, file: u64) -> Result<(), Wrong> {
    entries.sort_by_key(|entry| entry.start);
    let mut free = data;
    for entry in entries {
        let end = data.checked_add(entry.start).and_then(|start| start.checked_add(entry.length));
        let end = end.filter(|end| *end <= file).ok_or_else(|| {
            format!("{} has {} bytes from {} of the data on, and the file is {file} bytes long", entry.name, entry.length, entry.start)
        })?;
        entry.start += data;
        if entry.start < free {
            return Err(format!("{} lies over another tensor", entry.name));
        }
        free = end;
    }
    Ok(())
}
