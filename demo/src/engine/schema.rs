//! How the fields of a mapping are kept in tantivy, and how a document is written there.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, value::RawValue};
use tantivy::{
    TantivyDocument, Term,
    schema::{BytesOptions, FAST, Field, IndexRecordOption, NumericOptions, STORED, STRING, TextFieldIndexing, TextOptions},
    tokenizer::{PreTokenizedString, Token},
};
use wildmatch::WildMatchPattern;

use super::{
    analysis::Analyzer,
    error::{ApiError, Cause},
    mapping::{Kind, Leaf, Mapping, Width, path_of, refuse_metadata},
    values::{self, Typed},
};

/// How many words lie between two values of a field, so that no phrase reaches from one into the other; as in the engines.
const VALUE_GAP: usize = 100;
/// The longest term of Lucene, in bytes.
const LONGEST_TERM: usize = 32766;

/// A mapping as tantivy fields.
#[derive(Clone, Debug)]
pub struct Schema {
    mapping: Arc<Mapping>,
    tantivy: tantivy::schema::Schema,
    id: Field,
    sequence: Field,
    version: Field,
    source: Field,
    /// Which fields a document has: terms made by [`Schema::has`].
    names: Field,
    fields: BTreeMap<String, Indexed>,
}

/// A field or a multi-field in tantivy.
#[derive(Clone, Copy, Debug)]
pub struct Indexed {
    /// Its type.
    pub kind: Kind,
    /// Where its terms are.
    pub field: Field,
    /// Where its values are for sorting; text has none.
    column: Option<Field>,
}

/// What a field's values are, for sorting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Strings in a column of bytes.
    Keyword,
    /// `i64`: whole numbers, dates as milliseconds since 1970.
    Whole,
    /// `i64` of a field that holds no more than 32 bits.
    Narrow,
    /// `f64`
    Fraction,
    /// `f64` that holds `f32`, and is shown as such.
    Single,
    /// `i64` 0 or 1
    Boolean,
}

/// What [`Schema::has`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A value, as the query `exists` does.
    Value,
    /// A term, as the statistics of the scores do: a text may have none.
    Terms,
}

// === impl Schema ===

impl Schema {
    /// Lays out the fields of `mapping`.
    pub fn new(mapping: Arc<Mapping>) -> Self {
        let mut builder = tantivy::schema::Schema::builder();
        let id = builder.add_text_field("_id", STRING | STORED);
        let sequence = builder.add_u64_field("_seq_no", FAST);
        let version = builder.add_u64_field("_version", FAST);
        let source = builder.add_bytes_field("_source", BytesOptions::default().set_stored());
        let names = builder.add_text_field("_field_names", exact_terms());
        let fields = mapping.leaves().into_iter().map(|(path, kind)| {
            // No client can name a field so: tantivy's own stay apart.
            let name = format!("field:{path}");
            let numeric = NumericOptions::default().set_fast().set_indexed();
            let field = match kind {
                Kind::Text(_) => builder.add_text_field(&name, words()),
                Kind::Keyword(_) => builder.add_text_field(&name, exact_terms().set_fast("raw")),
                Kind::Boolean => builder.add_text_field(&name, exact_terms()),
                Kind::Whole(_) | Kind::Date => builder.add_i64_field(&name, numeric),
                Kind::Double | Kind::Float => builder.add_f64_field(&name, numeric),
            };
            let column = match kind {
                Kind::Text(_) => None,
                Kind::Boolean => Some(builder.add_i64_field(&format!("column:{path}"), FAST)),
                _ => Some(field),
            };
            (path, Indexed { kind, field, column })
        });
        let fields = fields.collect();
        Self { mapping, tantivy: builder.build(), id, sequence, version, source, names, fields }
    }

    /// Returns the same fields as tantivy knows them. No analyzer has to be registered: text is given to tantivy as terms.
    pub fn tantivy(&self) -> tantivy::schema::Schema {
        self.tantivy.clone()
    }

    /// Returns the document to be added.
    pub fn document(&self, id: &str, sequence: u64, version: u64, source: &RawValue) -> Result<TantivyDocument, ApiError> {
        Ok(self.numbered(self.read(id, source, false)?, sequence, version))
    }

