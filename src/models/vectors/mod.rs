//! Vectors that outlive a process: `podium warm` writes them to a file, `podium serve` reads it when it starts.
//!
//! A file that is missing, unreadable, damaged or of other models costs nothing but the vectors: it is said, and what is intact is used.

mod format;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::{
    collections::HashSet,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use rerank_plugin::{Artifact, ArtifactKey, Card, Fingerprint, Slot};
use tracing::{info, warn};

pub use self::{
    format::Shape,
    read::Damage,
    write::{Checked, Found, Locked, VectorsWriter},
};
use self::{
    format::{BadHeader, VERSION},
    read::Next,
};
use super::Store;
use crate::rerank::Digester;

/// A file of vectors to be read, or none. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Vectors(Option<Arc<Opened>>);

#[derive(Debug)]
struct Opened {
    path: PathBuf,
    digester: Digester,
    /// The models whose vectors were read: one that is loaded again finds them in the cache, or does without those that it has lost.
    filled: Mutex<HashSet<Fingerprint>>,
}

/// Why a file of vectors is of no use.
#[derive(Debug, thiserror::Error)]
pub enum VectorsError {
    /// It is not there yet.
    #[error("{} is not there yet: podium warm writes it", .0.display())]
    Missing(PathBuf),
    /// It is there and cannot be read.
    #[error("{} cannot be read: {source}; let the user that runs podium read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It cannot be made or written.
    #[error("{} cannot be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Somebody else writes it.
    #[error("{} is being written by another podium warm: wait until that ends", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{} is not a file of vectors: name another in cache.vectors-file, or move this one away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another version of Podium wrote it.
    #[error("{} has format {version}, and this version of podium reads format {VERSION}: move it away, and podium warm writes a new one", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
    /// Its first bytes are damaged, without which nothing of it can be used.
    #[error("the beginning of {} is damaged, so that nothing of it can be used: podium warm writes it anew", path.display())]
    NoHeader {
        /// The file.
        path: PathBuf,
    },
}

/// What a file holds, by its heads: no vector was read.
#[derive(Debug)]
pub struct Survey {
    /// How many vectors of each shape, in the order in which the shapes come.
    pub shapes: Vec<(Shape, u64)>,
    /// Where it stops being a file of vectors.
    pub damage: Option<Damage>,
}

// === impl VectorsError ===

impl VectorsError {
    fn of_header(path: &Path, bad: BadHeader) -> Self {
        let path = path.to_owned();
        match bad {
            BadHeader::Foreign => Self::Foreign { path },
            BadHeader::Version(version) => Self::Version { path, version },
            BadHeader::Damaged => Self::NoHeader { path },
        }
    }
}

// === impl Vectors ===

impl Vectors {
    /// Opens the file that the configuration names.
    ///
    /// # Errors
    /// Why nothing of it can be used.
    pub fn open(path: &Path) -> Result<Self, VectorsError> {
        if !path.exists() && path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Err(VectorsError::Missing(path.to_owned()));
        }
        let digester = read::open(path)?.digester().clone();
        Ok(Self(Some(Arc::new(Opened { path: path.to_owned(), digester, filled: Mutex::default() }))))
    }

    /// Opens the file that the configuration names, if it names one; where it is of no use, the log says why and what to do.
    pub fn open_or_log(path: Option<&Path>) -> Self {
        let opened = path.map_or_else(|| Ok(Self::default()), Self::open);
        opened.unwrap_or_else(|error| {
            match error {
                VectorsError::Missing(_) => info!(%error, "no vectors to begin with"),
                _ => warn!(%error, "no vectors to begin with"),
            }
            Self::default()
        })
    }

    /// What makes the digests of the file's documents; `None` without a file.
    pub fn digester(&self) -> Option<&Digester> {
        self.0.as_ref().map(|opened| &opened.digester)
    }

