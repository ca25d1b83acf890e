//! That a fingerprint follows what changes scores.

use super::Change;
use crate::{Chunking, ControlTokens, Dtype, Family, Fingerprint, LoadOptions, Loaded};

const CHUNKING: Chunking = Chunking { tokens: 16, overlap: 4, max: 3 };

/// Checks that the fingerprint changes with every option that changes scores, and with no other.
///
/// `load` loads a model of `family` with the options changed by what it is handed; `max_tokens` is another number than the model's own.
///
/// # Panics
/// Where a fingerprint does not change or should not have changed, in words that name the option.
pub fn check_fingerprints(family: &dyn Family, load: impl Fn(Change<'_>) -> Loaded, max_tokens: u32) {
    let card = |set: Change<'_>| {
        let Loaded::Local { preparer, .. } = load(set) else { panic!("conformance is about local models") };
        preparer.card().clone()
    };
    let plain = card(&|_| {});
    assert_ne!(plain.max_tokens, max_tokens, "another number than the model's own is asked for");
    let harmless: [(&str, Change<'_>); 4] = [
        ("nothing", &|_| {}),
        ("threads", &|options| options.threads = 2),
        ("batch-tokens", &|options| options.batch_tokens = 7),
        ("the processor's own dtype", &|options| options.dtype = Some(Dtype::F32)),
    ];
    for (name, set) in harmless {
        assert_eq!(card(set).fingerprint, plain.fingerprint, "{name} changes no score, so not the fingerprint either");
    }
    let cut = move |options: &mut LoadOptions| options.max_tokens = Some(max_tokens);
    let mut changes: Vec<(&str, Change<'_>)> = vec![
        ("max-tokens", &cut),
        ("dtype f16", &|options| options.dtype = Some(Dtype::F16)),
        ("dtype bf16", &|options| options.dtype = Some(Dtype::Bf16)),
        ("control-tokens", &|options| options.control_tokens = ControlTokens::Parse),
    ];
    if family.makes_vectors() {
        changes.push(("dimensions", &|options| options.dimensions = Some(3)));
        changes.push(("vectors", &|options| options.half_vectors = true));
    }
    if family.cuts_chunks() {
        changes.push(("chunking", &|options| options.chunking = Some(CHUNKING)));
        changes.push(("chunking.tokens", &|options| options.chunking = Some(Chunking { tokens: 17, ..CHUNKING })));
        changes.push(("chunking.overlap", &|options| options.chunking = Some(Chunking { overlap: 5, ..CHUNKING })));
        changes.push(("chunking.max", &|options| options.chunking = Some(Chunking { max: 4, ..CHUNKING })));
    }
    let mut seen: Vec<(&str, Fingerprint)> = vec![("no change", plain.fingerprint)];
    for (name, set) in changes {
        let own = card(set).fingerprint;
        let same = seen.iter().find(|(_, other)| *other == own);
        assert!(same.is_none(), "the fingerprint with {name} changed is that with {same:?}");
        seen.push((name, own));
    }
}
