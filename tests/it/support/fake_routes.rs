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
    if path.ends_with("/_search/template") || path == "/_render/template" {
        return Some(template(mood, number, wire, path.starts_with("/_render")));
    }
    let body = fake_wire::body(wire.seen);
    if path.ends_with("/_msearch/template") {
        return Some(multi(mood, number, wire, &rendered_lines(&body)));
    }
    path.ends_with("/_msearch").then(|| multi(mood, number, wire, &body))
}

fn template(mood: &Mood, number: usize, wire: &Wire<'_>, only_renders: bool) -> Vec<Act> {
    if only_renders && !mood.renders {
        return wire.answer(405, error(405, "no such thing").as_bytes());
    }
    let rendered = match render(&fake_wire::body(wire.seen)) {
        Ok(rendered) if only_renders => return wire.answer(200, format!(r#"{{"template_output":{rendered}}}"#).as_bytes()),
        Ok(rendered) => rendered,
        Err((status, reason)) => return wire.answer(status, error(status, &reason).as_bytes()),
    };
    // Of what the URL says, only what is not about the search's body.
    let known = ["pretty", "rest_total_hits_as_int", "routing"];
    let params: Vec<_> = params(wire.seen).into_iter().filter(|(name, _)| known.contains(&name.as_str())).collect();
    let asked = match Asked::read(params, rendered.as_bytes()) {
        Ok(asked) => asked,
        Err(reason) => return wire.answer(400, error(400, &reason).as_bytes()),
    };
    if let Some(Trouble::Status(status)) = mood.trouble_of(&asked) {
        return wire.answer(status, error(status, "as told").as_bytes());
    }
    let mut page = fake_hits::page(mood, &asked, number);
    if mood.product == Product::OpenSearch {
        page = match page.strip_suffix("\n}\n") {
            Some(rest) => format!("{rest},\n  \"status\" : 200\n}}\n"),
            None => format!(r#"{},"status":200}}"#, page.strip_suffix('}').unwrap()),
        };
    }
    wire.answer(200, page.as_bytes())
}

/// Puts a template's parameters in their places; the one stored template is named `stored`.
fn render(body: &[u8]) -> Result<String, (u16, String)> {
    let body: Map<String, Value> = serde_json::from_slice(body).map_err(|error| (400, error.to_string()))?;
    if let Some(key) = body.keys().find(|key| !["id", "source", "params", "explain", "profile"].contains(&key.as_str())) {
        return Err((400, format!("[search_template] unknown field [{key}]")));
    }
    let source = match (&body.get("source"), body.get("id").and_then(Value::as_str)) {
        (Some(Value::String(source)), _) => source.clone(),
        (Some(source), _) => source.to_string(),
        (None, Some("stored")) => r#"{"query":{"match":{"title":"{{q}}"}},"from":{{from}}}"#.to_owned(),
        (None, id) => return Err((404, format!("unable to find script [{id:?}]"))),
    };
    let params = body.get("params").and_then(Value::as_object).cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or(value.to_string(), |text| Value::from(text).to_string().trim_matches('"').to_owned());
    Ok(params.iter().fold(source, |source, (name, value)| source.replace(&format!("{{{{{name}}}}}"), &text(value))))
}

/// Renders every second line; what cannot be rendered becomes what no search is.
fn rendered_lines(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let lines = text.split_inclusive('\n').enumerate();
    let rendered = lines.map(|(number, line)| match number % 2 {
        1 => render(line.as_bytes()).map_or("{\"unrendered\":1}\n".to_owned(), |rendered| rendered + "\n"),
        _ => line.to_owned(),
    });
    rendered.collect::<String>().into_bytes()
}

fn multi(mood: &Mood, number: usize, wire: &Wire<'_>, body: &[u8]) -> Vec<Act> {
    let searches = match read(body, &params(wire.seen)) {
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
