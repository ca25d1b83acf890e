//! Scores of the reference, and the same from every way to ask.

use rerank_candle::Tokens;
use rerank_cross_encoder::CrossEncoder;
use rerank_plugin::{
    ControlTokens, Dtype, Folder, LoadOptions,
    testing::conformance::{self, Tolerance},
};

use crate::fixture::{ALL, Changed, Expected, expected, load, path, try_load, variants};

/// The largest difference from the reference, of all pairs in one batch and of each alone.
pub(crate) fn worst(name: &str, set: impl FnOnce(&mut LoadOptions)) -> f32 {
    let pairs = expected(name);
    let mut model = load(&path(name), set);
    let asked: Vec<(&str, &str)> = pairs.iter().map(|pair| (pair.query.as_str(), pair.document.as_str())).collect();
    let together = model.scores(&asked);
    let difference = |(pair, score): (&Expected, &rerank_plugin::Score)| (pair.score - score.presented()).abs();
    let alone = asked.iter().map(|pair| model.scores(&[*pair])[0]).collect::<Vec<_>>();
    let all = pairs.iter().zip(&together).chain(pairs.iter().zip(&alone));
    all.map(difference).fold(0.0, f32::max)
}

#[test]
fn scores_are_those_of_the_reference() {
    for name in ALL {
        let pairs = expected(name);
        let mut model = load(&path(name), |_| {});
        for pair in &pairs {
            assert_eq!(model.cost(&pair.query, &pair.document) as usize, pair.input_ids.len(), "{name}: {}", pair.query);
            let logit = model.score(&pair.query, &pair.document);
            assert!((logit - pair.logit).abs() <= 2e-5, "{name}: {logit} and not {}", pair.logit);
        }
        for (dtype, tolerance) in [(None, 1e-5), (Some(Dtype::F32), 1e-5), (Some(Dtype::F16), 5e-3), (Some(Dtype::Bf16), 2e-2)] {
            let off = worst(name, |options| options.dtype = dtype);
            println!("{name} {dtype:?}: at most {off:.1e} off");
            assert!(off <= tolerance, "{name} {dtype:?}: {off}");
        }
    }
}

/// A DeBERTa may say one half of the positions alone, and its activations are its own.
#[test]
fn other_configurations_score_as_they_do_for_the_reference() {
    for name in ["debertav3", "debertav2"] {
        let (pairs, own) = (expected(name), variants(name));
        assert_eq!(own.len(), 3);
        for variant in own {
            let changed = Changed::copy(name);
            for (key, value) in &variant.config {
                changed.config(key, value.clone());
            }
            let unused = match variant.config.get("pos_att_type").map(ToString::to_string) {
                Some(parts) if parts.contains("p2c") => "pos_key_proj",
                Some(_) => "pos_query_proj",
                None => "nothing",
            };
            let mut tensors = changed.tensors();
            tensors.retain(|tensor, _| !tensor.contains(unused));
            changed.write(&tensors);
            let mut model = load(changed.path(), |_| {});
            for (pair, logit) in pairs.iter().zip(&variant.logits) {
                let found = model.score(&pair.query, &pair.document);
                assert!((found - logit).abs() <= 2e-5, "{name} {:?}: {found} and not {logit}", variant.config);
            }
        }
    }
}

/// Whole pairs, those that fill the model's positions among them.
#[test]
fn tokens_are_those_of_the_reference() {
    for name in ALL {
        let tokens = Tokens::read(&Folder::open(path(name)).unwrap(), ControlTokens::Escape).unwrap();
        let frame = tokens.pair_frame().unwrap();
        let mut whole = 0;
        for pair in expected(name) {
            let (first, second) = (tokens.first(&pair.query, 1000).unwrap(), tokens.first(&pair.document, 1000).unwrap());
            let (own, _) = frame.join(&first, &second);
            let cut = own.len() > pair.input_ids.len();
            whole += usize::from(!cut);
            assert!(cut || own == pair.input_ids, "{name}: {} and {}", pair.query, pair.document);
        }
        assert!(whole >= 3, "{name}: {whole} pairs were compared");
    }
}

#[test]
fn fingerprints_follow_the_options_that_change_scores() {
    for name in ALL {
        conformance::check_fingerprints(&CrossEncoder, |set| try_load(&path(name), set).unwrap(), 32);
    }
}

#[test]
fn they_conform() {
    for name in ALL {
        for (threads, batch_tokens) in [(1, 16384), (2, 150), (1, 1)] {
            let set = |options: &mut LoadOptions| (options.threads, options.batch_tokens) = (threads, batch_tokens);
            conformance::check(try_load(&path(name), set).unwrap(), Tolerance::F32);
        }
    }
}
