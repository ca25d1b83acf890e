//! Decides where the model's texts are read from: the hits' `_source`, or `fields` that the rewrite adds and strips again.

use std::{borrow::Cow, sync::Arc};

use serde_json::value::RawValue;
use wildmatch::WildMatchPattern;

use super::{
    json::{self, Kind, Object, kind},
    url::Params,
};

/// Where the model's texts stand in the hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// In the whole `_source`, which the client gets anyway.
    Source,
    /// In `fields`.
    Fields {
        /// Names that Podium adds there and takes out of the answer again; the client asked for the others itself.
        added: Vec<Arc<str>>,
    },
}

/// Why no reading was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReading {
    /// The request produces a needed name in another way, and ours would overwrite that.
    #[error("the request produces {0} in a way of its own")]
    Conflict(Arc<str>),
    /// What the request produces is not plain.
    #[error("the fields that the request asks for are not plain")]
    NotPlain,
}

/// A name as engines match it: `*` stands for any text, nothing else is special.
type Pattern = WildMatchPattern<'*', '\0'>;

/// What the request puts into the `fields` of the hits.
struct Produced<'a> {
    /// Through `fields`, as the mapping has it: what we would ask for.
    as_mapped: Vec<Pattern>,
    /// Through anything else.
    otherwise: Vec<Pattern>,
    scripts: Vec<Cow<'a, str>>,
}

/// Returns how the texts of `names` are read; `prefer_fields` when earlier answers showed that a whole `_source` lacks them.
///
/// # Errors
/// See [`NoReading`].
pub fn choose<'n>(
    params: &Params<'_>,
    body: &Object<'_>,
    names: impl Iterator<Item = &'n Arc<str>>,
    prefer_fields: bool,
) -> Result<Reading, NoReading> {
    let produced = Produced::read(params, body).ok_or(NoReading::NotPlain)?;
    let completes = suggests_completions(body);
    if !prefer_fields && has_whole_source(params, body) {
        return Ok(Reading::Source);
    }
    let mut added: Vec<Arc<str>> = Vec::new();
    for name in names {
        let matches = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        if matches(&produced.otherwise) || produced.scripts.iter().any(|script| **script == **name) {
            return Err(NoReading::Conflict(Arc::clone(name)));
        }
        if !matches(&produced.as_mapped) && !added.contains(name) {
            if completes {
                return Err(NoReading::Conflict(Arc::clone(name)));
            }
            added.push(Arc::clone(name));
        }
    }
    Ok(Reading::Fields { added })
}

/// Whether there is a completion suggester: its options are documents, and get the `fields` of the search as hits do (seen on OpenSearch 3.8.0).
fn suggests_completions(body: &Object<'_>) -> bool {
    let suggesters = body.get("suggest").and_then(|suggest| json::object(suggest.get()).ok());
    suggesters.is_some_and(|own| {
        own.entries().iter().any(|(_, suggester)| json::object(suggester.get()).is_ok_and(|settings| settings.get("completion").is_some()))
    })
}

/// Whether every hit comes with all of its `_source`: nothing says otherwise, in URL or body. `stored_fields` leaves it out.
fn has_whole_source(params: &Params<'_>, body: &Object<'_>) -> bool {
    let in_url = params.get("_source");
    let in_body = body.get("_source").map(RawValue::get);
    let unfiltered = params.get("_source_includes").is_none() && params.get("_source_excludes").is_none();
    let stored = params.get("stored_fields").is_some() || body.get("stored_fields").is_some();
    let asked = in_url.is_some() || in_body.is_some() || !stored;
    unfiltered && asked && in_url.is_none_or(|value| value == "true") && in_body.is_none_or(|value| value == "true")
}

// === impl Produced ===

impl<'a> Produced<'a> {
    /// Returns `None` where it is not plain, or `stored_fields` forbids `fields` (`_none_`).
    fn read(params: &Params<'_>, body: &Object<'a>) -> Option<Self> {
        let mut produced = Self { as_mapped: Vec::new(), otherwise: Vec::new(), scripts: Vec::new() };
        for value in list(body.get("fields"))? {
            let (name, formatted) = field(value)?;
            if formatted { &mut produced.otherwise } else { &mut produced.as_mapped }.push(Pattern::new(&name));
        }
        for value in list(body.get("docvalue_fields"))? {
            produced.otherwise.push(Pattern::new(&field(value)?.0));
        }
        for name in params.get("docvalue_fields").into_iter().flat_map(|names| names.split(',')) {
            produced.otherwise.push(Pattern::new(name));
        }
        let stored: Vec<Cow<'_, str>> = match params.get("stored_fields") {
            // The URL's take the place of the body's.
            Some(names) => names.split(',').map(Cow::Borrowed).collect(),
            None => list(body.get("stored_fields"))?.into_iter().map(json::string).collect::<Option<_>>()?,
        };
        for name in stored {
            if matches!(name.as_ref(), "_none_" | "") {
                return None;
            }
            produced.otherwise.push(Pattern::new(&name));
        }
        if let Some(collapse) = body.get("collapse") {
            produced.otherwise.push(Pattern::new(&json::object(collapse.get()).ok()?.get("field").and_then(json::string)?));
        }
        if let Some(scripts) = body.get("script_fields") {
            produced.scripts.extend(json::object(scripts.get()).ok()?.entries().iter().map(|(name, _)| name.clone()));
        }
        Some(produced)
    }
}

/// Returns the values of an array; one that stands alone is an array of one.
fn list(value: Option<&RawValue>) -> Option<Vec<&RawValue>> {
    match value {
        None => Some(Vec::new()),
        Some(array) if kind(array) == Kind::Array => json::array(array.get()).ok(),
        Some(alone) => Some(vec![alone]),
    }
}

