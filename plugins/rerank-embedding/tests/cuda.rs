//! The same on the first CUDA device, beside the processor: `just cuda-test`.
//!
//! A target of its own, since no machine without such a device can run it.

#![allow(clippy::unwrap_used, reason = "the whole crate is a test")]
#![allow(dead_code, reason = "what other tests of the fixtures need")]

#[path = "it/fixture.rs"]
mod fixture;
#[path = "it/parity.rs"]
mod parity;
#[path = "it/tiny.rs"]
mod tiny;

use rerank_plugin::{
    Device, Dtype,
    testing::conformance::{self, Tolerance},
};

#[test]
fn cosines_on_cuda_are_those_of_the_reference() {
    for name in fixture::ALL {
        for (dtype, tolerance) in [(None, 2e-2), (Some(Dtype::F32), 1e-5), (Some(Dtype::F16), 5e-3), (Some(Dtype::Bf16), 2e-2)] {
            let off = parity::worst(&fixture::path(name), name, |options| {
                (options.devices, options.dtype) = (vec![Device::Cuda(0)], dtype);
            });
            println!("{name} {dtype:?} on cuda:0: at most {off:.1e} off");
            assert!(off <= tolerance, "{name} {dtype:?}: {off}");
        }
    }
}

#[test]
fn they_conform_on_cuda() {
    for name in fixture::ALL {
        for batch_tokens in [16384, 150] {
            let loaded = fixture::try_load(&fixture::path(name), |options| {
                (options.devices, options.dtype, options.batch_tokens) = (vec![Device::Cuda(0)], Some(Dtype::F32), batch_tokens);
            });
            conformance::check(loaded.unwrap().0, Tolerance::F32);
        }
    }
}
