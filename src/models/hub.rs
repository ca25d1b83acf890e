//! Reads a model from the Hugging Face cache, and downloads it into that cache, in the layout that all tools share.
//!
//! A name that is in the cache is not looked up again: a model changes when the operator says so, not at a restart. Which of a
//! repository's weights a name means is never told from what of it is in the cache: what the hub listed is recorded there.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use reqwest::{
    StatusCode,
    blocking::{Client, Response},
};
use rerank_plugin::{Folder, LoadError, Progress, is_gguf};
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[cfg(test)]
mod tests;

use super::{
    downloads::Downloads,
    gguf::{NotChosen, choose, sure},
    hexadecimal,
    source::is_plain,
};
use crate::config::Environment;

/// How long a connect, and how long the next bytes of an answer may take.
const CONNECT: Duration = Duration::from_secs(3);
const STALL: Duration = Duration::from_secs(30);

/// The largest listing, JSON file and file of weights that are taken.
const MAX_LISTING: u64 = 16 << 20;
const MAX_JSON: u64 = 64 << 20;
const MAX_WEIGHTS: u64 = 64 << 30;

/// A model's name on the hub, checked: it can be part of a path and of an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    repository: String,
    revision: String,
    /// What the GGUF file's name ends with, where one is asked for.
    gguf: Option<String>,
}

/// The hub and its cache on this machine.
pub(super) struct Hub<'a> {
    cache: Cache,
    endpoint: &'a str,
    token: Option<&'a str>,
}