    /// Returns a document that was added before to be added to another schema: fields that it does not suit are left out.
    pub fn document_again(&self, id: &str, sequence: u64, version: u64, source: &RawValue) -> Result<TantivyDocument, ApiError> {
        Ok(self.numbered(self.read(id, source, true)?, sequence, version))
    }

    fn numbered(&self, mut document: TantivyDocument, sequence: u64, version: u64) -> TantivyDocument {
        document.add_u64(self.sequence, sequence);
        document.add_u64(self.version, version);
        document
    }

    fn read(&self, id: &str, source: &RawValue, lenient: bool) -> Result<TantivyDocument, ApiError> {
        let json: Value = serde_json::from_str(source.get()).map_err(|error| {
            ApiError::mapper_parsing("failed to parse").caused_by(Cause::new("json_parse_exception", error.to_string()))
        })?;
        if !json.is_object() {
            let cause = Cause::new("not_x_content_exception", format!("a document is an object, not {}", values::token(&json)));
            return Err(ApiError::mapper_parsing("failed to parse").caused_by(cause));
        }
        let mut written = Written { id, schema: self, lenient, document: TantivyDocument::default(), values: BTreeMap::new() };
        written.object(&json, "")?;
        written.fields()?;
        let mut document = written.document;
        document.add_text(self.id, id);
        document.add_bytes(self.source, source.get().as_bytes());
        Ok(document)
    }

    /// Returns the field of the document's name: one term, stored.
    pub fn id(&self) -> Field {
        self.id
    }

    /// Returns the field of `_source`: stored bytes.
    pub fn source(&self) -> Field {
        self.source
    }

    /// Returns the name of the column of the mapped field `path` and what it holds. `None` where the mapping has no such field.
    /// A text field is an error, as in the engines.
    pub fn column(&self, path: &str) -> Result<Option<(String, Column)>, ApiError> {
        let Some(indexed) = self.fields.get(path) else { return Ok(None) };
        let column = match indexed.kind {
            Kind::Text(_) => {
                return Err(ApiError::on_shard(Cause::new(
                    "illegal_argument_exception",
                    format!(
                        "Text fields are not optimised for operations that require per-document field data like aggregations and sorting, so \
                         these operations are disabled by default. Please use a keyword field instead of [{path}]."
                    ),
                )));
            }
            Kind::Keyword(_) => Column::Keyword,
            Kind::Whole(Width::Long) | Kind::Date => Column::Whole,
            Kind::Whole(_) => Column::Narrow,
            Kind::Double => Column::Fraction,
            Kind::Float => Column::Single,
            Kind::Boolean => Column::Boolean,
        };
        Ok(indexed.column.map(|field| (self.tantivy.get_field_name(field).to_owned(), column)))
    }

    /// Returns the field or multi-field at `path`.
    pub fn field(&self, path: &str) -> Option<Indexed> {
        self.fields.get(path).copied()
    }

    /// Returns where the values of the field at `path` are in a source: those of a multi-field are its field's.
    pub fn source_of<'a>(&self, path: &'a str) -> &'a str {
        if self.mapping.leaf(path).is_some() { path } else { path.rsplit_once('.').map_or(path, |(parent, _)| parent) }
    }

    /// Returns the fields and multi-fields whose paths match `pattern`, in which `*` stands for anything.
    pub fn matching(&self, pattern: &str) -> Vec<(&str, Indexed)> {
        let matcher = matcher(pattern);
        self.fields.iter().filter(|(path, _)| matcher.matches(path)).map(|(path, indexed)| (path.as_str(), *indexed)).collect()
    }

    /// Returns a field that `path` would lie in if it were an object.
    fn leaf_above<'a>(&self, path: &'a str) -> Option<(&'a str, &Leaf)> {
        path.rmatch_indices('.').find_map(|(end, _)| Some((&path[..end], self.mapping.leaf(&path[..end])?)))
    }

    /// Returns the term of documents that have the field `path`.
    pub fn has(&self, path: &str, presence: Presence) -> Term {
        Term::from_field_text(self.names, &name_term(path, presence))
    }
}

/// Returns what matches names in which `*` stands for anything.
pub(super) fn matcher(pattern: &str) -> WildMatchPattern<'*', '\0'> {
    WildMatchPattern::new(pattern)
}

