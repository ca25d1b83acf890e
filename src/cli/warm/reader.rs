//! Reads what a rule's model would see of every document of an index, as searches would, and at a gentle pace.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use rerank_plugin::Document;
use tokio::{sync::mpsc, task, time};

use super::{
    index::{Counted, From, Index, Place, Refusal},
    pace::{Pace, Page},
};
use crate::{
    config::Rule,
    es::{reading::Reading, response::SearchResponse},
    rerank::{Digester, candidates},
    upstream::own::{Answer, OwnCalls},
};

/// Documents that are looked at before anything else, to find out how they are to be read.
const SAMPLE: usize = 50;

/// An index, a rule, and how the rule's texts are read in it.
pub(super) struct Reader {
    index: Index,
    rule: Arc<Rule>,
    digester: Digester,
    from: Mutex<From>,
    pauses: AtomicUsize,
}

/// Documents of one page.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Those that have text.
    pub(super) documents: Vec<Document>,
    /// How many were read.
    pub(super) read: usize,
}

/// A page, taken apart.
struct Rendered {
    chunk: Chunk,
    next: Option<Place>,
    /// Whether the engine printed a fraction of its own.
    has_fraction: bool,
}

// === impl Reader ===

impl Reader {
    /// Opens the index, and finds out from its first documents how the rule's texts are read, as searches do.
    pub(super) async fn open(
        calls: &OwnCalls,
        (index, counted): (&str, Counted),
        rule: &Arc<Rule>,
        digester: &Digester,
    ) -> Result<Self, Refusal> {
        let opened = Index::open(calls, index, counted, &rule.fields).await?;
        let from = Mutex::new(From::PartOfSource);
        let mut reader = Self { index: opened, rule: Arc::clone(rule), digester: digester.clone(), from, pauses: AtomicUsize::new(0) };
        if let Err(refusal) = reader.look().await {
            reader.close().await;
            return Err(refusal);
        }
        Ok(reader)
    }

    async fn look(&mut self) -> Result<(), Refusal> {
        let start = Place { slice: None, after: None };
        if matches!(self.index.page(From::PartOfSource, &start, 1).await, Err(Refusal::Final(_))) {
            // Engines of old know no order over all shards.
            self.index.sort_by_doc();
        }
        let answer = self.sample(From::PartOfSource, &start).await?;
        let seen = self.render(&answer.body, From::PartOfSource, &start)?.chunk;
        if seen.read > 0 && seen.documents.is_empty() {
            let through_fields = self.sample(From::Fields, &start).await?;
            if !self.render(&through_fields.body, From::Fields, &start)?.chunk.documents.is_empty() {
                self.read_from(From::Fields);
            }
        }
        Ok(())
    }

    /// Returns the first documents, as many as one answer can hold.
    async fn sample(&self, from: From, start: &Place) -> Result<Answer, Refusal> {
        let mut pace = Pace::of(SAMPLE);
        loop {
            if let Some((answer, _)) = self.patient_page(&mut pace, from, start).await? {
                return Ok(answer);
            }
        }
    }

