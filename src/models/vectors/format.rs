//! How a file of vectors is laid out, to the byte. All numbers are little-endian.
//!
//! ```text
//! header   "podvec\r\n" · version u32 · key of the digests 16 B · checksum of all before 16 B
//! segment  "segm" · fingerprint 32 B · components u32 · bytes of a component u32 · vectors u32 · checksum of head and vectors 16 B
//!          then each vector: digest of its document 16 B · components
//! ```
//! Segments follow each other to the end of the file; it only grows. Checksums are made with the key, so that they say of which file
//! a segment is.

use rerank_plugin::{Digest128, Fingerprint, Vector};

use crate::{models::store::ENTRY_OVERHEAD, rerank::Digester};

/// What every file begins with; the line end shows what a transfer as text has changed.
pub(super) const MAGIC: [u8; 8] = *b"podvec\r\n";
/// Of the layout, and of the digests that name documents.
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER: usize = 8 + 4 + 16 + 16;
pub(super) const SEGMENT_HEAD: usize = 4 + 32 + 4 + 4 + 4 + 16;
/// A document's digest.
const NAME: usize = 16;
/// The most bytes of vectors in one segment: what a reader holds at a time.
pub(super) const MAX_PAYLOAD: u64 = 64 << 20;

const MARK: [u8; 4] = *b"segm";

/// Whose vectors a segment holds, and what they look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Of the model that made them.
    pub fingerprint: Fingerprint,
    /// Numbers of each vector.
    pub components: u32,
    /// Whether these are f16, else f32.
    pub half: bool,
}

/// The beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) shape: Shape,
    pub(super) vectors: u32,
    checksum: u128,
}

/// Why a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Another kind of file.
    Foreign,
    /// One that this version cannot read.
    Version(u32),
    /// Cut off, or changed.
    Damaged,
}

// === the header ===

/// Returns the header of a file whose digests have this key.
pub(super) fn header(digester: &Digester) -> Vec<u8> {
    let start = [&MAGIC[..], &VERSION.to_le_bytes(), &digester.key()].concat();
    let checksum = header_checksum(digester, &start);
    [&start[..], &checksum.to_le_bytes()].concat()
}

/// Returns what makes the digests of the file that begins so; fewer bytes than a header when the file ends there.
pub(super) fn read_header(bytes: &[u8]) -> Result<Digester, BadHeader> {
    if bytes.len() < MAGIC.len() {
        return Err(if MAGIC.starts_with(bytes) { BadHeader::Damaged } else { BadHeader::Foreign });
    }
    let Some((magic, rest)) = bytes.split_first_chunk::<8>() else { return Err(BadHeader::Foreign) };
    if *magic != MAGIC {
        return Err(BadHeader::Foreign);
    }
    let Some((version, rest)) = rest.split_first_chunk::<4>() else { return Err(BadHeader::Damaged) };
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(BadHeader::Version(version));
    }
    let Some((key, rest)) = rest.split_first_chunk::<16>() else { return Err(BadHeader::Damaged) };
    let digester = Digester::with_key(*key);
    let checksum = header_checksum(&digester, &bytes[..HEADER - 16]).to_le_bytes();
    if rest == checksum { Ok(digester) } else { Err(BadHeader::Damaged) }
}

fn header_checksum(digester: &Digester, start: &[u8]) -> u128 {
    digester.start().piece(b"header").piece(start).finish().0
}

// === impl Shape ===

impl Shape {
    /// Returns the shape of a model's vector.
    pub fn of(fingerprint: Fingerprint, vector: &Vector) -> Self {
        let half = vector.is_half();
        let width = if half { 2 } else { 4 };
        Self { fingerprint, components: u32::try_from(vector.weight() / width).unwrap_or(u32::MAX), half }
    }

    /// Bytes of one vector without its name.
    pub fn weight(self) -> u64 {
        u64::from(self.components) * u64::from(self.width())
    }

    /// Bytes of one vector in the cache.
    pub fn cached(self) -> u64 {
        self.weight() + ENTRY_OVERHEAD as u64
    }

    /// Bytes of one vector with its name.
    pub(super) fn entry(self) -> u64 {
        self.weight() + NAME as u64
    }

    fn width(self) -> u32 {
        if self.half { 2 } else { 4 }
    }
}

// === impl Head ===

impl Head {
    /// Returns a segment of these vectors, head and all.
    pub(super) fn write(digester: &Digester, shape: Shape, vectors: &[(Digest128, Vector)]) -> Vec<u8> {
        let mut payload = Vec::new();
        for (name, vector) in vectors {
            payload.extend(name.0.to_le_bytes());
            vector.write_le(&mut payload);
        }
        let start = Self::start(shape, vectors.len() as u32);
        let checksum = checksum(digester, &start, &payload);
        [&start[..], &checksum.to_le_bytes(), &payload].concat()
    }

    /// Returns the head that stands in these bytes, if it can be one.
    pub(super) fn read(bytes: &[u8; SEGMENT_HEAD]) -> Option<Self> {
        let (mark, rest) = bytes.split_first_chunk::<4>()?;
        let (fingerprint, rest) = rest.split_first_chunk::<32>()?;
        let (components, rest) = rest.split_first_chunk::<4>()?;
        let (width, rest) = rest.split_first_chunk::<4>()?;
        let (vectors, rest) = rest.split_first_chunk::<4>()?;
        let checksum = u128::from_le_bytes(*rest.first_chunk::<16>()?);
        let width = u32::from_le_bytes(*width);
        let shape = Shape { fingerprint: Fingerprint(*fingerprint), components: u32::from_le_bytes(*components), half: width == 2 };
        let head = Self { shape, vectors: u32::from_le_bytes(*vectors), checksum };
        let sound = *mark == MARK && (width == 2 || width == 4) && shape.components > 0 && head.vectors > 0;
        (sound && head.payload() <= MAX_PAYLOAD).then_some(head)
    }