fn name_term(path: &str, presence: Presence) -> String {
    match presence {
        Presence::Value => format!("value:{path}"),
        Presence::Terms => format!("terms:{path}"),
    }
}

fn words() -> TextOptions {
    let indexing = TextFieldIndexing::default().set_tokenizer("raw").set_fieldnorms(true);
    TextOptions::default().set_indexing_options(indexing.set_index_option(IndexRecordOption::WithFreqsAndPositions))
}

fn exact_terms() -> TextOptions {
    let indexing = TextFieldIndexing::default().set_tokenizer("raw").set_fieldnorms(false);
    TextOptions::default().set_indexing_options(indexing.set_index_option(IndexRecordOption::Basic))
}

/// A document on its way into tantivy.
struct Written<'a> {
    id: &'a str,
    schema: &'a Schema,
    /// Whether values that do not suit their field are left out.
    lenient: bool,
    document: TantivyDocument,
    /// The values of each field and multi-field.
    values: BTreeMap<String, Vec<Typed>>,
}

// === impl Written ===

impl Written<'_> {
    fn object(&mut self, json: &Value, parent: &str) -> Result<(), ApiError> {
        let members = json.as_object().into_iter().flatten();
        members.into_iter().try_for_each(|(name, value)| self.value(value, &path_of(parent, name)))
    }

    fn value(&mut self, json: &Value, path: &str) -> Result<(), ApiError> {
        refuse_metadata(path)?;
        match json {
            Value::Array(values) => return values.iter().try_for_each(|value| self.value(value, path)),
            Value::Null => return Ok(()),
            _ => {}
        }
        let schema = self.schema;
        if let Some(leaf) = schema.mapping.leaf(path) {
            self.leaf(json, path, leaf.kind)?;
            return leaf.fields.iter().try_for_each(|(name, kind)| self.leaf(json, &path_of(path, name), *kind));
        }
        if let Some((parent, leaf)) = schema.leaf_above(path) {
            return self.unsuitable(ApiError::mapper_parsing(format!(
                "Could not dynamically add mapping for field [{path}]. Existing mapping for [{parent}] must be of type object but found [{}].",
                leaf.kind.name()
            )));
        }
        match json {
            Value::Object(_) => self.object(json, path),
            _ if schema.mapping.is_object(path) => self.unsuitable(ApiError::mapper_parsing(format!(
                "object mapping for [{path}] tried to parse field [{path}] as object, but found a concrete value"
            ))),
            // A mapping that ignores new fields.
            _ => Ok(()),
        }
    }

    fn unsuitable(&self, error: ApiError) -> Result<(), ApiError> {
        if self.lenient { Ok(()) } else { Err(error) }
    }

    fn leaf(&mut self, json: &Value, path: &str, kind: Kind) -> Result<(), ApiError> {
        let read = values::from_document(kind, json).map_err(|cause| {
            let preview = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
            let preview: String = preview.chars().take(100).collect();
            ApiError::mapper_parsing(format!(
                "failed to parse field [{path}] of type [{}] in document with id '{}'. Preview of field's value: '{preview}'",
                kind.name(),
                self.id
            ))
            .caused_by(cause)
        });
        let typed = match read {
            Ok(typed) => typed,
            Err(error) => return self.unsuitable(error),
        };
        let kept = typed.filter(|typed| match (kind, typed) {
            (Kind::Keyword(Some(limit)), Typed::Text(text)) => text.encode_utf16().count() <= limit,
            _ => true,
        });
        if let Some(value) = kept {
            self.values.entry(path.to_owned()).or_default().push(value);
        }
        Ok(())
    }

    fn fields(&mut self) -> Result<(), ApiError> {
        for (path, mut values) in std::mem::take(&mut self.values) {
            let Some(indexed) = self.schema.field(&path) else { continue };
            let mut presence = vec![Presence::Value];
            if let Kind::Text(_) = indexed.kind {
                let tokens = words_of(indexed.kind.analyzer(), &values);
                presence.extend((!tokens.is_empty()).then_some(Presence::Terms));
                self.document.add_pre_tokenized_text(indexed.field, PreTokenizedString { text: String::new(), tokens });
            } else {
                presence.push(Presence::Terms);
                // A term counts once in a document, its value as often as it is there; only sorting would see the difference.
                values.dedup();
                values.iter().try_for_each(|value| self.exact(&path, indexed, value))?;
            }
            for known in presence {
                self.document.add_text(self.schema.names, name_term(&path, known));
            }
        }
        Ok(())
    }

    fn exact(&mut self, path: &str, indexed: Indexed, value: &Typed) -> Result<(), ApiError> {
        match value {
            Typed::Text(text) if text.len() > LONGEST_TERM => {
                return self.unsuitable(ApiError::illegal_argument(format!(
                    "Document contains at least one immense term in field=\"{path}\" (whose UTF8 encoding is longer than the max length \
                     {LONGEST_TERM}), all of which were skipped. Please correct the analyzer to not produce such terms."
                )));
            }
            Typed::Text(text) => self.document.add_text(indexed.field, text),
            Typed::Whole(whole) => self.document.add_i64(indexed.field, *whole),
            Typed::Fraction(fraction) => self.document.add_f64(indexed.field, *fraction),
            Typed::Boolean(truth) => {
                self.document.add_text(indexed.field, truth.to_string());
                if let Some(column) = indexed.column {
                    self.document.add_i64(column, i64::from(*truth));
                }
            }
        }
        Ok(())
    }
}

