//! Fragments of a hit's text with the query's words marked, cut as Lucene's `plain` highlighter does.
//!
//! Without a type it is `plain`, too, where the engines' default is `unified`: that one cuts at the ends of sentences.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    analysis::Token,
    error::{ApiError, refuse_long, refuse_unknown},
    fields::at_path,
    mapping::Kind,
    query::Mark,
    schema::{Indexed, Schema},
    values,
};

const OPTIONS: [&str; 7] = ["type", "pre_tags", "post_tags", "fragment_size", "number_of_fragments", "order", "require_field_match"];

/// What a search asks to be highlighted.
#[derive(Clone, Debug)]
pub struct Highlight {
    fields: Vec<Wanted>,
}

#[derive(Clone, Debug)]
struct Wanted {
    path: String,
    /// Where its values are in the source.
    source: String,
    indexed: Indexed,
    options: Options,
}

#[derive(Clone, Debug)]
struct Options {
    pre_tag: String,
    post_tag: String,
    /// In characters.
    fragment_size: usize,
    /// 0: the whole text.
    number_of_fragments: usize,
    by_score: bool,
    require_field_match: bool,
}

// === impl Highlight ===

impl Highlight {
    /// Reads the `highlight` of a search.
    pub fn parse(json: &Value, schema: &Schema) -> Result<Self, ApiError> {
        let members = object("highlight", json)?;
        let known: Vec<_> = OPTIONS.into_iter().chain(["fields"]).collect();
        refuse_unknown("highlight", members, &known)?;
        let defaults = Options::default().read(members)?;
        let mut fields = BTreeMap::new();
        let groups = match members.get("fields") {
            None => Vec::new(),
            Some(Value::Array(listed)) => listed.iter().map(|group| object("highlight] [fields", group)).collect::<Result<Vec<_>, _>>()?,
            Some(group) => vec![object("highlight] [fields", group)?],
        };
        refuse_long("highlight] [fields", groups.iter().map(|group| group.len()).sum())?;
        for (pattern, options) in groups.into_iter().flatten() {
            let options = object("highlight_field", options)?;
            refuse_unknown("highlight_field", options, &OPTIONS)?;
            let options = defaults.clone().read(options)?;
            let matching = schema.matching(pattern).into_iter();
            fields.extend(matching.filter(|(_, indexed)| matches!(indexed.kind, Kind::Text(_) | Kind::Keyword(_))).map(
                |(path, indexed)| {
                    let source = schema.source_of(path).to_owned();
                    (path.to_owned(), Wanted { path: path.to_owned(), source, indexed, options: options.clone() })
                },
            ));
        }
        Ok(Self { fields: fields.into_values().collect() })
    }

    /// Returns the fragments by field; only fields with marks. A hit without any has no `highlight`.
    pub fn fragments(&self, source: &Value, marks: &[Mark]) -> BTreeMap<String, Vec<String>> {
        let found = self.fields.iter().map(|wanted| (wanted.path.clone(), wanted.fragments(source, marks)));
        found.filter(|(_, fragments)| !fragments.is_empty()).collect()
    }
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        let (pre_tag, post_tag) = ("<em>".to_owned(), "</em>".to_owned());
        Self { pre_tag, post_tag, fragment_size: 100, number_of_fragments: 5, by_score: false, require_field_match: true }
    }
}

impl Options {
    fn read(mut self, members: &Map<String, Value>) -> Result<Self, ApiError> {
        for (key, value) in members {
            let refused = || ApiError::unsupported(format!("[{key}] : {value} in [highlight]"));
            match key.as_str() {
                "type" if value == "plain" => {}
                "pre_tags" => self.pre_tag = tag(value).ok_or_else(refused)?,
                "post_tags" => self.post_tag = tag(value).ok_or_else(refused)?,
                "fragment_size" => self.fragment_size = count(value).ok_or_else(refused)?,
                "number_of_fragments" => self.number_of_fragments = count(value).ok_or_else(refused)?,
                "order" if value == "score" || value == "none" => self.by_score = value == "score",
                "require_field_match" => self.require_field_match = value.as_bool().ok_or_else(refused)?,
                "fields" => {}
                _ => return Err(refused()),
            }
        }
        Ok(self)
    }
}

// === impl Wanted ===

