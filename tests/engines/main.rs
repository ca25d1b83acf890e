//! Podium against a real OpenSearch and a real Elasticsearch: what they do alone, and what they do behind the gateway.

mod rig;
#[cfg(feature = "demo")]
#[path = "../it/support/tiny_model.rs"]
mod tiny_model;

mod cases;
mod facts;
mod features;
mod filter_path;
mod models;
mod prefix_stability;

mod cranfield;
#[cfg(feature = "demo")]
mod demo;
mod embedded;
mod routes;
mod serving;
mod through_gateway;
mod warm;
