//! Podium against a real OpenSearch and a real Elasticsearch: what they do alone, and what they do behind the gateway.

mod ndcg;
mod rig;

mod facts;
mod prefix_stability;

mod cranfield;
mod through_gateway;
