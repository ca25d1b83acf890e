//! A search's answer: its hits, and where they stand in bytes that otherwise are not looked into.

use std::ops::Range;

use super::{
    hit::{Hit, number},
    json,
    layout::{Cursor, Layout, Malformed},
};

/// The answer to one search.
#[derive(Debug)]
pub struct SearchResponse<'a> {
    /// `hits.hits` in the engine's order.
    pub hits: Vec<Hit<'a>>,
    /// `_shards.failed`
    pub failed_shards: u64,
    /// Whether it says that it did not time out.
    pub is_in_time: bool,
    /// Whether it says that it is all that there is to say: it did not time out, and is of one cluster, no shard of which failed.
    pub is_settled: bool,
    /// `hits.max_score`, when it is a number.
    pub max_score: Option<f64>,
    text: &'a str,
    array: Layout<'a>,
    max_score_span: Option<Range<usize>>,
}

/// Why an answer cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum NotASearchResponse {
    /// Not UTF-8.
    #[error("the answer is not UTF-8")]
    Encoding(#[from] std::str::Utf8Error),
    /// Not JSON, cut off, a key that stands twice, or something unexpected on the way to the hits.
    #[error("the answer is unreadable at byte {0}")]
    Malformed(usize),
    /// Nothing at `hits.hits`.
    #[error("the answer has no `hits.hits`")]
    NoHits,
}

/// `hits`
#[derive(Default)]
struct Found<'a> {
    hits: Vec<Hit<'a>>,
    array: Option<Layout<'a>>,
    max_score: Option<f64>,
    max_score_span: Option<Range<usize>>,
}

// === impl SearchResponse ===

impl<'a> SearchResponse<'a> {
    /// Reads an answer, in one walk over its bytes.
    ///
    /// # Errors
    /// Not UTF-8 or JSON, cut off, no array of objects at `hits.hits`, or a key twice on a level that is read.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NotASearchResponse> {
        let text = str::from_utf8(bytes)?;
        let (mut found, mut failed_shards) = (Found::default(), 0);
        let (mut tells_shards, mut is_in_time, mut is_of_several) = (false, false, false);
        let mut cursor = Cursor::new(text);
        cursor.object(|entry, key| {
            match key {
                "hits" => found = Found::read(entry)?,
                "_shards" => (failed_shards, tells_shards) = (failed(entry)?, true),
                "timed_out" => is_in_time = entry.value()?.get() == "false",
                "_clusters" => (is_of_several, _) = (true, entry.value()?),
                _ => drop(entry.value()?),
            }
            Ok(())
        })?;
        cursor.end()?;
        let Found { hits, array, max_score, max_score_span } = found;
        let array = array.ok_or(NotASearchResponse::NoHits)?;
        let is_settled = is_in_time && tells_shards && failed_shards == 0 && !is_of_several;
        Ok(Self { hits, failed_shards, is_in_time, is_settled, max_score, text, array, max_score_span })
    }

    /// The whole answer.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// Where the hits stand.
    pub(crate) fn array(&self) -> &Layout<'a> {
        &self.array
    }

    /// Where the value of `max_score` stands.
    pub(crate) fn max_score_span(&self) -> Option<Range<usize>> {
        self.max_score_span.clone()
    }
}

// === impl Found ===

impl<'a> Found<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let mut found = Self::default();
        cursor.object(|entry, key| {
            match key {
                "hits" => {
                    let array = entry.array(|element| {
                        found.hits.push(Hit::read(element)?);
                        Ok(())
                    })?;
                    found.array = Some(array);
                }
                "max_score" => {
                    let start = entry.place();
                    found.max_score = number(entry.value()?);
                    found.max_score_span = Some(start..entry.place());
                }
                _ => drop(entry.value()?),
            }
            Ok(())
        })?;
        Ok(found)
    }
}

impl From<Malformed> for NotASearchResponse {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.place())
    }
}

