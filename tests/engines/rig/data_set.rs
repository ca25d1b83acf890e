//! Finds the judged data sets, which stand beside the checkout and are no part of it.

use std::path::{Path, PathBuf};

/// Returns the folder `shared/data/<name>` of the checkout or of the nearest folder above it.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.map(|folder| folder.join("shared/data").join(name)).find(|folder| folder.is_dir())
}
