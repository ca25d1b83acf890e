//! Measures a device with the shapes of common models, on weights of random numbers:
//! `cargo run --release -p rerank-candle [--features cuda] --example device [cpu|cuda:N] [f32|f16|bf16] [threads] [layers]`.
//! The encoders are MiniLM-L6's and bge-reranker-base's, the decoder is Qwen3-Reranker-0.6B's (28 layers, unless `layers` says
//! fewer: rates rise in proportion). The first pass is not counted: a GPU's driver compiles then. On a processor, a second is one of
//! its time, which other work on the machine does not change much.

#![allow(clippy::print_stdout, reason = "the example prints what it measures")]

use std::{collections::HashMap, env, fs, path::Path, time::Instant};

use candle_core::{DType, Device as CandleDevice, Tensor, safetensors};
use rerank_candle::{Bert, BertShape, Decoder, DecoderShape, Row, Threads, TypedRow, Weights, open};
use rerank_plugin::{Device, Folder, Silent};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Pairs and their tokens.
const BATCHES: [(usize, usize); 2] = [(32, 128), (100, 64)];
const VOCABULARY: usize = 1000;
/// How many seconds each is measured, at least.
const LONG_ENOUGH: f64 = 2.0;

/// Where, and in which numbers.
struct Place {
    device: CandleDevice,
    dtype: DType,
    threads: Threads,
}

#[derive(Clone, Copy)]
struct Encoder {
    name: &'static str,
    layers: usize,
    hidden: usize,
}

// === impl Encoder ===

impl Encoder {
    fn tensors(self) -> candle_core::Result<HashMap<String, Tensor>> {
        let (hidden, inner) = (self.hidden, 4 * self.hidden);
        let mut all = HashMap::new();
        for (name, lines) in [("word", VOCABULARY), ("position", 512), ("token_type", 2)] {
            all.insert(format!("embeddings.{name}_embeddings.weight"), random(lines, hidden)?);
        }
        let mut norms = vec!["embeddings.LayerNorm".to_owned()];
        for layer in 0..self.layers {
            let below = format!("encoder.layer.{layer}");
            let square = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"];
            let shapes = square.map(|name| (name, hidden, hidden)).into_iter();
            for (name, lines, columns) in shapes.chain([("intermediate.dense", inner, hidden), ("output.dense", hidden, inner)]) {
                all.insert(format!("{below}.{name}.weight"), random(lines, columns)?);
                all.insert(format!("{below}.{name}.bias"), Tensor::zeros(lines, DType::F32, &CandleDevice::Cpu)?);
            }
            norms.extend(["attention.output.LayerNorm", "output.LayerNorm"].map(|name| format!("{below}.{name}")));
        }
        for norm in norms {
            all.insert(format!("{norm}.weight"), Tensor::ones(hidden, DType::F32, &CandleDevice::Cpu)?);
            all.insert(format!("{norm}.bias"), Tensor::zeros(hidden, DType::F32, &CandleDevice::Cpu)?);
        }
        Ok(all)
    }

    fn measure(self, place: &Place) -> Result<(), Error> {
        let (folder, heads) = (tempfile::tempdir()?, 12);
        let config = format!(
            r#"{{"model_type":"bert","hidden_act":"gelu","hidden_size":{},"intermediate_size":{},"layer_norm_eps":1e-12,
                "max_position_embeddings":512,"num_attention_heads":{heads},"num_hidden_layers":{},"pad_token_id":0,
                "type_vocab_size":2,"vocab_size":{VOCABULARY}}}"#,
            self.hidden,
            4 * self.hidden,
            self.layers
        );
        let source = checkpoint(folder.path(), &config, &self.tensors()?)?;
        let shape = BertShape::read(&source)?;
        let weights = Weights::read(&source, &place.device, &Silent)?;
        let model = weights.build(place.dtype, |_| false, |tensors| Bert::load(&tensors, &shape))?;
        place.rates(self.name, |rows| {
            let rows: Vec<TypedRow<'_>> = rows.iter().map(|tokens| TypedRow { tokens, types: &[] }).collect();
            Ok(model.forward(&rows)?.firsts()?)
        })
    }
}

// === impl Place ===

impl Place {
    /// Prints how many pairs a second go through in passes as large as the plugins make them.
    fn rates(&self, name: &str, pass: impl Fn(&[Vec<u32>]) -> Result<Tensor, Error> + Sync) -> Result<(), Error> {
        for (pairs, tokens) in BATCHES {
            let rows: Vec<Vec<u32>> = (0..pairs).map(|row| (0..tokens).map(|at| ((row * 31 + at * at) % 997) as u32).collect()).collect();
            let size = (self.threads.pass_tokens(16_384) / tokens).max(1);
            // Handed to the host, as scores are.
            let whole = |part: &[Vec<u32>]| -> Result<(), Error> {
                self.threads.run(|| pass(part)?.to_dtype(DType::F32)?.to_vec2::<f32>().map(drop).map_err(Error::from))
            };
            rows.chunks(size).take(1).try_for_each(whole)?;
            let (clock, begun) = (Instant::now(), self.seconds(Instant::now())?);
            let (mut rounds, mut took) = (0.0, 0.0);
            while took < LONG_ENOUGH {
                rows.chunks(size).try_for_each(whole)?;
                rounds += 1.0;
                took = self.seconds(clock)? - begun;
            }
            let rate = rounds * pairs as f64 / took;
            println!("{name:24} {pairs:4} x {tokens:3}: {rate:10.1} pairs/s");
        }
        Ok(())
    }

