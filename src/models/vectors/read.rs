//! Reads a file of vectors from its beginning, a segment at a time. **Invariant:** no number of the file is believed before it was
//! compared with how long the file is; what is read was checked.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use rerank_plugin::{Digest128, Vector};

use super::{
    Survey, VectorsError,
    format::{BadHeader, HEADER, Head, SEGMENT_HEAD, Shape, read_header},
};
use crate::rerank::Digester;

/// Where a file stops being what was written, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct Damage {
    /// All before this byte is as it was written.
    pub at: u64,
    /// What is wrong there.
    pub what: &'static str,
}

/// A file, read as far as `place`.
pub(super) struct Segments {
    file: BufReader<File>,
    digester: Digester,
    place: u64,
    length: u64,
    payload: Vec<u8>,
}

/// What stands ahead in a file.
pub(super) enum Next {
    Segment(Head),
    End,
    Damaged(Damage),
}

const BREAKS_OFF: &str = "it breaks off";

/// Returns what makes the digests of the file at `path`, and the file behind its header.
pub(super) fn open(path: &Path) -> Result<Segments, VectorsError> {
    let unreadable = |source| VectorsError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(VectorsError::Foreign { path: path.to_owned() });
    }
    Segments::behind_header(file).map_err(unreadable)?.map_err(|bad| VectorsError::of_header(path, bad))
}

// === impl Segments ===

impl Segments {
    /// Reads a file's header.
    pub(super) fn behind_header(file: File) -> io::Result<Result<Self, BadHeader>> {
        let length = file.metadata()?.len();
        let mut file = BufReader::with_capacity(1 << 20, file);
        let mut header = Vec::new();
        file.by_ref().take(HEADER as u64).read_to_end(&mut header)?;
        Ok(read_header(&header).map(|digester| Self { file, digester, place: HEADER as u64, length, payload: Vec::new() }))
    }

    pub(super) fn digester(&self) -> &Digester {
        &self.digester
    }

    /// How far the file was read.
    pub(super) fn place(&self) -> u64 {
        self.place
    }

    /// Returns the next segment's head, to be followed by [`Segments::skip`] or [`Segments::read`].
    pub(super) fn next(&mut self) -> io::Result<Next> {
        let damaged = |at, what| Ok(Next::Damaged(Damage { at, what }));
        let left = self.length - self.place;
        if left == 0 {
            return Ok(Next::End);
        }
        if left < SEGMENT_HEAD as u64 {
            return damaged(self.place, BREAKS_OFF);
        }
        let mut start = [0; SEGMENT_HEAD];
        self.file.read_exact(&mut start)?;
        match Head::read(&start) {
            None => damaged(self.place, "no segment begins"),
            Some(head) if head.payload() > left - SEGMENT_HEAD as u64 => damaged(self.place, BREAKS_OFF),
            Some(head) => Ok(Next::Segment(head)),
        }
    }

    /// Steps over a segment's vectors, unread.
    pub(super) fn skip(&mut self, head: &Head) -> io::Result<()> {
        // No segment is longer than `i64` counts.
        self.file.seek_relative(head.payload() as i64)?;
        self.place += SEGMENT_HEAD as u64 + head.payload();
        Ok(())
    }

    /// Hands out a segment's vectors, or says what is wrong with it.
    pub(super) fn read(&mut self, head: &Head, mut each: impl FnMut(Digest128, Vector)) -> io::Result<Result<(), Damage>> {
        let damaged = |what| Ok(Err(Damage { at: self.place, what }));
        self.payload.resize(head.payload() as usize, 0);
        self.file.read_exact(&mut self.payload)?;
        if !head.is_intact(&self.digester, &self.payload) {
            return damaged("a checksum is wrong");
        }
        for entry in head.entries(&self.payload) {
            let Some((name, vector)) = entry else { return damaged("a vector is no vector") };
            each(name, vector);
        }
        self.place += SEGMENT_HEAD as u64 + head.payload();
        Ok(Ok(()))
    }

    /// Returns how many vectors of each shape the heads announce, in the order in which the shapes come, and the damage that is seen
    /// without reading a vector.
    pub(super) fn survey(mut self) -> io::Result<Survey> {
        let mut shapes: Vec<(Shape, u64)> = Vec::new();
        loop {
            match self.next()? {
                Next::End => return Ok(Survey { shapes, damage: None }),
                Next::Damaged(damage) => return Ok(Survey { shapes, damage: Some(damage) }),
                Next::Segment(head) => {
                    self.skip(&head)?;
                    match shapes.iter_mut().find(|(shape, _)| *shape == head.shape) {
                        Some((_, vectors)) => *vectors += u64::from(head.vectors),
                        None => shapes.push((head.shape, u64::from(head.vectors))),
                    }
                }
            }
        }
    }
}

/// Goes back to a place of a file.
pub(super) fn rewind(file: &mut File, place: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(place)).map(drop)
}
