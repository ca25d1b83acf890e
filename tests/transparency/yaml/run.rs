//! Runs the tests of a suite against one address, and counts what Podium says of its searches.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Formatter},
    net::SocketAddr,
};

use serde_json::Value;

use super::{
    answer::{Answer, Stash, catches},
    api::{Apis, Line},
    cleaning,
    document::{Node, documents},
    suite::{Call, Step, Suite, Test},
    version::Version,
};
use crate::rig::{
    engines::Engine,
    http::{self, Reply},
};

/// APIs whose body is one JSON value a line.
const LINES: [&str; 5] = ["bulk", "msearch", "msearch_template", "ml.post_data", "text_structure.find_structure"];
/// How much of an answer stands in a failure, in letters.
const SHOWN: usize = 200;

/// What came of a test.
#[derive(Debug)]
pub(super) enum Verdict {
    Passed,
    /// At which step, and why.
    Failed(String, String),
    Skipped(String),
}

/// What Podium said of searches.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) searches: usize,
    pub(super) reranked: usize,
    /// How often each reason was given.
    pub(super) reasons: BTreeMap<String, usize>,
    /// Each search's line and status, in order.
    pub(super) lines: Vec<String>,
}

/// What all runs on one engine share.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    pub(super) engine: &'a Engine,
    pub(super) apis: &'a Apis,
    pub(super) version: Version,
    /// Whether a warning that a test does not name fails it.
    pub(super) strict_warnings: bool,
}

/// Sends the requests of tests to one address.
#[derive(Debug)]
pub(super) struct Runner<'a> {
    setting: &'a Setting<'a>,
    address: SocketAddr,
    pub(super) seen: Seen,
    /// APIs that the present test has called.
    called: BTreeSet<String>,
    /// How many calls the present test has made.
    calls: usize,
    answer: Answer,
    stash: Stash,
}

// === impl Verdict ===

impl Verdict {
    /// Returns what is compared from one run to another: messages hold times and ids.
    pub(super) fn outcome(&self) -> (&'static str, &str) {
        match self {
            Self::Passed => ("passed", ""),
            Self::Failed(place, _) => ("failed", place),
            Self::Skipped(why) => ("skipped", why),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => formatter.write_str("passed"),
            Self::Failed(place, why) => write!(formatter, "failed at {place}: {why}"),
            Self::Skipped(why) => write!(formatter, "skipped: {why}"),
        }
    }
}

// === impl Seen ===

impl Seen {
    /// Adds the counts of another.
    pub(super) fn add(&mut self, other: &Self) {
        self.searches += other.searches;
        self.reranked += other.reranked;
        for (reason, count) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += count;
        }
    }

    /// Counts what is said of one search, or of each search of several.
    fn note(&mut self, line: &Line, statuses: &str) {
        self.lines.push(format!("{} {} {statuses}", line.method, line.target));
        for status in statuses.split(", ") {
            self.searches += 1;
            if status.starts_with("reranked") {
                self.reranked += 1;
            } else {
                let reason = status.split("reason=").nth(1).unwrap_or(status).split(';').next().unwrap_or_default();
                *self.reasons.entry(reason.trim().to_owned()).or_default() += 1;
            }
        }
    }
}

// === impl Runner ===

impl<'a> Runner<'a> {
    pub(super) fn new(setting: &'a Setting<'a>, address: SocketAddr) -> Self {
        let (seen, answer, stash) = Default::default();
        Self { setting, address, seen, called: BTreeSet::new(), calls: 0, answer, stash }
    }

    /// Runs one test on an empty cluster, and leaves it empty.
    pub(super) fn run(&mut self, suite: &Suite, test: &Test) -> Verdict {
        match self.skipped(suite, test) {
            Ok(None) => {}
            Ok(Some(why)) => return Verdict::Skipped(why),
            Err(why) => return Verdict::Failed("skip".into(), why),
        }
        (self.answer, self.stash, self.calls) = Default::default();
        self.called.clear();
        let result = self.steps("setup", &suite.setup).and_then(|()| self.steps("step", &test.steps));
        let torn_down = self.steps("teardown", &suite.teardown);
        cleaning::clean(self.setting.engine, &self.called);
        match result.and(torn_down) {
            Ok(()) => Verdict::Passed,
            Err((place, why)) => Verdict::Failed(place, why),
        }
    }

