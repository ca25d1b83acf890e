//! One generation of an index on disk: a tantivy index of one schema, its writer, and the documents in it.
//!
//! tantivy's schema cannot grow, so that a mapping that gains fields makes a new generation, filled from the old one's
//! sources. **Invariant:** every write ends in a commit before it is answered, and what is not committed is rolled back.

use std::{fs, path::Path, sync::Arc};

use serde_json::value::RawValue;
use tantivy::{
    DocAddress, DocSet, Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, TERMINATED, TantivyDocument, TantivyError, Term,
    indexer::IndexWriterOptions,
    schema::{IndexRecordOption, Value},
};

use super::{
    error::{ApiError, Cause},
    mapping::Mapping,
    schema::Schema,
};

/// What one writer collects in memory before it writes a segment.
const WRITER_MEMORY: usize = 32 << 20;

/// The names of tantivy's columns.
pub(super) const SEQUENCE: &str = "_seq_no";
const VERSION: &str = "_version";

/// A state of the documents that stays as it is while searches read it.
#[derive(Clone)]
pub(super) struct View {
    pub(super) mapping: Arc<Mapping>,
    pub(super) schema: Arc<Schema>,
    pub(super) searcher: Searcher,
}

/// Where a document is and how often it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) address: DocAddress,
    pub(super) sequence: u64,
    pub(super) version: u64,
}

/// A document as it was written.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) source: Box<RawValue>,
}

/// A tantivy index of one schema.
pub(super) struct Generation {
    mapping: Arc<Mapping>,
    schema: Arc<Schema>,
    index: Index,
    reader: IndexReader,
    /// Made by the first write; gone while a write runs, so that one that panics leaves none.
    writer: Option<IndexWriter>,
}

// === impl View ===

impl View {
    /// Returns where the document `id` is.
    pub(super) fn find(&self, id: &str) -> tantivy::Result<Option<Place>> {
        let term = Term::from_field_text(self.schema.id(), id);
        for (ordinal, segment) in self.searcher.segment_readers().iter().enumerate() {
            let Some(mut postings) = segment.inverted_index(self.schema.id())?.read_postings(&term, IndexRecordOption::Basic)? else {
                continue;
            };
            while postings.doc() != TERMINATED {
                if !segment.is_deleted(postings.doc()) {
                    return Ok(Some(self.place(DocAddress::new(u32::try_from(ordinal).unwrap_or(u32::MAX), postings.doc()))?));
                }
                postings.advance();
            }
        }
        Ok(None)
    }

    /// Returns the numbers of the document at `address`.
    pub(super) fn place(&self, address: DocAddress) -> tantivy::Result<Place> {
        let columns = self.searcher.segment_reader(address.segment_ord).fast_fields();
        let read = |name: &str| Ok::<_, TantivyError>(columns.u64(name)?.first(address.doc_id).unwrap_or_default());
        Ok(Place { address, sequence: read(SEQUENCE)?, version: read(VERSION)? })
    }

    /// Returns the document at `address`.
    pub(super) fn read(&self, address: DocAddress) -> tantivy::Result<Stored> {
        let document: TantivyDocument = self.searcher.doc(address)?;
        let id = document.get_first(self.schema.id()).and_then(|value| value.as_str().map(str::to_owned));
        let bytes = document.get_first(self.schema.source()).and_then(|value| value.as_bytes().map(<[u8]>::to_vec));
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let source = text.and_then(|text| RawValue::from_string(text).ok());
        match (id, source) {
            (Some(id), Some(source)) => Ok(Stored { id, source }),
            _ => Err(TantivyError::InternalError(format!("the document at {address:?} is not one that was written here"))),
        }
    }

    /// Returns all documents in the order in which they were written.
    fn places(&self) -> tantivy::Result<Vec<Place>> {
        let mut places = Vec::new();
        for (ordinal, segment) in self.searcher.segment_readers().iter().enumerate() {
            for doc in segment.doc_ids_alive() {
                places.push(self.place(DocAddress::new(u32::try_from(ordinal).unwrap_or(u32::MAX), doc))?);
            }
        }
        places.sort_by_key(|place| place.sequence);
        Ok(places)
    }

