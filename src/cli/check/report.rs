//! What a check found, for people and for programs.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use http::StatusCode;
use rerank_plugin::Chunking;
use serde::Serialize;

use crate::{
    cli::product::product,
    config::Problem,
    inference::Reranker,
    machine::{self, Demand},
    models::{
        StartError,
        vectors::{Shape, Vectors},
    },
    upstream::own::OwnCallError,
};

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    file: PathBuf,
    problems: Vec<Problem>,
    pub(super) memory: Option<Memory>,
    pub(super) cluster: Option<Cluster>,
    /// What stands in `cache.vectors-file`, where the configuration names one.
    pub(super) vectors_file: Option<VectorsFile>,
    pub(super) models: Vec<Model>,
    pub(super) rules: Vec<Rule>,
}

/// Whether what the configuration may take fits into this machine.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    fits: bool,
    says: String,
}

/// Whether the cluster answers.
#[derive(Debug, Serialize)]
pub(super) struct Cluster {
    pub(super) reached: bool,
    pub(super) says: String,
    /// What deserves a look.
    pub(super) warning: Option<String>,
}

/// Whether a model is there.
#[derive(Debug, Serialize)]
pub(super) struct Model {
    name: String,
    loaded: bool,
    seconds: f64,
    says: String,
}

/// What a file of vectors holds.
#[derive(Debug, Serialize)]
pub(super) struct VectorsFile {
    file: PathBuf,
    /// Of each model that is in it.
    models: Vec<ModelVectors>,
    /// What is wrong with it.
    warning: Option<String>,
}

/// One model's vectors.
#[derive(Debug, Serialize)]
struct ModelVectors {
    fingerprint: String,
    vectors: u64,
    mib: u64,
}

/// What a rule would do.
#[derive(Debug, Default, Serialize)]
pub(super) struct Rule {
    /// Its place in the file, from 0.
    pub(super) number: usize,
    /// The index expression that was asked.
    pub(super) index: String,
    /// Hits that were looked at, and those that have text.
    pub(super) hits: usize,
    pub(super) with_text: usize,
    /// What the model sees of the first ones, shortened.
    pub(super) texts: Vec<String>,
    /// Predicted milliseconds of a whole window, without and with cached vectors.
    pub(super) cold_ms: Option<f64>,
    pub(super) warm_ms: Option<f64>,
    pub(super) timeout_ms: f64,
    /// What deserves a look.
    pub(super) warnings: Vec<String>,
}

// === impl Report ===

impl Report {
    /// Returns a report of a file with these problems, before anything else was looked at.
    pub(super) fn of_problems(file: &Path, problems: Vec<Problem>) -> Self {
        let file = file.to_owned();
        Self { file, problems, memory: None, cluster: None, vectors_file: None, models: Vec::new(), rules: Vec::new() }
    }

    /// Returns whether everything that a search needs is there. Warnings of rules are only worth a look.
    pub(super) fn is_fine(&self) -> bool {
        self.problems.is_empty()
            && self.memory.as_ref().is_none_or(|memory| memory.fits)
            && self.cluster.as_ref().is_none_or(|cluster| cluster.reached)
            && self.models.iter().all(|model| model.loaded)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}: no problems", self.file.display())?;
        if let Some(Memory { fits, says }) = &self.memory {
            writeln!(formatter, "memory: {}{says}", if *fits { "" } else { "TOO LITTLE: " })?;
        }
        if let Some(Cluster { reached, says, warning }) = &self.cluster {
            writeln!(formatter, "cluster: {}{says}", if *reached { "" } else { "NOT REACHED: " })?;
            warning.iter().try_for_each(|warning| writeln!(formatter, "  warning: {warning}"))?;
        }
        if let Some(vectors_file) = &self.vectors_file {
            write!(formatter, "{vectors_file}")?;
        }
        for Model { name, loaded, says, seconds } in &self.models {
            writeln!(formatter, "model {name}: {}{says} ({seconds:.1} s)", if *loaded { "" } else { "NOT LOADED: " })?;
        }
        self.rules.iter().try_for_each(|rule| write!(formatter, "{rule}"))
    }
}