/// Returns the pattern in `"name"` or `{"field": "name"}`, and whether it is given a format.
fn field(value: &RawValue) -> Option<(Cow<'_, str>, bool)> {
    if kind(value) == Kind::String {
        return json::string(value).map(|name| (name, false));
    }
    let options = json::object(value.get()).ok()?;
    let plain = options.entries().iter().all(|(option, _)| matches!(option.as_ref(), "field" | "format" | "include_unmapped"));
    let name = options.get("field").and_then(json::string)?;
    plain.then(|| (name, options.get("format").is_some()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{NoReading, Reading, choose};
    use crate::es::{json::object, url::Params};

    fn reading(query: &str, body: &str, prefer_fields: bool) -> Result<Reading, NoReading> {
        let names: Vec<Arc<str>> = ["title", "content.text", "title"].map(Arc::from).into();
        let params = Params::parse(Some(query)).expect("plain");
        choose(&params, &object(body).expect("json"), names.iter(), prefer_fields)
    }

    fn fields(added: &[&str]) -> Result<Reading, NoReading> {
        Ok(Reading::Fields { added: added.iter().map(|name| Arc::from(*name)).collect() })
    }

    #[test]
    fn a_whole_source_is_read_as_it_is() {
        for (query, body) in [
            ("", "{}"),
            ("", r#"{"_source":true}"#),
            ("_source=true", "{}"),
            ("", r#"{"_source":true,"stored_fields":["x"]}"#),
            ("", r#"{"fields":["other"],"script_fields":{"title":{}}}"#),
        ] {
            assert_eq!(reading(query, body, false), Ok(Reading::Source), "{query} {body}");
        }
    }

    #[test]
    fn any_filter_adds_what_is_missing() {
        for (query, body) in [
            ("", r#"{"_source":false}"#),
            ("", r#"{"_source":"title"}"#),
            ("", r#"{"_source":["title"]}"#),
            ("", r#"{"_source":{"excludes":["x"]}}"#),
            ("_source=false", "{}"),
            ("_source=title,content", "{}"),
            ("_source", "{}"),
            ("_source_includes=title", r#"{"_source":true}"#),
            ("_source=true&_source_excludes=title", "{}"),
            ("_source=true", r#"{"_source":false}"#),
            ("", r#"{"stored_fields":["x"]}"#),
            ("stored_fields=x", r#"{"stored_fields":["title"]}"#),
            ("stored_fields=x,y&docvalue_fields=price", "{}"),
            ("", r#"{"_source":false,"fields":["titles","titl?",{"field":"x","format":"y"}],"docvalue_fields":["price"]}"#),
        ] {
            assert_eq!(reading(query, body, false), fields(&["title", "content.text"]), "{query} {body}");
        }
        assert_eq!(reading("", "{}", true), fields(&["title", "content.text"]));
    }

    #[test]
    fn what_the_client_asks_for_itself_is_not_added() {
        for (body, added) in [
            (r#"{"_source":false,"fields":["title"]}"#, vec!["content.text"]),
            (r#"{"_source":false,"fields":[{"field":"t*"},"x"]}"#, vec!["content.text"]),
            (r#"{"_source":false,"fields":["*"]}"#, vec![]),
            (r#"{"_source":false,"fields":[{"field":"content.*","include_unmapped":true},"title"]}"#, vec![]),
        ] {
            assert_eq!(reading("", body, false), fields(&added), "{body}");
        }
    }

    #[test]
    fn case_22_another_way_to_the_same_name_is_a_conflict() {
        for body in [
            r#"{"_source":false,"script_fields":{"title":{"script":"1"}}}"#,
            r#"{"_source":false,"fields":["title",{"field":"tit*","format":"x"}]}"#,
            r#"{"_source":false,"docvalue_fields":["*"]}"#,
            r#"{"_source":false,"docvalue_fields":[{"field":"title","format":"x"}]}"#,
            r#"{"stored_fields":["title"]}"#,
            r#"{"stored_fields":"title"}"#,
            r#"{"_source":false,"collapse":{"field":"title"}}"#,
            r#"{"_source":false,"suggest":{"text":"x","own":{"prefix":"x","completion":{"field":"other"}}}}"#,
        ] {
            assert_eq!(reading("", body, false), Err(NoReading::Conflict(Arc::from("title"))), "{body}");
        }
    }

    #[test]
    fn what_the_url_asks_for_counts_too() {
        let conflict = || Err(NoReading::Conflict(Arc::from("title")));
        assert_eq!(reading("docvalue_fields=price,tit*&_source=false", "{}", false), conflict());
        assert_eq!(reading("stored_fields=title", "{}", false), conflict());
        assert_eq!(reading("stored_fields=title&_source=true", "{}", false), Ok(Reading::Source));
        for query in ["stored_fields=_none_", "stored_fields=", "stored_fields=x,"] {
            assert_eq!(reading(query, "{}", false), Err(NoReading::NotPlain), "{query}");
        }
    }

    #[test]
    fn what_is_not_plain_is_not_guessed() {
        for body in [
            r#"{"stored_fields":"_none_"}"#,
            r#"{"stored_fields":["_none_"]}"#,
            r#"{"fields":[1]}"#,
            r#"{"fields":[{"format":"x"}]}"#,
            r#"{"fields":[{"field":"x","odd":1}]}"#,
            r#"{"script_fields":[]}"#,
            r#"{"collapse":{}}"#,
            r#"{"collapse":{"field":1}}"#,
        ] {
            assert_eq!(reading("", body, false), Err(NoReading::NotPlain), "{body}");
        }
    }
}
