//! Points in time in bodies and answers: their ids, and how long they are kept.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;

use super::json::{self, Object};

/// What engines call a millisecond and its multiples; their smaller units keep nothing for long.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A point in time that a search names.
#[derive(Debug, PartialEq, Eq)]
pub struct Pit<'a> {
    /// Its id; `None` where there is none that can be read.
    pub id: Option<Cow<'a, str>>,
    /// How long it is kept from now on, if that is said.
    pub keep_alive: Option<Duration>,
}

/// Returns the point in time of a search, if it names one.
pub fn of_search<'a>(body: &Object<'a>) -> Option<Pit<'a>> {
    let pit = body.get("pit")?;
    let Ok(entries) = json::object(pit.get()) else { return Some(Pit { id: None, keep_alive: None }) };
    let text = |key: &str| entries.get(key).and_then(json::string);
    Some(Pit { id: text("id"), keep_alive: text("keep_alive").and_then(|text| duration(&text)) })
}

/// Returns the id that an opening call's answer gives: `id` on Elasticsearch, `pit_id` on OpenSearch.
pub fn opened(answer: &[u8]) -> Option<String> {
    let entries = json::object(str::from_utf8(answer).ok()?).ok()?;
    entries.get("id").or(entries.get("pit_id")).and_then(json::string).map(Cow::into_owned)
}

/// Returns the ids that a closing call names: one or several of `id` or `pit_id`.
pub fn closed(body: &[u8]) -> Vec<String> {
    let Some(entries) = str::from_utf8(body).ok().and_then(|text| json::object(text).ok()) else { return Vec::new() };
    let Some(named) = entries.get("id").or(entries.get("pit_id")) else { return Vec::new() };
    let ids = json::array(named.get()).unwrap_or_else(|_| vec![named]);
    ids.into_iter().filter_map(json::string).map(Cow::into_owned).collect()
}

/// Returns the id at the start of a search's answer, where both engines print it; the rest need not be there yet.
pub fn of_answer(start: &str) -> Option<String> {
    let rest = start.trim_start().strip_prefix('{')?.trim_start();
    let rest = rest.strip_prefix("\"pit_id\"")?.trim_start().strip_prefix(':')?;
    String::deserialize(&mut serde_json::Deserializer::from_str(rest)).ok()
}

/// Returns a duration as engines write it.
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.iter().find(|(own, _)| *own == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*millis).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{closed, duration, of_answer, of_search, opened};
    use crate::es::json::object;

    #[test]
    fn a_search_names_its_point_in_time() {
        let named = |body: &str| of_search(&object(body).expect("json")).map(|pit| (pit.id.map(|id| id.into_owned()), pit.keep_alive));
        assert_eq!(named("{}"), None);
        assert_eq!(named(r#"{"pit":{"id":"a\u0062","keep_alive":"1m"}}"#), Some((Some("ab".to_owned()), Some(Duration::from_secs(60)))));
        for odd in [r#"{"pit":"a"}"#, r#"{"pit":{}}"#, r#"{"pit":{"id":1,"keep_alive":1}}"#, r#"{"pit":{"id":"a","id":"b"}}"#] {
            assert_eq!(named(odd), Some((None, None)), "{odd}");
        }
    }

    #[test]
    fn both_engines_ways_are_read() {
        assert_eq!(opened(br#"{"id":"a","_shards":{"total":1}}"#).as_deref(), Some("a"));
        assert_eq!(opened(br#"{"pit_id":"a","_shards":{},"creation_time":1}"#).as_deref(), Some("a"));
        assert_eq!(closed(br#"{"id":"a"}"#), ["a"]);
        assert_eq!(closed(br#"{"pit_id":["a","b",1]}"#), ["a", "b"]);
        assert_eq!(of_answer("{\n  \"pit_id\" : \"a=\",\n  \"took\"").as_deref(), Some("a="));
        for answer in ["", "{}", "[]", "\u{feff}{", r#"{"error":{}}"#, r#"{"id":1}"#] {
            assert_eq!((opened(answer.as_bytes()), closed(answer.as_bytes()), of_answer(answer)), (None, Vec::new(), None), "{answer}");
        }
        for cut in ["{\"pit_id\"", "{\"pit_id\":\"a", "{\"took\":1,\"pit_id\":\"a\"}", "{\"pit_id\":1}"] {
            assert_eq!(of_answer(cut), None, "{cut}");
        }
    }

    #[test]
    fn durations_are_the_engines() {
        for (text, millis) in [("100ms", 100), ("30s", 30_000), ("1m", 60_000), ("2H", 7_200_000), (" 1d", 86_400_000)] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "1", "m", "-1m", "1.5m", "1w", "99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