impl Wanted {
    fn fragments(&self, source: &Value, marks: &[Mark]) -> Vec<String> {
        let marks: Vec<_> = marks.iter().filter(|mark| mark.field == self.path || !self.options.require_field_match).collect();
        if marks.is_empty() {
            return Vec::new();
        }
        let mut fragments = Vec::new();
        for value in at_path(source, &self.source) {
            let Some(text) = values::scalar(value) else { continue };
            if matches!(self.indexed.kind, Kind::Keyword(Some(limit)) if text.encode_utf16().count() > limit) {
                continue;
            }
            let tokens = self.indexed.kind.analyzer().tokens(&text);
            let mut found = Cut { text: &text, tokens: &tokens, marked: marked(&tokens, &marks), options: &self.options }.fragments();
            // The best first; those that are as good in their order.
            found.sort_by(|one, other| other.score.total_cmp(&one.score));
            found.truncate(self.options.number_of_fragments.max(1));
            fragments.extend(found.into_iter().filter(|fragment| fragment.score > 0.0));
        }
        if self.options.by_score {
            fragments.sort_by(|one, other| other.score.total_cmp(&one.score));
        }
        if self.options.number_of_fragments > 0 {
            fragments.truncate(self.options.number_of_fragments);
        }
        fragments.into_iter().map(|fragment| fragment.text).collect()
    }
}

/// Which tokens are marked, and how.
#[derive(Debug, Default)]
struct Marked {
    /// What each token is worth.
    weights: BTreeMap<usize, f32>,
    /// Of each phrase, the positions of its first and its last term.
    phrases: Vec<(usize, usize)>,
    /// Terms that are marked as parts of phrases alone.
    in_phrases: BTreeSet<String>,
}

fn marked(tokens: &[Token], marks: &[&Mark]) -> Marked {
    let mut marked = Marked::default();
    let by_position: BTreeMap<usize, usize> = tokens.iter().enumerate().map(|(at, token)| (token.position, at)).collect();
    let words: BTreeSet<&str> =
        marks.iter().filter(|mark| mark.terms.len() == 1).flat_map(|mark| &mark.terms).map(|(_, term)| term.as_str()).collect();
    for mark in marks {
        let Some((_, first)) = mark.terms.first() else { continue };
        for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.term == *first) {
            let places = mark
                .terms
                .iter()
                .map(|(offset, term)| by_position.get(&(token.position + offset)).filter(|place| tokens[**place].term == *term));
            let Some(places) = places.collect::<Option<Vec<_>>>() else { continue };
            for place in places {
                marked.weights.entry(*place).and_modify(|weight| *weight = weight.max(mark.weight)).or_insert(mark.weight);
            }
            if mark.terms.len() > 1 {
                let length = mark.terms.last().map_or(0, |(offset, _)| *offset);
                marked.phrases.push((tokens[at].position, tokens[at].position + length));
                marked.in_phrases.extend(mark.terms.iter().map(|(_, term)| term.clone()).filter(|term| !words.contains(term.as_str())));
            }
        }
    }
    marked
}

/// A text that is cut into fragments.
struct Cut<'a> {
    text: &'a str,
    tokens: &'a [Token],
    marked: Marked,
    options: &'a Options,
}

/// A fragment on its way.
#[derive(Default)]
struct Fragment {
    text: String,
    score: f32,
}

// === impl Cut ===

impl Cut<'_> {
    fn fragments(&self) -> Vec<Fragment> {
        let mut fragments = vec![Fragment::default()];
        let mut counted = BTreeSet::new();
        let mut written = 0;
        let mut breaks = Breaks::new(self);
        for (at, token) in self.tokens.iter().enumerate() {
            if at > 0 && breaks.before(at) {
                fragments.push(Fragment::default());
                counted.clear();
            }
            let Some(fragment) = fragments.last_mut() else { continue };
            fragment.text.push_str(&self.text[written..token.start]);
            let word = &self.text[token.start..token.end];
            match self.marked.weights.get(&at) {
                Some(weight) => {
                    fragment.text.extend([&self.options.pre_tag, word, &self.options.post_tag]);
                    // A term counts once in a fragment.
                    fragment.score += if counted.insert(&token.term) { *weight } else { 0.0 };
                }
                None => fragment.text.push_str(word),
            }
            written = token.end;
        }
        if let Some(fragment) = fragments.last_mut() {
            fragment.text.push_str(&self.text[written..]);
        }
        fragments
    }
}

