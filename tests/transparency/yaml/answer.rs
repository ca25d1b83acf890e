//! An answer as the suites look at it: values by their paths, names for values, assertions.

use std::{cmp::Ordering, collections::BTreeMap};

use regex::Regex;
use serde_json::Value;

use super::{
    document::Node,
    suite::{Check, Kind},
};

/// Values that a test has named.
#[derive(Debug, Default)]
pub(super) struct Stash(BTreeMap<String, Value>);

/// The last answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// JSON, or the text of anything else; null when there is no body.
    pub(super) body: Value,
}

// === impl Stash ===

impl Stash {
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.into(), value);
    }

    fn get(&self, name: &str) -> Result<&Value, String> {
        self.0.get(name).ok_or_else(|| format!("nothing is named {name}"))
    }

    /// Puts values in the place of `$name` (a whole text) and `${name}` (within one).
    pub(super) fn fill(&self, node: &Node) -> Result<Node, String> {
        Ok(match node {
            Node::Text(text) => self.fill_text(text)?,
            Node::List(items) => Node::List(items.iter().map(|item| self.fill(item)).collect::<Result<_, _>>()?),
            Node::Map(entries) => {
                let filled = entries.iter().map(|(key, value)| Ok((self.fill_text(key)?.plain_text(), self.fill(value)?)));
                Node::Map(filled.collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }

    fn fill_text(&self, text: &str) -> Result<Node, String> {
        let mut filled = text.to_owned();
        while let Some((before, (name, after))) = filled.split_once("${").and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
            filled = format!("{before}{}{after}", Node::from(self.get(name)?).plain_text());
        }
        match filled.strip_prefix('$') {
            Some(name) if !name.is_empty() && name != "body" => Ok(Node::from(self.get(name)?)),
            _ => Ok(Node::Text(filled)),
        }
    }
}

// === impl Answer ===

impl Answer {
    /// Returns the value at a path: keys and indices between dots; `\.` is a dot of a key, an empty path or `$body` is all of it.
    pub(super) fn value(&self, path: &str, stash: &Stash) -> Result<&Value, String> {
        let path = path.strip_prefix("$body").map_or(path, |rest| rest.strip_prefix('.').unwrap_or(rest));
        let mut value = &self.body;
        for part in parts(path) {
            let part = stash.fill_text(&part)?.plain_text();
            value = match value {
                Value::Array(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
                Value::Object(entries) if part == "_arbitrary_key_" => {
                    return Err(format!("an arbitrary one of {} keys is not asked for by the suites", entries.len()));
                }
                Value::Object(entries) => entries.get(&part),
                _ => None,
            }
            .unwrap_or(&Value::Null);
        }
        Ok(value)
    }

    /// Computes `#base64EncodeCredentials(user,password)` from the values at two paths.
    pub(super) fn transformed(&self, transformation: &str, stash: &Stash) -> Result<Value, String> {
        let paths = transformation.strip_prefix("#base64EncodeCredentials(").and_then(|rest| rest.strip_suffix(')'));
        let paths = paths.and_then(|paths| paths.split_once(',')).ok_or_else(|| format!("{transformation} is not known"))?;
        let [user, password] = [paths.0, paths.1].map(|path| self.value(path.trim(), stash).map(|value| Node::from(value).plain_text()));
        Ok(Value::from(base64(format!("{}:{}", user?, password?).as_bytes())))
    }

    /// Asserts one thing; the error says what was there instead.
    pub(super) fn check(&self, check: &Check, stash: &Stash) -> Result<(), String> {
        let named = check.path.strip_prefix('$').filter(|name| !name.starts_with("body"));
        let got = named.map_or_else(|| self.value(&check.path, stash), |name| stash.get(name))?;
        let expected = stash.fill(&check.expected)?;
        let holds = match check.kind {
            Kind::Match => matches(got, &expected)?,
            Kind::IsTrue => is_true(got),
            Kind::IsFalse => !is_true(got),
            Kind::Exists => !got.is_null(),
            Kind::Length => length(got).is_some_and(|length| same(&Value::from(length), &expected.value())),
            Kind::Contains => contains(got, &expected.value()),
            Kind::CloseTo => is_close(got, &expected),
            Kind::Less => order(got, &expected).is_some_and(Ordering::is_lt),
            Kind::LessOrEqual => order(got, &expected).is_some_and(Ordering::is_le),
            Kind::Greater => order(got, &expected).is_some_and(Ordering::is_gt),
            Kind::GreaterOrEqual => order(got, &expected).is_some_and(Ordering::is_ge),
        };
        if holds { Ok(()) } else { Err(format!("{:?} {} {}: got {got}", check.kind, check.path, expected.json())) }
    }
}

/// Splits a path at its dots.
fn parts(path: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '.' => parts.push(String::new()),
            '\\' => parts.last_mut().expect("never empty").extend(letters.next()),
            _ => parts.last_mut().expect("never empty").push(letter),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let four = |three: &[u8]| {
        let bits = (0..3).fold(0_usize, |bits, place| bits << 8 | usize::from(three.get(place).copied().unwrap_or(0)));
        let letter = |place: usize| if place <= three.len() { char::from(LETTERS[bits >> (18 - 6 * place) & 63]) } else { '=' };
        [0, 1, 2, 3].map(letter)
    };
    bytes.chunks(3).flat_map(four).collect()
}

fn matches(got: &Value, expected: &Node) -> Result<bool, String> {
    match expected {
        Node::Text(text) if is_expression(text.trim()) => {
            let text = text.trim();
            let expression = format!("(?x){}", &text[1..text.len() - 1]);
            let expression = Regex::new(&expression).map_err(|error| error.to_string())?;
            Ok(got.as_str().is_some_and(|got| expression.is_match(got)))
        }
        other => Ok(same(got, &other.value())),
    }
}

fn is_expression(text: &str) -> bool {
    text.len() > 2 && text.starts_with('/') && text.ends_with('/')
}

/// Compares numbers by value, all else exactly.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || (left.is_f64() || right.is_f64()) && left.as_f64() == right.as_f64()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len() && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !["", "0"].contains(&text.as_str()) && !text.eq_ignore_ascii_case("false"),
        other => !["false", "0"].contains(&other.to_string().as_str()),
    }
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Array(items) => Some(items.len()),
        Value::Object(entries) => Some(entries.len()),
        Value::String(text) => Some(text.chars().count()),
        _ => None,
    }
}

