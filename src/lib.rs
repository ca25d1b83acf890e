//! Podium: a transparent reverse proxy in front of Elasticsearch and OpenSearch that reranks search hits.

pub mod admin;
pub mod admission;
pub mod app;
pub mod body;
pub mod cached;
pub mod cli;
pub mod config;
pub mod es;
pub mod eval;
pub mod inference;
pub mod intercept;
pub mod listener;
pub mod machine;
pub mod models;
pub mod rerank;
pub mod respond;
pub mod route;
pub mod telemetry;
pub mod upstream;
