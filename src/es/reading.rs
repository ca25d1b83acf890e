//! Where the text of a hit is read from.

use std::sync::Arc;

/// Where the text of a hit is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// `_source`
    Source,
    /// `fields`
    Fields {
        /// Names that Podium adds to the client's `fields`, and takes out of the answer again.
        added: Vec<Arc<str>>,
    },
}
