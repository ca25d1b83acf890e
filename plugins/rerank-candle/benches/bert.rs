//! How fast the packed BERT is, as a ratio to candle's own in the same run, and how far apart their numbers lie.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use candle_core::{DType, Device, Tensor, safetensors};
use candle_transformers::models::bert::{BertModel, Config};
use rerank_candle::{Bert, BertShape, Threads, TypedRow, Weights};
use rerank_plugin::{Folder, Silent};

/// The shape of all-MiniLM-L6-v2 with a small vocabulary.
const CONFIG: &str = r#"{ "model_type": "bert", "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 384, "initializer_range": 0.02,
    "intermediate_size": 1536, "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "num_attention_heads": 12,
    "num_hidden_layers": 6, "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": 1000 }"#;

/// Rounds; both models take turns in each, and the fastest counts.
const ROUNDS: usize = 3;

/// The most tokens of one forward pass, as the plugins have it.
const FORWARD_TOKENS: usize = 1024;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("config.json"), CONFIG).expect("a file");
    safetensors::save(&tensors(), folder.path().join("model.safetensors")).expect("a file");
    let folder = Folder::open(folder.path()).expect("the folder");
    let shape = BertShape::read(&folder).expect("a right configuration");
    let weights = Weights::read(&folder, &Device::Cpu, &Silent).expect("the weights");
    let own = weights.build(DType::F32, |_| false, |tensors| Bert::load(&tensors, &shape)).expect("the model");
    let config: Config = folder.json("config.json").expect("a right configuration");
    let stock = weights.build(DType::F32, |_| false, |tensors| BertModel::load(tensors, &config)).expect("candle's model");
    let threads = Threads::start(1).expect("a thread");
    let mixed = |row: usize| 16 + 112 * (row * 37 % 64) / 64;
    for (name, lengths) in [("32 x 128", vec![128; 32]), ("100 x 64", vec![64; 100]), ("64 of 16 to 126", (0..64).map(mixed).collect())] {
        threads.run(|| compare(name, &rows(lengths), (&own, &stock)));
    }
}

/// Prints how long both take, and the largest difference of their means.
fn compare(name: &str, rows: &[Vec<u32>], (own, stock): (&Bert, &BertModel)) {
    let (mut fastest, mut difference) = ([Duration::MAX; 2], 0.0f32);
    for _ in 0..ROUNDS {
        let (own_time, own_means) = timed(|| batches(rows, |row| row).flat_map(|batch| packed(own, batch)).collect());
        let (stock_time, stock_means) = timed(|| batches(rows, |_| rows[0].len()).flat_map(|batch| padded(stock, batch)).collect());
        fastest = [fastest[0].min(own_time), fastest[1].min(stock_time)];
        let numbers = own_means.iter().flatten().zip(stock_means.iter().flatten());
        difference = numbers.map(|(one, other)| (one - other).abs()).fold(difference, f32::max);
    }
    let [packed, padded] = fastest.map(|time| time.as_millis());
    let ratio = padded as f64 / packed as f64;
    println!("{name} tokens: packed {packed} ms, candle's {padded} ms: {ratio:.2} times as fast, means at most {difference:.1e} apart");
}

fn timed(work: impl FnOnce() -> Vec<Vec<f32>>) -> (Duration, Vec<Vec<f32>>) {
    let (began, before) = (Instant::now(), busy());
    let results = work();
    let took = before.and_then(|before| Some(busy()? - before));
    (took.unwrap_or_else(|| began.elapsed()), results)
}

/// Returns the processor time of this process where Linux tells it, in hundredths of a second: other processes do not count.
fn busy() -> Option<Duration> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let fields = text.rsplit(')').next()?.split_whitespace().skip(11).take(2);
    Some(Duration::from_millis(10 * fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>()))
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

fn packed(model: &Bert, rows: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let rows: Vec<TypedRow<'_>> = rows.iter().map(|tokens| TypedRow { tokens, types: &[] }).collect();
    model.forward(&rows).and_then(|hidden| hidden.means()?.to_vec2()).expect("a forward pass")
}

/// Pads, masks and pools as one must with candle's model.
fn padded(model: &BertModel, rows: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let longest = rows[0].len();
    let table = |value: fn(&Vec<u32>, usize) -> f32| {
        let places = rows.iter().flat_map(|row| (0..longest).map(move |place| if place < row.len() { value(row, place) } else { 0.0 }));
        Tensor::from_vec(places.collect(), (rows.len(), longest), &Device::Cpu)
    };
    let means = || {
        let tokens = table(|row, place| row[place] as f32)?.to_dtype(DType::U32)?;
        let hidden = model.forward(&tokens, &tokens.zeros_like()?, Some(&table(|_, _| 1.0)?))?;
        let shares = table(|row, _| 1.0 / row.len() as f32)?.unsqueeze(1)?;
        shares.matmul(&hidden)?.squeeze(1)?.to_vec2()
    };
    means().unwrap_or_else(|error: candle_core::Error| panic!("{error}"))
}

/// Returns rows of such lengths, the longest first.
fn rows(mut lengths: Vec<usize>) -> Vec<Vec<u32>> {
    lengths.sort_by_key(|length| std::cmp::Reverse(*length));
    let mut seed = 5u32;
    let mut token = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % 999 + 1
    };
    lengths.into_iter().map(|length| (0..length).map(|_| token()).collect()).collect()
}

fn tensors() -> HashMap<String, Tensor> {
    let random = |shape: &[usize], mean: f32, spread: f32| Tensor::randn(mean, spread, shape, &Device::Cpu).expect("random numbers");
    let mut all = HashMap::new();
    for (name, lines) in [("word", 1000), ("position", 512), ("token_type", 2)] {
        all.insert(format!("embeddings.{name}_embeddings.weight"), random(&[lines, 384], 0.0, 0.5));
    }
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..6 {
        let below = format!("encoder.layer.{layer}");
        let layers = [("attention.self.query", 384, 384), ("attention.self.key", 384, 384), ("attention.self.value", 384, 384)]
            .into_iter()
            .chain([("attention.output.dense", 384, 384), ("intermediate.dense", 1536, 384), ("output.dense", 384, 1536)]);
        for (name, lines, columns) in layers {
            all.insert(format!("{below}.{name}.weight"), random(&[lines, columns], 0.0, 1.0 / (columns as f32).sqrt()));
            all.insert(format!("{below}.{name}.bias"), random(&[lines], 0.0, 0.1));
        }
        norms.extend(["attention.output.LayerNorm", "output.LayerNorm"].map(|name| format!("{below}.{name}")));
    }
    for norm in norms {
        all.insert(format!("{norm}.weight"), random(&[384], 1.0, 0.1));
        all.insert(format!("{norm}.bias"), random(&[384], 0.0, 0.1));
    }
    all
}
