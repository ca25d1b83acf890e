//! `filter_path`: takes out of an answer what the client does not want to see, as the engine itself would have done.
//!
//! The tokens that stay are copied; the white space between them is what the engine would have printed.

use wildmatch::WildMatchPattern;

use super::layout::{Cursor, Malformed};

/// Steps of all patterns together; every key of an answer may be held against each.
const MOST_STEPS: usize = 200;
/// How deep patterns follow an answer.
const MOST_NESTED: usize = 500;

/// The patterns of one `filter_path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterPath {
    includes: Vec<Steps>,
    excludes: Vec<Steps>,
}

/// One pattern, a key or a key with stars for each level.
type Steps = Vec<String>;

/// What becomes of an object or an array that is empty in the engine's answer, and into which an exclusion looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// It stays (Elasticsearch since 8.15).
    Kept,
    /// It goes (OpenSearch).
    Dropped,
}

/// Patterns that engines read differently, or too many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the filter path is not plain")]
pub struct NotPlain;

/// An answer that is no object, has a key twice on a level that is looked into, or is too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer cannot be filtered")]
pub struct NotFiltered;

/// One reading of an answer.
struct Pass<'p> {
    patterns: Vec<Vec<Step<'p>>>,
    excludes: bool,
    empty: Empty,
    /// Whether the answer is printed for people.
    pretty: bool,
    out: String,
}

struct Step<'p> {
    name: &'p str,
    stars: Option<WildMatchPattern<'*', '\0'>>,
}

/// The tokens of one valid JSON value.
struct Tokens<'t>(&'t str);

/// Patterns that are still in play, each with the step that comes next.
type InPlay = Vec<(usize, usize)>;

/// What becomes of an entry.
enum Verdict {
    Whole,
    Gone,
    Within(InPlay),
}

// === impl FilterPath ===

impl FilterPath {
    /// Reads the value of the parameter; `None` when it holds no pattern.
    ///
    /// # Errors
    /// See [`NotPlain`].
    pub fn parse(value: &str) -> Result<Option<Self>, NotPlain> {
        let mut own = Self { includes: Vec::new(), excludes: Vec::new() };
        for pattern in value.split(',').map(trim).filter(|pattern| !pattern.is_empty()) {
            match pattern.strip_prefix('-') {
                Some(excluded) => own.excludes.push(steps(trim(excluded))?),
                None => own.includes.push(steps(pattern)?),
            }
        }
        match own.includes.iter().chain(&own.excludes).map(Vec::len).sum() {
            0 => Ok(None),
            1..=MOST_STEPS => Ok(Some(own)),
            _ => Err(NotPlain),
        }
    }

    /// Returns the answer `json` as the client wants it.
    ///
    /// # Errors
    /// See [`NotFiltered`].
    pub fn apply(&self, json: &str, empty: Empty) -> Result<String, NotFiltered> {
        let pass = |patterns: &[Steps], excludes, text: &str| filtered(patterns, excludes, text, empty).map_err(|_| NotFiltered);
        let included = if self.includes.is_empty() { None } else { Some(pass(&self.includes, false, json)?) };
        if self.excludes.is_empty() {
            return Ok(included.unwrap_or_else(|| json.to_owned()));
        }
        pass(&self.excludes, true, included.as_deref().unwrap_or(json))
    }
}

/// Engines trim by Java's rule.
fn trim(text: &str) -> &str {
    text.trim_matches(|letter| letter <= ' ')
}

/// Splits a pattern at its dots; `\.` is a dot in a name. Steps without a name, and other uses of the backslash, differ by engine.
fn steps(pattern: &str) -> Result<Steps, NotPlain> {
    let mut steps = vec![String::new()];
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        let step = steps.last_mut().expect("there is always one");
        match letter {
            '.' => steps.push(String::new()),
            '\\' if letters.next() == Some('.') => step.push('.'),
            '\\' => return Err(NotPlain),
            _ => step.push(letter),
        }
    }
    if steps.iter().any(String::is_empty) { Err(NotPlain) } else { Ok(steps) }
}

fn filtered(patterns: &[Steps], excludes: bool, json: &str, empty: Empty) -> Result<String, Malformed> {
    let mut cursor = Cursor::new(json);
    let pretty = json.trim_start().as_bytes().get(1).is_some_and(u8::is_ascii_whitespace);
    let patterns: Vec<Vec<Step<'_>>> = patterns.iter().map(|steps| steps.iter().map(|name| Step::new(name)).collect()).collect();
    let start = (0..patterns.len()).map(|pattern| (pattern, 0)).collect();
    let mut pass = Pass { patterns, excludes, empty, pretty, out: String::with_capacity(json.len() / 2) };
    if !pass.object(&mut cursor, &start, 0)? {
        // The engine opens the answer before it looks at the patterns.
        pass.nothing('{', '}');
    }
    pass.out.push_str(cursor.rest());
    cursor.end().map(|()| pass.out)
}

