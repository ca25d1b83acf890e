//! What a suite file says: setup, teardown, tests, and their steps.

use super::document::{Node, documents};

/// One file.
#[derive(Debug)]
pub(super) struct Suite {
    /// Path below the suites' folder.
    pub(super) file: String,
    pub(super) requires: Option<Node>,
    pub(super) setup: Vec<Step>,
    pub(super) teardown: Vec<Step>,
    pub(super) tests: Vec<Test>,
}

/// One named test.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// One step of a test, a setup or a teardown.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Do(Box<Call>),
    Skip(Node),
    /// Names for values of the last answer, by their paths.
    Set(Vec<(String, Node)>),
    /// Names for what is computed from several values.
    TransformAndSet(Vec<(String, Node)>),
    Check(Check),
}

/// A request and what its answer must be.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Call {
    pub(super) api: String,
    pub(super) arguments: Vec<(String, Node)>,
    pub(super) headers: Vec<(String, Node)>,
    pub(super) catch: Option<String>,
    pub(super) warnings: Vec<String>,
    pub(super) allowed_warnings: Vec<String>,
    /// The versions of nodes that may be asked.
    pub(super) node_versions: Option<String>,
}

/// What is asserted of the last answer.
#[derive(Debug, PartialEq)]
pub(super) struct Check {
    pub(super) kind: Kind,
    /// Where the value stands.
    pub(super) path: String,
    pub(super) expected: Node,
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Match,
    IsTrue,
    IsFalse,
    Exists,
    Length,
    Contains,
    CloseTo,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const KINDS: [(&str, Kind); 11] = [
    ("match", Kind::Match),
    ("is_true", Kind::IsTrue),
    ("is_false", Kind::IsFalse),
    ("exists", Kind::Exists),
    ("length", Kind::Length),
    ("contains", Kind::Contains),
    ("close_to", Kind::CloseTo),
    ("lt", Kind::Less),
    ("lte", Kind::LessOrEqual),
    ("gt", Kind::Greater),
    ("gte", Kind::GreaterOrEqual),
];

// === impl Suite ===

impl Suite {
    /// Reads a file; what it does not know is an error, never passed over.
    pub(super) fn read(file: &str, text: &str) -> Result<Self, String> {
        let mut suite = Self { file: file.into(), requires: None, setup: Vec::new(), teardown: Vec::new(), tests: Vec::new() };
        for document in documents(text).map_err(|error| format!("{file}: {error}"))? {
            for (name, section) in document.entries().unwrap_or_default() {
                suite.add(name, section).map_err(|error| format!("{file}: {name}: {error}"))?;
            }
        }
        Ok(suite)
    }

    fn add(&mut self, name: &str, section: &Node) -> Result<(), String> {
        if name == "requires" {
            self.requires = Some(section.clone());
            return Ok(());
        }
        let steps = section.items().ok_or("no list of steps")?.iter().flat_map(|step| step.entries().unwrap_or_default());
        let steps: Vec<Step> =
            steps.map(|(word, node)| Step::read(word, node)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        match name {
            "setup" => self.setup = steps,
            "teardown" => self.teardown = steps,
            _ => self.tests.push(Test { name: name.into(), steps }),
        }
        Ok(())
    }
}

// === impl Step ===

impl Step {
    fn read(word: &str, node: &Node) -> Result<Vec<Self>, String> {
        let entries = || node.entries().map(<[_]>::to_vec).ok_or_else(|| format!("{word} without keys"));
        match word {
            "do" => Ok(vec![Self::Do(Box::new(Call::read(&entries()?)?))]),
            "skip" => Ok(vec![Self::Skip(node.clone())]),
            "set" => Ok(vec![Self::Set(entries()?)]),
            "transform_and_set" => Ok(vec![Self::TransformAndSet(entries()?)]),
            _ => {
                let (_, kind) = *KINDS.iter().find(|(known, _)| *known == word).ok_or_else(|| format!("no step is called {word}"))?;
                let checks = match node {
                    Node::Map(checks) => checks.clone(),
                    path => vec![(path.plain_text(), Node::Null)],
                };
                Ok(checks.into_iter().map(|(path, expected)| Self::Check(Check { kind, path, expected })).collect())
            }
        }
    }
}

// === impl Call ===

impl Call {
    fn read(entries: &[(String, Node)]) -> Result<Self, String> {
        let texts = |node: &Node| node.items().unwrap_or_default().iter().map(Node::plain_text).collect();
        let mut call = Self::default();
        for (word, node) in entries {
            match word.as_str() {
                "catch" => call.catch = Some(node.plain_text()),
                "headers" => call.headers = node.entries().ok_or("headers without keys")?.to_vec(),
                "warnings" => call.warnings = texts(node),
                "allowed_warnings" => call.allowed_warnings = texts(node),
                "node_selector" => call.node_versions = Some(node.get("version").ok_or("node_selector without version")?.plain_text()),
                api if call.api.is_empty() => {
                    call.api = api.into();
                    call.arguments = node.entries().unwrap_or_default().to_vec();
                }
                other => return Err(format!("do has a second API, {other}")),
            }
        }
        if call.api.is_empty() { Err("do without an API".into()) } else { Ok(call) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Step, Suite};

    #[test]
    fn a_file_is_its_sections_and_their_steps() {
        let text = "setup:\n - do: {indices.create: {index: x}}\n---\na test:\n - skip: {features: headers}\n - do:\n     catch: missing\n     headers: {A: b}\n     get: {index: x, id: 1}\n - match: {a.b: 1, c: 2}\n - is_true: d\n";
        let suite = Suite::read("a.yml", text).unwrap();
        assert_eq!((suite.setup.len(), suite.teardown.len(), suite.tests.len()), (1, 0, 1));
        let [Step::Skip(_), Step::Do(call), Step::Check(first), Step::Check(second), Step::Check(third)] = &suite.tests[0].steps[..] else {
            panic!("{:?}", suite.tests)
        };
        assert_eq!((call.api.as_str(), call.catch.as_deref(), call.arguments.len()), ("get", Some("missing"), 2));
        assert_eq!([(first.kind, &*first.path), (second.kind, &*second.path)], [(Kind::Match, "a.b"), (Kind::Match, "c")]);
        assert_eq!((third.kind, &*third.path), (Kind::IsTrue, "d"));
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for text in ["a:\n - wait: 1\n", "a:\n - do: {catch: missing}\n", "a:\n - do: {x: {}, y: {}}\n", "a: 1\n"] {
            assert!(Suite::read("a.yml", text).is_err(), "{text}");
        }
    }
}
