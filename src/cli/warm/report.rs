//! What `podium warm` did, for people and for programs.

use std::{fmt, path::PathBuf, time::Duration};

use humantime::format_duration;
use serde::Serialize;

use super::compute::Counts;

/// Everything that was done.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) index: String,
    pub(super) rule: usize,
    pub(super) model: String,
    pub(super) fingerprint: String,
    #[serde(flatten)]
    pub(super) counts: Counts,
    pub(super) seconds: f64,
    /// Vectors computed in a second.
    pub(super) rate: f64,
    /// How often the cluster was left alone for a while.
    pub(super) pauses: usize,
    pub(super) file: PathBuf,
    /// Vectors of this model that are in it now.
    pub(super) vectors: u64,
    pub(super) bytes: u64,
    /// What these vectors need of `cache.vectors`.
    pub(super) cache_bytes: u64,
    /// What the configuration gives them.
    pub(super) cache_limit: u64,
    /// Whether every document of the index was seen.
    pub(super) finished: bool,
    /// Why not.
    pub(super) failure: Option<String>,
}

const MIB: u64 = 1 << 20;

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { documents, without_text, known, alike, computed, refused } = self.counts;
        let took = format_duration(Duration::from_secs(self.seconds.round() as u64));
        write!(formatter, "{}: {documents} documents read; {computed} vectors computed in {took} ({:.0}/s)", self.index, self.rate)?;
        for (count, what) in [
            (known, "in the file already"),
            (alike, "alike to another"),
            (without_text, "without text in the rule's fields"),
            (refused, "not read by the model"),
        ] {
            if count > 0 {
                write!(formatter, "; {count} {what}")?;
            }
        }
        writeln!(formatter)?;
        if self.pauses > 0 {
            writeln!(formatter, "the cluster had much to do, and was left alone {} times", self.pauses)?;
        }
        let (file, mib) = (self.file.display(), self.bytes.div_ceil(MIB));
        writeln!(formatter, "{file}: {} vectors of model {}, {mib} MiB; podium serve reads it when it starts", self.vectors, self.model)?;
        if self.cache_bytes > self.cache_limit {
            let (needed, given) = (self.cache_bytes.div_ceil(MIB), self.cache_limit / MIB);
            writeln!(
                formatter,
                "warning: they need {needed} MiB of memory, and cache.vectors is {given} MiB: raise it, or the oldest are left out"
            )?;
        }
        match &self.failure {
            Some(failure) => writeln!(formatter, "NOT FINISHED: {failure}; run it again, it goes on where it ended"),
            None => Ok(()),
        }
    }
}
