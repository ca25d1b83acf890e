//! The dependency rules of ARCHITECTURE.md: who may depend on what, checked over `cargo metadata` and over the sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// Crates that speak HTTP or bring a runtime.
const SHELL: [&str; 9] = ["axum", "http", "http-body", "http-body-util", "hyper", "hyper-util", "reqwest", "tokio", "tower-http"];
/// The one plugin whose model is somewhere else.
const REMOTE_PLUGIN: &str = "rerank-remote";
const MODEL_LIBRARIES: [&str; 4] = ["candle-core", "candle-nn", "candle-transformers", "tokenizers"];
const SHARED_BY_PLUGINS: [&str; 2] = ["rerank-plugin", "rerank-candle"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn metadata() -> Metadata {
    // Only this platform's crates need to be on the machine, as for a build.
    let host = Command::new("rustc").args(["--print", "host-tuple"]).output().expect("rustc stands beside cargo").stdout;
    let host = String::from_utf8(host).expect("a name in ASCII").trim().to_owned();
    let options = ["--offline", "--locked", "--filter-platform", &host].map(str::to_owned);
    MetadataCommand::new().current_dir(root()).other_options(options).exec().expect("the workspace's metadata")
}

fn is_plugin(package: &Package) -> bool {
    package.manifest_path.starts_with(root().join("plugins"))
}

/// Returns the names that a package's own manifest asks for, those of its tests left out.
fn direct(package: &Package) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.name.as_str())
}

/// Returns the names of everything that is built into a package.
fn all<'a>(metadata: &'a Metadata, package: &'a PackageId) -> BTreeSet<&'a str> {
    let resolve = metadata.resolve.as_ref().expect("metadata with dependencies");
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut open = vec![package];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        let normal = nodes[id].deps.iter().filter(|next| next.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        open.extend(normal.map(|next| &next.pkg).filter(|next| seen.insert(*next)));
    }
    seen.into_iter().map(|id| metadata[id].name.as_str()).collect()
}

#[test]
fn plugins_depend_on_the_trait_and_on_what_candle_plugins_share_alone() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    for plugin in metadata.workspace_packages().into_iter().filter(|package| is_plugin(package)) {
        let others: Vec<&str> = direct(plugin).filter(|name| ours.contains(name) && !SHARED_BY_PLUGINS.contains(name)).collect();
        assert!(others.is_empty(), "{} depends on {others:?}", plugin.name);
    }
}

#[test]
fn plugins_know_no_http_and_no_runtime() {
    let metadata = metadata();
    for plugin in metadata.workspace_packages().into_iter().filter(|package| is_plugin(package) && package.name != REMOTE_PLUGIN) {
        let inside = all(&metadata, &plugin.id);
        let shell: Vec<&str> = SHELL.into_iter().filter(|name| inside.contains(name)).collect();
        assert!(shell.is_empty(), "{} is built with {shell:?}", plugin.name);
    }
}

#[test]
fn candle_and_tokenizers_stay_under_plugins_and_moka_in_the_root() {
    for package in metadata().workspace_packages() {
        let (forbidden, place): (&[&str], _) = if is_plugin(package) { (&["moka"], "a plugin") } else { (&MODEL_LIBRARIES, "no plugin") };
        let found: Vec<&str> = direct(package).filter(|name| forbidden.contains(name)).collect();
        assert!(found.is_empty(), "{}, {place}, depends on {found:?}", package.name);
    }
}

#[test]
fn every_package_is_where_its_kind_belongs() {
    let metadata = metadata();
    let plugins = metadata.workspace_packages().into_iter().filter(|package| is_plugin(package)).count();
    assert_eq!(plugins + 2, metadata.workspace_packages().len(), "the workspace is the root package, demo and plugins/*");
    assert!(plugins >= 3, "the rules above are about plugins, and {plugins} were found");
}

/// One line of code that does not belong to a test: (file, number, text).
struct Line {
    file: String,
    number: usize,
    text: String,
}

