//! All indices by name: makes, finds, deletes and opens them again.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use wildmatch::WildMatch;

use super::{
    StartError,
    error::{ApiError, Cause},
    index::{Index, sweep_remnant},
    mapping::Mapping,
    names,
    parameters::Parameters,
    settings::Settings,
};

/// Each index has a writer with threads and memory of its own.
const MOST_INDICES: usize = 200;
/// Held by the engine that uses a folder.
const LOCK: &str = "engine.lock";

/// The indices of one folder.
pub(super) struct Catalog {
    folder: PathBuf,
    /// Names the node and the cluster in answers.
    pub(super) uuid: String,
    indices: RwLock<BTreeMap<String, Arc<Index>>>,
    changing: Mutex<Changing>,
    lock: File,
}

/// What only the one who makes or deletes an index touches.
#[derive(Debug, Default)]
struct Changing {
    /// The engine has stopped: the files are another's.
    closed: bool,
}

/// What an index expression may leave out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lenience {
    pub(super) ignore_unavailable: bool,
    pub(super) allow_no_indices: bool,
}

// === impl Lenience ===

impl Lenience {
    /// The parameters that say it.
    pub(super) const PARAMETERS: [&'static str; 3] = ["ignore_unavailable", "allow_no_indices", "expand_wildcards"];

    /// Reads it from a URL.
    pub(super) fn read(parameters: &Parameters) -> Result<Self, ApiError> {
        if let Some(states) = parameters.get("expand_wildcards")
            && !states.split(',').any(|state| ["open", "all"].contains(&state))
        {
            return Err(ApiError::unsupported(format!("[expand_wildcards] of [{states}]")));
        }
        Ok(Self {
            ignore_unavailable: parameters.flag("ignore_unavailable")?.unwrap_or(false),
            allow_no_indices: parameters.flag("allow_no_indices")?.unwrap_or(true),
        })
    }
}

// === impl Catalog ===

impl Catalog {
    /// Opens the indices of `folder`, which is made when it is missing.
    pub(super) fn open(folder: &Path) -> Result<Self, StartError> {
        let unusable = |source| StartError::Folder { folder: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(unusable)?;
        let lock = File::create(folder.join(LOCK)).map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StartError::InUse(folder.to_owned()),
            TryLockError::Error(source) => unusable(source),
        })?;
        let mut indices = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(unusable)? {
            let path = entry.map_err(unusable)?.path();
            match Index::open(path.clone()) {
                Ok(Some(index)) => {
                    indices.insert(index.name.clone(), Arc::new(index));
                }
                Ok(None) => sweep_remnant(&path),
                Err(source) => return Err(StartError::Index { folder: path, source }),
            }
        }
        let (indices, changing) = (RwLock::new(indices), Mutex::default());
        Ok(Self { folder: folder.to_owned(), uuid: names::random(names::UUID), indices, changing, lock })
    }