    fn skipped(&self, suite: &Suite, test: &Test) -> Result<Option<String>, String> {
        if suite.requires.as_ref().is_some_and(|requires| requires.get("stack") == Some(&Node::Bool(false))) {
            return Ok(Some("not for a cluster of one's own".into()));
        }
        for step in suite.setup.iter().chain(&test.steps) {
            if let Step::Skip(skip) = step
                && let Some(why) = self.setting.version.skips(skip)?
            {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    fn steps(&mut self, section: &str, steps: &[Step]) -> Result<(), (String, String)> {
        for (number, step) in steps.iter().enumerate() {
            self.step(step).map_err(|why| (format!("{section} {}", number + 1), why))?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Skip(_) => Ok(()),
            Step::Do(call) => self.call(call),
            Step::Check(check) => self.answer.check(check, &self.stash),
            Step::Set(names) => {
                for (path, name) in names {
                    let value = self.answer.value(path, &self.stash)?.clone();
                    self.stash.set(&name.plain_text(), value);
                }
                Ok(())
            }
            Step::TransformAndSet(names) => {
                for (name, transformation) in names {
                    let value = self.answer.transformed(&transformation.plain_text(), &self.stash)?;
                    self.stash.set(name, value);
                }
                Ok(())
            }
        }
    }

    fn call(&mut self, call: &Call) -> Result<(), String> {
        if let Some(ranges) = &call.node_versions
            && !self.setting.version.is_in(ranges)?
        {
            return Err(format!("no node has version {ranges}"));
        }
        let reply = self.send(call)?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        let shown: String = text.chars().take(SHOWN).collect();
        let ignored = argument(call, "ignore").map(Node::plain_text).unwrap_or_default();
        let is_absent = reply.status == 404 && matches!(self.answer.body, Value::Bool(_));
        let is_error = reply.status >= 400 && !is_absent && !ignored.split(',').any(|status| status == reply.status.to_string());
        match &call.catch {
            Some(catch) if !catches(catch, reply.status, &text)? => return Err(format!("not {catch}: {} {shown}", reply.status)),
            None if is_error => return Err(format!("{} {shown}", reply.status)),
            _ => {}
        }
        self.warnings(call, &reply)
    }

    /// Sends a call and keeps its answer.
    fn send(&mut self, call: &Call) -> Result<Reply, String> {
        let given = call.arguments.iter().filter(|(name, _)| name != "body" && name != "ignore");
        let arguments =
            given.map(|(name, node)| Ok((name.clone(), self.stash.fill(node)?.plain_text()))).collect::<Result<Vec<_>, String>>()?;
        let line = self.setting.apis.line(&call.api, &arguments, self.calls)?;
        self.calls += 1;
        self.called.insert(call.api.clone());
        if argument(call, "scroll").is_some() {
            self.called.insert("scroll".into());
        }
        let is_lines = LINES.contains(&call.api.as_str());
        let body =
            argument(call, "body").map(|body| self.stash.fill(body)).transpose()?.map(|body| printed(&body, is_lines)).unwrap_or_default();
        let mut headers = Vec::new();
        for (name, node) in &call.headers {
            headers.push((name.clone(), self.stash.fill(node)?.plain_text()));
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type".into(), if is_lines { "application/x-ndjson" } else { "application/json" }.into()));
        }
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let reply = http::send(self.address, &line.method, &line.target, &headers, body.as_bytes());
        if let Some(status) = reply.header("rerank-status") {
            self.seen.note(&line, status);
        }
        self.answer.body = if line.method == "HEAD" { Value::Bool(reply.status < 400) } else { read(&reply) };
        Ok(reply)
    }

    fn warnings(&self, call: &Call, reply: &Reply) -> Result<(), String> {
        let text = |warning: &str| warning.split('"').nth(1).unwrap_or(warning).to_owned();
        let got: BTreeSet<String> = reply.all("warning").map(text).collect();
        let known = |warning: &&String| call.warnings.contains(warning) || call.allowed_warnings.contains(warning);
        if let Some(missing) = call.warnings.iter().find(|warning| !got.contains(*warning)) {
            return Err(format!("no warning {missing}"));
        }
        match got.iter().find(|warning| !known(warning)) {
            Some(unexpected) if self.setting.strict_warnings => Err(format!("warning {unexpected}")),
            _ => Ok(()),
        }
    }
}

fn argument<'a>(call: &'a Call, wanted: &str) -> Option<&'a Node> {
    call.arguments.iter().find(|(name, _)| name == wanted).map(|(_, node)| node)
}

/// Returns a body as it is sent: text as it stands, else JSON; a list in lines where the API takes lines.
fn printed(body: &Node, is_lines: bool) -> String {
    let one = |node: &Node| match node {
        Node::Text(text) => text.clone(),
        other => other.json(),
    };
    match body {
        Node::List(items) if is_lines => items.iter().map(|item| format!("{}\n", one(item).trim_end())).collect(),
        Node::Text(text) if is_lines => format!("{}\n", text.trim_end()),
        other => one(other),
    }
}

/// Reads a body by its media type; what is neither JSON nor YAML is text.
fn read(reply: &Reply) -> Value {
    let text = String::from_utf8_lossy(&reply.body);
    let media_type = reply.header("content-type").unwrap_or_default();
    let is_yaml = media_type.contains("yaml");
    let yaml = || documents(&text).ok()?.first().map(Node::value);
    let json = || serde_json::from_str(&text).ok();
    let value = if is_yaml { yaml() } else { json().filter(|_| media_type.contains("json")) };
    value.unwrap_or_else(|| if text.is_empty() { Value::Null } else { Value::from(text) })
}
