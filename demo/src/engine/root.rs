//! Who answers, and how it is.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    answer::Answer,
    catalog::{Catalog, Lenience},
    error::ApiError,
    parameters::Parameters,
};

const CLUSTER: &str = "podium-demo";
/// The API whose subset is spoken here.
pub(super) const API_VERSION: &str = "9.0.0";

/// Parameters of the health. What there is to wait for has happened, or never will.
pub(super) const HEALTH_PARAMETERS: [&str; 9] = [
    "wait_for_status",
    "wait_for_no_relocating_shards",
    "wait_for_no_initializing_shards",
    "wait_for_events",
    "timeout",
    "master_timeout",
    "cluster_manager_timeout",
    "local",
    "level",
];

#[derive(Debug, Serialize)]
pub(super) struct Page {
    name: &'static str,
    cluster_name: &'static str,
    cluster_uuid: String,
    version: Version,
    tagline: &'static str,
}

#[derive(Debug, Serialize)]
struct Version {
    /// Who it is in truth; Elasticsearch itself has no such key.
    distribution: &'static str,
    number: &'static str,
    build_flavor: &'static str,
    build_type: &'static str,
    build_hash: &'static str,
    build_date: &'static str,
    build_snapshot: bool,
    /// The Lucene whose scores are followed.
    lucene_version: &'static str,
    minimum_wire_compatibility_version: &'static str,
    minimum_index_compatibility_version: &'static str,
}

#[derive(Debug, Serialize)]
struct Health {
    cluster_name: &'static str,
    status: Status,
    timed_out: bool,
    number_of_nodes: usize,
    number_of_data_nodes: usize,
    active_primary_shards: usize,
    active_shards: usize,
    relocating_shards: usize,
    initializing_shards: usize,
    unassigned_shards: usize,
    delayed_unassigned_shards: usize,
    number_of_pending_tasks: usize,
    number_of_in_flight_fetch: usize,
    task_max_waiting_in_queue_millis: usize,
    active_shards_percent_as_number: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Green,
    Yellow,
    Red,
}

/// Returns the answer to `GET /`, with the keys that clients ask for.
pub(super) fn page(catalog: &Catalog) -> Page {
    let version = Version {
        distribution: CLUSTER,
        number: API_VERSION,
        build_flavor: "default",
        build_type: "unknown",
        build_hash: "unknown",
        build_date: "1970-01-01T00:00:00.000Z",
        build_snapshot: false,
        lucene_version: "10.0.0",
        minimum_wire_compatibility_version: "8.19.0",
        minimum_index_compatibility_version: "8.0.0",
    };
    Page { name: CLUSTER, cluster_name: CLUSTER, cluster_uuid: catalog.uuid.clone(), version, tagline: "You Know, for Search" }
}

/// Returns the health of the indices that an expression names; nothing names all.
pub(super) fn health(catalog: &Catalog, expression: &str, parameters: &Parameters) -> Result<Answer, ApiError> {
    if let Some(level) = parameters.get("level").filter(|level| *level != "cluster") {
        return Err(ApiError::unsupported(format!("[level] of [{level}]")));
    }
    let wanted = match parameters.get("wait_for_status") {
        None | Some("red") => Status::Red,
        Some("yellow") => Status::Yellow,
        Some("green") => Status::Green,
        Some(other) => return Err(ApiError::illegal_argument(format!("unknown cluster health status [{other}]"))),
    };
    let found = catalog.resolve(expression, Lenience { ignore_unavailable: false, allow_no_indices: true });
    let (indices, missing) = found.map_or_else(|_| (Vec::new(), true), |indices| (indices, false));
    let replicas = indices.iter().map(|index| usize::try_from(index.settings.replicas).unwrap_or(usize::MAX));
    let unassigned = replicas.fold(0, usize::saturating_add);
    let status = match (missing, unassigned) {
        (true, _) => Status::Red,
        (false, 0) => Status::Green,
        (false, _) => Status::Yellow,
    };
    let timed_out = missing || status > wanted;
    let active = indices.len();
    let all = active.saturating_add(unassigned);
    let health = Health {
        cluster_name: CLUSTER,
        status,
        timed_out,
        number_of_nodes: 1,
        number_of_data_nodes: 1,
        active_primary_shards: active,
        active_shards: active,
        relocating_shards: 0,
        initializing_shards: 0,
        unassigned_shards: unassigned,
        delayed_unassigned_shards: 0,
        number_of_pending_tasks: 0,
        number_of_in_flight_fetch: 0,
        task_max_waiting_in_queue_millis: 0,
        active_shards_percent_as_number: if all == 0 { 100.0 } else { 100.0 * active as f64 / all as f64 },
    };
    Answer::new(if timed_out { 408 } else { 200 }, &health)
}

/// Returns the settings of an index as clients see them: strings all.
pub(super) fn settings(index: &super::index::Index) -> Value {
    json!({"index": {
        "number_of_shards": "1",
        "provided_name": index.name,
        "creation_date": index.created.to_string(),
        "number_of_replicas": index.settings.replicas.to_string(),
        "uuid": index.uuid,
        "version": {"created": "9000000"},
    }})
}
