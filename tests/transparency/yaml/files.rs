//! Where the suites are.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use super::suite::Suite;

/// Returns the folder of the suites where it is; says so where it is not.
pub(super) fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/rest-api-tests");
    if !folder.is_dir() {
        writeln!(std::io::stderr(), "skipped: no ../shared").expect("standard error takes a line");
        return None;
    }
    Some(folder)
}

/// Reads every suite below a folder, in the order of their names.
pub(super) fn suites(folder: &Path) -> Vec<Suite> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder of suites") {
            let path = entry.expect("a file").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yml") {
                files.push(path);
            }
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(folder).expect("it is below").to_str().expect("a name in UTF-8");
        Suite::read(name, &fs::read_to_string(path).expect("a suite in UTF-8")).unwrap_or_else(|error| panic!("{error}"))
    };
    files.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::{folder, suites};

    #[test]
    fn every_suite_is_read() {
        let Some(folder) = folder() else { return };
        for (name, files, tests) in [("opensearch-core", 83, 391), ("elasticsearch-clients-tests", 219, 220)] {
            let read = suites(&folder.join(name));
            assert!(read.len() >= files, "{name}: {} files", read.len());
            assert!(read.iter().map(|suite| suite.tests.len()).sum::<usize>() >= tests, "{name}");
        }
    }
}