    /// Bytes of the vectors; no number that a file may hold makes this overflow.
    pub(super) fn payload(&self) -> u64 {
        u64::from(self.vectors).saturating_mul(self.shape.entry())
    }

    /// Whether head and vectors are as they were written.
    pub(super) fn is_intact(&self, digester: &Digester, payload: &[u8]) -> bool {
        checksum(digester, &Self::start(self.shape, self.vectors), payload) == self.checksum
    }

    /// Returns the vectors in a segment's payload, each with its document's digest; `None` for one that is no vector.
    pub(super) fn entries(self, payload: &[u8]) -> impl Iterator<Item = Option<(Digest128, Vector)>> {
        payload.chunks_exact(self.shape.entry() as usize).map(move |entry| {
            let (name, components) = entry.split_first_chunk::<NAME>()?;
            Some((Digest128(u128::from_le_bytes(*name)), Vector::read_le(components, self.shape.half)?))
        })
    }

    fn start(shape: Shape, vectors: u32) -> Vec<u8> {
        let numbers = [shape.components, shape.width(), vectors].map(u32::to_le_bytes).concat();
        [&MARK[..], &shape.fingerprint.0, &numbers].concat()
    }
}

fn checksum(digester: &Digester, start: &[u8], payload: &[u8]) -> u128 {
    digester.start().piece(b"segment").piece(start).piece(payload).finish().0
}

/// How many vectors of this shape one segment may hold.
pub(super) fn most_vectors(shape: Shape) -> usize {
    (MAX_PAYLOAD / shape.entry()) as usize
}

#[cfg(test)]
mod tests {
    use rerank_plugin::{Digest128, Fingerprint, Vector};

    use super::{BadHeader, HEADER, Head, MAGIC, SEGMENT_HEAD, Shape, VERSION, header, read_header};
    use crate::rerank::Digester;

    #[test]
    fn a_header_is_read_again_and_anything_else_is_named() {
        let digester = Digester::new();
        let written = header(&digester);
        assert_eq!(written.len(), HEADER);
        assert_eq!(read_header(&written).map(|read| read.key()), Ok(digester.key()));
        for length in 0..HEADER {
            assert_eq!(read_header(&written[..length]).err(), Some(BadHeader::Damaged), "{length}");
        }
        for place in 0..HEADER {
            let mut changed = written.clone();
            changed[place] ^= 0x40;
            let expected = match place {
                0..8 => BadHeader::Foreign,
                8..12 => BadHeader::Version(VERSION ^ (0x40 << (8 * (place - 8)))),
                _ => BadHeader::Damaged,
            };
            assert_eq!(read_header(&changed).err(), Some(expected), "{place}");
        }
        assert_eq!(read_header(b"SQLite format 3\0").err(), Some(BadHeader::Foreign));
        assert_eq!(read_header(b"SQL").err(), Some(BadHeader::Foreign));
        assert_eq!(read_header(&MAGIC.map(|byte| if byte == b'\r' { b'\n' } else { byte })).err(), Some(BadHeader::Foreign));
    }

    #[test]
    fn a_segment_is_read_again_and_any_changed_bit_is_seen() {
        let digester = Digester::new();
        for vectors in [
            vec![(Digest128(1), Vector::new([0.5, -1.0])), (Digest128(u128::MAX), Vector::new([0.0, 2.0]))],
            vec![(Digest128(7), Vector::half(&[0.25, 0.5, 1.0]))],
        ] {
            let shape = Shape::of(Fingerprint([9; 32]), &vectors[0].1);
            let written = Head::write(&digester, shape, &vectors);
            let (start, payload) = written.split_first_chunk::<SEGMENT_HEAD>().unwrap();
            let head = Head::read(start).unwrap();
            assert_eq!((head.shape, head.vectors as usize, head.payload() as usize), (shape, vectors.len(), payload.len()));
            assert!(head.is_intact(&digester, payload) && !head.is_intact(&Digester::new(), payload));
            assert_eq!(head.entries(payload).map(Option::unwrap).collect::<Vec<_>>(), vectors);
            for place in 0..written.len() {
                let mut changed = written.clone();
                changed[place] ^= 1;
                let (changed_start, changed_payload) = changed.split_first_chunk::<SEGMENT_HEAD>().unwrap();
                let passes = Head::read(changed_start)
                    .is_some_and(|read| read.payload() == payload.len() as u64 && read.is_intact(&digester, changed_payload));
                assert!(!passes, "{place}");
            }
        }
    }

    #[test]
    fn numbers_that_no_segment_can_have_are_refused() {
        let digester = Digester::new();
        let vectors = [(Digest128(1), Vector::new([0.5]))];
        let written = Head::write(&digester, Shape::of(Fingerprint([9; 32]), &vectors[0].1), &vectors);
        let start = *written.first_chunk::<SEGMENT_HEAD>().unwrap();
        assert!(Head::read(&start).is_some());
        for (place, bytes) in [(36, u32::MAX), (36, 0), (40, 3), (40, 0), (44, u32::MAX), (44, 0)] {
            let mut changed = start;
            changed[place..place + 4].copy_from_slice(&bytes.to_le_bytes());
            assert!(Head::read(&changed).is_none(), "{bytes} at {place}");
        }
    }
}