    /// Returns all indices, by name.
    pub(super) fn all(&self) -> Vec<Arc<Index>> {
        self.indices.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Returns the index of this name, for one of its documents.
    pub(super) fn get(&self, name: &str) -> Result<Arc<Index>, ApiError> {
        self.find(name).ok_or_else(|| missing(name, "index_expression"))
    }

    fn find(&self, name: &str) -> Option<Arc<Index>> {
        self.indices.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Makes an index.
    pub(super) fn create(&self, name: &str, settings: Settings, mapping: Mapping) -> Result<Arc<Index>, ApiError> {
        names::check(name)?;
        let _changing = self.change()?;
        if let Some(index) = self.find(name) {
            let uuid = index.uuid.as_str();
            let cause = Cause::new("resource_already_exists_exception", format!("index [{name}/{uuid}] already exists"));
            return Err(ApiError::new(400, cause.with("index", name).with("index_uuid", uuid)));
        }
        let open = self.all().len();
        if open >= MOST_INDICES {
            let reason = format!(
                "Validation Failed: 1: this action would add [1] shards, but this cluster currently has [{open}]/[{MOST_INDICES}] maximum \
                 shards open;"
            );
            return Err(ApiError::new(400, Cause::new("validation_exception", reason)));
        }
        let index = Arc::new(Index::create(self.folder.join(names::random(names::UUID)), name, settings, mapping)?);
        self.indices.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Arc::clone(&index));
        Ok(index)
    }

    /// Returns the index of this name, made with the defaults where there is none.
    pub(super) fn get_or_create(&self, name: &str) -> Result<Arc<Index>, ApiError> {
        loop {
            if let Some(index) = self.find(name) {
                return Ok(index);
            }
            match self.create(name, Settings::default(), Mapping::default()) {
                Err(error) if error.cause().kind() == "resource_already_exists_exception" => {} // somebody was faster
                made => return made,
            }
        }
    }

    /// Deletes the indices that an expression names: all that can be, even when one cannot.
    pub(super) fn delete(&self, expression: &str, lenience: Lenience) -> Result<(), ApiError> {
        let _changing = self.change()?;
        let mut outcome = Ok(());
        for index in self.resolve(expression, lenience)? {
            match index.delete() {
                Ok(()) => {
                    self.indices.write().unwrap_or_else(PoisonError::into_inner).remove(&index.name);
                }
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// Waits until nobody else makes or deletes an index.
    fn change(&self) -> Result<MutexGuard<'_, Changing>, ApiError> {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if changing.closed { Err(stopped()) } else { Ok(changing) }
    }

    /// Returns the indices that an expression names: names, patterns with `*`, `-` before what is left out, `_all`.
    /// Empty, it names them all; one that only has empty parts is a slip of the pen.
    pub(super) fn resolve(&self, expression: &str, lenience: Lenience) -> Result<Vec<Arc<Index>>, ApiError> {
        let indices = self.indices.read().unwrap_or_else(PoisonError::into_inner);
        let mut chosen: BTreeMap<&str, &Arc<Index>> = BTreeMap::new();
        let mut has_pattern = false;
        let expression = if expression.is_empty() { "_all" } else { expression };
        if expression.split(',').all(str::is_empty) {
            let reason = "Validation Failed: 1: index / indices is missing;";
            return Err(ApiError::new(400, Cause::new("action_request_validation_exception", reason)));
        }
        for part in expression.split(',') {
            let (excluded, part) = match part.strip_prefix('-') {
                Some(rest) if has_pattern => (true, rest),
                _ => (false, part),
            };
            if part.is_empty() {
                continue;
            }
            if part == "_all" || part.contains('*') {
                has_pattern = true;
                let pattern = WildMatch::new(if part == "_all" { "*" } else { part });
                let matching = indices.iter().filter(|(name, _)| pattern.matches(name));
                let before = chosen.len();
                for (name, index) in matching {
                    if excluded {
                        chosen.remove(name.as_str());
                    } else {
                        chosen.insert(name, index);
                    }
                }
                if !excluded && chosen.len() == before && !lenience.allow_no_indices && part.contains('*') {
                    return Err(not_found(part));
                }
            } else if excluded {
                chosen.remove(part);
            } else if let Some((name, index)) = indices.get_key_value(part) {
                chosen.insert(name, index);
            } else if !lenience.ignore_unavailable {
                return Err(if part.starts_with('_') { invalid(part) } else { not_found(part) });
            }
        }
        if chosen.is_empty() && !lenience.allow_no_indices {
            return Err(not_found(expression));
        }
        Ok(chosen.into_values().cloned().collect())
    }

    /// Makes all that has been written visible.
    pub(super) fn refresh_all(&self) {
        self.all().iter().for_each(|index| index.refresh());
    }

    /// Waits for the writes that run, ends the writers, and lets nothing be written any more.
    pub(super) fn close(&self) {
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut changing.closed, true) {
            return; // the lock may be another's already
        }
        self.all().iter().for_each(|index| index.close());
        // At once: what still holds the catalog does nothing with it any more.
        if let Err(error) = self.lock.unlock() {
            tracing::debug!(%error, "the folder stays locked until the process ends");
        }
    }
}

/// Returns the engines' error for an index that does not exist.
pub(super) fn not_found(name: &str) -> ApiError {
    missing(name, "index_or_alias")
}

/// Returns the engines' error for a change that comes after the end.
pub(super) fn stopped() -> ApiError {
    ApiError::new(503, Cause::new("node_closed_exception", "the engine has stopped"))
}

fn missing(name: &str, asked_as: &str) -> ApiError {
    let cause = Cause::new("index_not_found_exception", format!("no such index [{name}]"));
    let cause = cause.with("index", name).with("resource.id", name).with("resource.type", asked_as);
    ApiError::new(404, cause.with("index_uuid", "_na_"))
}

fn invalid(name: &str) -> ApiError {
    let cause = Cause::new("invalid_index_name_exception", format!("Invalid index name [{name}], must not start with '_'."));
    ApiError::new(400, cause.with("index", name).with("index_uuid", "_na_"))
}
