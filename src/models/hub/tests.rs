//! Downloads from a hub of one thread, good and bad.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rerank_plugin::{Folder, Progress, Silent};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Hub, HubError, Name};
use crate::{config::Environment, models::Downloads};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const LISTING: &str = "/api/models/owner/name/revision/main?blobs=true";

/// What the server answers at one path; with more announced than sent, the answer breaks off.
#[derive(Clone)]
struct Answer {
    head: String,
    body: Vec<u8>,
}

/// Path and `Authorization` of each request that came.
type Seen = Arc<Mutex<Vec<(String, Option<String>)>>>;

struct Server {
    address: String,
    seen: Seen,
}

impl Answer {
    fn ok(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { head: format!("200 OK\r\ncontent-length: {}", body.len()), body }
    }

    fn cut(body: impl Into<Vec<u8>>) -> Self {
        Self { head: "200 OK\r\ncontent-length: 100000".into(), body: body.into() }
    }

    fn status(line: &str) -> Self {
        Self { head: format!("{line}\r\ncontent-length: 0"), body: Vec::new() }
    }

    fn redirect(to: &str) -> Self {
        Self::status(&format!("302 Found\r\nlocation: {to}"))
    }
}

impl Server {
    fn start(answers: HashMap<String, Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Seen::default();
        let server = Self { address, seen: seen.clone() };
        thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap(), &answers, &seen)));
        server
    }

    fn paths(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }
}

fn answer(mut stream: TcpStream, answers: &HashMap<String, Answer>, seen: &Seen) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let path = request.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let token = request.iter().find_map(|line| line.to_lowercase().starts_with("authorization:").then(|| line[15..].to_owned()));
    let missing = Answer::status("404 Not Found");
    let Answer { head, body } = answers.get(&path).unwrap_or(&missing);
    seen.lock().unwrap().push((path, token));
    let _ = stream.write_all(&[format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").as_bytes(), body].concat());
}

fn listing(names: &[&str]) -> Value {
    let siblings: Vec<Value> = names.iter().map(|name| json!({ "rfilename": name })).collect();
    json!({ "sha": COMMIT, "siblings": siblings })
}

/// A repository of small files whose content is their name.
fn repository(names: &[&str]) -> HashMap<String, Answer> {
    let file = |name: &&str| (format!("/owner/name/resolve/{COMMIT}/{name}"), Answer::ok(*name));
    let mut answers: HashMap<String, Answer> = names.iter().map(file).collect();
    answers.insert(LISTING.into(), Answer::ok(listing(names).to_string()));
    answers
}

const FILES: [&str; 7] =
    ["config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json", "README.md", "pytorch_model.bin", "onnx/model.onnx"];

fn environment(cache: &Path, server: &Server) -> Environment {
    Environment {
        hub_cache: cache.to_owned(),
        hub_endpoint: server.address.clone(),
        hub_token: Some("secret".into()),
        ..Environment::default()
    }
}

fn download(cache: &TempDir, server: &Server) -> Result<std::path::PathBuf, HubError> {
    named("owner/name", cache, server).map(|folder| folder.path().to_owned())
}

fn named(name: &str, cache: &TempDir, server: &Server) -> Result<Folder, HubError> {
    let environment = environment(cache.path(), server);
    Hub::of(&environment).download(&Name::parse(name, "main").unwrap(), &Silent, &Downloads::default())
}

/// Gives all downloads up at the first byte.
struct GiveUp(Downloads);

impl Progress for GiveUp {
    fn begin(&self, _what: &str, _total: Option<u64>) {}

    fn advance(&self, _bytes: u64) {
        let downloads = self.0.clone();
        thread::spawn(move || downloads.give_up());
        while !self.0.are_given_up() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn cached(cache: &TempDir) -> Result<std::path::PathBuf, String> {
    let environment = Environment { hub_cache: cache.path().to_owned(), ..Environment::default() };
    Hub::of(&environment).cached(&Name::parse("owner/name", "main").unwrap()).map(|folder| folder.path().to_owned())
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path.display().to_string()) }
    }
    found
}

