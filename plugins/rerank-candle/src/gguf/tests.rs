//! Files that are right, wrong, cut off and damaged.

use std::{fs, path::PathBuf};

use candle_core::{DType, Device};
use proptest::prelude::*;
use rerank_plugin::{LoadError, Silent};
use tempfile::TempDir;

use super::Gguf;
use crate::matrix::Stored;

/// A tensor in each form, and its numbers as the gguf package has them (`rerank-qwen3/tests/fixtures/script/make_gguf.py`).
const TYPES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/types.gguf");

/// A file that is written by hand.
#[derive(Clone)]
struct Written {
    version: u32,
    values: Vec<(String, u32, Vec<u8>)>,
    /// Name, dimensions as written, form, offset.
    tensors: Vec<(String, Vec<u64>, u32, u64)>,
    data: usize,
}

// === impl Written ===

impl Written {
    /// Two vectors of 8 and 4 numbers, and three values.
    fn right() -> Self {
        let values = vec![value("general.architecture", 8, &text("qwen3")), value("n", 4, &7_u32.to_le_bytes()), list("l", 8, &text("a"))];
        let tensors = vec![("a".into(), vec![8], 0, 0), ("b".into(), vec![2, 2], 0, 32)];
        Self { version: 3, values, tensors, data: 48 }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut written = Self::right();
        change(&mut written);
        written
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.values.len() as u64).to_le_bytes());
        for (name, kind, value) in &self.values {
            bytes.extend(text(name));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(value);
        }
        for (name, dimensions, kind, offset) in &self.tensors {
            bytes.extend(text(name));
            bytes.extend((dimensions.len() as u32).to_le_bytes());
            dimensions.iter().for_each(|one| bytes.extend(one.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(32) + self.data, 0);
        bytes
    }

    fn error(&self) -> String {
        let (_folder, path) = file(&self.bytes());
        Gguf::open(&path).err().expect("it is refused").to_string()
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn value(name: &str, kind: u32, value: &[u8]) -> (String, u32, Vec<u8>) {
    (name.to_owned(), kind, value.to_vec())
}

fn list(name: &str, kind: u32, one: &[u8]) -> (String, u32, Vec<u8>) {
    value(name, 9, &[&kind.to_le_bytes(), &1_u64.to_le_bytes()[..], one].concat())
}

fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn every_form_becomes_the_numbers_of_the_reference() {
    let gguf = Gguf::open(TYPES.as_ref()).unwrap();
    let tensors = gguf.tensors(&[Device::Cpu], &Silent).unwrap().0.remove(0);
    let names: Vec<&String> = tensors.keys().filter(|name| !name.ends_with(".numbers")).collect();
    assert_eq!(names.len(), 12);
    for name in names {
        let found = tensors[name].clone().plain(DType::F32).unwrap();
        let rows = match &tensors[name] {
            Stored::Plain(_) => found.clone(),
            Stored::Quantised(tensor) => tensor.embedding(&candle_core::Tensor::new(&[0_u32, 1], &Device::Cpu).unwrap()).unwrap(),
        };
        let expected = tensors[&format!("{name}.numbers")].clone().plain(DType::F32).unwrap();
        for one in [found, rows] {
            let apart = (one - &expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(apart < 1e-6, "{name}: {apart}");
        }
    }
}

#[test]
fn what_a_right_file_says_is_found() {
    let right = Written::with(|written| {
        written.values.push(value("f", 6, &1.5_f32.to_le_bytes()));
        written.values.push(value("yes", 7, &[1]));
        written.values.push(value("minus", 5, &(-3_i32).to_le_bytes()));
        written.values.push(list("types", 5, &3_i32.to_le_bytes()));
        written.values.push(list("scores", 6, &3_f32.to_le_bytes()));
        written.version = 2;
    });
    let (_folder, path) = file(&right.bytes());
    let gguf = Gguf::open(&path).unwrap();
    let metadata = gguf.metadata();
    assert_eq!(metadata.text("general.architecture").unwrap(), Some("qwen3"));
    assert_eq!((metadata.whole("n").unwrap(), metadata.number("f").unwrap()), (Some(7), Some(1.5)));
    assert_eq!((metadata.flag("yes").unwrap(), metadata.whole("none").unwrap()), (Some(true), None));
    assert_eq!(metadata.texts("l").unwrap(), Some(&["a".to_owned()][..]));
    assert_eq!(metadata.wholes("types").unwrap(), Some(&[3][..]));
    for error in [metadata.whole("yes").err(), metadata.whole("minus").err(), metadata.texts("scores").err()] {
        assert!(matches!(error, Some(LoadError::Malformed { reason, .. }) if reason.contains(" is not a ")));
    }
    assert_eq!((gguf.dimensions("b"), gguf.dimensions("c")), (Some(&[2, 2][..]), None));
    let (all, digest) = gguf.tensors(&[Device::Cpu, Device::Cpu], &Silent).unwrap();
    for tensors in all {
        assert_eq!((tensors["a"].dims(), tensors["b"].dims()), (&[8][..], &[2, 2][..]));
    }
    use sha2::{Digest, Sha256};
    assert_eq!(digest, <[u8; 32]>::from(Sha256::digest(right.bytes())), "of the whole file");
}

#[test]
fn what_is_wrong_is_named() {
    let tensor = |name: &str, dimensions: &[u64], kind, offset| {
        let (name, dimensions) = (name.to_owned(), dimensions.to_vec());
        Written::with(|written| written.tensors.push((name, dimensions, kind, offset))).error()
    };
    let values = |value: (String, u32, Vec<u8>)| Written::with(|written| written.values.push(value)).error();
    for (error, said) in [
        (Written::with(|written| written.version = 1).error(), "GGUF of version 1, and 2 and 3 are read; convert it again"),
        (Written::with(|written| written.version = 3_u32.swap_bytes()).error(), "its numbers are big-endian"),
        (tensor("a", &[4], 0, 64), "the tensor a stands in it twice"),
        (tensor("c", &[4], 0, 32), "c lies over another tensor"),
        (tensor("c", &[4], 0, 64), "c has 16 bytes from 64 of the data on, and the file is"),
        (tensor("c", &[4], 0, u64::MAX - 31), "c has 16 bytes from 18446744073709551584"),
        (tensor("c", &[4], 0, 33), "c begins at 33, which is no multiple of 32"),
        (tensor("c", &[], 0, 64), "c has 0 dimensions"),
        (tensor("c", &[1; 5], 0, 64), "c has 5 dimensions"),
        (tensor("c", &[0, 4], 0, 64), "c cannot be [0, 4] numbers of F32"),
        (tensor("c", &[1 << 32, 1 << 32], 0, 64), "c cannot be [4294967296, 4294967296] numbers of F32"),
        (tensor("c", &[1 << 40, 1 << 10], 8, 64), "bytes from 64 of the data on"),
        (tensor("c", &[48], 8, 64), "c cannot be [48] numbers of Q8_0"),
        (tensor("c", &[256], 23, 64), "c is IQ4_XS, which is not read; take a file whose tensors are F32, F16, BF16, Q8_0"),
        (tensor("c", &[256], 15, 64), "c is Q8_K, which is not read"),
        (tensor("c", &[256], 99, 64), "c is type 99, which is not read"),
        (values(value("n", 4, &[0; 4])), "n stands in it twice"),
        (values(value("m", 13, &[0; 4])), "m: a value of type 13, which GGUF does not know"),
        (values(value("m", 7, &[2])), "m: 2 is neither true nor false"),
        (values(list("m", 9, &[0; 32])), "m: a list of type 9, which is not read"),
        (values(list("m", 8, &[&2_u64.to_le_bytes()[..], &[0xff, 0xfe]].concat())), "m: a name in its head is not UTF-8"),
        (values(value("general.alignment", 4, &[0; 4])), "general.alignment is Whole(0), and must be a power of two"),
        (values(value("general.alignment", 4, &48_u32.to_le_bytes())), "must be a power of two"),
    ] {
        assert!(error.contains(said) && error.contains("m.gguf"), "{error}");
    }
}

/// Numbers that announce more than the file holds are refused before anything is made of them.
#[test]
fn absurd_sizes_allocate_nothing() {
    let right = Written::right().bytes();
    let at = |place: usize, number: u64| {
        let mut bytes = right.clone();
        bytes[place..place + 8].copy_from_slice(&number.to_le_bytes());
        let (_folder, path) = file(&bytes);
        Gguf::open(&path).err().expect("refused").to_string()
    };
    for number in [u64::MAX, 1 << 62, 1 << 40, 100_000] {
        assert!(at(8, number).contains("more tensors than"), "{}", at(8, number));
        assert!(at(16, number).contains("more values than"));
        assert!(at(24, number).contains("more bytes of a text than"));
    }
    for kind in [0, 4, 6, 8, 12] {
        let count = |count: u64| value("m", 9, &[&u32::to_le_bytes(kind)[..], &count.to_le_bytes()].concat());
        let error = Written::with(|written| written.values.push(count(1 << 61))).error();
        assert!(error.contains("m: it announces more"), "{error}");
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let whole = Written::right().bytes();
    let (folder, path) = file(&whole);
    assert!(Gguf::open(&path).is_ok());
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(Gguf::open(&path), Err(LoadError::Malformed { .. })), "{length}");
    }
    assert!(matches!(Gguf::open(&folder.path().join("none.gguf")), Err(LoadError::Unreadable { .. })));
}

#[test]
fn a_file_that_is_cut_off_after_its_head_was_read_is_refused() {
    let whole = Written::right().bytes();
    let (_folder, path) = file(&whole);
    let gguf = Gguf::open(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(gguf.tensors(&[Device::Cpu], &Silent), Err(LoadError::Unreadable { .. })));
}

proptest! {
    /// Whatever becomes of the bytes, a file is read or refused.
    #[test]
    fn damage_is_no_panic(places in prop::collection::vec((0usize..10_000, any::<u8>()), 1..12)) {
        let mut bytes = Written::right().bytes();
        let length = bytes.len();
        for (place, byte) in places {
            bytes[place % length] = byte;
        }
        let (_folder, path) = file(&bytes);
        if let Ok(gguf) = Gguf::open(&path) {
            let _ = gguf.tensors(&[Device::Cpu], &Silent);
            let _ = gguf.tokenizer();
            let _ = crate::DecoderShape::of_gguf(&gguf);
        }
    }
}