    /// Returns what the file holds; `None` without a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn survey(&self) -> Result<Option<Survey>, VectorsError> {
        let Some(opened) = &self.0 else { return Ok(None) };
        read::open(&opened.path)?.survey().map(Some).map_err(|source| opened.unreadable(source))
    }

    /// Puts the file's vectors of this model into the store, once: as many as there is room for, the newest if not all.
    pub(super) fn fill(&self, card: &Card, store: &Store) {
        let Some(opened) = self.0.as_ref().filter(|_| card.keeps_vectors) else { return };
        if !opened.filled.lock().unwrap_or_else(PoisonError::into_inner).insert(card.fingerprint) {
            return;
        }
        if let Err(error) = opened.fill(card, store) {
            warn!(%error, "no vectors to begin with");
        }
    }
}

// === impl Opened ===

impl Opened {
    fn fill(&self, card: &Card, store: &Store) -> Result<(), VectorsError> {
        let started = Instant::now();
        let unreadable = |source| self.unreadable(source);
        let is_being_written = self.is_being_written();
        if !read::open(&self.path)?.digester().is_like(&self.digester) {
            warn!(file = %self.path.display(), "the file of vectors is another than at the start: restart podium serve to use it");
            return Ok(());
        }
        let Survey { shapes, damage: _ } = read::open(&self.path)?.survey().map_err(unreadable)?;
        let own = shapes.iter().filter(|(shape, _)| shape.fingerprint == card.fingerprint);
        let (total, weight) = own.fold((0, 0), |(total, weight), (shape, vectors)| (total + vectors, weight + vectors * shape.cached()));
        let Some(each) = weight.checked_div(total) else {
            let others: u64 = shapes.iter().map(|(_, vectors)| vectors).sum();
            info!(file = %self.path.display(), fingerprint = %card.fingerprint, others, "the file has no vectors of this model: podium warm computes them");
            return Ok(());
        };
        // The newest are the likeliest to be of documents as they are now.
        let fitting = total.min(store.room() / each.max(1));
        if fitting < total {
            warn!(
                vectors = total,
                fitting,
                needed_mib = weight.div_ceil(1 << 20),
                "cache.vectors is too small for the file's vectors: raise it"
            );
        }
        let damage = self.read(card, store, total - fitting).map_err(unreadable)?;
        match damage {
            Some(damage) if is_being_written => info!(%damage, "the file of vectors is being written: what is there already is used"),
            Some(damage) => {
                warn!(file = %self.path.display(), %damage, "the file of vectors is damaged: what stands before is used, podium warm repairs it");
            }
            None => {}
        }
        let took_ms = started.elapsed().as_millis() as u64;
        info!(file = %self.path.display(), fingerprint = %card.fingerprint, vectors = store.entries(), took_ms, "vectors read");
        Ok(())
    }

    /// Puts all vectors of the model but the first `passed_over` into the store, up to the first damage.
    fn read(&self, card: &Card, store: &Store, mut passed_over: u64) -> io::Result<Option<Damage>> {
        let mut segments = read::open(&self.path).map_err(io::Error::other)?;
        loop {
            let head = match segments.next()? {
                Next::End => return Ok(None),
                Next::Damaged(damage) => return Ok(Some(damage)),
                Next::Segment(head) => head,
            };
            if head.shape.fingerprint != card.fingerprint || u64::from(head.vectors) <= passed_over {
                if head.shape.fingerprint == card.fingerprint {
                    passed_over -= u64::from(head.vectors);
                }
                segments.skip(&head)?;
                continue;
            }
            let read = segments.read(&head, |digest, vector| {
                if passed_over > 0 {
                    passed_over -= 1;
                    return;
                }
                let key = ArtifactKey { fingerprint: card.fingerprint, slot: Slot::Document, digest };
                store.put_back(key, Artifact::Vector(vector));
            })?;
            if let Err(damage) = read {
                return Ok(Some(damage));
            }
        }
    }

    fn is_being_written(&self) -> bool {
        File::open(&self.path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    fn unreadable(&self, source: io::Error) -> VectorsError {
        VectorsError::Unreadable { path: self.path.clone(), source }
    }
}
