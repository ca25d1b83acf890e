//! That chunking does what it says, whatever a model makes of texts.

use std::sync::Arc;

use super::{Change, Model, Tolerance, long_documents};
use crate::{Chunking, Loaded};

const QUERY: &str = "red shoes";

/// Checks chunking on models that are loaded with it: short documents score as without it, each further chunk can only raise a score, and
/// some chunk does.
///
/// `load` loads the model with the options changed by what it is handed.
///
/// # Panics
/// Where one of these does not hold, in words that name it.
pub fn check_chunks(load: impl Fn(Change<'_>) -> Loaded, Tolerance(tolerance): Tolerance) {
    let scores = |set: Change<'_>, texts: &[Arc<str>]| {
        let Loaded::Local { preparer, mut workers } = load(set) else { panic!("conformance is about local models") };
        let worker = workers.first_mut().expect("a local model has a worker");
        Model { preparer: preparer.as_ref(), scorer: worker.as_mut(), tolerance }.scores_of(QUERY, texts)
    };
    let chunked = |max| move |options: &mut crate::LoadOptions| options.chunking = Some(Chunking { tokens: 16, overlap: 4, max });
    let short: Vec<Arc<str>> = ["x", "red", "a b"].map(Arc::from).into();
    let [without, with] = [scores(&|_| {}, &short), scores(&chunked(4), &short)];
    let near = |(one, other): (&f32, &f32)| (one - other).abs() <= tolerance;
    assert!(without.iter().zip(&with).all(near), "a short document scores as without chunking: {without:?} and {with:?}");
    let long = long_documents("long", 8);
    let more = [1, 2, 4].map(|max| scores(&chunked(max), &long));
    for pair in more.windows(2) {
        let rises = |(of_fewer, of_more): (&f32, &f32)| *of_more >= of_fewer - tolerance;
        assert!(pair[0].iter().zip(&pair[1]).all(rises), "more chunks lower no score: {:?} and {:?}", pair[0], pair[1]);
    }
    assert!(
        more[0].iter().zip(&more[2]).any(|(one, four)| *four > one + tolerance),
        "a chunk that is better than the first counts: {more:?}"
    );
}