#[test]
fn a_download_fills_the_cache_that_all_tools_share() {
    let (cache, server) = (tempfile::tempdir().unwrap(), Server::start(repository(&FILES)));
    let folder = download(&cache, &server).unwrap();
    assert_eq!(folder, cache.path().join("models--owner--name/snapshots").join(COMMIT));
    assert_eq!(std::fs::read_to_string(cache.path().join("models--owner--name/refs/main")).unwrap(), COMMIT);
    for name in &FILES[..4] {
        assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), *name);
    }
    assert_eq!(files(&folder).len(), 4, "only JSON and safetensors are fetched");
    assert_eq!(cached(&cache), Ok(folder));
    assert!(server.seen.lock().unwrap().iter().all(|(_, token)| token.as_deref().map(str::trim) == Some("Bearer secret")));
}

#[test]
fn what_another_tool_left_unfinished_is_completed() {
    let (cache, server) = (tempfile::tempdir().unwrap(), Server::start(repository(&FILES)));
    let snapshot = cache.path().join("models--owner--name/snapshots").join(COMMIT);
    std::fs::create_dir_all(snapshot.join("1_Pooling")).unwrap();
    std::fs::write(snapshot.join("config.json"), "config.json").unwrap();
    assert!(cached(&cache).is_err());
    assert_eq!(download(&cache, &server).unwrap(), snapshot);
    assert_eq!(files(&snapshot).len(), 4);
}