// === impl Step ===

impl<'p> Step<'p> {
    fn new(name: &'p str) -> Self {
        Self { name, stars: name.contains('*').then(|| WildMatchPattern::new(name)) }
    }

    fn matches(&self, key: &str) -> bool {
        self.stars.as_ref().map_or(self.name == key, |stars| stars.matches(key))
    }
}

// === impl Pass ===

impl Pass<'_> {
    fn verdict(&self, key: &str, in_play: &InPlay) -> Verdict {
        let mut next = InPlay::new();
        for (pattern, place) in in_play {
            let steps = &self.patterns[*pattern];
            if !steps[*place].matches(key) {
                continue;
            }
            if place + 1 == steps.len() {
                return if self.excludes { Verdict::Gone } else { Verdict::Whole };
            }
            if steps[*place].name == "**" {
                next.push((*pattern, *place));
            }
            next.push((*pattern, place + 1));
        }
        next.sort_unstable();
        next.dedup();
        match (next.is_empty(), self.excludes) {
            (false, _) => Verdict::Within(next),
            (true, true) => Verdict::Whole,
            (true, false) => Verdict::Gone,
        }
    }

    /// Writes what stays of a value; returns whether anything did.
    fn value(&mut self, cursor: &mut Cursor<'_>, in_play: &InPlay, depth: usize) -> Result<bool, Malformed> {
        if depth > MOST_NESTED {
            return Err(cursor.malformed());
        }
        if cursor.rest().starts_with('{') {
            return self.object(cursor, in_play, depth);
        }
        if cursor.rest().starts_with('[') {
            return self.array(cursor, in_play, depth);
        }
        let scalar = cursor.value()?.get();
        if self.excludes {
            self.out.push_str(scalar);
        }
        Ok(self.excludes)
    }

    fn object(&mut self, cursor: &mut Cursor<'_>, in_play: &InPlay, depth: usize) -> Result<bool, Malformed> {
        let before = self.out.len();
        let (mut end, mut written) = (cursor.place() + 1, 0);
        self.out.push('{');
        let layout = cursor.object(|entry, key| {
            let undone = self.out.len();
            self.item(written, depth + 1);
            self.key(entry.since(end));
            let stays = match self.verdict(key, in_play) {
                Verdict::Whole => {
                    self.print(entry.value()?.get(), depth + 1);
                    true
                }
                Verdict::Gone => entry.value().map(|_| false)?,
                Verdict::Within(next) => self.value(entry, &next, depth + 1)?,
            };
            if stays {
                written += 1
            } else {
                self.out.truncate(undone)
            }
            end = entry.place();
            Ok(())
        })?;
        Ok(self.close(['{', '}'], before, depth, (layout.items().is_empty(), written > 0)))
    }

    fn array(&mut self, cursor: &mut Cursor<'_>, in_play: &InPlay, depth: usize) -> Result<bool, Malformed> {
        let before = self.out.len();
        let mut written = 0;
        self.out.push('[');
        let layout = cursor.array(|element| {
            let undone = self.out.len();
            self.item(written, depth + 1);
            let stays = self.value(element, in_play, depth + 1)?;
            if stays {
                written += 1
            } else {
                self.out.truncate(undone)
            }
            Ok(())
        })?;
        Ok(self.close(['[', ']'], before, depth, (layout.items().is_empty(), written > 0)))
    }

    /// Writes what stands before an item.
    fn item(&mut self, written: usize, depth: usize) {
        self.out.push_str(if written > 0 { "," } else { "" });
        self.line(depth);
    }

    /// Writes a key; `text` is all that stands between the value before it, or the bracket, and its own value.
    fn key(&mut self, text: &str) {
        let text = text.trim_start();
        let key = text.strip_prefix(',').unwrap_or(text).trim_end().trim_end_matches(':');
        self.out.extend([key.trim(), if self.pretty { " : " } else { ":" }]);
    }

    /// Ends a level that began at `before` in what is written.
    fn close(&mut self, [open, close]: [char; 2], before: usize, depth: usize, (was_empty, written): (bool, bool)) -> bool {
        if written {
            self.line(depth);
            self.out.push(close);
            return true;
        }
        self.out.truncate(before);
        let stays = self.excludes && was_empty && self.empty == Empty::Kept;
        if stays {
            self.nothing(open, close);
        }
        stays
    }

    /// Writes a level without items.
    fn nothing(&mut self, open: char, close: char) {
        self.out.push(open);
        self.out.push_str(if self.pretty { " " } else { "" });
        self.out.push(close);
    }

    fn line(&mut self, depth: usize) {
        if self.pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", depth));
        }
    }

    /// Writes a value that stays whole: its own tokens, with the white space of the answer.
    fn print(&mut self, value: &str, mut depth: usize) {
        let mut tokens = Tokens(value).peekable();
        while let Some(token) = tokens.next() {
            match token {
                "{" | "[" if matches!(tokens.peek(), Some(&("}" | "]"))) => {
                    self.nothing(if token == "{" { '{' } else { '[' }, if token == "{" { '}' } else { ']' });
                    tokens.next();
                }
                "{" | "[" => {
                    depth += 1;
                    self.out.push_str(token);
                    self.line(depth);
                }
                "}" | "]" => {
                    depth -= 1;
                    self.line(depth);
                    self.out.push_str(token);
                }
                "," => {
                    self.out.push_str(token);
                    self.line(depth);
                }
                ":" => self.out.push_str(if self.pretty { " : " } else { ":" }),
                _ => self.out.push_str(token),
            }
        }
    }
}

