//! What a file says of its model: values under names.

use std::{collections::BTreeMap, io::Read, path::PathBuf};

use rerank_plugin::LoadError;

use super::bytes::{Bytes, Wrong};

/// The longest list that is read; tokenizers have some 150,000 tokens, and the largest 260,000.
const LONGEST: usize = 1 << 20;

/// The values of a file under their names.
#[derive(Debug)]
pub struct Metadata {
    path: PathBuf,
    values: BTreeMap<String, Value>,
}

/// One value; what no model here asks for is passed over.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Whole(u64),
    Number(f64),
    Flag(bool),
    Text(String),
    Wholes(Vec<u32>),
    Texts(Vec<String>),
    Other,
}

// === impl Metadata ===

impl Metadata {
    /// Reads `count` values.
    pub(super) fn read<R: Read>(bytes: &mut Bytes<R>, count: u64, path: PathBuf) -> Result<Self, Wrong> {
        // A name's length, a type and a byte at least.
        let count = bytes.room(count, 8 + 4 + 1, "values")?;
        let mut values = BTreeMap::new();
        for _ in 0..count {
            let name = bytes.name()?;
            let kind = bytes.u32()?;
            let value = Value::read(bytes, kind).map_err(|wrong| format!("{name}: {wrong}"))?;
            if values.contains_key(&name) {
                return Err(format!("{name} stands in it twice"));
            }
            values.insert(name, value);
        }
        Ok(Self { path, values })
    }

    /// Returns the names that begin so.
    pub fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.values.keys().map(String::as_str).filter(move |name| name.starts_with(prefix))
    }

    /// Returns a whole number.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] when it is something else; the other methods are the same.
    pub fn whole(&self, name: &str) -> Result<Option<usize>, LoadError> {
        self.get(name, "a whole number", |value| match value {
            Value::Whole(whole) => usize::try_from(*whole).ok(),
            _ => None,
        })
    }

    /// Returns a number.
    ///
    /// # Errors
    /// As [`Metadata::whole`].
    pub fn number(&self, name: &str) -> Result<Option<f64>, LoadError> {
        self.get(name, "a number", |value| match value {
            Value::Number(number) => Some(*number),
            Value::Whole(whole) => Some(*whole as f64),
            _ => None,
        })
    }

    /// Returns yes or no.
    ///
    /// # Errors
    /// As [`Metadata::whole`].
    pub fn flag(&self, name: &str) -> Result<Option<bool>, LoadError> {
        self.get(name, "true or false", |value| match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    /// Returns a text.
    ///
    /// # Errors
    /// As [`Metadata::whole`].
    pub fn text(&self, name: &str) -> Result<Option<&str>, LoadError> {
        self.get(name, "a text", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Returns a list of texts.
    ///
    /// # Errors
    /// As [`Metadata::whole`].
    pub fn texts(&self, name: &str) -> Result<Option<&[String]>, LoadError> {
        self.get(name, "a list of texts", |value| match value {
            Value::Texts(texts) => Some(texts.as_slice()),
            _ => None,
        })
    }

    /// Returns a list of whole numbers.
    ///
    /// # Errors
    /// As [`Metadata::whole`].
    pub fn wholes(&self, name: &str) -> Result<Option<&[u32]>, LoadError> {
        self.get(name, "a list of whole numbers", |value| match value {
            Value::Wholes(wholes) => Some(wholes.as_slice()),
            _ => None,
        })
    }

    fn get<'a, T>(&'a self, name: &str, what: &str, as_asked: impl FnOnce(&'a Value) -> Option<T>) -> Result<Option<T>, LoadError> {
        let Some(value) = self.values.get(name) else { return Ok(None) };
        let wrong = || LoadError::Malformed { path: self.path.clone(), reason: format!("{name} is not {what}") };
        as_asked(value).map(Some).ok_or_else(wrong)
    }

    /// The boundary that tensors begin at.
    pub(super) fn alignment(&self) -> Result<u64, Wrong> {
        match self.values.get("general.alignment") {
            None => Ok(32),
            Some(Value::Whole(whole)) if whole.is_power_of_two() && (8..=1 << 20).contains(whole) => Ok(*whole),
            Some(other) => Err(format!("general.alignment is {other:?}, and must be a power of two")),
        }
    }
}

// === impl Value ===

impl Value {
    fn read<R: Read>(bytes: &mut Bytes<R>, kind: u32) -> Result<Self, Wrong> {
        let whole = |number: i64| u64::try_from(number).map_or(Self::Other, Self::Whole);
        Ok(match kind {
            0 => Self::Whole(bytes.u8()?.into()),
            1 => whole(i8::from_le_bytes([bytes.u8()?]).into()),
            2 => Self::Whole(bytes.u16()?.into()),
            3 => whole(bytes.u16()?.cast_signed().into()),
            4 => Self::Whole(bytes.u32()?.into()),
            5 => whole(bytes.u32()?.cast_signed().into()),
            6 => Self::Number(f32::from_bits(bytes.u32()?).into()),
            7 => match bytes.u8()? {
                0 => Self::Flag(false),
                1 => Self::Flag(true),
                other => return Err(format!("{other} is neither true nor false")),
            },
            // Nobody computes with a name or a template, so that a wrong letter in one does no harm.
            8 => Self::Text(String::from_utf8_lossy(&bytes.text()?).into_owned()),
            9 => Self::list(bytes)?,
            10 => Self::Whole(bytes.u64()?),
            11 => whole(bytes.u64()?.cast_signed()),
            12 => Self::Number(f64::from_bits(bytes.u64()?)),
            other => return Err(format!("a value of type {other}, which GGUF does not know")),
        })
    }

    fn list<R: Read>(bytes: &mut Bytes<R>) -> Result<Self, Wrong> {
        let (kind, count) = (bytes.u32()?, bytes.u64()?);
        match kind {
            4 | 5 => {
                let count = bytes.room(count, 4, "numbers of an array")?;
                listed(count, || bytes.u32()).map(Self::Wholes)
            }
            8 => {
                let count = bytes.room(count, 8, "texts of an array")?;
                listed(count, || bytes.name()).map(Self::Texts)
            }
            0 | 1 | 7 => bytes.skip(count, 1).map(|()| Self::Other),
            2 | 3 => bytes.skip(count, 2).map(|()| Self::Other),
            6 => bytes.skip(count, 4).map(|()| Self::Other),
            10..=12 => bytes.skip(count, 8).map(|()| Self::Other),
            other => Err(format!("a list of type {other}, which is not read")),
        }
    }
}

fn listed<T>(count: usize, mut next: impl FnMut() -> Result<T, Wrong>) -> Result<Vec<T>, Wrong> {
    if count > LONGEST {
        return Err(format!("a list of {count}, and no more than {LONGEST} are read"));
    }
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(next()?);
    }
    Ok(list)
}
