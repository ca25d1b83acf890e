//! Measures what a shared beginning saves, and compares with candle's own Qwen3, on weights of random numbers:
//! `cargo run --release -p rerank-candle --example decoder [layers]`. The layers are those of Qwen3-Reranker-0.6B,
//! which has 28: rates fall in proportion, ratios stay. One thread, and its processor time, which other work on the machine does not
//! change much.

#![allow(clippy::print_stdout, reason = "the example prints what it measures")]

use std::{collections::HashMap, env, fs, path::Path};

use candle_core::{DType, Device, IndexOp, Tensor, safetensors};
use candle_nn::{Activation, VarBuilder};
use candle_transformers::models::qwen3;
use rerank_candle::{Decoder, DecoderShape, Row, Threads, Weights};
use rerank_plugin::{Folder, Silent};

type Error = Box<dyn std::error::Error + Send + Sync>;

const DOCUMENTS: usize = 50;
const DOCUMENT: usize = 150;
const BEGINNING: usize = 60;
/// Documents of one pass: with their beginnings about as many tokens as the scorers take.
const PASS: usize = 5;

fn config(layers: usize) -> qwen3::Config {
    qwen3::Config {
        vocab_size: 1000,
        hidden_size: 1024,
        intermediate_size: 3072,
        num_hidden_layers: layers,
        num_attention_heads: 16,
        head_dim: 128,
        attention_bias: false,
        num_key_value_heads: 8,
        max_position_embeddings: 1024,
        sliding_window: None,
        max_window_layers: layers,
        tie_word_embeddings: true,
        rope_theta: 1e6,
        rms_norm_eps: 1e-6,
        use_sliding_window: false,
        hidden_act: Activation::Silu,
    }
}

fn write(folder: &Path, config: &qwen3::Config) -> Result<(), Error> {
    let (hidden, inner, head) = (config.hidden_size, config.intermediate_size, config.head_dim);
    let (queries, keys) = (config.num_attention_heads * head, config.num_key_value_heads * head);
    let random = |rows, columns| Tensor::randn(0f32, 1.0 / (columns as f32).sqrt(), (rows, columns), &Device::Cpu);
    let ones = |size: usize| Tensor::ones(size, DType::F32, &Device::Cpu);
    let mut all = HashMap::from([
        ("model.embed_tokens.weight".to_owned(), random(config.vocab_size, hidden)?),
        ("model.norm.weight".to_owned(), ones(hidden)?),
    ]);
    for layer in 0..config.num_hidden_layers {
        let mut put = |name: &str, tensor| drop(all.insert(format!("model.layers.{layer}.{name}.weight"), tensor));
        put("input_layernorm", ones(hidden)?);
        put("post_attention_layernorm", ones(hidden)?);
        put("self_attn.q_norm", ones(head)?);
        put("self_attn.k_norm", ones(head)?);
        put("self_attn.q_proj", random(queries, hidden)?);
        put("self_attn.k_proj", random(keys, hidden)?);
        put("self_attn.v_proj", random(keys, hidden)?);
        put("self_attn.o_proj", random(hidden, queries)?);
        put("mlp.gate_proj", random(inner, hidden)?);
        put("mlp.up_proj", random(inner, hidden)?);
        put("mlp.down_proj", random(hidden, inner)?);
    }
    safetensors::save(&all, folder.join("model.safetensors"))?;
    let written = format!(
        r#"{{"vocab_size":{},"hidden_size":{hidden},"intermediate_size":{inner},"num_hidden_layers":{},"num_attention_heads":{},
            "num_key_value_heads":{},"head_dim":{head},"max_position_embeddings":1024,"rope_theta":1000000}}"#,
        config.vocab_size, config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads
    );
    Ok(fs::write(folder.join("config.json"), written)?)
}

/// What one way of computing took, in seconds, and its last hidden states.
#[derive(Default)]
struct Way {
    seconds: f64,
    hidden: Vec<Tensor>,
}

