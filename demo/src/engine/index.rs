//! One index: its name, its mapping and its documents; who writes, what readers see, and when.
//!
//! Writes take turns. Each ends in a commit and is then `latest`, which gets by id read; searches read `visible`, which a
//! refresh moves on.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use tantivy::Term;

use super::{
    catalog::{not_found, stopped},
    error::{ApiError, Cause},
    mapping::Mapping,
    names,
    schema::Schema,
    settings::Settings,
    store::{Generation, View, storage},
};

/// The file that says what a folder holds.
const MANIFEST: &str = "index.json";
/// The same while it is written.
const FRESH_MANIFEST: &str = "index.json.new";
/// How long the version of a deleted document is remembered, as in the engines.
const REMEMBERED: Duration = Duration::from_secs(60);

/// One index.
pub(super) struct Index {
    pub(super) name: String,
    pub(super) uuid: String,
    /// Milliseconds since 1970.
    pub(super) created: u64,
    pub(super) settings: Settings,
    folder: PathBuf,
    writing: Mutex<Writing>,
    latest: RwLock<View>,
    visible: RwLock<View>,
}

/// What only the one who writes touches.
struct Writing {
    generation: Generation,
    /// Which one it is.
    number: u64,
    next_sequence: u64,
    /// Versions of documents that were deleted lately.
    deleted: HashMap<String, (u64, Instant)>,
    /// What is committed is not in `latest` yet.
    behind: bool,
    /// Why nothing is written any more: the index has been deleted, or the engine has stopped.
    over: Option<ApiError>,
}

/// What is kept beside the documents.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    name: String,
    uuid: String,
    created: u64,
    settings: Value,
    mappings: Value,
    generation: u64,
}

/// What is to happen with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Write it, whether or not there is one of this id.
    Index,
    /// Write it when there is none of this id.
    Create,
    /// Remove it.
    Delete,
}

/// One change of one document.
#[derive(Clone, Debug)]
pub(super) struct Operation<'a> {
    pub(super) action: Action,
    pub(super) id: String,
    /// The document; of a deletion nothing.
    pub(super) source: Option<&'a RawValue>,
}

/// What has happened with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Created,
    Updated,
    Deleted,
    NotFound,
}

/// A change that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) version: u64,
    pub(super) sequence: u64,
}

/// What a batch has changed so far: ids with their version and whether they still stand.
type Overlay = HashMap<String, (u64, bool)>;

// === impl Index ===