/// Returns the lines of code under some folder or in some file of the repository, without comments and unit tests.
fn code(below: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for file in rust_files(&root().join(below)) {
        let name = file.strip_prefix(root()).expect("a file of the repository").display().to_string();
        let text = fs::read_to_string(&file).expect("a file that was just found");
        let before_tests = text.lines().take_while(|line| !line.trim_start().starts_with("#[cfg(test)]"));
        let of_code = before_tests.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        lines.extend(of_code.map(|(index, line)| Line { file: name.clone(), number: index + 1, text: line.to_owned() }));
    }
    assert!(!lines.is_empty(), "{below} holds no code: the rule about it checks nothing");
    lines
}

/// Returns the Rust files at or below a path, except those of tests.
fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.file_stem().is_some_and(|name| name == "tests") {
        return Vec::new();
    }
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let inside = entries.map(|entry| entry.expect("an entry of a folder").path());
    let rust = inside.filter(|entry| entry.is_dir() || entry.extension().is_some_and(|extension| extension == "rs"));
    rust.flat_map(|entry| rust_files(&entry)).collect()
}

/// Fails with every line that says one of `words` outside the files that may.
fn assert_only_in(below: &[&str], words: &[&str], allowed: &[&str]) {
    let found: Vec<String> = below
        .iter()
        .flat_map(|below| code(below))
        .filter(|line| !allowed.iter().any(|allowed| line.file.starts_with(allowed)))
        .filter(|line| words.iter().any(|word| says(&line.text, word)))
        .map(|line| format!("{}:{}: {}", line.file, line.number, line.text.trim()))
        .collect();
    assert!(found.is_empty(), "{words:?} may stand in {allowed:?} alone:\n{}", found.join("\n"));
}

/// Whether a word stands in a line, not as a part of a longer name.
fn says(line: &str, word: &str) -> bool {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + word.len()..]);
        !before.ends_with(is_name) && !after.starts_with(is_name)
    })
}

#[test]
fn the_core_knows_no_http_and_no_runtime() {
    let words = ["http", "http_body", "http_body_util", "hyper", "hyper_util", "reqwest", "tokio", "tower", "tower_http"];
    assert_only_in(&["src/es", "src/rerank"], &words, &[]);
}

#[test]
fn nothing_but_the_start_sees_the_composition() {
    assert_only_in(&["src"], &["crate::app", "podium::app", "super::app"], &["src/app", "src/main.rs", "src/cli"]);
}

#[test]
fn the_environment_is_read_in_one_file() {
    assert_only_in(&["src", "plugins"], &["env::var", "env::vars", "env::var_os", "option_env!"], &["src/config/env.rs"]);
}

#[test]
fn answers_are_made_in_one_file() {
    assert_only_in(&["src"], &["Response::new", "Response::builder", "status_mut"], &["src/respond.rs"]);
}

#[test]
fn a_word_is_found_where_it_stands_alone() {
    assert!(says("use http::Request;", "http"), "a path");
    assert!(!says("use http_body::Body;", "http"), "a part of a longer name");
    assert!(!says("env::variables()", "env::var"), "a part of a longer name");
}

/// `--all-features` would need nvcc.
#[test]
fn lint_looks_at_every_feature_but_cuda() {
    const IMPLIED: [&str; 4] = ["default", "demo", "fake-models", "cuda"];
    let metadata = metadata();
    let features = metadata.root_package().expect("the root").features.keys();
    let wanted: BTreeSet<&str> = features.map(String::as_str).filter(|feature| !IMPLIED.contains(feature)).collect();
    for file in [".ci/run", "justfile"] {
        let text = fs::read_to_string(root().join(file)).expect("the file");
        let line = text.lines().find(|line| line.contains("clippy") && line.contains("--workspace")).expect("the line");
        let listed = line.split_once("--features ").and_then(|(_, rest)| rest.split(' ').next()).expect("a list");
        // Those with a `/` are a plugin's, for its tests on a device.
        assert_eq!(listed.split(',').filter(|feature| !feature.contains('/')).collect::<BTreeSet<_>>(), wanted, "{file}");
    }
}
