//! The downloads that are under way: each is put together in a folder beside its place, and all of them can be given up.
//!
//! A process that simply ended would leave these folders behind, because nothing of its other threads is dropped then.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tempfile::TempDir;

/// How long downloads that are given up may take to end; a hub that is silent is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// All downloads of this process; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Downloads(Arc<Shared>);

/// The folder of one download; it goes when this is dropped.
#[derive(Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    downloads: Downloads,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<UnderWay>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct UnderWay {
    given_up: bool,
    folders: BTreeSet<PathBuf>,
}

// === impl Downloads ===

impl Downloads {
    /// Lets no download begin any more, waits a little until those under way have ended, and takes away what they left.
    pub fn give_up(&self) {
        let mut under_way = self.lock();
        under_way.given_up = true;
        let waited = self.0.ended.wait_timeout_while(under_way, PATIENCE, |under_way| !under_way.folders.is_empty());
        let (left, _) = waited.unwrap_or_else(PoisonError::into_inner);
        for folder in &left.folders {
            // It may have ended in this moment; there is nobody to tell of anything else.
            let _ = fs::remove_dir_all(folder);
        }
    }

    /// Whether a download should end.
    pub(super) fn are_given_up(&self) -> bool {
        self.lock().given_up
    }

    /// Makes the folder of a new download inside `within`, on whose file system it is to stay.
    pub(super) fn begin(&self, within: &Path) -> io::Result<Staging> {
        let mut under_way = self.lock();
        if under_way.given_up {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the download was given up"));
        }
        let folder = TempDir::with_prefix_in(".new-", within)?.keep();
        under_way.folders.insert(folder.clone());
        Ok(Staging { folder, downloads: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Staging ===

impl Staging {
    pub(super) fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed is in nobody's way: its name says that it is not whole.
        let _ = fs::remove_dir_all(&self.folder);
        self.downloads.lock().folders.remove(&self.folder);
        self.downloads.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, thread, time::Duration};

    use super::Downloads;

    #[test]
    fn a_folder_goes_with_its_download() {
        let within = tempfile::tempdir().unwrap();
        let staging = Downloads::default().begin(within.path()).unwrap();
        fs::write(staging.path().join("half"), "abc").unwrap();
        drop(staging);
        assert_eq!(fs::read_dir(within.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_given_up_is_waited_for_and_nothing_begins_any_more() {
        let within = tempfile::tempdir().unwrap();
        let downloads = Downloads::default();
        let (staging, seen) = (downloads.begin(within.path()).unwrap(), downloads.clone());
        let download = thread::spawn(move || {
            while !seen.are_given_up() {
                thread::sleep(Duration::from_millis(1));
            }
            drop(staging);
        });
        downloads.give_up();
        assert_eq!(fs::read_dir(within.path()).unwrap().count(), 0);
        assert!(downloads.begin(within.path()).is_err());
        download.join().unwrap();
    }

    #[test]
    fn a_download_that_does_not_end_loses_its_folder() {
        let within = tempfile::tempdir().unwrap();
        let downloads = Downloads::default();
        let hung = downloads.begin(within.path()).unwrap();
        downloads.give_up();
        assert_eq!(fs::read_dir(within.path()).unwrap().count(), 0);
        drop(hung);
    }
}
