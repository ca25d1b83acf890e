//! Lossless views of Elasticsearch's and OpenSearch's JSON: what we own is read, the rest stays the bytes that it was.
//!
//! Pure: no HTTP, no runtime.

pub mod hit;
pub mod json;
pub(crate) mod layout;
pub mod reading;
pub mod response;
pub(crate) mod strip;
pub mod text;
