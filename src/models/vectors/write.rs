//! Makes a file of vectors longer, one writer at a time. What a crash or a full disk leaves half written is taken away when the file
//! is next written to.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rerank_plugin::{Digest128, Fingerprint, Vector};

use super::{
    VectorsError,
    format::{BadHeader, Head, Shape, header, most_vectors},
    read::{Damage, Next, Segments, rewind},
};
use crate::rerank::Digester;

/// A file that no other process writes to while this lives; others may read what is there.
#[derive(Debug)]
pub struct Locked {
    path: PathBuf,
    file: Held,
    digester: Digester,
    found: Found,
}

/// An open file that no other process may lock while this lives.
#[derive(Debug)]
struct Held(File);

/// What the file was when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is new.
    Nothing,
    /// Its header was unreadable: nothing of it could be used.
    NoHeader,
    /// It held vectors, perhaps none.
    Vectors,
}

/// A file that was read to its end.
#[derive(Debug)]
pub struct Checked {
    /// Makes it longer.
    pub writer: VectorsWriter,
    /// The documents of which it has a vector.
    pub known: HashSet<Digest128>,
    /// What these look like, if there are any.
    pub shape: Option<Shape>,
    /// From where on it was cut off.
    pub damage: Option<Damage>,
}

/// Makes a file longer.
#[derive(Debug)]
pub struct VectorsWriter {
    path: PathBuf,
    file: Held,
    digester: Digester,
    /// Where the next segment goes.
    end: u64,
}

// === impl Locked ===

impl Locked {
    /// Opens the file, or makes one that its owner alone may read, and keeps other writers out.
    ///
    /// # Errors
    /// It cannot be written, is being written, or is something else than vectors of this version: then it is left as it is.
    pub fn open(path: &Path) -> Result<Self, VectorsError> {
        let unwritable = |source| VectorsError::Unwritable { path: path.to_owned(), source };
        // The header holds the key of the digests.
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = opened.map_err(unwritable)?;
        if !file.metadata().map_err(unwritable)?.is_file() {
            return Err(VectorsError::Foreign { path: path.to_owned() });
        }
        let file = Held::take(file).map_err(|refused| match refused {
            TryLockError::WouldBlock => VectorsError::Busy { path: path.to_owned() },
            TryLockError::Error(source) => unwritable(source),
        })?;
        let is_new = file.0.metadata().map_err(unwritable)?.len() == 0;
        let again = file.0.try_clone().map_err(unwritable)?;
        match Segments::behind_header(again).map_err(unwritable)? {
            Ok(segments) => Ok(Self { path: path.to_owned(), digester: segments.digester().clone(), file, found: Found::Vectors }),
            Err(BadHeader::Damaged) => {
                let found = if is_new { Found::Nothing } else { Found::NoHeader };
                Self::begin(path, file, found).map_err(unwritable)
            }
            Err(bad) => Err(VectorsError::of_header(path, bad)),
        }
    }

    fn begin(path: &Path, mut file: Held, found: Found) -> io::Result<Self> {
        let digester = Digester::new();
        file.0.set_len(0)?;
        rewind(&mut file.0, 0)?;
        file.0.write_all(&header(&digester))?;
        file.0.sync_data()?;
        Ok(Self { path: path.to_owned(), file, digester, found })
    }

    /// What makes the digests of the file's documents.
    pub fn digester(&self) -> &Digester {
        &self.digester
    }

    /// What the file was when it was opened.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Reads the file to its end, and cuts it off where it is damaged; `fingerprint` is of the model whose documents are of interest.
    ///
    /// # Errors
    /// The system's.
    pub fn check(self, fingerprint: Fingerprint) -> Result<Checked, VectorsError> {
        let path = self.path.clone();
        self.check_all(fingerprint).map_err(|source| VectorsError::Unwritable { path, source })
    }

    fn check_all(mut self, fingerprint: Fingerprint) -> io::Result<Checked> {
        let (mut known, mut shape) = (HashSet::new(), None);
        rewind(&mut self.file.0, 0)?;
        // The two handles share their place in the file.
        let Ok(mut segments) = Segments::behind_header(self.file.0.try_clone()?)? else { return Err(io::ErrorKind::InvalidData.into()) };
        let damage = loop {
            let head = match segments.next()? {
                Next::End => break None,
                Next::Damaged(damage) => break Some(damage),
                Next::Segment(head) => head,
            };
            let is_own = head.shape.fingerprint == fingerprint;
            shape = shape.or(is_own.then_some(head.shape));
            let read = segments.read(&head, |name, _| {
                if is_own {
                    known.insert(name);
                }
            })?;
            if let Err(damage) = read {
                break Some(damage);
            }
        };
        let mut writer = VectorsWriter { path: self.path, file: self.file, digester: self.digester, end: segments.place() };
        writer.cut()?;
        Ok(Checked { writer, known, shape, damage })
    }
}

// === impl Held ===

impl Held {
    fn take(file: File) -> Result<Self, TryLockError> {
        file.try_lock().map(|()| Self(file))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A process that was forked a moment ago still has the file, and closing ours alone would leave it locked.
        let _ = self.0.unlock();
    }
}

// === impl VectorsWriter ===

impl VectorsWriter {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long it is.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// Appends vectors of one shape, and returns when they are on the disk. When that fails the file is as it was before.
    ///
    /// # Errors
    /// The system's: the disk is full, or broken.
    pub fn append(&mut self, shape: Shape, vectors: &[(Digest128, Vector)]) -> Result<(), VectorsError> {
        for part in vectors.chunks(most_vectors(shape).max(1)) {
            let segment = Head::write(&self.digester, shape, part);
            if let Err(source) = self.file.0.write_all(&segment).and_then(|()| self.file.0.sync_data()) {
                // What cannot be taken away is found when the file is read.
                let _ = self.cut();
                return Err(VectorsError::Unwritable { path: self.path.clone(), source });
            }
            self.end += segment.len() as u64;
        }
        Ok(())
    }

    /// Takes away what stands behind the last segment.
    fn cut(&mut self) -> io::Result<()> {
        self.file.0.set_len(self.end)?;
        rewind(&mut self.file.0, self.end)
    }
}