#[test]
fn refusals_say_what_would_help() {
    for (line, advice) in [("401 Unauthorized", "HF_TOKEN"), ("403 Forbidden", "HF_TOKEN"), ("404 Not Found", "no such model")] {
        let (cache, server) = (tempfile::tempdir().unwrap(), Server::start(HashMap::from([(LISTING.into(), Answer::status(line))])));
        let error = download(&cache, &server).unwrap_err().to_string();
        assert!(error.contains(advice) && error.contains(&line[..3]) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn the_token_does_not_follow_a_redirect_to_another_host() {
    let store = Server::start(HashMap::from([("/blob".to_owned(), Answer::ok("weights"))]));
    let mut answers = repository(&FILES);
    answers.insert(format!("/owner/name/resolve/{COMMIT}/model.safetensors"), Answer::redirect(&format!("{}/blob", store.address)));
    let (cache, server) = (tempfile::tempdir().unwrap(), Server::start(answers));
    let folder = download(&cache, &server).unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("model.safetensors")).unwrap(), "weights");
    assert_eq!(*store.seen.lock().unwrap(), [("/blob".to_owned(), None)]);
}

#[test]
fn a_download_that_breaks_off_or_differs_leaves_nothing() {
    let weights = format!("/owner/name/resolve/{COMMIT}/model.safetensors");
    let mut long = listing(&FILES);
    long["siblings"][2]["size"] = json!(18);
    let mut other = listing(&FILES);
    other["siblings"][2]["lfs"] = json!({ "sha256": "00" });
    let bad = [
        (weights, Answer::cut("model")),
        (LISTING.into(), Answer::ok(long.to_string())),
        (LISTING.into(), Answer::ok(other.to_string())),
        (LISTING.into(), Answer::ok(listing(&FILES[1..]).to_string())),
        (LISTING.into(), Answer::ok("{")),
        (LISTING.into(), Answer::ok(listing(&FILES).to_string().replace(COMMIT, "../../etc"))),
    ];
    for (path, answer) in bad {
        let mut answers = repository(&FILES);
        answers.insert(path, answer);
        let (cache, server) = (tempfile::tempdir().unwrap(), Server::start(answers));
        let error = download(&cache, &server).unwrap_err();
        assert_eq!(files(cache.path()), [""; 0], "{error}");
        assert!(cached(&cache).is_err());
    }
}

#[test]
fn names_that_leave_the_folder_are_refused_before_anything_is_fetched() {
    for name in ["1/../config.json", "..\\config.json", "1_x/../../config.json", "/config.json"] {
        let (cache, server) = (tempfile::tempdir().unwrap(), Server::start(repository(&[name])));
        assert!(download(&cache, &server).is_err(), "{name}");
        assert_eq!(server.paths(), [LISTING], "{name}");
    }
}

#[test]
fn a_hub_that_is_not_there_is_named() {
    let (cache, server) = (tempfile::tempdir().unwrap(), Server { address: "http://127.0.0.1:1".into(), seen: Seen::default() });
    assert!(matches!(download(&cache, &server), Err(HubError::Unreachable { url, .. }) if url.starts_with("http://127.0.0.1:1/")));
}

#[test]
fn names_are_owner_and_name() {
    assert!(Name::parse("sentence-transformers/all-MiniLM-L6-v2", "refs/pr/3").is_ok());
    assert!(Name::parse("owner/name:Q4_K_M", "main").is_ok());
    for (name, revision) in [
        ("minilm", "main"),
        ("a/b/c", "main"),
        ("../etc", "main"),
        ("a/..", "main"),
        ("a/b--c", "main"),
        ("a/b:", "main"),
        ("a/b:../x", "main"),
        ("a/b:c/d", "main"),
        ("a/b:c:d", "main"),
        ("a/b?x", "main"),
        ("a/b", "../x"),
        ("a/b", ""),
        ("a/b", "/x"),
    ] {
        assert!(Name::parse(name, revision).is_err(), "{name} {revision}");
    }
}

#[test]
fn a_download_that_is_given_up_leaves_nothing() {
    let (cache, server) = (tempfile::tempdir().unwrap(), Server::start(repository(&FILES)));
    let environment = environment(cache.path(), &server);
    let downloads = Downloads::default();
    let name = Name::parse("owner/name", "main").unwrap();
    let ended = Hub::of(&environment).download(&name, &GiveUp(downloads.clone()), &downloads);
    assert!(matches!(ended, Err(HubError::GivenUp)), "{ended:?}");
    assert_eq!(files(cache.path()), [""; 0]);
}

const GGUFS: [&str; 6] = ["config.json", "README.md", "m-Q8_0.gguf", "m-Q4_K_M.gguf", "old/m-Q5_0.gguf", "m-BF16-00001-of-00002.gguf"];

#[test]
fn of_several_gguf_files_only_the_one_that_is_asked_for_is_fetched() {
    let (cache, server) = (tempfile::tempdir().unwrap(), Server::start(repository(&GGUFS)));
    let snapshot = cache.path().join("models--owner--name/snapshots").join(COMMIT);
    let folder = named("owner/name:q8_0", &cache, &server).unwrap();
    assert_eq!(folder.gguf().unwrap(), Some(snapshot.join("m-Q8_0.gguf")));
    assert_eq!(files(&snapshot).len(), 1);
    let offline = |name: &str| {
        let environment = Environment { hub_cache: cache.path().to_owned(), ..Environment::default() };
        Hub::of(&environment).cached(&Name::parse(name, "main").unwrap())
    };
    assert_eq!(offline("owner/name:Q8_0").unwrap().gguf().unwrap(), folder.gguf().unwrap());
    let lacks = offline("owner/name:Q4_K_M").unwrap_err();
    assert!(lacks.ends_with(": m-Q4_K_M.gguf is missing"), "{lacks}");
    let other = named("owner/name:Q4_K_M", &cache, &server).unwrap();
    assert_eq!(other.gguf().unwrap(), Some(snapshot.join("m-Q4_K_M.gguf")));
    assert_eq!((files(&snapshot).len(), offline("owner/name:Q8_0").is_ok()), (2, true), "both are kept");
    assert!(offline("owner/name").unwrap_err().contains("several GGUF files (m-BF16-00001-of-00002.gguf, m-Q4_K_M.gguf, m-Q8_0.gguf)"));
}

/// What a name finds in the cache and, when it is not there, on the hub: the files of weights, or why not.
fn found(name: &str, cache: &TempDir, server: &Server) -> String {
    let environment = environment(cache.path(), server);
    let hub = Hub::of(&environment);
    let name = Name::parse(name, "main").unwrap();
    let folder = hub.cached(&name).or_else(|_| hub.download(&name, &Silent, &Downloads::default()).map_err(|error| error.to_string()));
    let chosen = |found: Folder| found.gguf().unwrap().map_or("model.safetensors".into(), |path| path.file_name().unwrap().to_owned());
    folder.map_or_else(|error| error, |folder| chosen(folder).into_string().unwrap())
}

#[test]
fn which_weights_a_name_means_does_not_depend_on_what_is_cached() {
    let both = [&FILES[..], &["m-Q8_0.gguf"]].concat();
    let several = ["m-Q8_0.gguf", "n-Q8_0.gguf"];
    let wide = ["Q8_0.gguf", "m-Q8_0.gguf", "m-Q4_0.gguf"];
    for (names, first, then) in [
        (&both[..], "owner/name:Q8_0", "owner/name"),
        (&both[..], "owner/name", "owner/name:Q8_0"),
        (&several[..], "owner/name:m-Q8_0", "owner/name"),
        (&several[..], "owner/name:m-Q8_0", "owner/name:Q8_0"),
        (&wide[..], "owner/name:m-Q8_0", "owner/name:Q8_0"),
    ] {
        let server = Server::start(repository(names));
        let (fresh, used) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let expected = found(then, &fresh, &server);
        found(first, &used, &server);
        assert_eq!(found(then, &used, &server), expected, "{then} after {first} of {names:?}");
    }
}

#[test]
fn a_cache_that_another_tool_filled_is_taken_for_a_name_in_full_and_else_the_hub_is_asked() {
    let mut listed = listing(&["m-Q8_0.gguf"]);
    listed["siblings"][0]["size"] = json!(11);
    let mut answers = repository(&["m-Q8_0.gguf"]);
    answers.insert(LISTING.into(), Answer::ok(listed.to_string()));
    let (cache, server) = (tempfile::tempdir().unwrap(), Server::start(answers));
    let home = cache.path().join("models--owner--name");
    for (folder, file, text) in [("refs", "main", COMMIT), (&*format!("snapshots/{COMMIT}"), "m-Q8_0.gguf", "m-Q8_0.gguf")] {
        std::fs::create_dir_all(home.join(folder)).unwrap();
        std::fs::write(home.join(folder).join(file), text).unwrap();
    }
    let offline = |name: &str| {
        let environment = Environment { hub_cache: cache.path().to_owned(), ..Environment::default() };
        Hub::of(&environment).cached(&Name::parse(name, "main").unwrap()).map(|_| ())
    };
    for name in ["owner/name", "owner/name:Q8_0"] {
        let told = offline(name).unwrap_err();
        assert!(told.ends_with("is not known here: write owner/name:m-Q8_0 for this file"), "{told}");
    }
    assert_eq!(offline("owner/name:m-q8_0"), Ok(()));
    assert_eq!(found("owner/name", &cache, &server), "m-Q8_0.gguf");
    assert_eq!(server.paths(), [LISTING], "what is there is not fetched again");
    assert_eq!((offline("owner/name"), offline("owner/name:Q8_0")), (Ok(()), Ok(())), "the hub's word is recorded");
}

#[test]
fn gguf_files_that_cannot_be_told_apart_are_listed() {
    let told = |name: &str, names: &[&str]| {
        let (cache, server) = (tempfile::tempdir().unwrap(), Server::start(repository(names)));
        let error = named(name, &cache, &server).unwrap_err().to_string();
        assert_eq!(server.paths(), [LISTING], "nothing is fetched: {error}");
        error
    };
    let several = "there are several GGUF files (m-BF16-00001-of-00002.gguf, m-Q4_K_M.gguf, m-Q8_0.gguf): write which one";
    assert!(told("owner/name", &GGUFS).starts_with(several));
    assert!(told("owner/name:Q5_0", &GGUFS).starts_with("no GGUF file ends with Q5_0 (there are: m-BF16-00001"));
    assert!(told("owner/name:00002", &GGUFS).contains("one part of a split GGUF file"));
    assert!(told("owner/name:Q8_0", &FILES).contains("there is no GGUF file"));
}

#[test]
fn a_repository_of_one_gguf_file_needs_no_more() {
    let (cache, server) = (tempfile::tempdir().unwrap(), Server::start(repository(&["config.json", "m-Q8_0.gguf"])));
    let folder = named("owner/name", &cache, &server).unwrap();
    assert_eq!(folder.gguf().unwrap().unwrap().file_name().unwrap(), "m-Q8_0.gguf");
    assert_eq!(files(folder.path()).len(), 1);
    assert!(cached(&cache).is_ok());
}

#[test]
fn safetensors_come_before_a_gguf_file_that_is_not_asked_for() {
    let (cache, server) = (tempfile::tempdir().unwrap(), Server::start(repository(&[&FILES[..], &["m-Q8_0.gguf"]].concat())));
    let folder = named("owner/name", &cache, &server).unwrap();
    assert_eq!((folder.gguf().unwrap(), files(folder.path()).len()), (None, 4));
    assert!(named("owner/name:Q8_0", &cache, &server).unwrap().gguf().unwrap().is_some());
}
