//! Reads what the model wants before texts, and puts it there.

use std::{borrow::Cow, collections::BTreeMap};

use rerank_plugin::{Folder, LoadError};
use serde::Deserialize;

use crate::{
    checkpoint::unsupported,
    modules::{Modules, Pooling},
};

const FILE: &str = "config_sentence_transformers.json";
const QUERY: &str = "query";
/// The names that a document's prompt may have, in the order in which they are looked for.
const DOCUMENT: [&str; 3] = ["document", "passage", "corpus"];
/// How a query's prompt is written that holds an instruction.
const BEFORE_INSTRUCTION: &str = "Instruct: ";
const AFTER_INSTRUCTION: &str = "\nQuery:";

/// What stands before texts; empty where nothing does.
#[derive(Clone, Default)]
pub(crate) struct Prompts {
    pub(crate) query: String,
    pub(crate) document: String,
}

#[derive(Default, Deserialize)]
struct Written {
    #[serde(default)]
    prompts: BTreeMap<String, String>,
    default_prompt_name: Option<String>,
    similarity_fn_name: Option<String>,
}

/// Reads `config_sentence_transformers.json`.
pub(crate) fn read(folder: &Folder, modules: &Modules) -> Result<Prompts, LoadError> {
    let written: Written = if folder.has(FILE) { folder.json(FILE)? } else { Written::default() };
    if let Some(measure) = written.similarity_fn_name.as_deref().filter(|measure| !orders_as_cosine(measure, modules.normalised)) {
        return Err(unsupported(format!("{FILE} compares vectors by {measure}, and here they are compared by their cosine")));
    }
    let prompts = written.prompts()?;
    let any = !prompts.query.is_empty() || !prompts.document.is_empty();
    if any && modules.pooling == Pooling::Mean && !modules.prompt_counts {
        return Err(unsupported("the pooling leaves out the prompt (include_prompt is false)".into()));
    }
    Ok(prompts)
}

fn orders_as_cosine(measure: &str, normalised: bool) -> bool {
    measure == "cosine" || normalised && ["dot", "dot_product", "euclidean"].contains(&measure)
}

// === impl Written ===

impl Written {
    fn prompts(&self) -> Result<Prompts, LoadError> {
        let named = |name: &str| self.prompts.get(name).cloned();
        let default = match self.default_prompt_name.as_deref() {
            Some(name) => Some((name, named(name).ok_or_else(|| unsupported(format!("{FILE} has no prompt {name:?}")))?)),
            None => None,
        };
        let (query, document) = (named(QUERY), DOCUMENT.into_iter().find_map(named));
        let some: Vec<&String> = self.prompts.iter().filter(|(_, prompt)| !prompt.is_empty()).map(|(name, _)| name).collect();
        if query.is_none() && document.is_none() && default.is_none() && !some.is_empty() {
            return Err(unsupported(format!("{FILE} has the prompts {some:?}, and none is called {QUERY:?} or {:?}", DOCUMENT[0])));
        }
        let query = query.or_else(|| default.clone().map(|(_, prompt)| prompt)).unwrap_or_default();
        let document = document.or_else(|| default.filter(|(name, _)| *name != QUERY).map(|(_, prompt)| prompt)).unwrap_or_default();
        Ok(Prompts { query, document })
    }
}

// === impl Prompts ===

impl Prompts {
    /// Returns the query's prompt with another instruction; nothing when it holds none.
    pub(crate) fn instructed(&self, instruction: &str) -> Option<String> {
        let after = self.query.strip_prefix(BEFORE_INSTRUCTION)?;
        let end = after.rfind(AFTER_INSTRUCTION)?;
        Some(format!("{BEFORE_INSTRUCTION}{instruction}{}", &after[end..]))
    }
}

/// Returns a text behind its prompt, without white space at both ends.
pub(crate) fn prompted<'a>(prompt: &str, text: Cow<'a, str>) -> Cow<'a, str> {
    let blank = |letter: char| letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter);
    if !prompt.is_empty() {
        return Cow::Owned(format!("{prompt}{text}").trim_matches(blank).to_owned());
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(blank)),
        Cow::Owned(text) => Cow::Owned(text.trim_matches(blank).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Prompts, Written, prompted};

    fn of(written: &str) -> Result<(String, String), String> {
        let written: Written = serde_json::from_str(written).unwrap();
        written.prompts().map(|prompts| (prompts.query, prompts.document)).map_err(|error| error.to_string())
    }

    #[test]
    fn prompts_are_found_by_their_names() {
        for (written, query, document) in [
            ("{}", "", ""),
            (r#"{ "prompts": { "query": "q: ", "passage": "p: " } }"#, "q: ", "p: "),
            (r#"{ "prompts": { "query": "q: ", "document": "", "passage": "p: " } }"#, "q: ", ""),
            (r#"{ "prompts": { "text": "t: " }, "default_prompt_name": "text" }"#, "t: ", "t: "),
            (r#"{ "prompts": { "query": "q: " }, "default_prompt_name": "query" }"#, "q: ", ""),
            (r#"{ "prompts": { "query": "q: ", "text": "t: " }, "default_prompt_name": "text" }"#, "q: ", "t: "),
        ] {
            assert_eq!(of(written), Ok((query.to_owned(), document.to_owned())), "{written}");
        }
        assert!(of(r#"{ "prompts": { "search_query": "s: " } }"#).unwrap_err().contains("search_query"));
        assert!(of(r#"{ "prompts": {}, "default_prompt_name": "text" }"#).unwrap_err().contains("no prompt \"text\""));
    }

    #[test]
    fn an_instruction_replaces_the_one_of_the_prompt() {
        let of = |query: &str| Prompts { query: query.into(), ..Prompts::default() }.instructed("new");
        assert_eq!(of("Instruct: old\nQuery:").unwrap(), "Instruct: new\nQuery:");
        assert_eq!(of("Instruct: old\nQuery: ").unwrap(), "Instruct: new\nQuery: ");
        assert_eq!((of("query: "), of("Instruct: old")), (None, None));
    }

    #[test]
    fn white_space_at_both_ends_is_cut() {
        assert_eq!(prompted("", " a b\n".into()), "a b");
        assert_eq!(prompted("q:", "  a \u{1f}".into()), "q:  a");
    }
}