impl Index {
    /// Makes an empty index in `folder`.
    pub(super) fn create(folder: PathBuf, name: &str, settings: Settings, mapping: Mapping) -> Result<Self, ApiError> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let manifest = Manifest {
            name: name.to_owned(),
            uuid: names::random(names::UUID),
            created: u64::try_from(since_1970.as_millis()).unwrap_or_default(),
            settings: settings.to_json(),
            mappings: mapping.to_json(),
            generation: 0,
        };
        let generation = Generation::create(&generation_folder(&folder, 0), Arc::new(mapping)).map_err(|error| storage(&error))?;
        manifest.write(&folder)?;
        Self::over(folder, manifest, settings, generation)
    }

    /// Opens the index in `folder`; `None` when there is none, as after a creation that was not finished.
    pub(super) fn open(folder: PathBuf) -> Result<Option<Self>, ApiError> {
        let Some(manifest) = Manifest::read(&folder)? else { return Ok(None) };
        let mapping = Arc::new(Mapping::parse(&manifest.mappings)?);
        let settings = Settings::parse(&manifest.settings)?;
        let generation = Generation::open(&generation_folder(&folder, manifest.generation), mapping).map_err(|error| storage(&error))?;
        sweep_generations(&folder, manifest.generation);
        Self::over(folder, manifest, settings, generation).map(Some)
    }

    fn over(folder: PathBuf, manifest: Manifest, settings: Settings, generation: Generation) -> Result<Self, ApiError> {
        let view = generation.view().map_err(|error| storage(&error))?;
        let last = view.last_sequence().map_err(|error| storage(&error))?;
        let next_sequence = last.map_or(0, |last| last + 1);
        let Manifest { name, uuid, created, generation: number, .. } = manifest;
        let writing = Writing { generation, number, next_sequence, deleted: HashMap::new(), behind: false, over: None };
        let (latest, visible) = (RwLock::new(view.clone()), RwLock::new(view));
        Ok(Self { name, uuid, created, settings, folder, writing: Mutex::new(writing), latest, visible })
    }

    /// Returns what searches see.
    pub(super) fn visible(&self) -> View {
        self.visible.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what has been written, refreshed or not.
    pub(super) fn latest(&self) -> View {
        self.latest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes all that has been written visible to searches.
    pub(super) fn refresh(&self) {
        // Held while `latest` is read: of two at once, none makes visible what is older.
        let mut visible = self.visible.write().unwrap_or_else(PoisonError::into_inner);
        *visible = self.latest();
    }

    /// Adds fields to the mapping.
    pub(super) fn extend(&self, added: Mapping) -> Result<(), ApiError> {
        let mut writing = self.write_lock();
        self.prepare(&mut writing)?;
        let mut mapping = Mapping::clone(&self.latest().mapping);
        mapping.merge(added)?;
        self.regrow(&mut writing, mapping)
    }

    /// Does `operations` in their order; what they change is on disk when this returns.
    pub(super) fn apply(&self, operations: &[Operation<'_>]) -> Vec<Result<Done, ApiError>> {
        let mut writing = self.write_lock();
        let fail = |error: &ApiError| operations.iter().map(|_| Err(error.clone())).collect();
        if let Err(error) = self.prepare(&mut writing) {
            return fail(&error);
        }
        let mut results: Vec<Result<(), ApiError>> = Vec::with_capacity(operations.len());
        let mapping = with_fields_of(&self.latest().mapping, operations, &mut results);
        if let Err(error) = self.regrow(&mut writing, mapping) {
            return fail(&error);
        }
        match self.write(&mut writing, operations, results) {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(index = self.name, %error, "a write failed and was taken back");
                fail(&storage(&error))
            }
        }
    }

    /// Sees to it that a write can begin, and that it knows all writes before it.
    fn prepare(&self, writing: &mut Writing) -> Result<(), ApiError> {
        if let Some(error) = &writing.over {
            return Err(error.clone());
        }
        if writing.behind { self.catch_up(writing).map_err(|error| storage(&error)) } else { Ok(()) }
    }

    fn catch_up(&self, writing: &mut Writing) -> tantivy::Result<()> {
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = writing.generation.view()?;
        writing.behind = false;
        Ok(())
    }

    fn write(
        &self,
        writing: &mut Writing,
        operations: &[Operation<'_>],
        read: Vec<Result<(), ApiError>>,
    ) -> tantivy::Result<Vec<Result<Done, ApiError>>> {
        let latest = self.latest();
        let schema = Arc::clone(&latest.schema);
        let mut overlay = Overlay::new();
        let mut sequence = writing.next_sequence;
        let mut results = Vec::with_capacity(operations.len());
        let deleted = &writing.deleted;
        writing.behind = true;
        writing.generation.commit(|writer| {
            for (operation, readable) in operations.iter().zip(read) {
                if let Err(error) = readable {
                    results.push(Err(error));
                    continue;
                }
                let id = operation.id.as_str();
                let (version, stands) = match overlay.get(id) {
                    Some(known) => *known,
                    None => latest
                        .find(id)?
                        .map_or_else(|| (deleted.get(id).map_or(0, |(version, _)| *version), false), |place| (place.version, true)),
                };
                if operation.action == Action::Create && stands {
                    results.push(Err(self.conflict(id, version)));
                    continue;
                }
                let next = version + 1;
                let added = operation.source.map(|source| schema.document(id, sequence, next, source)).transpose();
                let document = match added {
                    Ok(document) => document,
                    Err(error) => {
                        results.push(Err(error));
                        continue;
                    }
                };
                if stands {
                    writer.delete_term(Term::from_field_text(schema.id(), id));
                }
                let outcome = Outcome::of(stands, document.is_some());
                overlay.insert(id.to_owned(), (next, document.is_some()));
                if let Some(document) = document {
                    writer.add_document(document)?;
                }
                results.push(Ok(Done { outcome, version: next, sequence }));
                sequence += 1;
            }
            Ok(())
        })?;
        writing.next_sequence = sequence;
        writing.remember(overlay);
        self.catch_up(writing)?;
        Ok(results)
    }

    /// Lays the documents out anew when `mapping` is not the one that they are laid out by.
    fn regrow(&self, writing: &mut Writing, mapping: Mapping) -> Result<(), ApiError> {
        let latest = self.latest();
        if mapping == *latest.mapping {
            return Ok(());
        }
        let number = writing.number + 1;
        let made = Generation::create(&generation_folder(&self.folder, number), Arc::new(mapping));
        let mut generation = made.map_err(|error| storage(&error))?;
        generation.fill(&latest)?;
        let view = generation.view().map_err(|error| storage(&error))?;
        self.manifest(number, &view.mapping).write(&self.folder)?;
        writing.generation.close();
        let old = generation_folder(&self.folder, writing.number);
        (writing.generation, writing.number) = (generation, number);
        // Both: a search that follows a new mapping may ask for its fields.
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = view;
        self.refresh();
        sweep(&old);
        Ok(())
    }

    fn manifest(&self, generation: u64, mapping: &Mapping) -> Manifest {
        Manifest {
            name: self.name.clone(),
            uuid: self.uuid.clone(),
            created: self.created,
            settings: self.settings.to_json(),
            mappings: mapping.to_json(),
            generation,
        }
    }

    fn conflict(&self, id: &str, version: u64) -> ApiError {
        let reason = format!("[{id}]: version conflict, document already exists (current version [{version}])");
        let cause = Cause::new("version_conflict_engine_exception", reason);
        ApiError::new(409, cause.with("index", self.name.as_str()).with("shard", "0").with("index_uuid", self.uuid.as_str()))
    }

    /// Removes the files. Searches that run end as they began.
    pub(super) fn delete(&self) -> Result<(), ApiError> {
        let mut writing = self.write_lock();
        // First: without it the rest is no index, whenever it is swept.
        match fs::remove_file(self.folder.join(MANIFEST)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(storage(&error.into())),
            _ => {}
        }
        writing.over = Some(not_found(&self.name));
        writing.generation.close();
        sweep(&self.folder);
        Ok(())
    }

    /// Waits for the write that runs, ends the writer, and lets nothing be written any more.
    pub(super) fn close(&self) {
        let mut writing = self.write_lock();
        writing.over = Some(stopped());
        writing.generation.close();
    }

    fn write_lock(&self) -> MutexGuard<'_, Writing> {
        // A write that panicked has left no writer and none of its changes.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Outcome ===

impl Outcome {
    fn of(stood: bool, stands: bool) -> Self {
        match (stood, stands) {
            (true, true) => Self::Updated,
            (false, true) => Self::Created,
            (true, false) => Self::Deleted,
            (false, false) => Self::NotFound,
        }
    }
}

// === impl Writing ===

impl Writing {
    fn remember(&mut self, overlay: Overlay) {
        let now = Instant::now();
        self.deleted.retain(|_, (_, since)| now.duration_since(*since) < REMEMBERED);
        for (id, (version, stands)) in overlay {
            if stands {
                self.deleted.remove(&id);
            } else {
                self.deleted.insert(id, (version, now));
            }
        }
    }
}

/// Returns the mapping with the fields that the documents add, and pushes which documents can be read.
fn with_fields_of(mapping: &Mapping, operations: &[Operation<'_>], results: &mut Vec<Result<(), ApiError>>) -> Mapping {
    let mut mapping = mapping.clone();
    for operation in operations {
        let read = operation.source.map_or(Ok(()), |source| {
            let document: Value = serde_json::from_str(source.get()).map_err(|error| unreadable(&error))?;
            if let Some(added) = mapping.infer(&document)? {
                let mut grown = mapping.clone();
                grown.merge(added)?;
                // A document that is refused for another field adds none.
                Schema::new(Arc::new(grown.clone())).document(&operation.id, 0, 0, source)?;
                mapping = grown;
            }
            Ok(())
        });
        results.push(read);
    }
    mapping
}

/// Returns the engines' error for a document that is not JSON.
pub(super) fn unreadable(error: &serde_json::Error) -> ApiError {
    let cause = syntax(error);
    ApiError::mapper_parsing("failed to parse").caused_by(cause.clone().caused_by(cause))
}

/// Returns the engines' error for a body that is not JSON.
pub(super) fn malformed(error: &serde_json::Error) -> ApiError {
    let cause = syntax(error);
    if error.is_eof() {
        return ApiError::new(400, cause.clone().caused_by(cause));
    }
    ApiError::new(400, Cause::new("json_parse_exception", error.to_string()).caused_by(cause))
}

fn syntax(error: &serde_json::Error) -> Cause {
    Cause::new(if error.is_eof() { "unexpected_end_of_input_exception" } else { "stream_read_exception" }, error.to_string())
}

/// Removes the folder of an index that was not made or not deleted to the end. **Invariant:** nothing is removed that this engine
/// has not written, whatever folder it was given.
pub(super) fn sweep_remnant(folder: &Path) {
    let is_ours = folder.is_dir() && folder.file_name().and_then(OsStr::to_str).is_some_and(names::is_uuid);
    if is_ours
        && entries(folder)
            .iter()
            .all(|entry| entry.ends_with(FRESH_MANIFEST) || is_generation(entry) && entries(entry).iter().all(|file| is_tantivys(file)))
    {
        sweep(folder);
    }
}

/// Removes the generations that were not filled or not removed to the end.
fn sweep_generations(folder: &Path, kept: u64) {
    let kept = generation_folder(folder, kept);
    entries(folder).iter().filter(|entry| is_generation(entry) && **entry != kept).for_each(|entry| sweep(entry));
}

/// Removes a folder that holds nothing any more; one that stays is swept when the engine starts again.
fn sweep(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(folder = %folder.display(), %error, "cannot remove what is not needed any more");
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Whether a file is one of tantivy's: the list of segments, a lock, or a part of a segment.
fn is_tantivys(file: &Path) -> bool {
    let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let is_segment = || name.len() > 32 && name.bytes().take(32).all(|letter| letter.is_ascii_hexdigit());
    file.is_file() && (name == "meta.json" || name.starts_with('.') || is_segment())
}

fn is_generation(path: &Path) -> bool {
    path.is_dir() && path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.parse::<u64>().is_ok())
}

fn generation_folder(folder: &Path, number: u64) -> PathBuf {
    folder.join(number.to_string())
}

// === impl Manifest ===

impl Manifest {
    fn read(folder: &Path) -> Result<Option<Self>, ApiError> {
        let file = folder.join(MANIFEST);
        if !file.is_file() {
            return Ok(None);
        }
        let text = fs::read(&file).map_err(|error| storage(&error.into()))?;
        let wrong = |error| ApiError::internal("index_format_exception", format!("{}: {error}", file.display()));
        serde_json::from_slice(&text).map(Some).map_err(wrong)
    }

    /// Replaces the file at once: after a crash there is the old one or the new one.
    fn write(&self, folder: &Path) -> Result<(), ApiError> {
        let fresh = folder.join(FRESH_MANIFEST);
        let written = serde_json::to_vec(self).map_err(std::io::Error::from).and_then(|text| {
            let mut file = File::create(&fresh)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&fresh, folder.join(MANIFEST))
        });
        written.map_err(|error| storage(&error.into()))
    }
}
