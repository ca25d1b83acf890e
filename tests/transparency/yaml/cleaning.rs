//! Takes everything out of a cluster that a test can have put into it.

use std::collections::BTreeSet;

use crate::rig::engines::Engine;

/// What a call leaves behind, by the beginning of the API's name, and the request that removes it.
const LEFT: [(&str, &str, &str, &str); 10] = [
    ("indices.create_data_stream", "DELETE", "/_data_stream/*", ""),
    ("indices.put_template", "DELETE", "/_template/*", ""),
    ("indices.put_index_template", "DELETE", "/_index_template/*", ""),
    ("cluster.put_component_template", "DELETE", "/_component_template/*", ""),
    ("cluster.put_settings", "PUT", "/_cluster/settings", r#"{"transient":{"*":null},"persistent":{"*":null}}"#),
    ("cluster.post_voting_config", "DELETE", "/_cluster/voting_config_exclusions?wait_for_removal=false", ""),
    ("ingest.put_pipeline", "DELETE", "/_ingest/pipeline/*", ""),
    ("scroll", "DELETE", "/_search/scroll/_all", ""),
    ("create_pit", "DELETE", "/_search/point_in_time/_all", ""),
    ("snapshot.create_repository", "DELETE", "/_snapshot/*", ""),
];

/// Cleans up after a test that called these APIs.
pub(super) fn clean(engine: &Engine, called: &BTreeSet<String>) {
    let gone = engine.call("DELETE", "/*?expand_wildcards=all", "");
    assert!([200, 404].contains(&gone.status), "{}", gone.text());
    for (api, method, target, body) in LEFT {
        if called.iter().any(|name| name.starts_with(api)) {
            engine.call(method, target, body);
        }
    }
    if called.contains("put_script") {
        remove_scripts(engine);
    }
}

fn remove_scripts(engine: &Engine) {
    let state = engine.ok("GET", "/_cluster/state/metadata?filter_path=metadata.stored_scripts", "");
    for name in state["metadata"]["stored_scripts"].as_object().into_iter().flat_map(|scripts| scripts.keys()) {
        engine.ok("DELETE", &format!("/_scripts/{name}"), "");
    }
}
