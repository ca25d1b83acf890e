//! Cranfield: 1400 abstracts and 225 questions, from `shared/data/cranfield`, which is no part of the repository.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// One abstract.
pub struct Document {
    pub id: String,
    pub title: String,
    pub text: String,
}

/// Returns the abstracts.
///
/// # Errors
/// They are not there, or not what they should be.
pub fn documents() -> io::Result<Vec<Document>> {
    let document = |line: &Value| Some(Document { id: text(line, "_id")?, title: text(line, "title")?, text: text(line, "text")? });
    read("corpus.jsonl", document)
}

/// Returns the questions.
///
/// # Errors
/// They are not there, or not what they should be.
pub fn questions() -> io::Result<Vec<String>> {
    read("queries.jsonl", |line| text(line, "text"))
}

fn read<T>(file: &str, of_line: impl Fn(&Value) -> Option<T>) -> io::Result<Vec<T>> {
    let lines = fs::read_to_string(folder()?.join(file))?;
    let one = |line: &str| of_line(&serde_json::from_str(line)?).ok_or_else(|| io::Error::other(format!("{file}: {line}")));
    lines.lines().map(one).collect()
}

/// Returns the folder in the checkout or beside a folder that it stands in.
fn folder() -> io::Result<PathBuf> {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("shared/data/cranfield"));
    above.find(|folder| folder.is_dir()).ok_or_else(|| {
        io::Error::other("Cranfield is no part of the repository: put corpus.jsonl and queries.jsonl into shared/data/cranfield")
    })
}

fn text(object: &Value, key: &str) -> Option<String> {
    object[key].as_str().map(str::to_owned)
}
