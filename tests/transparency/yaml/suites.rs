//! The suites of OpenSearch and of Elasticsearch's clients, directly and through Podium: the same tests pass.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::Path,
    time::Instant,
};

use super::{
    api::Apis,
    differences,
    files::{folder, suites},
    run::{Runner, Seen, Setting, Verdict},
    suite::Suite,
    version::Version,
};
use crate::rig::{
    engines::{Engine, Product, say, skip},
    gateway::Gateway,
};

/// Names of fields that documents of the suites have text in.
const FIELDS: &str = r#"["title", "text", "name", "foo", "field", "field1", "field2", "my_field", "my_field1", "my_field2", "body", "message",
    "content", "tag", "color", "user", "author", "str", "txt", "headline", "summary", "description", "keyword", "airline", "test", "marker"]"#;
/// What a comparison has to show; at least so much of each, so that none holds by being empty.
struct Expected {
    tests: usize,
    passed: usize,
    searches: usize,
    reranked: usize,
    /// The tests that end in another way when every search is turned round.
    reversed: &'static [&'static [&'static str]],
}

/// What one run through all files gave.
struct Run {
    verdicts: BTreeMap<String, Verdict>,
    /// By test, like the verdicts.
    seen: BTreeMap<String, Seen>,
}

fn rules(index: &str, model: &str, score: &str) -> String {
    format!(
        "[models.m]\nkind = \"{model}\"\n[defaults]\nfields = {FIELDS}\ntimeout = \"30s\"\ntotal-timeout = \"60s\"\nscore = \"{score}\"\n\
         fusion = {{ kind = \"replace\" }}\n[[rules]]\nindex = [\"{index}\"]\nmodel = \"m\"\n"
    )
}

// === impl Run ===

impl Run {
    fn through(setting: &Setting<'_>, suites: &[Suite], address: SocketAddr) -> Self {
        let mut run = Self { verdicts: BTreeMap::new(), seen: BTreeMap::new() };
        for suite in suites {
            for test in &suite.tests {
                let id = format!("{}/{}", suite.file, test.name);
                let mut runner = Runner::new(setting, address);
                let verdict = runner.run(suite, test);
                run.seen.insert(id.clone(), runner.seen);
                let known = run.verdicts.insert(id, verdict);
                assert!(known.is_none(), "{} has {} twice", suite.file, test.name);
            }
        }
        run
    }

    /// Returns how many tests of a folder (of all when empty) ended so.
    fn count(&self, folder: &str, outcome: &str) -> usize {
        let ended = |(id, verdict): &(&String, &Verdict)| (folder.is_empty() || group(id) == folder) && verdict.outcome().0 == outcome;
        self.verdicts.iter().filter(ended).count()
    }

    /// Returns what Podium said of the searches of a folder (of all when empty).
    fn seen(&self, folder: &str) -> Seen {
        let mut all = Seen::default();
        self.seen.iter().filter(|(id, _)| folder.is_empty() || group(id) == folder).for_each(|(_, seen)| all.add(seen));
        all
    }

    /// Returns the ids whose outcome is another than in the other run, without some.
    fn differing<'a>(&'a self, other: &'a Self, without: &BTreeSet<&str>) -> BTreeSet<&'a str> {
        let differs = |(id, verdict): &(&'a String, &'a Verdict)| verdict.outcome() != other.verdicts[*id].outcome();
        self.verdicts.iter().filter(differs).map(|(id, _)| id.as_str()).filter(|id| !without.contains(id)).collect()
    }
}

/// Returns the folder that a file's results are counted under.
fn group(file: &str) -> &str {
    file.strip_prefix("tests/").unwrap_or(file).split('/').next().unwrap_or_default()
}

/// The runs on one engine.
struct Runs {
    direct: Run,
    again: Run,
    /// Through Podium without a rule for any index.
    ruleless: Run,
    /// Through Podium with every search reranked into the order that it had, scores kept.
    kept: Run,
    /// Through Podium with every search turned round, scores replaced.
    reversed: Run,
}

// === impl Runs ===

impl Runs {
    fn all(setting: &Setting<'_>, suites: &[Suite]) -> Self {
        let direct = || Run::through(setting, suites, setting.engine.address);
        let through = |rules: String| Run::through(setting, suites, Gateway::start(setting.engine, &rules).address);
        Self {
            direct: direct(),
            again: direct(),
            ruleless: through(rules("no-index-of-any-suite", "fake-reverse", "replace")),
            kept: through(rules("*", "fake-identity", "keep")),
            reversed: through(rules("*", "fake-reverse", "replace")),
        }
    }

    /// Returns the ids whose outcome changes without Podium.
    fn noise(&self) -> BTreeSet<&str> {
        self.direct.differing(&self.again, &BTreeSet::new())
    }

