//! Lossless views of Elasticsearch's and OpenSearch's JSON: what we own is read, the rest stays the bytes that it was.
//!
//! Pure: no HTTP, no runtime.

pub mod json;
pub mod url;
