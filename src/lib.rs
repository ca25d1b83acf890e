//! Podium: a transparent reverse proxy in front of Elasticsearch and OpenSearch that reranks search hits.

pub mod body;
pub mod cli;
pub mod config;
pub mod es;
pub mod intercept;
pub mod rerank;
pub mod route;
