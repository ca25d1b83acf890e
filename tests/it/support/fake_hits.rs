//! The fake engine's documents, and how it prints a page of them.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::fake_engine::{Asked, Mood, Product};

/// The words of a document that set it apart: `red` every third, `hat` every fifth.
pub(crate) fn title(document: usize) -> String {
    let red = if document.is_multiple_of(3) { " red" } else { "" };
    format!("shoe {document}{red}")
}

/// A second text.
pub(crate) fn text(document: usize) -> &'static str {
    if document.is_multiple_of(5) { "goes with a hat" } else { "goes with \"everything\" \u{e9}\\u00e9" }
}

/// Returns the answer's text. Hits are written by hand: numbers must stay as they are here.
pub(crate) fn page(mood: &Mood, asked: &Asked, number: usize) -> String {
    let total = mood.order.len();
    let total = match (asked.body.get("track_total_hits"), asked.param("rest_total_hits_as_int")) {
        (Some(Value::Bool(false)), _) => String::new(),
        (_, Some("true")) => format!(r#""total":{total},"#),
        _ => format!(r#""total":{{"value":{total},"relation":"eq"}},"#),
    };
    let hits: Vec<String> = mood
        .order
        .iter()
        .enumerate()
        .skip(asked.from)
        .take(asked.size)
        .map(|(place, document)| hit(mood, asked, place, *document))
        .collect();
    let max_score = if asked.size > 0 && !mood.order.is_empty() { (mood.score)(0) } else { "null".into() };
    let mut page = format!(
        r#"{{"took":{},"timed_out":false,"_shards":{{"total":2,"successful":2,"skipped":0,"failed":0}},"hits":{{{total}"max_score":{max_score},"hits":[{}]}}"#,
        number + 1,
        hits.join(",")
    );
    if asked.body.contains_key("aggs") {
        page.push_str(r#","aggregations":{"hits":{"value":9007199254740993,"hits":[1.0,1,1e3]}}"#);
    }
    if asked.body.contains_key("suggest") {
        page.push_str(r#","suggest":{"s":[{"text":"sheo","offset":0,"length":4,"options":[]}]}"#);
    }
    if asked.body.contains_key("profile") {
        page.push_str(r#","profile":{"shards":[{"id":"[a][products][0]","searches":[{"hits":[],"rewrite_time":1.50}]}]}"#);
    }
    page.push('}');
    if let Some(id) = asked.body.get("pit").and_then(|pit| pit["id"].as_str()) {
        // It goes on under another id.
        page.insert_str(1, &format!(r#""pit_id":"{id}+","#));
    }
    if asked.param("pretty").is_some() { pretty(&page) } else { page }
}

fn hit(mood: &Mood, asked: &Asked, place: usize, document: usize) -> String {
    let mut hit = format!(r#"{{"_index":"products","_id":"id{document}""#);
    if asked.body.get("version") == Some(&Value::Bool(true)) {
        hit.push_str(r#","_version":1"#);
    }
    write!(hit, r#","_score":{}"#, (mood.score)(place)).unwrap();
    if mood.keeps_source
        && let Some(source) = source(asked, document)
    {
        write!(hit, r#","_source":{source}"#).unwrap();
    }
    let fields = fields(mood, asked, document);
    if !fields.is_empty() {
        write!(hit, r#","fields":{{{}}}"#, fields.join(",")).unwrap();
    }
    if asked.param("explain") == Some("true") || asked.body.get("explain") == Some(&Value::Bool(true)) {
        write!(hit, r#","_explanation":{{"value":{},"description":"weight(title:shoe)","details":[]}}"#, (mood.score)(place)).unwrap();
    }
    if asked.body.contains_key("highlight") {
        write!(hit, r#","highlight":{{"title":["<em>shoe</em> {document}"]}}"#).unwrap();
    }
    hit + "}"
}

/// The entries of a document's `_source`, as they were indexed.
fn indexed(document: usize) -> [(&'static str, String); 5] {
    [
        ("title", Value::from(title(document)).to_string()),
        ("text", format!("\"{}\"", text(document).replace('"', "\\\""))),
        ("n", format!(r#"[{{"t":"one {document}"}},{{"t":"two"}}]"#)),
        ("big", "9007199254740993".into()),
        ("price", "1.0".into()),
    ]
}

fn source(asked: &Asked, document: usize) -> Option<String> {
    let written = asked.body.get("_source").cloned();
    let setting = match asked.param("_source") {
        Some("false") => Value::Bool(false),
        Some("true") => Value::Bool(true),
        Some(list) => list.split(',').collect::<Vec<_>>().into(),
        None => written.unwrap_or(Value::Bool(!asked.body.contains_key("stored_fields"))),
    };
    let names = |given: &Value| -> Vec<String> {
        let list = given.as_array().cloned().unwrap_or_else(|| vec![given.clone()]);
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (mut includes, mut excludes) = match &setting {
        Value::Bool(false) => return None,
        Value::Bool(true) => (Vec::new(), Vec::new()),
        Value::Object(both) => (both.get("includes").map(names).unwrap_or_default(), both.get("excludes").map(names).unwrap_or_default()),
        list => (names(list), Vec::new()),
    };
    includes.extend(asked.param("_source_includes").into_iter().flat_map(|list| list.split(',')).map(str::to_owned));
    excludes.extend(asked.param("_source_excludes").into_iter().flat_map(|list| list.split(',')).map(str::to_owned));
    let kept = indexed(document).into_iter().filter(|(name, _)| {
        let named = |list: &[String]| list.iter().any(|pattern| matches(pattern, name));
        (includes.is_empty() || named(&includes)) && !named(&excludes)
    });
    let entries: Vec<String> = kept.map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
    Some(format!("{{{}}}", entries.join(",")))
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// What `script_fields`, `docvalue_fields` and `fields` yield; the last overwrites, as on the engines.
fn fields(mood: &Mood, asked: &Asked, document: usize) -> Vec<String> {
    let mut found = Map::new();
    let named = |key: &str| -> Vec<String> {
        let list = asked.body.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let name = |item: &Value| item.as_str().or(item["field"].as_str()).unwrap().to_owned();
        list.iter().map(name).collect()
    };
    let scripts = asked.body.get("script_fields").and_then(Value::as_object);
    found
        .extend(scripts.into_iter().flat_map(|scripts| scripts.keys()).map(|name| (name.clone(), json!([format!("scripted {document}")]))));
    if let Some(field) = asked.body.get("collapse") {
        found.insert(field["field"].as_str().unwrap().to_owned(), json!([document]));
    }
    let wanted = named("fields");
    let kept = if mood.keeps_source { wanted.as_slice() } else { &[] };
    let sees = |name: &str| kept.iter().any(|pattern| matches(pattern, name));
    let all: [(&str, Value); 4] = [
        ("title", json!([title(document)])),
        ("text", json!([text(document)])),
        ("big", json!([9_007_199_254_740_993_u64])),
        ("price", json!([1.0])),
    ];
    let flat = all.into_iter().filter(|(name, _)| sees(name) || named("docvalue_fields").iter().any(|own| own == name));
    found.extend(flat.map(|(name, value)| (name.to_owned(), value)));
    if sees("n.t") {
        let values = [format!("one {document}"), "two".to_owned()];
        match mood.product {
            Product::OpenSearch => found.insert("n.t".into(), json!(values)),
            Product::Elasticsearch => found.insert("n".into(), json!(values.map(|value| json!({"t": [value]})))),
        };
    }
    found.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect()
}

/// Prints JSON as both engines do when asked for `?pretty`.
pub(super) fn pretty(json: &str) -> String {
    let (mut out, mut depth, mut in_string, mut escaped) = (String::new(), 0, false, false);
    let mut letters = json.chars().peekable();
    while let Some(letter) = letters.next() {
        if in_string {
            out.push(letter);
            in_string = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        match letter {
            '{' | '[' if matches!(letters.peek(), Some('}' | ']')) => out.extend([letter, ' ']),
            '{' | '[' => {
                depth += 1;
                out.push(letter);
                new_line(&mut out, depth);
            }
            '}' | ']' if out.ends_with("{ ") || out.ends_with("[ ") => out.push(letter),
            '}' | ']' => {
                depth -= 1;
                new_line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(" : "),
            _ => {
                in_string = letter == '"';
                out.push(letter);
            }
        }
    }
    out + "\n"
}

fn new_line(out: &mut String, depth: usize) {
    out.extend(["\n", &"  ".repeat(depth)]);
}