    /// Returns the greatest number that was given to a write, if any.
    pub(super) fn last_sequence(&self) -> tantivy::Result<Option<u64>> {
        let mut last = None;
        for segment in self.searcher.segment_readers() {
            last = last.max(Some(segment.fast_fields().u64(SEQUENCE)?.max_value()));
        }
        Ok(last)
    }
}

// === impl Generation ===

impl Generation {
    /// Makes an empty one in `folder`.
    pub(super) fn create(folder: &Path, mapping: Arc<Mapping>) -> tantivy::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?; // of a change that was not finished
        }
        fs::create_dir_all(folder)?;
        let schema = Schema::new(Arc::clone(&mapping));
        Self::over(Index::create_in_dir(folder, schema.tantivy())?, mapping, schema)
    }

    /// Opens the one in `folder`.
    pub(super) fn open(folder: &Path, mapping: Arc<Mapping>) -> tantivy::Result<Self> {
        let schema = Schema::new(Arc::clone(&mapping));
        let index = Index::open_in_dir(folder)?;
        if index.schema() != schema.tantivy() {
            return Err(TantivyError::SchemaError(format!("{} was written by another version", folder.display())));
        }
        Self::over(index, mapping, schema)
    }

    fn over(index: Index, mapping: Arc<Mapping>, schema: Schema) -> tantivy::Result<Self> {
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { mapping, schema: Arc::new(schema), index, reader, writer: None })
    }

    /// Returns the documents as they are after the last commit.
    pub(super) fn view(&self) -> tantivy::Result<View> {
        self.reader.reload()?;
        Ok(View { mapping: Arc::clone(&self.mapping), schema: Arc::clone(&self.schema), searcher: self.reader.searcher() })
    }

    /// Runs `write` and commits what it did. When either fails nothing has happened.
    pub(super) fn commit(&mut self, write: impl FnOnce(&IndexWriter) -> tantivy::Result<()>) -> tantivy::Result<()> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.start_writer()?,
        };
        if let Err(error) = write(&writer).and_then(|()| writer.commit()) {
            // A writer that cannot even roll back is dropped, and the next write makes another.
            self.writer = writer.rollback().is_ok().then_some(writer);
            return Err(error);
        }
        self.writer = Some(writer);
        Ok(())
    }

    fn start_writer(&self) -> tantivy::Result<IndexWriter> {
        // One thread, so that a segment's documents stand in the order in which they came.
        let options =
            IndexWriterOptions::builder().num_worker_threads(1).num_merge_threads(1).memory_budget_per_thread(WRITER_MEMORY).build();
        self.index.writer_with_options(options)
    }

    /// Fills this empty generation with the documents of `view`, numbers and all.
    pub(super) fn fill(&mut self, view: &View) -> Result<(), ApiError> {
        if view.searcher.num_docs() == 0 {
            return Ok(()); // the first document of most indices brings its fields: no writer is needed for nothing
        }
        let schema = Arc::clone(&self.schema);
        let filled = self.commit(|writer| {
            for place in view.places()? {
                let stored = view.read(place.address)?;
                let document = schema.document_again(&stored.id, place.sequence, place.version, &stored.source);
                writer.add_document(document.map_err(|error| TantivyError::InvalidArgument(error.to_string()))?)?;
            }
            Ok(())
        });
        filled.map_err(|error| storage(&error))
    }

    /// Ends the writer and waits for what it merges.
    pub(super) fn close(&mut self) {
        if let Some(writer) = self.writer.take()
            && let Err(error) = writer.wait_merging_threads()
        {
            tracing::debug!(%error, "merging ended badly");
        }
    }
}

/// Returns a failure of the files as the engines' error: the disk that is full is named.
pub(super) fn storage(error: &TantivyError) -> ApiError {
    let reason = error.to_string();
    let full = matches!(error, TantivyError::IoError(io) if io.kind() == std::io::ErrorKind::StorageFull);
    if full || reason.contains("No space left") {
        return ApiError::new(507, Cause::new("i_o_exception", reason));
    }
    ApiError::internal("engine_exception", reason)
}