// === impl Tokens ===

impl<'t> Iterator for Tokens<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let text = self.0.trim_start();
        let length = match text.as_bytes().first()? {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => string_length(text),
            _ => text.find(|letter: char| matches!(letter, '}' | ']' | ',') || letter.is_ascii_whitespace()).unwrap_or(text.len()),
        };
        let (token, rest) = text.split_at(length);
        self.0 = rest;
        Some(token)
    }
}

/// Returns how many bytes the string at the start of `text` has, with its quotes.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Empty, FilterPath, NotPlain};

    const ANSWER: &str = concat!(
        r#"{"took":3,"timed_out":false,"_shards":{"total":1,"failed":0},"hits":{"total":{"value":2,"relation":"eq"},"max_score":1.5,"hits":["#,
        r#"{"_index":"a","_id":"1","_score":1.5,"_source":{ "title" : "x, ]}", "n":[{"t":1.0},{"u":[]}], "tags":["p","q"]},"fields":{"n.t":[1]}},"#,
        r#"{"_index":"a","_id":"2","_score":1.0,"_source":{"title":"y"}}]}}"#
    );

    fn filtered(value: &str, json: &str) -> String {
        FilterPath::parse(value).expect("plain").expect("patterns").apply(json, Empty::Kept).expect("an answer")
    }

    /// The pairs are the engines' own (see tests/engines/filter_path.rs).
    #[test]
    fn patterns_keep_what_engines_keep() {
        for (value, kept) in [
            ("took", r#"{"took":3}"#),
            ("nothing", "{}"),
            ("took.deeper", "{}"),
            ("hits.hits._id", r#"{"hits":{"hits":[{"_id":"1"},{"_id":"2"}]}}"#),
            (" took , hits.max_score ,", r#"{"took":3,"hits":{"max_score":1.5}}"#),
            ("hits.total", r#"{"hits":{"total":{"value":2,"relation":"eq"}}}"#),
            ("hits.*.value", r#"{"hits":{"total":{"value":2}}}"#),
            ("t*", r#"{"took":3,"timed_out":false}"#),
            ("*t", r#"{"timed_out":false}"#),
            ("*.to*", r#"{"_shards":{"total":1},"hits":{"total":{"value":2,"relation":"eq"}}}"#),
            ("**.title", r#"{"hits":{"hits":[{"_source":{"title":"x, ]}"}},{"_source":{"title":"y"}}]}}"#),
            ("**.took", "{}"),
            ("hits.**.t", r#"{"hits":{"hits":[{"_source":{"n":[{"t":1.0}]}}]}}"#),
            ("hits.hits._source.tags", r#"{"hits":{"hits":[{"_source":{"tags":["p","q"]}}]}}"#),
            ("hits.hits._source.tags.p", "{}"),
            (r"hits.hits.fields.n\.t", r#"{"hits":{"hits":[{"fields":{"n.t":[1]}}]}}"#),
            ("hits.hits.fields.n.t", "{}"),
            ("hits.hits._source.n", r#"{"hits":{"hits":[{"_source":{"n":[{"t":1.0},{"u":[]}]}}]}}"#),
            ("hits.hits.fields,hits.hits.fields.x", r#"{"hits":{"hits":[{"fields":{"n.t":[1]}}]}}"#),
            ("-hits", r#"{"took":3,"timed_out":false,"_shards":{"total":1,"failed":0}}"#),
            (
                "-hits.hits._source,-hits.hits.fields,-_shards,-t*",
                r#"{"hits":{"total":{"value":2,"relation":"eq"},"max_score":1.5,"hits":[{"_index":"a","_id":"1","_score":1.5},{"_index":"a","_id":"2","_score":1.0}]}}"#,
            ),
            ("hits.hits,-hits.hits._*,-**.n*", r#"{}"#),
            ("hits.hits._source,-hits.hits._source.n.t,-**.t*", r#"{"hits":{"hits":[{"_source":{"n":[{"u":[]}]}}]}}"#),
            ("-**", "{}"),
        ] {
            assert_eq!(filtered(value, ANSWER), kept, "{value}");
        }
    }

    #[test]
    fn what_was_empty_before_stays_on_one_engine_only() {
        let none = r#"{"hits":{"total":0,"hits":[]},"aggregations":{"a":{"buckets":[{}]}}}"#;
        let filter = FilterPath::parse("-hits.hits._source,-aggregations.a.buckets.key").expect("plain").expect("patterns");
        assert_eq!(filter.apply(none, Empty::Kept).expect("an answer"), none);
        assert_eq!(filter.apply(none, Empty::Dropped).expect("an answer"), r#"{"hits":{"total":0}}"#);
        assert_eq!(filtered("hits.hits._id", none), "{}");
    }

    #[test]
    fn a_pretty_answer_stays_pretty() {
        let pretty = "{\n  \"took\" : 3,\n  \"hits\" : {\n    \"total\" : 1,\n    \"hits\" : [\n      {\n        \"_id\" : \"1\",\n        \"_source\" : { }\n      }\n    ]\n  }\n}\n";
        assert_eq!(
            filtered("hits.hits._id", pretty),
            "{\n  \"hits\" : {\n    \"hits\" : [\n      {\n        \"_id\" : \"1\"\n      }\n    ]\n  }\n}\n"
        );
        assert_eq!(filtered("-took,-hits.total", pretty), pretty.replace("\n  \"took\" : 3,", "").replace("\n    \"total\" : 1,", ""));
        assert_eq!(filtered("none", pretty), "{ }\n");
    }

    #[test]
    fn patterns_that_engines_read_differently_are_refused() {
        for value in ["-", "a..b", ".a", "a.", r"a\b", r"a\", "a,-", &"a.".repeat(201).trim_end_matches('.')] {
            assert_eq!(FilterPath::parse(value), Err(NotPlain), "{value}");
        }
        for value in ["", ",", " , "] {
            assert_eq!(FilterPath::parse(value), Ok(None), "{value}");
        }
    }

    #[test]
    fn an_answer_that_is_no_object_or_too_deep_is_refused() {
        let all = FilterPath::parse("**.x").expect("plain").expect("patterns");
        let deep = format!("{}1{}", r#"{"a":"#.repeat(600), "}".repeat(600));
        for answer in ["", "[]", "1", r#"{"a":1"#, r#"{"a":{"b":1,"b":2}}"#, &deep] {
            assert!(all.apply(answer, Empty::Kept).is_err(), "{answer}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_and_no_answer_panics(value in "[-a*.,\\\\ ]{0,12}", json in "[{}\\[\\]\":,a0 ]{0,20}") {
            if let Ok(Some(filter)) = FilterPath::parse(&value) {
                let _ = filter.apply(&json, Empty::Kept);
                prop_assert!(filter.apply(ANSWER, Empty::Dropped).is_ok());
            }
        }

        /// All of it, said in two ways.
        #[test]
        fn what_is_included_and_what_is_not_excluded_make_the_whole(keys in prop::collection::vec("[a-c]{1,2}", 1..4)) {
            let object = |keys: &[String]| keys.iter().map(|key| format!(r#""{key}":{{"x":[1,{{}}]}}"#)).collect::<Vec<_>>().join(",");
            let mut keys = keys;
            keys.sort();
            keys.dedup();
            let json = format!("{{{}}}", object(&keys));
            prop_assert_eq!(filtered(&keys[0], &json), format!("{{{}}}", object(&keys[..1])));
            prop_assert_eq!(filtered(&format!("-{}", keys[0]), &json), format!("{{{}}}", object(&keys[1..])));
            prop_assert_eq!(filtered("**", &json), json);
        }
    }
}