// === impl Memory ===

impl Memory {
    pub(super) fn new(demand: &Demand, memory: &machine::Memory) -> Self {
        let checked = demand.check(memory);
        let fits = checked.is_ok();
        Self { fits, says: checked.map_or_else(|error| error.to_string(), |()| format!("{demand} of {memory}")) }
    }
}

// === impl Cluster ===

impl Cluster {
    pub(super) fn answered(status: StatusCode, text: &[u8]) -> Self {
        Self { reached: true, says: product(text).unwrap_or_else(|| format!("answers {status}")), warning: None }
    }

    pub(super) fn silent(error: &OwnCallError) -> Self {
        Self { reached: false, says: format!("{error}; check upstream.nodes, and upstream.tls for https"), warning: None }
    }
}

// === impl Model ===

impl Model {
    pub(super) fn new(name: &str, took: Duration, loaded: Result<&Reranker, &StartError>) -> Self {
        let says = match loaded {
            Ok(reranker) => {
                let card = reranker.card();
                let unit = reranker.unit().map_or_else(String::new, |unit| format!(", unit {unit:.2}"));
                // Servers that run a model do not all say how much they read.
                let tokens = if card.max_tokens == u32::MAX { String::new() } else { format!(", {} tokens", card.max_tokens) };
                let chunks = card.chunking.map_or_else(String::new, |Chunking { tokens: length, overlap, max }| {
                    format!(", long documents in up to {max} chunks of {length} (overlap {overlap})")
                });
                let place = card.placement.as_ref().map_or_else(String::new, |place| format!(", on {place}"));
                format!("{}{tokens}{chunks}{place}, fingerprint {}{unit}", card.kind, card.fingerprint)
            }
            Err(error) => error.to_string(),
        };
        Self { name: name.to_owned(), loaded: loaded.is_ok(), seconds: took.as_secs_f64(), says }
    }
}

// === impl VectorsFile ===

impl VectorsFile {
    /// Looks at the file; its vectors are not read.
    pub(super) fn look(file: &Path) -> Self {
        let nothing = |warning: String| Self { file: file.to_owned(), models: Vec::new(), warning: Some(warning) };
        let survey = match Vectors::open(file).and_then(|vectors| vectors.survey()) {
            Ok(Some(survey)) => survey,
            Ok(None) => return nothing("it is not there".to_owned()),
            Err(error) => return nothing(error.to_string()),
        };
        let of_model = |(shape, vectors): &(Shape, u64)| ModelVectors {
            fingerprint: shape.fingerprint.to_string(),
            vectors: *vectors,
            mib: (vectors * shape.weight()).div_ceil(1 << 20),
        };
        let warning = survey.damage.map(|damage| {
            format!(
                "{} is damaged ({damage}): what stands before is used, podium warm repairs it; it looks so too while that runs",
                file.display()
            )
        });
        Self { file: file.to_owned(), models: survey.shapes.iter().map(of_model).collect(), warning }
    }
}

impl fmt::Display for VectorsFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, models, warning } = self;
        let file = file.display();
        for ModelVectors { fingerprint, vectors, mib } in models {
            writeln!(formatter, "{file}: {vectors} vectors of fingerprint {fingerprint}, {mib} MiB")?;
        }
        match warning {
            Some(warning) => writeln!(formatter, "warning: {warning}"),
            None if models.is_empty() => writeln!(formatter, "{file}: no vectors yet"),
            None => Ok(()),
        }
    }
}

// === impl Rule ===

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, index, hits, with_text, texts, cold_ms, warm_ms, timeout_ms, warnings } = self;
        writeln!(formatter, "rules[{number}] on {index}: {with_text} of {hits} hits have text")?;
        texts.iter().try_for_each(|text| writeln!(formatter, "    {text}"))?;
        if let (Some(cold), Some(warm)) = (cold_ms, warm_ms) {
            writeln!(formatter, "  a window takes about {cold:.0} ms cold, {warm:.0} ms warm; timeout {timeout_ms:.0} ms")?;
        }
        warnings.iter().try_for_each(|warning| writeln!(formatter, "  warning: {warning}"))
    }
}
