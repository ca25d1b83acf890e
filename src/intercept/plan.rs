//! Decides whether a search is reranked, and if so: which page, how many hits, which query text, and where the texts are read.
//!
//! Pure; the rewrite itself is [`widen`](super::widen)'s.

use crate::{
    config::{Field, Rule},
    es::{
        allow_list, ext,
        filter_path::{self, FilterPath},
        json::Object,
        media,
        query_text::{Flaw, MOST_TEXT, Survey},
        reading::{self, NoReading},
        request::{self, MAX_RESULT_WINDOW, Request, Unreadable},
        url::Params,
    },
    rerank::Reason,
};

use super::serve::Own;
use question::Question;

mod question;

pub(super) use question::from_template;

pub use crate::es::{
    query_text::FoundText,
    reading::Reading,
    request::{Page, Widening},
};

/// Parameters that a rewrite puts into the body.
pub(super) const MOVED: [&str; 4] = ["from", "size", "source", "source_content_type"];

/// All that comes back.
const WHOLE: Page = Page { from: 0, size: usize::MAX };

/// What the client sent.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// The path as written.
    pub path: &'a str,
    /// What stands behind the `?`, as written.
    pub query: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Accept`.
    pub accept: Option<&'a str>,
    /// `Rerank-Query`.
    pub rerank_query: Option<&'a str>,
    /// The parameters of the template that it was rendered from, a JSON object.
    pub template_params: Option<&'a str>,
    /// What was taken out of it, because it asked the engine to rerank.
    pub own: Option<&'a Own>,
    /// The decoded body, empty where there is none.
    pub body: &'a [u8],
}

/// What earlier answers taught about searches of this kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// A whole `_source` has no text: ask for `fields`.
    pub read_fields: bool,
    /// How many hits fit under the cap.
    pub most_hits: Option<usize>,
}

/// How one search is reranked.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchPlan {
    /// The page that the client gets.
    pub page: Page,
    /// Whether more is asked for than the page. Pages that come alone agree by nothing but the engine's order.
    pub widening: Widening,
    /// How many hits the engine is asked for: from the first, or from the first of the page.
    pub fetch: usize,
    /// How many of them may move; at most `fetch`.
    pub ranked: usize,
    /// What the model is asked.
    pub query_text: FoundText,
    /// Where the texts stand in the hits.
    pub reading: Reading,
    /// Whether hits come with an explanation of their scores.
    pub explain: bool,
    /// What the client wants to see of the answer; the engine is not told.
    pub filter_path: Option<FilterPath>,
    /// What the search itself says of its reranking.
    pub own: Option<Own>,
    /// Bytes that are the same for all pages of one search and differ between searches.
    pub pin_subject: Vec<u8>,
}

/// Returns how `search` is reranked by `rule`, or why it is not.
///
/// # Errors
/// The reason; one that says more goes before [`Reason::Unsupported`].
pub fn plan(search: &Search<'_>, rule: &Rule, hints: &Hints) -> Result<SearchPlan, Reason> {
    let request = read(search)?;
    let body = request.body()?;
    refuse_other_orders(&request.params, &body)?;
    let page = request::page(&request.params, &body)?;
    if page.size == 0 {
        return Err(Reason::NoPage);
    }
    let (rescore_queries, rescore_window) = request::rescorers(&body)?;
    let said = ext::read(&body);
    let mut survey = Survey::new(rule.query.filters);
    survey.search(&body);
    rescore_queries.into_iter().for_each(|query| survey.aside(query));

    let limits = [rescore_window, survey.window(), search.own.and_then(|own| own.window)].into_iter().flatten();
    let window = limits.fold(rule.window.min(MAX_RESULT_WINDOW), usize::min);
    let widens = survey.widens() && said.as_ref().is_none_or(|said| said.widens);
    let widening = if widens { allow_list::widening(&request.params, &body) } else { Widening::Page };
    let (fetch, ranked) = sizes(page, widening, (window, survey.window()), hints)?;

    let leaves = survey.texts()?;
    let filter_path = request.params.get("filter_path").map_or(Ok(None), FilterPath::parse)?;
    let Some(said) = said.filter(|_| is_on_allow_list(&request.params, &body)) else { return Err(Reason::Unsupported) };
    let fields = search.own.and_then(|own| own.fields.as_deref()).unwrap_or(&rule.fields);
    let names = fields.iter().map(|field| &field.name);
    let reading = reading::choose(&request.params, &body, names, hints.read_fields)?;
    // A pipeline may do anything to what is added, and it could not be told from the client's own any more.
    if allow_list::has_pipeline(&request.params, &body) && adds_fields(&reading) {
        return Err(Reason::FieldConflict);
    }
    let query_text = Question { search, rule, params: &request.params, body: &body }.text(said, leaves).ok_or(Reason::NoQueryText)?;
    if query_text.text.len() > MOST_TEXT {
        return Err(Reason::Unsupported);
    }
    let explain = allow_list::explains(&request.params, &body);
    let mut pin_subject = pin_subject(search.path, &request.params, &body);
    pin_subject.extend(search.own.map(|own| format!("\n{own:?}")).unwrap_or_default().into_bytes());
    Ok(SearchPlan { page, widening, fetch, ranked, query_text, reading, explain, filter_path, own: search.own.cloned(), pin_subject })
}

/// Returns the search's parameters and JSON.
///
/// # Errors
/// [`Reason::NotJson`], or [`Reason::Unsupported`] where it is not plain.
pub(super) fn read<'a>(search: &Search<'a>) -> Result<Request<'a>, Reason> {
    media::check(search.content_type, search.accept, !search.body.is_empty())?;
    let request = Request::read(search.query, search.body)?;
    let in_url = request.params.get("source_content_type");
    let is_json = in_url.is_none_or(|media_type| media::check(Some(media_type), Some(media_type), true).is_ok());
    if is_json && request.params.get("format").is_none() { Ok(request) } else { Err(Reason::NotJson) }
}

fn refuse_other_orders(params: &Params<'_>, body: &Object<'_>) -> Result<(), Reason> {
    if params.get("scroll").is_some() || body.get("search_after").is_some() || body.get("slice").is_some() {
        return Err(Reason::Cursor);
    }
    if request::is_by_score(params, body) { Ok(()) } else { Err(Reason::Sorted) }
}

/// Returns how many hits to ask for, and how many of them may move. They are asked for from the first to the end of the window, or of
/// the page where that ends behind it, though never more than there are (`most`); or they are those of the page, of which those may
/// move that stand in the window. Engines refuse a size beyond `most`.
fn sizes(page: Page, widening: Widening, (window, most): (usize, Option<usize>), hints: &Hints) -> Result<(usize, usize), Reason> {
    if page.from >= window {
        return Err(Reason::BeyondWindow);
    }
    let end = page.from.saturating_add(page.size);
    if end > MAX_RESULT_WINDOW || most.is_some_and(|most| page.size > most) {
        return Err(Reason::Unsupported);
    }
    match widening {
        Widening::Window => {
            let fetch = most.map_or(end, |most| end.min(most)).max(window.min(hints.most_hits.unwrap_or(window)));
            Ok((fetch, window.min(fetch)))
        }
        Widening::Page => Ok((page.size, page.size.min(window - page.from))),
    }
}

fn is_on_allow_list(params: &Params<'_>, body: &Object<'_>) -> bool {
    params.names().all(allow_list::allows_param) && body.entries().iter().all(|(key, value)| allow_list::allows_entry(key, value))
}

fn pin_subject(path: &str, params: &Params<'_>, body: &Object<'_>) -> Vec<u8> {
    let mut subject = path.to_owned() + &params.without(&MOVED);
    for (key, value) in body.entries().iter().filter(|(key, _)| key != "from" && key != "size") {
        // No bare line feed stands in a URL or an escaped key, and a JSON value says itself where it ends: entries cannot run together.
        subject.push('\n');
        subject.push_str(&String::from_iter(key.escape_debug()));
        subject.push('\n');
        subject.push_str(value.get());
    }
    subject.into_bytes()
}

// === impl SearchPlan ===

impl SearchPlan {
    /// Whether the engine is asked for anything that the client did not ask for.
    pub fn rewrites(&self) -> bool {
        self.widening == Widening::Window || self.adds_fields()
    }

    /// What the model sees of a hit.
    pub fn fields<'a>(&'a self, rule: &'a Rule) -> &'a [Field] {
        self.own.as_ref().and_then(|own| own.fields.as_deref()).unwrap_or(&rule.fields)
    }

    /// The least score of a hit that stays.
    pub fn min_score(&self, rule: &Rule) -> Option<f64> {
        self.own.as_ref().and_then(|own| own.min_score).or(rule.min_score)
    }

    /// Which of the ranked hits the client gets.
    pub fn cut(&self) -> Page {
        match self.widening {
            Widening::Window => self.page,
            Widening::Page => WHOLE,
        }
    }

    /// How many hits come before the first that is asked for.
    pub fn skipped(&self) -> usize {
        match self.widening {
            Widening::Window => 0,
            Widening::Page => self.page.from,
        }
    }

    pub(super) fn adds_fields(&self) -> bool {
        adds_fields(&self.reading)
    }
}

fn adds_fields(reading: &Reading) -> bool {
    matches!(reading, Reading::Fields { added } if !added.is_empty())
}

// === impl Reason ===

impl From<media::Mismatch> for Reason {
    fn from(mismatch: media::Mismatch) -> Self {
        match mismatch {
            media::Mismatch::NotJson => Self::NotJson,
            media::Mismatch::Versions => Self::Unsupported,
        }
    }
}

impl From<Unreadable> for Reason {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::NotJson => Self::NotJson,
            Unreadable::NotPlain => Self::Unsupported,
        }
    }
}

impl From<Flaw> for Reason {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Foreign => Self::Unsupported,
            Flaw::Cursor => Self::Cursor,
            Flaw::Sorted => Self::Sorted,
            Flaw::Reranked => Self::EngineReranked,
            Flaw::Unseeded => Self::Unstable,
            Flaw::NotJson => Self::NotJson,
        }
    }
}

impl From<filter_path::NotPlain> for Reason {
    fn from(_: filter_path::NotPlain) -> Self {
        Self::FilterPath
    }
}

impl From<NoReading> for Reason {
    fn from(missing: NoReading) -> Self {
        match missing {
            NoReading::Conflict(_) => Self::FieldConflict,
            NoReading::NotPlain => Self::Unsupported,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
