//! Podium: a transparent reverse proxy in front of Elasticsearch and OpenSearch that reranks search hits.

pub mod admin;
pub mod body;
pub mod config;
pub mod es;
pub mod intercept;
pub mod listener;
pub mod rerank;
pub mod respond;
pub mod upstream;
