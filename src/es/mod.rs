//! Lossless views of Elasticsearch's and OpenSearch's JSON: what we own is read, the rest stays the bytes that it was.
//!
//! Pure: no HTTP, no runtime.

pub mod allow_list;
pub mod ext;
pub mod filter_path;
pub mod hit;
pub mod json;
pub(crate) mod layout;
pub mod media;
pub mod msearch;
pub mod pit;
pub mod pointer;
mod query_kinds;
pub mod query_syntax;
pub mod query_text;
mod query_walk;
pub mod reading;
pub mod request;
pub mod response;
pub mod retriever;
pub(crate) mod strip;
pub mod text;
pub mod url;