    fn each(&self) -> [(&'static str, &Run); 5] {
        [("direct", &self.direct), ("again", &self.again), ("ruleless", &self.ruleless), ("kept", &self.kept), ("reversed", &self.reversed)]
    }

    /// Writes every outcome and every status into a file.
    fn write(&self, file: &Path) {
        let mut text = String::new();
        for id in self.direct.verdicts.keys() {
            text.push_str(&format!("{id}\n"));
            for (name, run) in self.each() {
                text.push_str(&format!("    {name}: {}\n", run.verdicts[id]));
                text.extend(run.seen[id].lines.iter().map(|line| format!("        {line}\n")));
            }
        }
        fs::write(file, text).expect("a file in the target's folder");
    }

    /// Returns a line a folder: what came of its tests, and what Podium said of their searches when it turned them round.
    fn table(&self) -> String {
        let noise = self.noise();
        let differing = [&self.ruleless, &self.kept, &self.reversed].map(|run| run.differing(&self.direct, &noise));
        let folders: BTreeSet<&str> = self.direct.verdicts.keys().map(|id| group(id)).collect();
        let line = |folder: &str| {
            let [passed, failed, skipped] = ["passed", "failed", "skipped"].map(|outcome| self.direct.count(folder, outcome));
            let of_folder = |ids: &BTreeSet<&str>| ids.iter().filter(|id| folder.is_empty() || group(id) == folder).count();
            let [ruleless, kept, reversed] = differing.each_ref().map(&of_folder);
            let seen = self.reversed.seen(folder);
            format!(
                "{}: {} tests, {passed} passed, {failed} failed, {skipped} skipped, {} compared; differing {ruleless} without a rule, \
                 {kept} in kept order, {reversed} turned round; {} searches seen, {} reranked, {:?}\n",
                if folder.is_empty() { "all" } else { folder },
                passed + failed + skipped,
                passed + failed + skipped - of_folder(&noise),
                seen.searches,
                seen.reranked,
                seen.reasons
            )
        };
        folders.into_iter().chain([""]).map(line).collect()
    }
}

/// Starts an engine of this test's own: its indices are deleted all at once, over and over.
fn start(product: Product) -> Option<Engine> {
    Engine::start(product, &["action.destructive_requires_name=false"]).map_err(|failure| skip(&failure)).ok()
}

fn version(engine: &Engine) -> Version {
    let nodes = engine.ok("GET", "/_nodes?filter_path=nodes.*.version", "");
    let version = nodes["nodes"].as_object().and_then(|nodes| nodes.values().next()).and_then(|node| node["version"].as_str());
    Version::read(version.expect("a node has a version")).expect("a version")
}

/// Runs all suites of a folder on an engine, and compares.
fn compare(setting: &Setting<'_>, folder: &Path, expected: &Expected) {
    let started = Instant::now();
    let runs = Runs::all(setting, &suites(folder));
    let name = format!("{} on {:?}", folder.file_name().and_then(|name| name.to_str()).expect("a name"), setting.engine.product);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.txt"));
    runs.write(&file);
    let (seconds, noise) = (started.elapsed().as_secs(), runs.noise());
    say(&format!(
        "{name}: {seconds} s, every outcome in {}\n{}not compared, because two direct runs differ: {noise:?}",
        file.display(),
        runs.table()
    ));
    let nothing = BTreeSet::new();
    assert_eq!(runs.ruleless.differing(&runs.direct, &noise), nothing, "{name}: without a rule");
    assert_eq!(runs.kept.differing(&runs.direct, &noise), nothing, "{name}: in kept order");
    let listed: BTreeSet<&str> = expected.reversed.iter().copied().flatten().copied().filter(|id| !noise.contains(id)).collect();
    assert_eq!(runs.reversed.differing(&runs.direct, &noise), listed, "{name}: turned round (left: what differs, right: what is listed)");
    expected.hold(&runs);
}

// === impl Expected ===

impl Expected {
    fn hold(&self, runs: &Runs) {
        let passed = runs.direct.count("", "passed");
        let seen = runs.reversed.seen("");
        assert!(runs.direct.verdicts.len() >= self.tests, "{} tests", runs.direct.verdicts.len());
        assert!(passed >= self.passed, "{passed} passed");
        assert!(seen.searches >= self.searches && seen.reranked >= self.reranked, "{seen:?}");
    }
}

#[test]
fn opensearch() {
    let Some(folder) = folder() else { return };
    let Some(engine) = start(Product::OpenSearch) else { return };
    let apis = Apis::opensearch(&folder.join("opensearch-rest-specs"));
    let setting = Setting { engine: &engine, apis: &apis, version: version(&engine), strict_warnings: true };
    let expected =
        Expected { tests: 391, passed: 360, searches: 400, reranked: 40, reversed: &[differences::BOTH, differences::OPENSEARCH] };
    compare(&setting, &folder.join("opensearch-core"), &expected);
}

/// The suites of Elasticsearch's clients touch every API and search little; those of OpenSearch search, and many were Elasticsearch's once.
#[test]
fn elasticsearch() {
    let Some(folder) = folder() else { return };
    let Some(engine) = start(Product::Elasticsearch) else { return };
    let apis = Apis::elasticsearch();
    let mut setting = Setting { engine: &engine, apis: &apis, version: version(&engine), strict_warnings: false };
    let clients = Expected { tests: 220, passed: 80, searches: 5, reranked: 0, reversed: &[] };
    compare(&setting, &folder.join("elasticsearch-clients-tests"), &clients);
    setting.version = Version::read("3.8.0").expect("a version"); // of the engine whose suites they are
    let core = Expected { tests: 391, passed: 190, searches: 300, reranked: 20, reversed: &[differences::BOTH] };
    compare(&setting, &folder.join("opensearch-core"), &core);
}