fn words_of(analyzer: Analyzer, values: &[Typed]) -> Vec<Token> {
    let mut words = Vec::new();
    let mut next_position = 0;
    for value in values {
        let Typed::Text(text) = value else { continue };
        let tokens = analyzer.tokens(text);
        let first = next_position;
        next_position = first + tokens.last().map_or(0, |token| token.position + 1) + VALUE_GAP;
        words.extend(tokens.into_iter().map(|token| Token {
            offset_from: token.start,
            offset_to: token.end,
            position: first + token.position,
            text: token.term,
            position_length: 1,
        }));
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{json, value::RawValue};
    use tantivy::{
        Index,
        collector::Count,
        query::{PhraseQuery, TermQuery},
        schema::IndexRecordOption,
    };

    use super::{Column, Presence, Schema, Term};
    use crate::engine::mapping::Mapping;

    fn schema() -> Schema {
        let fields = json!({"properties": {
            "title": {"type": "text", "analyzer": "english", "fields": {"raw": {"type": "keyword", "ignore_above": 20}}},
            "tag": {"type": "keyword"}, "n": {"type": "long"}, "f": {"type": "float"}, "d": {"type": "double"}, "b": {"type": "boolean"}, "t": {"type": "date"},
            "o": {"properties": {"x.y": {"type": "keyword"}}}
        }});
        Schema::new(Arc::new(Mapping::parse(&fields).unwrap()))
    }

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn documents_are_found_by_what_they_hold() {
        let schema = schema();
        let index = Index::create_in_ram(schema.tantivy());
        let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
        let sources = [
            r#"{"title": ["The quick foxes", "jumped"], "tag": ["a", "a"], "n": [1, "2"], "o": [{"x": {"y": "p"}}, {"x.y": ["q"]}], "b": "true"}"#,
            r#"{"title": "the", "n": null, "o": {}, "t": [], "f": ""}"#,
            r#"{"title": "a title of more than twenty letters"}"#,
        ];
        for (sequence, source) in (0..).zip(sources) {
            writer.add_document(schema.document("id", sequence, 1, &raw(source)).unwrap()).unwrap();
        }
        writer.commit().unwrap();
        let searcher = index.reader().unwrap().searcher();
        let count = |term: Term| searcher.search(&TermQuery::new(term, IndexRecordOption::Basic), &Count).unwrap();
        let text = |path: &str, term: &str| Term::from_field_text(schema.field(path).unwrap().field, term);
        for (term, expected) in [
            (text("title", "fox"), 1),
            (text("title", "the"), 0),
            (text("title.raw", "the"), 1),
            (text("title.raw", "a title of more than twenty letters"), 0),
            (text("tag", "a"), 1),
            (text("o.x.y", "q"), 1),
            (text("b", "true"), 1),
            (Term::from_field_i64(schema.field("n").unwrap().field, 2), 1),
            (schema.has("title", Presence::Value), 3),
            (schema.has("title", Presence::Terms), 2),
            (schema.has("title.raw", Presence::Value), 2),
            (schema.has("n", Presence::Value), 1),
            (schema.has("f", Presence::Value), 0),
            (schema.has("t", Presence::Value), 0),
            (Term::from_field_text(schema.id(), "id"), 3),
        ] {
            assert_eq!(count(term.clone()), expected, "{term:?}");
        }
        let field = schema.field("title").unwrap().field;
        let phrase = |first: &str, second: &str| PhraseQuery::new([first, second].map(|term| Term::from_field_text(field, term)).into());
        assert_eq!(searcher.search(&phrase("quick", "fox"), &Count).unwrap(), 1);
        assert_eq!(searcher.search(&phrase("fox", "jump"), &Count).unwrap(), 0, "no phrase reaches into the next value");
    }

    #[test]
    fn every_column_can_be_opened() {
        let schema = schema();
        let index = Index::create_in_ram(schema.tantivy());
        let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
        let source = raw(r#"{"title": "x", "tag": "a", "n": 5, "f": 1.5, "d": 2.5, "b": true, "t": 7, "o": {"x": {"y": "z"}}}"#);
        writer.add_document(schema.document("id", 3, 4, &source).unwrap()).unwrap();
        writer.commit().unwrap();
        let searcher = index.reader().unwrap().searcher();
        let columns = searcher.segment_reader(0).fast_fields();
        for (path, kind, expected) in [("n", Column::Whole, 5), ("t", Column::Whole, 7), ("b", Column::Boolean, 1)] {
            let (name, column) = schema.column(path).unwrap().unwrap();
            assert_eq!((column, columns.i64(&name).unwrap().first(0)), (kind, Some(expected)), "{path}");
        }
        for (path, kind, expected) in [("f", Column::Single, 1.5), ("d", Column::Fraction, 2.5)] {
            let (name, column) = schema.column(path).unwrap().unwrap();
            assert_eq!((column, columns.f64(&name).unwrap().first(0)), (kind, Some(expected)), "{path}");
        }
        for path in ["tag", "o.x.y", "title.raw"] {
            let (name, column) = schema.column(path).unwrap().unwrap();
            assert_eq!(column, Column::Keyword);
            assert!(columns.str(&name).unwrap().is_some(), "{path}");
        }
        assert_eq!(columns.u64("_seq_no").unwrap().first(0), Some(3));
        assert_eq!(columns.u64("_version").unwrap().first(0), Some(4));
        assert_eq!(schema.column("nosuch").unwrap(), None);
        assert!(schema.column("title").unwrap_err().cause().reason().contains("[title]"));
    }

    #[test]
    fn what_a_document_does_wrong_is_told() {
        for (source, reason) in [
            (r#"{"n": "abc"}"#, "failed to parse field [n] of type [long] in document with id 'x'. Preview of field's value: 'abc'"),
            (
                r#"{"tag": {"a": 1}}"#,
                "failed to parse field [tag] of type [keyword] in document with id 'x'. Preview of field's value: '{\"a\":1}'",
            ),
            (r#"{"o": "x"}"#, "object mapping for [o] tried to parse field [o] as object, but found a concrete value"),
            (
                r#"{"_id": "x"}"#,
                "Field [_id] is a metadata field and cannot be added inside a document. Use the index API request parameters.",
            ),
            (
                r#"{"title.x": 1}"#,
                "Could not dynamically add mapping for field [title.x]. Existing mapping for [title] must be of type object but found [text].",
            ),
            (
                r#"{"o": {"x": {"y.z": {"w": 1}}}}"#,
                "Could not dynamically add mapping for field [o.x.y.z]. Existing mapping for [o.x.y] must be of type object but found [keyword].",
            ),
            ("[1]", "failed to parse"),
        ] {
            assert_eq!(schema().document("x", 0, 1, &raw(source)).unwrap_err().cause().reason(), reason);
        }
        let long = format!(r#"{{"tag": "{}"}}"#, "x".repeat(40_000));
        assert!(schema().document("x", 0, 1, &raw(&long)).unwrap_err().cause().reason().contains("immense term in field=\"tag\""));
    }
}