impl Way {
    fn pass(&mut self, pass: impl FnOnce() -> Result<Tensor, Error>) -> Result<(), Error> {
        let begun = used()?;
        self.hidden.push(pass()?);
        self.seconds += used()? - begun;
        Ok(())
    }

    fn apart(&self, other: &Self) -> candle_core::Result<f32> {
        (Tensor::cat(&self.hidden, 0)? - Tensor::cat(&other.hidden, 0)?)?.abs()?.max_all()?.to_scalar()
    }
}

/// Returns the seconds of processor time that this process has used, as Linux tells them.
fn used() -> Result<f64, Error> {
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Result<Vec<f64>, _> = fields.skip(11).take(2).map(str::parse).collect();
    Ok(ticks?.iter().sum::<f64>() / TICKS)
}

fn measure(folder: &Path, config: &qwen3::Config) -> Result<(), Error> {
    let source = Folder::open(folder)?;
    let mut weights = Weights::read(&source, &Device::Cpu, &Silent)?;
    let stock = weights.build(DType::F32, |_| true, |tensors: VarBuilder<'static>| qwen3::Model::new(config, tensors))?;
    let decoder = Decoder::take(&mut weights, DecoderShape::read(&source)?, 1024, DType::F32)?;
    let token = |place: usize| (place * place % 997) as u32;
    let beginning: Vec<u32> = (0..BEGINNING).map(token).collect();
    let documents: Vec<Vec<u32>> = (0..DOCUMENTS).map(|own| (0..DOCUMENT).map(|place| token(place + own * 31)).collect()).collect();
    let wholes: Vec<Vec<u32>> = documents.iter().map(|document| [&*beginning, document].concat()).collect();
    let go_on = || false;
    let (mut shared, mut unshared, mut theirs) = (Way::default(), Way::default(), Way::default());
    let begun = used()?;
    let past = decoder.past(Row { past: None, tokens: &beginning }, &go_on)?;
    shared.seconds += used()? - begun;
    // The ways take turns, so that what else the machine does falls on all of them.
    for (tails, whole) in documents.chunks(PASS).zip(wholes.chunks(PASS)) {
        shared.pass(|| {
            let rows: Vec<Row<'_>> = tails.iter().map(|tokens| Row { past: Some(&past), tokens }).collect();
            Ok(decoder.last(&rows, &go_on)?)
        })?;
        unshared.pass(|| {
            let rows: Vec<Row<'_>> = whole.iter().map(|tokens| Row { past: None, tokens }).collect();
            Ok(decoder.last(&rows, &go_on)?)
        })?;
        theirs.pass(|| {
            let tokens = Tensor::from_vec(whole.concat(), (PASS, BEGINNING + DOCUMENT), &Device::Cpu)?;
            Ok(stock.clone().forward(&tokens, 0)?.i((.., BEGINNING + DOCUMENT - 1))?)
        })?;
    }

    let rate = |way: &Way| DOCUMENTS as f64 / way.seconds;
    let times = |way: &Way| way.seconds / shared.seconds;
    println!("{DOCUMENTS} documents of {DOCUMENT} tokens behind {BEGINNING} shared ones, documents a second of one core:");
    println!("  shared beginning   {:8.2}", rate(&shared));
    println!("  nothing shared     {:8.2}   shared: {:.2} times as fast", rate(&unshared), times(&unshared));
    println!("  candle's own model {:8.2}   shared: {:.2} times as fast", rate(&theirs), times(&theirs));
    println!(
        "largest difference of a hidden state from candle's: {:.1e} shared, {:.1e} not",
        shared.apart(&theirs)?,
        unshared.apart(&theirs)?
    );
    Ok(())
}

fn main() -> Result<(), Error> {
    let layers = env::args().nth(1).map_or(Ok(4), |text| text.parse())?;
    let (folder, config) = (tempfile::tempdir()?, config(layers));
    write(folder.path(), &config)?;
    println!("{layers} layers");
    Threads::start(1)?.run(|| measure(folder.path(), &config))
}
