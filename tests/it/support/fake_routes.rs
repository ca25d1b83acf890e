//! The fake engine's other search routes, as far as the tests need them.

use serde_json::{Map, Value};

use super::{
    fake_engine::{Asked, Mood, Product, Trouble, params, without_a_shard},
    fake_hits,
    fake_upstream::Act,
    fake_wire::{self, Wire},
};

/// Keys of a header line.
const HEADER: [&str; 5] = ["index", "preference", "routing", "search_type", "ignore_unavailable"];

/// Returns what the engine does for a request of one of these routes.
pub(super) fn answer(mood: &Mood, number: usize, wire: &Wire<'_>, path: &str) -> Option<Vec<Act>> {
    let path = path.trim_end_matches('/');
    let opens = path.ends_with("/_pit") || path.ends_with("/_search/point_in_time");
    if opens && wire.seen.line().starts_with("POST") {
        let key = if mood.product == Product::Elasticsearch { "id" } else { "pit_id" };
        let index = path.split('/').nth(1).unwrap();
        return Some(wire.answer(200, format!(r#"{{"{key}":"pit-of-{index}=","_shards":{{"total":1}}}}"#).as_bytes()));
    }
    path.ends_with("/_msearch").then(|| multi(mood, number, wire))
}

fn multi(mood: &Mood, number: usize, wire: &Wire<'_>) -> Vec<Act> {
    let searches = match read(&fake_wire::body(wire.seen), &params(wire.seen)) {
        Ok(searches) => searches,
        Err(reason) => return wire.answer(400, error(400, &reason).as_bytes()),
    };
    let (mut acts, mut elements) = (Vec::new(), Vec::new());
    for asked in &searches {
        let page = fake_hits::page(mood, asked, number);
        let whole = |json: &str| format!(r#"{},"status":200}}"#, json.strip_suffix('}').unwrap());
        match mood.trouble_of(asked) {
            None => elements.push(whole(&page)),
            Some(Trouble::Status(status)) => elements.push(error(status, "as told")),
            Some(Trouble::FailedShard) => elements.push(whole(&without_a_shard(mood, asked, number))),
            Some(Trouble::Slow(time)) => {
                acts.push(Act::Pause(time));
                elements.push(whole(&page));
            }
            Some(Trouble::Text(text)) => elements.push(text.to_owned()),
            Some(Trouble::Bulk(bytes)) => elements.push(whole(&format!(r#"{{"bulk":"{}",{}"#, "x".repeat(bytes), &page[1..]))),
            Some(Trouble::Cut) => return wire.cut(whole(&page).as_bytes()),
        }
    }
    let took = number + 1;
    let answer = format!(r#"{{"took":{took},"responses":[{}]}}"#, elements.join(","));
    let pretty = params(wire.seen).iter().any(|(name, _)| name == "pretty");
    acts.extend(wire.answer(200, if pretty { fake_hits::pretty(&answer) } else { answer }.as_bytes()));
    acts
}

/// Divides a multi search as both engines do; what is wrong with any part is wrong with the whole.
fn read(body: &[u8], params: &[(String, String)]) -> Result<Vec<Asked>, String> {
    let Some(lines) = body.strip_suffix(b"\n") else { return Err("must be terminated by a newline".into()) };
    let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').collect();
    // `pretty` is about the whole answer.
    let params: Vec<_> = params.iter().filter(|(name, _)| name != "pretty").cloned().collect();
    let search = |pair: &[&[u8]]| {
        let header: Map<String, Value> = match pair[0].trim_ascii() {
            b"" => Map::new(),
            line => serde_json::from_slice(line).map_err(|error| error.to_string())?,
        };
        if let Some(key) = header.keys().find(|key| !HEADER.contains(&key.as_str())) {
            return Err(format!("key [{key}] is not supported in the metadata section"));
        }
        if pair[1].is_empty() {
            return Err("Expected [START_OBJECT]".into());
        }
        Ok(Asked { header, ..Asked::read(params.clone(), pair[1])? })
    };
    let searches: Vec<Asked> = lines.chunks_exact(2).map(search).collect::<Result<_, _>>()?;
    if searches.is_empty() { Err("no requests added".into()) } else { Ok(searches) }
}

fn error(status: u16, reason: &str) -> String {
    let reason = Value::from(reason);
    format!(r#"{{"error":{{"type":"fake","reason":{reason}}},"status":{status}}}"#)
}
