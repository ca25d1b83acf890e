//! The keys of a rule, which are those of `[defaults]` too.

use std::{
    collections::{BTreeMap, HashSet},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use http::HeaderName;

use super::{
    ExtRerank, Field, Fusion, OnTimeout, QueryFrom, QueryText, ScorePolicy, Several, When,
    raw::timeout,
    reader::{Given, Item, Reported, Table, duration, whole, word},
};

/// The longest time that an answer is kept: later ones are of another day's index.
const LONGEST_KEPT: Duration = Duration::from_secs(60 * 60);

/// A rule as written: what is missing may stand in `[defaults]`.
pub(super) struct RawRule<'f> {
    pub(super) index: Given<'f, Patterns>,
    pub(super) when: Given<'f, When>,
    pub(super) model: Given<'f, String>,
    pub(super) instruction: Given<'f, String>,
    pub(super) fields: Given<'f, Vec<Field>>,
    pub(super) query: Given<'f, QueryText>,
    pub(super) trust_client: Given<'f, bool>,
    pub(super) serve_retrievers: Given<'f, bool>,
    pub(super) ext_rerank: Given<'f, ExtRerank>,
    pub(super) min_score: Given<'f, f64>,
    pub(super) window: Given<'f, Window>,
    pub(super) on_timeout: Given<'f, OnTimeout>,
    pub(super) timeout: Given<'f, Duration>,
    pub(super) total_timeout: Given<'f, Duration>,
    pub(super) fusion: Given<'f, Fusion>,
    pub(super) trust: Given<'f, f64>,
    pub(super) score: Given<'f, ScorePolicy>,
    pub(super) annotate: Given<'f, bool>,
    pub(super) answer_cache: Given<'f, Duration>,
    pub(super) headers: Given<'f, bool>,
}

/// `window = 100` or `{ min = 20, max = 100 }`
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) least: Option<u32>,
    pub(super) most: u32,
}

/// What a rule's `index` takes and leaves.
#[derive(Clone, Default)]
pub(super) struct Patterns {
    pub(super) taken: Vec<String>,
    pub(super) left: Vec<String>,
}

// === impl RawRule ===

impl<'f> RawRule<'f> {
    /// Keys that are known but do not work yet.
    pub(super) const LATER: &'static [&'static str] = &["images", "template", "sticky-preference"];

    pub(super) fn read_rule(table: &mut Table<'f>) -> Self {
        let index = table.read("index", patterns);
        Self::read(table, index)
    }

    pub(super) fn read_defaults(table: &mut Table<'f>) -> Self {
        let index = table.read("index", |item| Err(item.refuse("belongs to each rule; move it to [[rules]]")));
        Self::read(table, index)
    }

    fn read(table: &mut Table<'f>, index: Given<'f, Patterns>) -> Self {
        Self {
            index,
            when: table.read("when", |item| item.table(&[], when)),
            model: table.read("model", Item::name),
            instruction: table.read("instruction", Item::name),
            fields: table.read("fields", fields),
            query: table.read("query", query),
            trust_client: table.read("trust-client", Item::flag),
            serve_retrievers: table.read("serve-retrievers", Item::flag),
            ext_rerank: table.read("ext-rerank", word(&[("forward", ExtRerank::Forward), ("serve", ExtRerank::Serve)])),
            min_score: table.read("min-score", Item::share),
            window: table.read("window", window),
            on_timeout: table.read("on-timeout", word(&[("engine-order", OnTimeout::EngineOrder), ("partial", OnTimeout::Partial)])),
            timeout: table.read("timeout", timeout),
            total_timeout: table.read("total-timeout", timeout),
            fusion: table.read("fusion", fusion),
            trust: table.read("trust", Item::share),
            score: table.read("score", word(&[("replace", ScorePolicy::Replace), ("keep", ScorePolicy::Keep)])),
            annotate: table.read("annotate", Item::flag),
            answer_cache: table.read("answer-cache", duration(Duration::ZERO..=LONGEST_KEPT)),
            headers: table.read("headers", Item::flag),
        }
    }
}

fn patterns(list: &Item<'_>) -> Result<Patterns, Reported> {
    let mut patterns = Patterns::default();
    list.each("must be an array of names and patterns, such as [\"products*\"]", |item| {
        let written = item.text("must be a string")?;
        let (pattern, known) = match written.strip_prefix('-') {
            Some(pattern) => (pattern, &mut patterns.left),
            None => (written, &mut patterns.taken),
        };
        if pattern.is_empty() || pattern.contains(|letter: char| letter == ',' || letter.is_whitespace() || letter.is_control()) {
            return Err(item.refuse("must be one name or pattern, without commas and spaces"));
        }
        // Engines call all indices by two names; the matching knows one.
        let pattern = if pattern == "_all" { "*" } else { pattern };
        if known.iter().any(|earlier| earlier == pattern) {
            return Err(item.refuse("stands twice"));
        }
        known.push(pattern.to_owned());
        Ok(())
    })?;
    if patterns.taken.is_empty() {
        return Err(list.refuse("only leaves indices out; write what the rule is for, such as [\"*\", \"-internal\"]"));
    }
    Ok(patterns)
}

fn when(table: &mut Table<'_>) -> When {
    let header_name = |name: &str| HeaderName::try_from(name).ok().map(|name| name.as_str().to_owned());
    let param_name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    let header = table.read("header", |item| texts(item, header_name));
    let url_param = table.read("url-param", |item| texts(item, param_name));
    When { header: header.or(BTreeMap::new()), url_param: url_param.or(BTreeMap::new()) }
}

