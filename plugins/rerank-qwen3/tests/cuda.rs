//! The same on the first CUDA device, beside the processor: `just cuda-test`.
//!
//! A target of its own, since no machine without such a device can run it.

#![allow(clippy::unwrap_used, reason = "the whole crate is a test")]
#![allow(dead_code, reason = "what other tests of the fixtures need")]

#[path = "it/parity.rs"]
mod parity;
#[path = "it/tiny.rs"]
mod tiny;

use rerank_plugin::{
    Device, Dtype,
    testing::conformance::{self, Tolerance},
};

use crate::tiny::Tiny;

#[test]
fn scores_on_cuda_are_those_of_transformers() {
    for name in ["tied", "untied"] {
        for (dtype, tolerance) in [(None, 2e-2), (Some(Dtype::F32), 1e-5), (Some(Dtype::F16), 5e-3), (Some(Dtype::Bf16), 2e-2)] {
            let (by_score, by_odds) = parity::distance(&Tiny::copy(name), name, |options| {
                (options.devices, options.dtype) = (vec![Device::Cuda(0)], dtype);
            });
            println!("{name} {dtype:?} on cuda:0: {by_score:.1e} of the score, {by_odds:.1e} of the log-odds");
            assert!(by_score <= tolerance && by_odds <= 5.0 * tolerance, "{name} {dtype:?}: {by_score} {by_odds}");
        }
    }
}

#[test]
fn they_conform_on_cuda() {
    for name in ["tied", "untied"] {
        for batch_tokens in [16384, 150] {
            let loaded = Tiny::copy(name).try_load(|options| {
                (options.devices, options.dtype, options.batch_tokens) = (vec![Device::Cuda(0)], Some(Dtype::F32), batch_tokens);
            });
            conformance::check(loaded.unwrap(), Tolerance::F32);
        }
    }
}
