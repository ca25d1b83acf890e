//! Reads the numbers and texts of a head, of which none is believed before the file is long enough for it.

use std::io::{self, Read};

/// What is wrong with a head, in words.
pub(super) type Wrong = String;

/// The longest head that is read; those of real models stay under 20 MiB.
const MAX_HEAD: u64 = 64 << 20;

/// A head, read from its beginning.
pub(super) struct Bytes<R> {
    reader: R,
    position: u64,
    end: u64,
}

// === impl Bytes ===

impl<R: Read> Bytes<R> {
    pub(super) fn new(reader: R, file: u64) -> Self {
        Self { reader, position: 0, end: file.min(MAX_HEAD) }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Makes sure that `count` things of at least `size` bytes can follow.
    pub(super) fn room(&self, count: u64, size: u64, what: &str) -> Result<usize, Wrong> {
        let left = self.end - self.position;
        let fits = count.checked_mul(size).is_some_and(|needed| needed <= left);
        let count = usize::try_from(count).ok().filter(|_| fits);
        count.ok_or_else(|| format!("it announces more {what} than {left} more bytes of its head can hold"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        self.room(N as u64, 1, "bytes")?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(unreadable)?;
        self.position += N as u64;
        Ok(bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Wrong> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Wrong> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Wrong> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Wrong> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a text and the length before it.
    pub(super) fn text(&mut self) -> Result<Vec<u8>, Wrong> {
        let length = self.u64()?;
        let length = self.room(length, 1, "bytes of a text")?;
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes).map_err(unreadable)?;
        self.position += length as u64;
        Ok(bytes)
    }

    /// Reads a name, which must be readable.
    pub(super) fn name(&mut self) -> Result<String, Wrong> {
        String::from_utf8(self.text()?).map_err(|_| "a name in its head is not UTF-8".into())
    }

    /// Passes over `count` things of `size` bytes.
    pub(super) fn skip(&mut self, count: u64, size: u64) -> Result<(), Wrong> {
        let bytes = self.room(count, size, "numbers of an array")? as u64 * size;
        let passed = io::copy(&mut (&mut self.reader).take(bytes), &mut io::sink()).map_err(unreadable)?;
        self.position += passed;
        if passed == bytes { Ok(()) } else { Err("its head breaks off".into()) }
    }
}

fn unreadable(error: io::Error) -> Wrong {
    format!("its head cannot be read: {error}")
}
