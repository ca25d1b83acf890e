//! Two models that take turns: how long each is busy, and how far apart their numbers lie.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

mod busy;

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use busy::busy;
use candle_core::{Device, Tensor, safetensors};
use tempfile::TempDir;

/// Rounds; both models take turns in each, and the fastest counts.
const ROUNDS: usize = 3;

/// The most tokens of one forward pass, as the plugins have it.
const FORWARD_TOKENS: usize = 1024;

/// Numbers of each row.
pub type Numbers = Vec<Vec<f32>>;

/// Returns a folder with a checkpoint of this configuration and these tensors.
pub fn checkpoint(config: &str, tensors: &HashMap<String, Tensor>) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("config.json"), config).expect("a file");
    safetensors::save(tensors, folder.path().join("model.safetensors")).expect("a file");
    folder
}

/// Prints how long both take, and the largest difference of their numbers. The second one pads.
pub fn compare(name: &str, rows: &[Vec<u32>], own: impl Fn(&[Vec<u32>]) -> Numbers, stock: impl Fn(&[Vec<u32>]) -> Numbers) {
    let (mut fastest, mut difference) = ([Duration::MAX; 2], 0.0f32);
    for _ in 0..ROUNDS {
        let (own_time, own_numbers) = timed(|| batches(rows, |row| row).flat_map(&own).collect());
        let (stock_time, stock_numbers) = timed(|| batches(rows, |_| rows[0].len()).flat_map(&stock).collect());
        fastest = [fastest[0].min(own_time), fastest[1].min(stock_time)];
        let numbers = own_numbers.iter().flatten().zip(stock_numbers.iter().flatten());
        difference = numbers.map(|(one, other)| (one - other).abs()).fold(difference, f32::max);
    }
    let [packed, padded] = fastest.map(|time| time.as_millis());
    let ratio = padded as f64 / packed as f64;
    println!("{name} tokens: packed {packed} ms, candle's {padded} ms: {ratio:.2} times as fast, at most {difference:.1e} apart");
}

fn timed(work: impl FnOnce() -> Numbers) -> (Duration, Numbers) {
    let (began, before) = (Instant::now(), busy());
    let results = work();
    let took = before.and_then(|before| Some(busy()? - before));
    (took.unwrap_or_else(|| began.elapsed()), results)
}

/// Splits rows into forward passes; `width` is what a row takes there.
fn batches(rows: &[Vec<u32>], width: impl Fn(usize) -> usize) -> impl Iterator<Item = &[Vec<u32>]> {
    let mut taken = 0;
    rows.chunk_by(move |before, next| {
        taken = if taken == 0 { width(before.len()) } else { taken } + width(next.len());
        if taken > FORWARD_TOKENS {
            taken = 0;
        }
        taken != 0
    })
}

/// Returns a table of all rows, with 0 behind those that are shorter than the first.
pub fn table(rows: &[Vec<u32>], value: fn(&Vec<u32>, usize) -> f32) -> candle_core::Result<Tensor> {
    let longest = rows[0].len();
    let places = rows.iter().flat_map(|row| (0..longest).map(move |place| if place < row.len() { value(row, place) } else { 0.0 }));
    Tensor::from_vec(places.collect(), (rows.len(), longest), &Device::Cpu)
}

/// Returns rows of such lengths, the longest first.
pub fn rows(mut lengths: Vec<usize>) -> Vec<Vec<u32>> {
    lengths.sort_by_key(|length| std::cmp::Reverse(*length));
    let mut seed = 5u32;
    let mut token = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % 999 + 1
    };
    lengths.into_iter().map(|length| (0..length).map(|_| token()).collect()).collect()
}

/// Returns lengths between 16 and 126.
pub fn mixed() -> Vec<usize> {
    (0..64).map(|row| 16 + 112 * (row * 37 % 64) / 64).collect()
}

/// Returns random numbers in such a shape.
pub fn random(shape: &[usize], mean: f32, spread: f32) -> Tensor {
    Tensor::randn(mean, spread, shape, &Device::Cpu).expect("random numbers")
}