/// Where fragments begin: every so many characters, not within a phrase, and not shortly before the end.
struct Breaks<'a> {
    cut: &'a Cut<'a>,
    /// The characters up to the end of each token.
    ends: Vec<usize>,
    length: usize,
    fragments: usize,
    /// Lucene does not count the first token.
    position: Option<usize>,
    wait_for: Option<usize>,
}

// === impl Breaks ===

impl<'a> Breaks<'a> {
    fn new(cut: &'a Cut<'a>) -> Self {
        let (mut characters, mut from) = (0, 0);
        let units = |text: &str| text.encode_utf16().count();
        let ends = cut.tokens.iter().map(|token| {
            characters += units(&cut.text[from..token.end]);
            from = token.end;
            characters
        });
        let ends = ends.collect();
        Self { cut, ends, length: units(cut.text), fragments: 1, position: None, wait_for: None }
    }

    fn before(&mut self, at: usize) -> bool {
        if self.cut.options.number_of_fragments == 0 {
            return false;
        }
        let step = self.cut.tokens[at].position - self.cut.tokens[at - 1].position;
        let position = self.position.map_or(step - 1, |position| position + step);
        self.position = Some(position);
        match self.wait_for {
            Some(end) if end > position => return false,
            _ => self.wait_for = None,
        }
        if self.cut.marked.in_phrases.contains(&self.cut.tokens[at].term) {
            let begins = self.cut.marked.phrases.iter().find(|(start, _)| *start == position);
            self.wait_for = begins.map(|(_, end)| end + 1);
        }
        let (end, size) = (self.ends[at], self.cut.options.fragment_size);
        let is_new = end >= size.saturating_mul(self.fragments) && self.length.saturating_sub(end) >= size / 2;
        self.fragments += usize::from(is_new);
        is_new
    }
}

fn object<'a>(name: &str, json: &'a Value) -> Result<&'a Map<String, Value>, ApiError> {
    json.as_object().ok_or_else(|| ApiError::parsing(format!("[{name}] expected an object, found [{}]", values::token(json))))
}

/// The tags of a list but the first are for the fast vector highlighter alone.
fn tag(json: &Value) -> Option<String> {
    let first = if let Value::Array(tags) = json { tags.first()? } else { json };
    first.as_str().map(str::to_owned)
}