    /// Returns a page and how many documents it may have; nothing where a smaller one is to be asked for, or the same once more.
    async fn patient_page(&self, pace: &mut Pace, from: From, place: &Place) -> Result<Option<(Answer, usize)>, Refusal> {
        let size = pace.size();
        match self.whole_page(from, place, size).await {
            Ok(answer) => Ok(Some((answer, size))),
            Err(Refusal::Busy(said)) => {
                self.pauses.fetch_add(1, Ordering::Relaxed);
                let Some(wait) = pace.refused() else {
                    return Err(Refusal::Final(format!("{said}; it was asked again and again, with longer and longer pauses")));
                };
                time::sleep(wait).await;
                Ok(None)
            }
            Err(Refusal::TooLarge) if pace.too_large() => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Reads one slice to its end. Ends early, and well, when nobody takes the documents any more.
    pub(super) async fn read(self: Arc<Self>, slice: Option<(usize, usize)>, to: mpsc::Sender<Chunk>) -> Result<(), Refusal> {
        let (mut pace, mut place) = (Pace::new(), Place { slice, after: None });
        loop {
            let (from, asked) = (self.from(), Instant::now());
            let Some((answer, size)) = self.patient_page(&mut pace, from, &place).await? else { continue };
            let (took, bytes) = (asked.elapsed(), answer.body.len());
            let (reader, before) = (Arc::clone(&self), place.clone());
            let rendered = task::spawn_blocking(move || reader.render(&answer.body, from, &before)).await;
            let Rendered { chunk, next, has_fraction } = rendered.map_err(|error| Refusal::Final(error.to_string()))??;
            if has_fraction && from == From::PartOfSource {
                self.read_from(From::WholeSource);
                continue;
            }
            let read = chunk.read;
            let given = Instant::now();
            if read > 0 && to.send(chunk).await.is_err() {
                return Ok(());
            }
            let Some(next) = next.filter(|_| read >= size) else { return Ok(()) };
            if self.index.is_stuck(&next, &place) && !pace.larger() {
                return Err(Refusal::Final(
                    "more shards than a page has documents stand in line with each other: name fewer indices".to_owned(),
                ));
            }
            place = next;
            let pause = pace.after(Page { took, waited: given.elapsed(), bytes });
            if !pause.is_zero() {
                self.pauses.fetch_add(1, Ordering::Relaxed);
                time::sleep(pause).await;
            }
        }
    }

    /// Returns a page of which no shard is missing.
    async fn whole_page(&self, from: From, place: &Place, size: usize) -> Result<Answer, Refusal> {
        let answer = self.index.page(from, place, size).await?;
        let read = SearchResponse::parse(&answer.body).map_err(|error| Refusal::Final(error.to_string()))?;
        match read.failed_shards {
            // A page that timed out has fewer documents than there are.
            0 if read.is_in_time => Ok(answer),
            0 => Err(Refusal::Busy("the cluster's own time for a search was over".to_owned())),
            failed => Err(Refusal::Busy(format!("{failed} shards did not answer"))),
        }
    }

    fn render(&self, body: &Bytes, from: From, place: &Place) -> Result<Rendered, Refusal> {
        let response = SearchResponse::parse(body).map_err(|error| Refusal::Final(error.to_string()))?;
        let reading = match from {
            From::PartOfSource | From::WholeSource => Reading::Source,
            From::Fields => Reading::Fields { added: Vec::new() },
        };
        let selected = candidates::select(&response.hits, &self.rule.fields, &reading, &self.digester);
        let documents = selected.into_iter().map(|candidate| candidate.document).collect();
        let has_fraction = response.hits.iter().filter_map(|hit| hit.source).any(|source| has_fraction(source.get()));
        let next = self.index.behind(&response.hits, place);
        if next.is_none() && !response.hits.is_empty() {
            return Err(Refusal::Final("the engine's answer does not say how it is sorted".to_owned()));
        }
        Ok(Rendered { chunk: Chunk { documents, read: response.hits.len() }, next, has_fraction })
    }

    /// How often the cluster was left alone for a while.
    pub(super) fn pauses(&self) -> usize {
        self.pauses.load(Ordering::Relaxed)
    }

    /// How documents are read.
    pub(super) fn from(&self) -> From {
        *self.from.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_from(&self, from: From) {
        *self.from.lock().unwrap_or_else(PoisonError::into_inner) = from;
    }

    /// Gives the cluster back what is kept for this reader.
    pub(super) async fn close(&self) {
        self.index.close().await;
    }
}

/// Whether there is a number with a point outside of the strings: engines print none without.
fn has_fraction(json: &str) -> bool {
    let (mut in_string, mut escaped) = (false, false);
    json.bytes().any(|byte| {
        let is_point = byte == b'.' && !in_string;
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else {
            in_string = byte == b'"';
        }
        is_point
    })
}

#[cfg(test)]
mod tests {
    use super::has_fraction;

    #[test]
    fn fractions_are_numbers_with_a_point() {
        for json in [r#"{"a":1.5}"#, r#"{"a":["x","y\\"],"b":1.0E10}"#, r#"{"a.b":"c.","d":[{"e":-0.1}]}"#] {
            assert!(has_fraction(json), "{json}");
        }
        for json in
            ["{}", r#"{"a.b":"1.5","c":10}"#, r#"{"a":"x\".5","b":"\\","c":"1."}"#, r#"{"a":[true,false,null,12345678901234567890]}"#]
        {
            assert!(!has_fraction(json), "{json}");
        }
    }
}
