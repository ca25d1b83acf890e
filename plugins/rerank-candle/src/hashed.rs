//! A file that is hashed while it is read, piece by piece.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use rerank_plugin::Progress;
use sha2::{Digest, Sha256};

/// How much is read between two words to the progress.
const STRIDE: usize = 4 << 20;

/// The file; nothing of it is passed over unseen.
pub(crate) struct Hashed<'a> {
    reader: BufReader<File>,
    hash: Sha256,
    position: u64,
    progress: &'a dyn Progress,
}

// === impl Hashed ===

impl<'a> Hashed<'a> {
    /// Opens a file, whose bytes go into `hash` behind those that it has seen.
    pub(crate) fn open(path: &Path, hash: Sha256, progress: &'a dyn Progress) -> io::Result<Self> {
        Ok(Self { reader: BufReader::with_capacity(STRIDE, File::open(path)?), hash, position: 0, progress })
    }

    /// Goes on to a place in the file, or to its end.
    pub(crate) fn skip(&mut self, to: u64) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        while self.position < to {
            let most = buffer.len().min(usize::try_from(to - self.position).unwrap_or(usize::MAX));
            match self.reader.read(&mut buffer[..most])? {
                0 => return Ok(()),
                got => self.passed(&buffer[..got]),
            }
        }
        Ok(())
    }

    /// Reads that many bytes; whoever asks knows that the file is so long.
    pub(crate) fn take(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        for piece in bytes.chunks_mut(STRIDE) {
            self.reader.read_exact(piece)?;
            self.passed(piece);
        }
        Ok(bytes)
    }

    /// Reads to the end, and returns the hash.
    pub(crate) fn finish(mut self) -> io::Result<Sha256> {
        self.skip(u64::MAX)?;
        Ok(self.hash)
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.position += bytes.len() as u64;
        self.progress.advance(bytes.len() as u64);
    }
}