fn count(json: &Value) -> Option<usize> {
    values::scalar(json).and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::Highlight;
    use crate::engine::{mapping::Mapping, query, schema::Schema};

    fn schema() -> Schema {
        let mapping = json!({"properties": {
            "title": {"type": "text", "fields": {"keyword": {"type": "keyword"}}}, "body": {"type": "text", "analyzer": "english"},
            "tag": {"type": "keyword", "ignore_above": 5}, "n": {"type": "long"}, "o": {"properties": {"x": {"type": "keyword"}}}
        }});
        Schema::new(Arc::new(Mapping::parse(&mapping).unwrap()))
    }

    fn source() -> Value {
        let fox = "The fox jumped over the lazy dog. ".repeat(3);
        let nothing = "Nothing to see in this sentence, it only fills the space between two interesting ones. ".repeat(3);
        let body = format!("{fox}{nothing}A second fox appears here, running with foxes. ").repeat(2);
        json!({"title": ["brown bread is good", "a quick fox; another quick-fox!"], "body": body, "tag": ["a", "B"], "n": 1, "o": [{"x": "p"}, {"x": "q"}]})
    }

    /// Compares with what OpenSearch 3.8 highlighted in the same document.
    fn assert_highlights(query: Value, highlight: Value, expected: Value) {
        let schema = schema();
        let marks = query::parse(&query, &schema).unwrap().marks;
        let fragments = Highlight::parse(&highlight, &schema).unwrap().fragments(&source(), &marks);
        assert_eq!(json!(fragments), expected, "{query} {highlight}");
    }

    #[test]
    fn words_are_marked_in_their_field() {
        let both = json!("a <em>quick</em> <em>fox</em>; another <em>quick</em>-<em>fox</em>!");
        let quick_fox = json!({"match": {"title": "quick fox"}});
        assert_highlights(quick_fox.clone(), json!({"type": "plain", "fields": {"title": {}}}), json!({"title": [both]}));
        assert_highlights(quick_fox.clone(), json!({"fields": [{"*": {}}]}), json!({"title": [both]}));
        assert_highlights(quick_fox.clone(), json!({"fields": {"body": {}, "nosuch": {}}}), json!({}));
        assert_highlights(quick_fox, json!({}), json!({}));
        assert_highlights(json!({"match_phrase": {"title": "quick fox"}}), json!({"fields": {"title": {}}}), json!({"title": [both]}));
        assert_highlights(
            json!({"bool": {"must": {"match": {"title": "bread"}}, "filter": [{"term": {"tag": "a"}}, {"terms": {"o.x": ["q"]}}], "must_not": {"match": {"title": "fox"}}}}),
            json!({"pre_tags": ["<b>", "<i>"], "post_tags": "</b>", "fields": {"tag": {}, "title": {}, "o.x": {"pre_tags": ["["], "post_tags": ["]"]}}}),
            json!({"tag": ["<b>a</b>"], "title": ["brown <b>bread</b> is good"], "o.x": ["[q]"]}),
        );
    }

    #[test]
    fn texts_are_cut_as_lucene_does() {
        let body = |options: Value| json!({"fields": {"body": options}});
        let fox = json!({"match": {"body": "fox"}});
        let fragments = json!({"body": [
            "The <em>fox</em> jumped over the lazy dog. The <em>fox</em> jumped over the lazy dog. The <em>fox</em> jumped over the lazy",
            " in this sentence, it only fills the space between two interesting ones. A second <em>fox</em> appears here, running",
            " with <em>foxes</em>. The <em>fox</em> jumped over the lazy dog. The <em>fox</em> jumped over the lazy dog. The <em>fox</em> jumped over",
            " to see in this sentence, it only fills the space between two interesting ones. A second <em>fox</em> appears here, running with <em>foxes</em>. "
        ]});
        assert_highlights(fox.clone(), body(json!({})), fragments.clone());
        assert_highlights(json!({"match": {"title": "fox"}}), json!({"require_field_match": false, "fields": {"body": {}}}), fragments);
        assert_highlights(
            fox.clone(),
            body(json!({"type": "plain", "fragment_size": 40, "number_of_fragments": "3", "pre_tags": ["<b>"], "post_tags": ["</b>"]})),
            json!({"body": ["The <b>fox</b> jumped over the lazy dog", ". The <b>fox</b> jumped over the lazy dog. The <b>fox</b>", " ones. A second <b>fox</b> appears here, running"]}),
        );
        let best = json!({"body": [
            " ones. A second <em>fox</em> appears here, <em>running</em> with <em>foxes</em>. The <em>fox</em>",
            ". A second <em>fox</em> appears here, <em>running</em> with <em>foxes</em>. ",
            "The <em>fox</em> jumped over the lazy dog. The <em>fox</em> jumped over"
        ]});
        for order in ["none", "score"] {
            let options = json!({"fragment_size": 60, "number_of_fragments": 3, "order": order});
            assert_highlights(json!({"match": {"body": "fox run"}}), body(options), best.clone());
        }
        let whole = source()["body"].as_str().unwrap().replace("foxes", "<em>foxes</em>").replace("fox ", "<em>fox</em> ");
        assert_highlights(fox, body(json!({"number_of_fragments": 0})), json!({"body": [whole]}));
        assert_highlights(
            json!({"match_phrase": {"body": "fox jumped over the lazy"}}),
            body(json!({"fragment_size": 20})),
            json!({"body": [
                "The <em>fox</em> <em>jumped</em> <em>over</em> the <em>lazy</em> dog", ". The <em>fox</em> <em>jumped</em> <em>over</em> the <em>lazy</em> dog. Nothing",
                " <em>jumped</em> <em>over</em> the <em>lazy</em> dog", " <em>jumped</em> <em>over</em> the <em>lazy</em> dog. Nothing", " <em>jumped</em> <em>over</em> the <em>lazy</em> dog"
            ]}),
        );
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let reason = |json: Value| Highlight::parse(&json, &schema()).unwrap_err().cause().reason().to_owned();
        assert_eq!(reason(json!({"nosuch": 1})), "[highlight] unknown field [nosuch]");
        assert_eq!(reason(json!({"fields": {"title": {"no_match_size": 1}}})), "[highlight_field] unknown field [no_match_size]");
        assert_eq!(reason(json!({"type": "unified"})), "[type] : \"unified\" in [highlight] is not supported by the engine of podium demo");
        assert_eq!(
            reason(json!({"fields": {"title": {"fragment_size": -1}}})),
            "[fragment_size] : -1 in [highlight] is not supported by the engine of podium demo"
        );
        assert_eq!(reason(json!({"fields": 1})), "[highlight] [fields] expected an object, found [VALUE_NUMBER_INT]");
    }
}
