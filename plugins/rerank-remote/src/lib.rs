//! Rerankers that run elsewhere: Cohere, Jina, vLLM, Text Embeddings Inference, the inference APIs of Elasticsearch and OpenSearch,
//! or another Podium, asked over HTTP.
//!
//! Several endpoints of one model share its calls; an endpoint that fails is left alone for a while.

mod call;
mod endpoint;
mod family;
mod protocol;
mod render;
mod scorer;

pub use family::Remote;
pub use protocol::{PROTOCOLS, Protocol};
