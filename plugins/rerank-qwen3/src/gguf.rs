//! Finds out from a GGUF file's metadata whether it is a Qwen3 reranker, and how its head answers.
//!
//! The file alone counts: neither a `config.json` nor a `tokenizer.json` beside it is read.

use std::path::Path;

use rerank_candle::{DecoderShape, Gguf};
use rerank_plugin::LoadError;

use crate::checkpoint::{Answers, Checkpoint, Mismatch};

const ARCHITECTURE: &str = "general.architecture";
const POOLING: &str = "qwen3.pooling_type";
const LABELS: &str = "qwen3.classifier.output_labels";
const HEAD: &str = "cls.output.weight";
const REMEDY: &str = "of GGUF files, this version runs those of Qwen/Qwen3-Reranker-0.6B, -4B and -8B, as llama.cpp converts them; \
    for other models take the safetensors";

/// GGUF's numbers of the ways in which the states of a text become one.
const NONE: usize = 0;
const LAST: usize = 3;
const RANK: usize = 4;

/// Returns what the file holds.
pub(crate) fn inspect(path: &Path) -> Result<Checkpoint, Mismatch> {
    let gguf = Gguf::open(path).map_err(Mismatch::Refused)?;
    let refused = |reason: String| {
        let reason = format!("{} {reason}", path.display());
        Mismatch::Refused(LoadError::Unsupported { reason, remedy: REMEDY.into() })
    };
    let metadata = gguf.metadata();
    let architecture = metadata.text(ARCHITECTURE).map_err(Mismatch::Refused)?.unwrap_or("nothing");
    if architecture != "qwen3" {
        return Err(refused(format!("says {ARCHITECTURE} = {architecture:?}")));
    }
    let answers = match metadata.whole(POOLING).map_err(Mismatch::Refused)?.unwrap_or(NONE) {
        NONE if gguf.dimensions(HEAD).is_some() => return Err(refused(format!("has {HEAD}, and {POOLING} does not say `rank` (4)"))),
        NONE => Answers::Words(None),
        RANK => ranked(&gguf).map_err(Mismatch::Refused)?,
        LAST => return Err(refused("is an embedding model, and such a file does not say its prompts".into())),
        other => return Err(refused(format!("says {POOLING} = {other}, which no reranker does"))),
    };
    let shape = DecoderShape::of_gguf(&gguf).map_err(Mismatch::Refused)?;
    Ok(Checkpoint { shape, answers, config: Vec::new(), logit_score: Vec::new(), gguf: Some(gguf) })
}

/// Returns how a head of its own answers: by one logit, or by the rows that the labels name.
fn ranked(gguf: &Gguf) -> Result<Answers, LoadError> {
    let labels = gguf.metadata().texts(LABELS)?.unwrap_or_default();
    let place = |name: &str| labels.iter().position(|label| label.eq_ignore_ascii_case(name));
    let rows = gguf.dimensions(HEAD).and_then(|dimensions| dimensions.first().copied());
    match (rows, labels) {
        (None, _) => Err(gguf.malformed(format!("{POOLING} says `rank`, and there is no {HEAD}"))),
        (Some(1), [] | [_]) => Ok(Answers::Logit),
        (Some(2), [_, _]) => match place("yes").zip(place("no")) {
            Some((yes, no)) => Ok(Answers::Rows { yes, no }),
            None => Err(gguf.malformed(format!("{LABELS} are {labels:?}, and must be \"yes\" and \"no\" to tell which row is which"))),
        },
        (Some(rows), _) => Err(LoadError::Unsupported {
            reason: format!("{} has {rows} rows in {HEAD} and the labels {labels:?}", gguf.path().display()),
            remedy: REMEDY.into(),
        }),
    }
}
