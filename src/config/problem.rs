//! What is wrong with a configuration: where, with which value, and what to write instead.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The path of the key, such as `rules[0].window`; empty when the whole file is meant.
    pub path: String,
    /// Its line, from 1; none when the key is missing.
    pub line: Option<usize>,
    /// The value, short and without credentials; none when the key is missing or unknown.
    pub value: Option<String>,
    /// What is wrong and what to write instead.
    pub remedy: String,
}

/// Everything that is wrong with one file, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Problems {
    /// The file.
    pub file: PathBuf,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_str(), &self.value) {
            ("", _) => {}
            (path, None) => write!(formatter, "{path}: ")?,
            (path, Some(value)) => write!(formatter, "{path} = {value}: ")?,
        }
        formatter.write_str(&self.remedy)
    }
}

// === impl Problems ===

impl Problems {
    pub(super) fn new(file: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.line);
        Self { file: file.to_owned(), problems }
    }

    /// Returns the one problem that the file as a whole has.
    pub(super) fn of_file(file: &Path, line: Option<usize>, remedy: String) -> Self {
        Self::new(file, vec![Problem { path: String::new(), line, value: None, remedy }])
    }
}

impl fmt::Display for Problems {
    /// Writes one line per problem, `file:line: path = value: remedy`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{}:", self.file.display())?;
            problem.line.map_or(Ok(()), |line| write!(formatter, "{line}:"))?;
            write!(formatter, " {problem}")?;
        }
        Ok(())
    }
}