fn contains(got: &Value, expected: &Value) -> bool {
    let has_entries = |item: &Value| match (item, expected) {
        (Value::Object(item), Value::Object(expected)) => {
            expected.iter().all(|(key, value)| item.get(key).is_some_and(|other| same(other, value)))
        }
        _ => same(item, expected),
    };
    match (got, expected) {
        (Value::Array(items), _) => items.iter().any(has_entries),
        (Value::String(got), Value::String(expected)) => got.contains(expected),
        _ => false,
    }
}

fn is_close(got: &Value, expected: &Node) -> bool {
    let number = |key| expected.get(key).and_then(|node| node.value().as_f64());
    match (got.as_f64(), number("value"), number("error")) {
        (Some(got), Some(value), Some(error)) => (got - value).abs() <= error,
        _ => false,
    }
}

fn order(got: &Value, expected: &Node) -> Option<Ordering> {
    match (got, expected.value()) {
        (Value::Number(got), Value::Number(expected)) => match (got.as_i128(), expected.as_i128()) {
            (Some(got), Some(expected)) => Some(got.cmp(&expected)),
            _ => got.as_f64()?.partial_cmp(&expected.as_f64()?),
        },
        (Value::String(got), Value::String(expected)) => Some(got.as_str().cmp(&expected)),
        _ => None,
    }
}

