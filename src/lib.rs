//! Podium: a transparent reverse proxy in front of Elasticsearch and OpenSearch that reranks search hits.

pub mod body;
pub mod config;
pub mod es;
pub mod intercept;
pub mod models;
pub mod rerank;