/// Reads names and the values that they must have; `named` returns a name as it is compared.
fn texts(item: &Item<'_>, named: impl Fn(&str) -> Option<String>) -> Result<BTreeMap<String, String>, Reported> {
    let mut texts = BTreeMap::new();
    for (written, entry) in item.entries("must be a table of names and values, such as { name = \"value\" }")? {
        let Some(name) = named(&written) else {
            entry.refuse("this name cannot occur in a request");
            continue;
        };
        if let Ok(value) = entry.text("must be a string")
            && texts.insert(name, value.to_owned()).is_some()
        {
            entry.refuse("stands twice: case makes no difference");
        }
    }
    Ok(texts)
}

fn fields(list: &Item<'_>) -> Result<Vec<Field>, Reported> {
    let mut names = HashSet::new();
    list.each("must be an array of fields, such as [\"title\", \"description\"]", |item| {
        let field = field(item)?;
        if names.insert(field.name.clone()) { Ok(field) } else { Err(item.refuse("stands twice")) }
    })
}

fn field(item: &Item<'_>) -> Result<Field, Reported> {
    if !item.is_table() {
        return Ok(Field { name: field_name(item)?, label: None, max_tokens: None });
    }
    let (name, label, max_tokens) = item.table(&[], |table| {
        let name = table.read("name", field_name).required("write the field's name, such as \"title\"");
        let label = table.read("label", Item::name).optional().map(Arc::from);
        (name, label, table.read("max-tokens", whole(1..=131_072)).optional())
    })?;
    Ok(Field { name: name?, label, max_tokens })
}

fn field_name(item: &Item<'_>) -> Result<Arc<str>, Reported> {
    let remedy = "must be a field's name, with dots between its parts and without `*`";
    let name = item.text(remedy)?;
    let right = !name.contains('*') && name.split('.').all(|part| !part.is_empty());
    if right { Ok(Arc::from(name)) } else { Err(item.refuse(remedy)) }
}

fn query(item: &Item<'_>) -> Result<QueryText, Reported> {
    const SEVERAL: [(&str, Several); 4] =
        [("common", Several::Common), ("longest", Several::Longest), ("join", Several::Join), ("bypass", Several::Bypass)];
    let (query, ways) = item.table(&[], |table| {
        let auto = table.read("from", word(&[("auto", ())]));
        let pointer = table.read("pointer", pointer);
        let url_param = table.read("url-param", Item::name);
        let template_param = table.read("template-param", Item::name);
        let given = [auto.is_given(), pointer.is_given(), url_param.is_given(), template_param.is_given()];
        let ways = given.into_iter().filter(|given| *given).count();
        let from = [
            pointer.optional().map(QueryFrom::Pointer),
            url_param.optional().map(QueryFrom::UrlParam),
            template_param.optional().map(QueryFrom::TemplateParam),
        ];
        let query = QueryText {
            from: from.into_iter().flatten().next().unwrap_or(QueryFrom::Auto),
            several: table.read("several", word(&SEVERAL)).or(Several::Common),
            filters: table.read("filters", Item::flag).or(false),
        };
        (query, ways)
    })?;
    if ways > 1 { Err(item.refuse("takes one of `from`, `pointer`, `url-param` and `template-param`")) } else { Ok(query) }
}

fn pointer(item: &Item<'_>) -> Result<String, Reported> {
    let remedy = "must be a JSON pointer (RFC 6901), such as \"/ext/q\"";
    let pointer = item.text(remedy)?;
    let escaped = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if pointer.starts_with('/') && escaped { Ok(pointer.to_owned()) } else { Err(item.refuse(remedy)) }
}

fn window(item: &Item<'_>) -> Result<Window, Reported> {
    const SIZES: RangeInclusive<u32> = 1..=10_000;
    if !item.is_table() {
        return Ok(Window { least: None, most: whole(SIZES)(item)? });
    }
    let (least, most) = item.table(&[], |table| {
        let least = table.read("min", whole(SIZES)).required("write the fewest hits that are worth reranking, such as 20");
        let most = table.read("max", whole(SIZES)).required("write how many hits are reranked when there is time, such as 100");
        (least, most)
    })?;
    match (least?, most?) {
        (least, most) if least > most => Err(item
            .refuse(format!("min is {least} and max is {most}: {least} > {most}, so that no window fits; write a min of {most} or less"))),
        (least, most) => Ok(Window { least: Some(least), most }),
    }
}

fn fusion(item: &Item<'_>) -> Result<Fusion, Reported> {
    if !item.is_table() {
        return Err(item.refuse("must be a table, such as { kind = \"adaptive\" }"));
    }
    let kinds = [
        ("adaptive", Fusion::Adaptive),
        ("weighted", Fusion::Weighted { weight: 0.5 }),
        ("replace", Fusion::Replace),
        ("rrf", Fusion::Rrf),
    ];
    item.table(&[], |table| {
        // Read before the way out, lest it count as unknown.
        let weight = table.read("weight", Item::share);
        let kind = table.read("kind", word(&kinds)).required("write kind = \"adaptive\" or another")?;
        match (kind, weight.is_given()) {
            (Fusion::Weighted { weight: default }, _) => Ok(Fusion::Weighted { weight: weight.or(default) }),
            (_, true) => Err(weight.refuse("only weighted fusion has a weight")),
            (kind, false) => Ok(kind),
        }
    })?
}
