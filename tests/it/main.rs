//! Podium as a whole: its command line and its rules, and against servers that misbehave in the same process: no network, no engine, no model.

#![allow(clippy::unwrap_used, reason = "all of it is tests; clippy knows only the functions that are marked")]

/// Requests and answers that somebody made to do harm.
mod bad_company;
/// Wrong configurations, by their messages.
mod bad_config;
/// Wrong models in the configuration.
mod bad_models;
/// What is kept between searches.
mod caches;
/// What a request says stays in the request.
mod canary;
/// Models that are read from a checkpoint, as an operator names them.
mod checkpoints;
/// The command line of the binary.
mod cli;
/// Nodes that are down, slow to connect, broken or back again.
mod cluster;
/// The table of what is supported, kept true.
mod compatibility;
/// Connections of clients: HTTP/2, time limits, how many, how they end.
mod connections;
/// A cross-encoder of three layers, from its folder to the client's page.
mod cross_encoder;
/// Every step from a whole window to the engine's order.
mod degraded;
/// The demo as the binary shows it.
#[cfg(feature = "demo")]
mod demo;
/// Who may depend on what.
mod dependency_rules;
/// Bodies that travel compressed.
mod encodings;
/// Searches that are explained instead of answered.
mod explain;
/// Models that are late, broken, absent or overloaded.
mod failures;
/// Features of `_search` beside the query.
mod features;
/// How much is looked into at one time.
mod limits;
/// What the gateway counts, and the document of it.
mod metrics;
/// Several searches in one call.
mod multi;
/// Pages of one search.
mod pages;
/// Everything that is not looked into: bytes in, bytes out.
mod passthrough;
/// Searches in points in time.
mod pit;
/// The table of scores that others published.
mod published;
/// Models that run elsewhere.
mod remote;
/// Searches that are reranked.
mod search;
/// The hard rules of rewriting.
mod search_rules;
/// Searches that ask for the engine's own reranking, and hits that are dropped.
mod serving;
/// What the tests stand on.
mod support;
/// Searches by templates.
mod template;
/// Nodes that speak TLS.
mod tls;
/// Vectors that are computed ahead of time.
mod warm;