/// Why the hub gave no model.
#[derive(Debug, thiserror::Error)]
pub(super) enum HubError {
    #[error("{url} cannot be fetched")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} answers {status}: {advice}")]
    Status { url: String, status: StatusCode, advice: &'static str },
    #[error("{url} broke off")]
    Broken {
        url: String,
        #[source]
        source: io::Error,
    },
    #[error("the listing at {url} is malformed")]
    Listing {
        url: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the listing names the commit {0:?}, which is not a hash")]
    Commit(String),
    #[error("the listing names {0:?}, which is not a plain file name")]
    FileName(String),
    #[error("the repository is not whole: {0}")]
    Lacks(String),
    #[error(transparent)]
    NotChosen(#[from] NotChosen),
    #[error("{name} is larger than {limit} bytes")]
    Size { name: String, limit: u64 },
    #[error("{name} arrived otherwise than the listing says: {what}")]
    Differs { name: String, what: &'static str },
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the download was given up")]
    GivenUp,
    #[error(transparent)]
    Folder(#[from] LoadError),
}

/// What the hub says of a revision.
#[derive(Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Large>,
}

#[derive(Deserialize)]
struct Large {
    sha256: String,
}

// === impl Name ===

impl Name {
    /// Returns the name, or why it is none.
    pub(super) fn parse(written: &str, revision: &str) -> Result<Self, String> {
        let allowed = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        let plain = |text: &str| is_plain(text) && allowed(text) && !text.contains("..");
        let (repository, gguf) = written.split_once(':').map_or((written, None), |(repository, gguf)| (repository, Some(gguf)));
        let (Some((owner, name)), true) = (repository.split_once('/'), plain(repository)) else {
            return Err(format!("{written:?} is not owner/name"));
        };
        if gguf.is_some_and(|gguf| !plain(gguf) || gguf.contains('/')) {
            return Err(format!("{written:?} is not owner/name:quantisation"));
        }
        if name.contains('/') || [owner, name].iter().any(|part| part.contains("--") || part.starts_with('.')) {
            return Err(format!("{written:?} is not owner/name"));
        }
        if !plain(revision) {
            return Err(format!("revision {revision:?} is not a branch, tag or commit"));
        }
        Ok(Self { repository: repository.to_owned(), revision: revision.to_owned(), gguf: gguf.map(str::to_owned) })
    }
}

// === impl Hub ===

impl<'a> Hub<'a> {
    /// Returns the hub that the environment names.
    pub(super) fn of(environment: &'a Environment) -> Self {
        let cache = Cache::new(environment.hub_cache.clone());
        Self { cache, endpoint: environment.hub_endpoint.trim_end_matches('/'), token: environment.hub_token.as_deref() }
    }

    /// Returns the model when the cache holds what runs it, or else what it lacks.
    pub(super) fn cached(&self, name: &Name) -> Result<Folder, String> {
        let repository = self.repository(name);
        // The empty name is the folder itself.
        let snapshot = repository.get("").or_else(|| is_hash(&name.revision).then(|| repository.pointer_path(&name.revision)));
        let folder = snapshot.and_then(|path| Folder::open(path.components().collect::<PathBuf>()).ok());
        let folder = folder.filter(|folder| folder.has("config.json") || folder.ggufs().is_ok_and(|names| !names.is_empty()));
        let folder = folder.ok_or_else(|| format!("{} is not in {}", name.repository, self.cache.path().display()))?;
        let held = recorded(folder.path());
        whole(folder, name, held.as_deref()).map_err(|(path, lack)| format!("{}: {lack}", path.display()))
    }

    /// Downloads the model into the cache. Its folder appears whole or not at all.
    pub(super) fn download(&self, name: &Name, progress: &dyn Progress, downloads: &Downloads) -> Result<Folder, HubError> {
        let client = client()?;
        let listing = self.listing(&client, name)?;
        let files = wanted(&listing, name)?;
        let snapshot = self.repository(name).pointer_path(&listing.sha);
        let home = snapshot.ancestors().nth(2).unwrap_or(&snapshot);
        fs::create_dir_all(home.join("snapshots")).map_err(write(home))?;
        let staging = downloads.begin(home).map_err(write(home))?;
        let held: Vec<String> = listing.siblings.iter().map(|file| &file.rfilename).filter(|file| is_held(file)).cloned().collect();
        if let [file] = *files
            && is_gguf(&file.rfilename)
            && fs::metadata(snapshot.join(&file.rfilename)).is_ok_and(|here| file.size.is_some_and(|size| size == here.len()))
        {
            record(&held, staging.path(), &snapshot).map_err(write(home))?;
            self.repository(name).create_ref(&listing.sha).map_err(write(home))?;
            return whole(Folder::open(snapshot)?, name, Some(&held)).map_err(|(_, lack)| HubError::Lacks(lack));
        }
        let fresh = staging.path().join("snapshot");
        progress.begin(&format!("downloading {}", name.repository), files.iter().map(|file| file.size).sum());
        for file in files {
            let url = format!("{}/{}/resolve/{}/{}", self.endpoint, name.repository, listing.sha, file.rfilename);
            fetch_file(self.get(&client, &url)?, file, &fresh.join(&file.rfilename), progress, downloads)?;
        }
        whole(Folder::open(&fresh)?, name, Some(&held)).map_err(|(_, lack)| HubError::Lacks(lack))?;
        settle(&fresh, &snapshot).map_err(write(&snapshot))?;
        record(&held, staging.path(), &snapshot).map_err(write(home))?;
        self.repository(name).create_ref(&listing.sha).map_err(write(home))?;
        whole(Folder::open(snapshot)?, name, Some(&held)).map_err(|(_, lack)| HubError::Lacks(lack))
    }

    fn repository(&self, name: &Name) -> CacheRepo {
        self.cache.repo(Repo::with_revision(name.repository.clone(), RepoType::Model, name.revision.clone()))
    }

    fn listing(&self, client: &Client, name: &Name) -> Result<Listing, HubError> {
        let revision = name.revision.replace('/', "%2F");
        let url = format!("{}/api/models/{}/revision/{revision}?blobs=true", self.endpoint, name.repository);
        let mut bytes = Vec::new();
        let read = self.get(client, &url)?.take(MAX_LISTING).read_to_end(&mut bytes);
        read.map_err(|source| HubError::Broken { url: url.clone(), source })?;
        let listing: Listing = serde_json::from_slice(&bytes).map_err(|source| HubError::Listing { url, source })?;
        if is_hash(&listing.sha) { Ok(listing) } else { Err(HubError::Commit(listing.sha)) }
    }

    /// Sends the token to the hub alone: the client drops it when a redirect leads to another host.
    fn get(&self, client: &Client, url: &str) -> Result<Response, HubError> {
        let mut request = client.get(url);
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        let unreachable = |source: reqwest::Error| HubError::Unreachable { url: url.to_owned(), source: source.without_url() };
        let response = request.send().map_err(unreachable)?;
        let advice = match response.status() {
            status if status.is_success() => return Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "the name is wrong, or the model is gated and HF_TOKEN does not open it",
            StatusCode::NOT_FOUND => "no such model or revision",
            _ => "try again later",
        };
        Err(HubError::Status { url: url.to_owned(), status: response.status(), advice })
    }
}

fn client() -> Result<Client, HubError> {
    // Refused when another part of the process was first; either way there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().user_agent(concat!("podium/", env!("CARGO_PKG_VERSION"))).connect_timeout(CONNECT).timeout(STALL);
    client.build().map_err(|source| HubError::Unreachable { url: "the hub".into(), source })
}

fn is_hash(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the folder, its GGUF file chosen where one is meant, when it holds what runs the model; else where that is and what is
/// lacking. `held` is what the repository has of weights, where that is known: the folder may have less.
fn whole(folder: Folder, asked: &Name, held: Option<&[String]>) -> Result<Folder, (PathBuf, String)> {
    let path = folder.path().to_owned();
    let lacking = |lack: String| (path.clone(), lack);
    if asked.gguf.is_some() || !has_safetensors(&folder) {
        let chosen = match held {
            Some(held) => meant(held.iter(), asked),
            None => match folder.ggufs().map_err(|error| lacking(error.to_string()))? {
                names if names.is_empty() && asked.gguf.is_none() => Ok(None),
                names => sure(names, asked.gguf.as_deref()).map(Some),
            },
        };
        if let Some(chosen) = chosen.map_err(|error| lacking(error.to_string()))? {
            return folder.choose(&chosen).map_err(|_| lacking(format!("{chosen} is missing")));
        }
    }
    let missing = ["config.json", "tokenizer.json"].into_iter().find(|name| !folder.has(name));
    match missing.or_else(|| folder.weights().is_err().then_some("model.safetensors")) {
        Some(file) => Err(lacking(format!("{file} is missing"))),
        None => Ok(folder),
    }
}

/// Returns the GGUF file that is meant among a repository's files; none where its safetensors are.
fn meant<'a>(names: impl Iterator<Item = &'a String> + Clone, asked: &Name) -> Result<Option<String>, NotChosen> {
    let ggufs: Vec<String> = names.clone().filter(|name| is_gguf(name) && is_held(name)).cloned().collect();
    let safetensors = names.into_iter().any(|name| is_weights(name));
    if asked.gguf.is_some() || (!safetensors && !ggufs.is_empty()) { choose(ggufs, asked.gguf.as_deref()).map(Some) } else { Ok(None) }
}

/// Returns whether a file is one that a name may mean: weights at the top of the repository.
fn is_held(name: &str) -> bool {
    is_plain(name) && !name.contains('/') && (is_gguf(name) || is_weights(name))
}

/// Where it is recorded what the repository has: beside the snapshots, where no other tool looks for files.
fn record_of(snapshot: &Path) -> Option<PathBuf> {
    Some(snapshot.parent()?.parent()?.join(".podium").join(snapshot.file_name()?))
}

fn recorded(snapshot: &Path) -> Option<Vec<String>> {
    serde_json::from_slice(&fs::read(record_of(snapshot)?).ok()?).ok()
}

/// Records whole or not at all, by way of `staging`.
fn record(held: &[String], staging: &Path, snapshot: &Path) -> io::Result<()> {
    let Some(record) = record_of(snapshot) else { return Ok(()) };
    let fresh = staging.join("record");
    fs::write(&fresh, serde_json::to_vec(held)?)?;
    fs::create_dir_all(record.parent().unwrap_or(&record))?;
    fs::rename(fresh, record)
}

fn has_safetensors(folder: &Folder) -> bool {
    folder.has("model.safetensors") || folder.has("model.safetensors.index.json")
}

/// Returns the files to fetch: the model's own JSON and safetensors, and the `config.json` of its modules; or one GGUF file, which
/// is all of a model, where one is asked for or nothing else is there.
fn wanted<'a>(listing: &'a Listing, asked: &Name) -> Result<Vec<&'a Sibling>, HubError> {
    if let Some(chosen) = meant(listing.siblings.iter().map(|file| &file.rfilename), asked)? {
        return Ok(listing.siblings.iter().filter(|file| file.rfilename == chosen).take(1).collect());
    }
    let is_wanted = |name: &str| match name.split_once('/') {
        None => name.ends_with(".json") || is_weights(name),
        Some((module, file)) => module.starts_with(|letter: char| letter.is_ascii_digit()) && file == "config.json",
    };
    let files: Vec<&Sibling> = listing.siblings.iter().filter(|file| is_wanted(&file.rfilename)).collect();
    match files.iter().find(|file| !is_plain(&file.rfilename)) {
        Some(file) => Err(HubError::FileName(file.rfilename.clone())),
        None => Ok(files),
    }
}

fn is_weights(name: &str) -> bool {
    name.starts_with("model") && name.ends_with(".safetensors") && !name.contains('/')
}

/// Returns whether a file holds weights of either form, by its name.
fn is_large(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "safetensors" || extension.eq_ignore_ascii_case("gguf"))
}

/// Writes one file and checks it against the listing.
fn fetch_file(mut response: Response, file: &Sibling, to: &Path, progress: &dyn Progress, downloads: &Downloads) -> Result<(), HubError> {
    let limit = if is_large(to) { MAX_WEIGHTS } else { MAX_JSON };
    fs::create_dir_all(to.parent().unwrap_or(to)).map_err(write(to))?;
    let mut out = File::create_new(to).map_err(write(to))?;
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let got = response.read(&mut buffer).map_err(|source| HubError::Broken { url: response.url().path().to_owned(), source })?;
        if got == 0 {
            break;
        }
        if downloads.are_given_up() {
            return Err(HubError::GivenUp);
        }
        size += got as u64;
        if size > limit {
            return Err(HubError::Size { name: file.rfilename.clone(), limit });
        }
        hash.update(&buffer[..got]);
        out.write_all(&buffer[..got]).map_err(write(to))?;
        progress.advance(got as u64);
    }
    let found = hexadecimal(&hash.finalize());
    let differs = |what| Err(HubError::Differs { name: file.rfilename.clone(), what });
    match &file.lfs {
        _ if file.size.is_some_and(|expected| expected != size) => differs("size"),
        Some(large) if large.sha256 != found => differs("sha256"),
        _ => Ok(()),
    }
}

/// Puts a whole download in its place, or completes what another tool left there with the weights last.
fn settle(fresh: &Path, snapshot: &Path) -> io::Result<()> {
    if fs::rename(fresh, snapshot).is_ok() {
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(fresh)? {
        names.push(entry?.file_name());
    }
    names.sort_by_key(|name| is_large(Path::new(name)));
    for name in names {
        let (from, to) = (fresh.join(&name), snapshot.join(&name));
        match from.is_dir() && to.is_dir() {
            true => settle(&from, &to)?,
            false => fs::rename(from, to)?,
        }
    }
    Ok(())
}

fn write(path: &Path) -> impl Fn(io::Error) -> HubError + use<> {
    let path = path.to_owned();
    move |source| HubError::Write { path: path.clone(), source }
}