/// Returns whether an error is the one that is to be caught: a name for a status, or an expression for the body.
pub(super) fn catches(catch: &str, status: u16, body: &str) -> Result<bool, String> {
    let named = [
        ("bad_request", 400),
        ("unauthorized", 401),
        ("forbidden", 403),
        ("missing", 404),
        ("request_timeout", 408),
        ("conflict", 409),
        ("unavailable", 503),
    ];
    if is_expression(catch) {
        let expression = Regex::new(&catch[1..catch.len() - 1]).map_err(|error| error.to_string())?;
        return Ok(status >= 400 && expression.is_match(body));
    }
    match named.iter().find(|(name, _)| *name == catch) {
        Some((_, expected)) => Ok(status == *expected),
        None if catch == "request" => Ok(status >= 400 && named.iter().all(|(_, other)| status != *other)),
        None => Err(format!("{catch} is no name of an error")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Answer, Stash, catches};
    use crate::yaml::{
        document::documents,
        suite::{Step, Suite},
    };

    fn answer() -> Answer {
        Answer {
            body: json!({"hits":{"hits":[{"_id":"7","_score":1.5,"fields":{"a.b":[1]}}],"total":9_007_199_254_740_993_i64},
                "text":"one 2","none":null,"no":false,"empty":""}),
        }
    }

    fn holds(written: &str) -> bool {
        let suite = Suite::read("a.yml", &format!("a:\n - {written}\n")).unwrap();
        let mut stash = Stash::default();
        stash.set("id", json!("7"));
        stash.set("index", json!(0));
        suite.tests[0].steps.iter().all(|step| match step {
            Step::Check(check) => answer().check(check, &stash).is_ok(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn what_holds() {
        for step in [
            "match: {hits.hits.0._id: '7'}",
            "match: {hits.hits.$index._id: $id}",
            "match: {hits.hits.0._score: 1.50}",
            "match: {hits.total: 9007199254740993}",
            "match: {hits.hits.0.fields.a\\.b: [1.0]}",
            "match: {text: '/^one \\s \\d $/'}",
            "match: {none: null, absent.0.more: null}",
            "match: {$body.text: one 2}",
            "match: {$id: '7'}",
            "match: {text: 'one 2'}",
            "is_true: hits",
            "is_false: no",
            "is_false: empty",
            "is_false: absent",
            "exists: no",
            "length: {hits.hits: 1, text: 5, hits: 2}",
            "contains: {hits.hits: {_id: '7'}}",
            "contains: {text: ne}",
            "close_to: {hits.hits.0._score: {value: 1.4, error: 0.2}}",
            "lt: {hits.hits.0._score: 2}",
            "lte: {hits.total: 9007199254740993}",
            "gt: {hits.total: 9007199254740992}",
            "gte: {text: one}",
        ] {
            assert!(holds(step), "{step}");
        }
    }

    #[test]
    fn what_does_not_hold() {
        for step in [
            "match: {hits.hits.0._id: 7}",
            "match: {hits.total: 9007199254740992}",
            "match: {text: '/two/'}",
            "match: {hits.hits: []}",
            "match: {absent: $unnamed}",
            "is_true: no",
            "is_false: hits",
            "exists: none",
            "length: {hits.hits: 2}",
            "contains: {hits.hits: {_id: '8'}}",
            "close_to: {hits.hits.0._score: {value: 1.4, error: 0.01}}",
            "lt: {hits.hits.0._score: 1.5}",
            "gt: {absent: 1}",
            "gte: {text: 1}",
        ] {
            assert!(!holds(step), "{step}");
        }
    }

    #[test]
    fn names_stand_for_values_in_keys_in_values_and_within_text() {
        let mut stash = Stash::default();
        stash.set("n", json!(1.5));
        let filled = stash.fill(&documents("{$n: [$n, 'a ${n} b', c]}").unwrap()[0]).unwrap();
        assert_eq!(filled.json(), r#"{"1.5":[1.5,"a 1.5 b","c"]}"#);
        assert!(stash.fill(&documents("$m").unwrap()[0]).is_err());
    }

    #[test]
    fn credentials_are_joined_and_encoded() {
        let answer = Answer { body: json!({"user":"Aladdin","password":"open sesame"}) };
        let encoded = answer.transformed("#base64EncodeCredentials(user,password)", &Stash::default());
        assert_eq!(encoded, Ok(json!("QWxhZGRpbjpvcGVuIHNlc2FtZQ==")));
        assert!(answer.transformed("#rot13(user)", &Stash::default()).is_err());
    }

    #[test]
    fn errors_are_caught_by_status_or_by_body() {
        for (catch, status, body, caught) in [
            ("missing", 404, "", true),
            ("missing", 400, "", false),
            ("request", 500, "", true),
            ("request", 404, "", false),
            (r"/\[a\] \'is\'/", 400, "[a] 'is'", true),
            ("/a/", 200, "a", false),
            ("/a/", 400, "b", false),
        ] {
            assert_eq!(catches(catch, status, body), Ok(caught), "{catch}");
        }
        assert!(catches("nothing", 400, "").is_err());
    }
}