    /// Returns how late it is: by the clock, or by the time that this process had of the processor.
    fn seconds(&self, clock: Instant) -> Result<f64, Error> {
        const TICKS: f64 = 100.0;
        if self.device.is_cuda() {
            return Ok(clock.elapsed().as_secs_f64());
        }
        let stat = fs::read_to_string("/proc/self/stat")?;
        let ticks: Result<Vec<f64>, _> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2).map(str::parse).collect();
        Ok(ticks?.iter().sum::<f64>() / TICKS)
    }

    fn measure_decoder(&self, layers: usize) -> Result<(), Error> {
        let folder = tempfile::tempdir()?;
        let config = format!(
            r#"{{"vocab_size":{VOCABULARY},"hidden_size":1024,"intermediate_size":3072,"num_hidden_layers":{layers},
                "num_attention_heads":16,"num_key_value_heads":8,"head_dim":128,"max_position_embeddings":1024,"rope_theta":1000000}}"#
        );
        let mut all = HashMap::from([("model.embed_tokens.weight".to_owned(), random(VOCABULARY, 1024)?.to_dtype(DType::BF16)?)]);
        let mut ones = vec![("model.norm".to_owned(), 1024)];
        for layer in 0..layers {
            let below = format!("model.layers.{layer}");
            let attention = [("q_proj", 2048, 1024), ("k_proj", 1024, 1024), ("v_proj", 1024, 1024), ("o_proj", 1024, 2048)];
            let inner = [("gate_proj", 3072, 1024), ("up_proj", 3072, 1024), ("down_proj", 1024, 3072)];
            for (part, shapes) in [("self_attn", attention.as_slice()), ("mlp", inner.as_slice())] {
                for (name, lines, columns) in shapes {
                    all.insert(format!("{below}.{part}.{name}.weight"), random(*lines, *columns)?.to_dtype(DType::BF16)?);
                }
            }
            ones.extend(["input_layernorm", "post_attention_layernorm"].map(|name| (format!("{below}.{name}"), 1024)));
            ones.extend(["self_attn.q_norm", "self_attn.k_norm"].map(|name| (format!("{below}.{name}"), 128)));
        }
        for (name, size) in ones {
            all.insert(format!("{name}.weight"), Tensor::ones(size, DType::BF16, &CandleDevice::Cpu)?);
        }
        let source = checkpoint(folder.path(), &config, &all)?;
        let mut weights = Weights::read(&source, &self.device, &Silent)?;
        let model = Decoder::take(&mut weights, DecoderShape::read(&source)?, 1024, self.dtype)?;
        self.rates(&format!("Qwen3-0.6B, {layers} layers"), |rows| {
            let rows: Vec<Row<'_>> = rows.iter().map(|tokens| Row { past: None, tokens }).collect();
            Ok(model.last(&rows, &|| false)?)
        })
    }
}

fn random(lines: usize, columns: usize) -> candle_core::Result<Tensor> {
    Tensor::randn(0f32, 1.0 / (columns as f32).sqrt(), (lines, columns), &CandleDevice::Cpu)
}

fn checkpoint(folder: &Path, config: &str, tensors: &HashMap<String, Tensor>) -> Result<Folder, Error> {
    fs::write(folder.join("config.json"), config)?;
    safetensors::save(tensors, folder.join("model.safetensors"))?;
    Ok(Folder::open(folder)?)
}

fn main() -> Result<(), Error> {
    let mut arguments = env::args().skip(1);
    let device = arguments.next().unwrap_or_else(|| "cpu".to_owned());
    let dtype = arguments.next().unwrap_or_else(|| "f32".to_owned());
    let threads = arguments.next().map_or(Ok(1), |count| count.parse())?;
    let layers = arguments.next().map_or(Ok(28), |count| count.parse())?;
    let number = device.strip_prefix("cuda:").map(str::parse).transpose()?;
    let opened = open(number.map_or(Device::Cpu, Device::Cuda))?;
    let threads = if opened.is_cuda() { Threads::none() } else { Threads::start(threads)? };
    let place = Place { device: opened, dtype: dtype.parse()?, threads };
    println!("{device} in {dtype}");
    Encoder { name: "MiniLM-L6", layers: 6, hidden: 384 }.measure(&place)?;
    Encoder { name: "bge-reranker-base", layers: 12, hidden: 768 }.measure(&place)?;
    place.measure_decoder(layers)
}
