//! The fields of an index and their types: read from a client's mapping, added by documents, and written as clients read them.

mod infer;
mod kind;
mod merge;
mod parse;
mod tree;

pub use kind::{Kind, Width};
pub use tree::{Leaf, Mapping};
pub(super) use tree::{is_metadata, path_of, refuse_metadata};
