//! The table of what others published, read and checked.

use serde::Deserialize;

const TABLE: &str = include_str!("published.toml");

/// What was published of one model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    /// Its name on the hub.
    pub(crate) name: String,
    #[serde(default = "main")]
    pub(crate) revision: String,
    pub(crate) scale: Scale,
    /// How far a score may be from what was published.
    pub(crate) tolerance: f64,
    /// How the numbers came about.
    pub(crate) computed: String,
    /// Where they stand.
    pub(crate) source: String,
    /// Query, document, score.
    pub(crate) pairs: Vec<(String, String, f64)>,
}

/// What a published number is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scale {
    Logit,
    Cosine,
    Presented,
}

#[derive(Deserialize)]
struct Table {
    model: Vec<Published>,
}

fn main() -> String {
    "main".to_owned()
}

/// Returns all of it.
pub(crate) fn all() -> Vec<Published> {
    let table: Table = toml::from_str(TABLE).expect("the table is TOML of this shape");
    table.model
}