fn failed(cursor: &mut Cursor<'_>) -> Result<u64, Malformed> {
    let mut count = 0;
    cursor.object(|entry, key| {
        let value = entry.value()?;
        if key == "failed" {
            count = json::count(value).ok_or_else(|| entry.malformed())?;
        }
        Ok(())
    })?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::{NotASearchResponse, SearchResponse};

    const ANSWER: &str = r#"{"took":1,"timed_out":true,"_shards":{"total":2,"failed":1},"hits":{"total":{"value":3,"relation":"eq"},
        "max_score":1.5,"hits":[{"_index":"sh\u006fp","_id":"\"1\"","_score":1.5,"_source":{"a": 1}},{"_score":null,"fields":{"a":[1]}} , {}]}}"#;

    #[test]
    fn what_reranking_reads() {
        let response = SearchResponse::parse(ANSWER.as_bytes()).expect("an answer");
        assert_eq!((response.failed_shards, response.max_score), (1, Some(1.5)));
        let [first, second, third] = response.hits.as_slice() else { panic!("three hits") };
        assert_eq!((first.index.as_ref(), first.id.as_ref(), first.score), ("shop", "\"1\"", Some(1.5)));
        assert_eq!(first.source.map(|source| source.get()), Some(r#"{"a": 1}"#));
        assert_eq!((second.index.as_ref(), second.id.as_ref(), second.score), ("", "", None));
        assert_eq!(second.fields.map(|fields| fields.get()), Some(r#"{"a":[1]}"#));
        assert_eq!(third.raw(), "{}");
    }

    #[test]
    fn what_may_be_kept_says_that_it_is_whole() {
        for (start, settled) in [
            (r#""timed_out":false,"_shards":{"failed":0}"#, true),
            (r#""timed_out" : false , "_shards":{"total":3}"#, true),
            (r#""timed_out":true,"_shards":{"failed":0}"#, false),
            (r#""timed_out":false,"_shards":{"failed":1}"#, false),
            (r#""timed_out":false"#, false),
            (r#""_shards":{"failed":0}"#, false),
            (r#""timed_out":false,"_shards":{"failed":0},"_clusters":{"skipped":0}"#, false),
        ] {
            let answer = format!(r#"{{{start},"hits":{{"hits":[]}}}}"#);
            assert_eq!(SearchResponse::parse(answer.as_bytes()).expect("an answer").is_settled, settled, "{start}");
        }
    }

    #[test]
    fn what_is_no_search_response_is_refused() {
        for answer in [
            "",
            "[]",
            "{}",
            r#"{"error":{"type":"x"},"status":400}"#,
            r#"{"hits":{}}"#,
            r#"{"hits":null}"#,
            r#"{"hits":[]}"#,
            r#"{"hits":{"hits":{}}}"#,
            r#"{"hits":{"hits":[1]}}"#,
            r#"{"hits":{"hits":[]}} {}"#,
            r#"{"hits":{"hits":[]},"hits":{"hits":[]}}"#,
            r#"{"hits":{"hits":[],"hits":[]}}"#,
            r#"{"hits":{"max_score":1,"hits":[],"max_score":1}}"#,
            r#"{"hits":{"hits":[{"_id":"1","\u005fid":"2"}]}}"#,
            r#"{"_shards":{"failed":0,"failed":1},"hits":{"hits":[]}}"#,
            r#"{"_shards":{"failed":"1"},"hits":{"hits":[]}}"#,
        ] {
            assert!(SearchResponse::parse(answer.as_bytes()).is_err(), "{answer}");
        }
        assert!(matches!(SearchResponse::parse(b"{\"a\":\"\xff\"}"), Err(NotASearchResponse::Encoding(_))));
    }

    #[test]
    fn no_answer_that_is_cut_off_is_read() {
        for length in 0..ANSWER.len() {
            assert!(SearchResponse::parse(&ANSWER.as_bytes()[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = ["[".repeat(200_000), "]".repeat(200_000)].concat();
        let answer = format!(r#"{{"aggregations":{deep},"hits":{{"total":{deep},"hits":[{{"_source":{deep}}}]}}}}"#);
        assert_eq!(SearchResponse::parse(answer.as_bytes()).expect("an answer").hits.len(), 1);
    }
}
