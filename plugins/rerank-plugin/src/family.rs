//! How a kind of model is recognised and loaded.

use std::{fmt, path::PathBuf, sync::Arc};

use crate::{ArtifactStore, Device, Dtype, Folder, Preparer, RemoteScorer, Scorer};

/// A kind of reranker: one per plugin crate.
pub trait Family: Send + Sync {
    /// Returns the `kind` of the configuration that asks for this family.
    fn kind(&self) -> &'static str;

    /// Returns whether the checkpoint in `folder` is of this family, judged from its JSON files alone.
    fn detect(&self, folder: &Folder) -> Detection;

    /// Returns whether its models make vectors, so that [`LoadOptions::dimensions`] and [`LoadOptions::half_vectors`] mean something.
    fn makes_vectors(&self) -> bool {
        false
    }

    /// Returns whether its models are read from GGUF files too; where not, such a file is not offered to it.
    fn reads_gguf(&self) -> bool {
        false
    }

    /// Returns whether its models can cut long documents into chunks, so that [`LoadOptions::chunking`] means something.
    fn cuts_chunks(&self) -> bool {
        false
    }

    /// Loads the model; slow, and called on a thread of its own.
    ///
    /// # Errors
    /// [`LoadError`] that names the file and the remedy. A model that cannot be run right is refused, never run wrong.
    fn load(&self, source: &Source, options: &LoadOptions, progress: &dyn Progress) -> Result<Loaded, LoadError>;
}

/// Whether a checkpoint is of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detection {
    /// It is, and it can be loaded.
    Yes,
    /// It is, but it cannot be run right.
    Refused {
        /// What is in the way and what would work.
        reason: String,
    },
    /// It is not.
    No,
}

/// Where a model comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder with a checkpoint.
    Folder(Folder),
    /// Servers that answer for the model.
    Endpoints(Endpoints),
}

/// Servers that answer for a model, for families that ask over a network. Its token is never printed.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Endpoints {
    /// Their addresses.
    pub urls: Vec<String>,
    /// The wire format that they speak.
    pub protocol: String,
    /// The model's name there.
    pub model: Option<String>,
    /// The bearer token.
    pub token: Option<Arc<str>>,
    /// Documents of one call.
    pub batch: usize,
    /// Certificates that are trusted instead of the built-in ones (a PEM file).
    pub ca: Option<PathBuf>,
    /// Whether any certificate is taken.
    pub accepts_any_certificate: bool,
}

/// What becomes of a model's control tokens that stand in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ControlTokens {
    /// They are plain text.
    #[default]
    Escape,
    /// They are parsed, as reference implementations do.
    Parse,
}

/// How a long document is cut into chunks: each is scored as if it were the document, and the largest score is the document's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunking {
    /// Tokens of the document in a chunk, at least 1. A document of no more tokens than these is not cut.
    pub tokens: u32,
    /// Tokens at the beginning of a chunk that are also the end of the one before; fewer than `tokens`.
    pub overlap: u32,
    /// The most chunks of a document, at least 1; what lies behind them is not read.
    pub max: u32,
}

/// How a model is to be loaded.
#[derive(Clone)]
#[non_exhaustive]
pub struct LoadOptions {
    /// One worker each; empty: the first CUDA device, and the processor where there is none.
    pub devices: Vec<Device>,
    /// Threads of a CPU worker; at least 1.
    pub threads: usize,
    /// Tokens of a document or pair; `None`: the family's default.
    pub max_tokens: Option<u32>,
    /// Token budget of one forward pass.
    pub batch_tokens: u32,
    /// The numbers to compute with; `None`: bf16 where all devices are CUDA's, else f32. A family that cannot refuses.
    pub dtype: Option<Dtype>,
    /// What becomes of control tokens in texts.
    pub control_tokens: ControlTokens,
    /// How many numbers of a vector are kept, the first ones; `None`: all.
    pub dimensions: Option<u32>,
    /// Whether vectors are rounded to f16 before they are compared and kept.
    pub half_vectors: bool,
    /// How long documents are cut into chunks; `None`: they are cut at the model's limit, and the rest is not read.
    pub chunking: Option<Chunking>,
    /// Bytes of memory that the machine has, where the host knows: weights that take more are refused before they are read.
    pub memory: Option<u64>,
    /// Where vectors and other artifacts are kept.
    pub store: Arc<dyn ArtifactStore>,
}

/// Told how far a load is; every method may be called from any thread.
pub trait Progress: Send + Sync {
    /// A step begins, with its size in bytes where that is known.
    fn begin(&self, what: &str, total: Option<u64>);

    /// That many bytes more are done.
    fn advance(&self, bytes: u64);
}

/// Progress that nobody looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

/// A model, ready.
pub enum Loaded {
    /// It runs in this process.
    Local {
        /// Shared by all threads.
        preparer: Arc<dyn Preparer>,
        /// One per device.
        workers: Vec<Box<dyn Scorer>>,
    },
    /// It runs elsewhere.
    Remote(Arc<dyn RemoteScorer>),
}

/// Why a model did not load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A folder or file is not there.
    #[error("{} is missing", path.display())]
    NotFound {
        /// What is missing.
        path: PathBuf,
    },
    /// A file is there but cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The model is fine, but cannot be run right here.
    #[error("{reason}; {remedy}")]
    Unsupported {
        /// What is in the way.
        reason: String,
        /// What would work.
        remedy: String,
    },
}

// === impl Endpoints ===

impl fmt::Debug for Endpoints {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { urls, protocol, model, token: _, batch, .. } = self;
        let mut shown = formatter.debug_struct("Endpoints");
        shown.field("urls", urls).field("protocol", protocol).field("model", model).field("batch", batch).finish_non_exhaustive()
    }
}

// === impl LoadOptions ===

impl LoadOptions {
    /// Returns the defaults: one CPU worker of one thread, 16384 tokens per forward pass, control tokens escaped.
    pub fn new(store: Arc<dyn ArtifactStore>) -> Self {
        Self {
            devices: vec![Device::Cpu],
            threads: 1,
            max_tokens: None,
            batch_tokens: 16384,
            dtype: None,
            control_tokens: ControlTokens::Escape,
            dimensions: None,
            half_vectors: false,
            chunking: None,
            memory: None,
            store,
        }
    }
}

// === impl Silent ===

impl Progress for Silent {
    fn begin(&self, _what: &str, _total: Option<u64>) {}

    fn advance(&self, _bytes: u64) {}
}
