//! Measures quantised weights: the ways to multiply by them, and what a decoder takes of memory and time:
//! `cargo run -p rerank-candle --example gguf [layers]`. The layers are those of Qwen3-Reranker-0.6B, which has 28, with the whole
//! vocabulary. One thread, and its processor time, which other work on the machine does not change much.

#![allow(clippy::print_stdout, reason = "the example prints what it measures")]

use std::{collections::HashMap, env, fs, path::Path, process::Command};

use candle_core::{
    DType, Device, Module, Tensor,
    quantized::{GgmlDType, QMatMul, QTensor, gguf_file},
    safetensors,
};
use rerank_candle::{Decoder, DecoderShape, Gguf, Row, Threads, Weights};
use rerank_plugin::{Folder, Silent};

type Error = Box<dyn std::error::Error + Send + Sync>;

const HIDDEN: usize = 1024;
const INNER: usize = 3072;
const VOCABULARY: usize = 151_669;
const BEGINNING: usize = 60;
const DOCUMENT: usize = 150;
const ROWS: [usize; 5] = [1, 16, 64, 256, 1024];
/// Tokens of the passes that are measured: one document, and as many as a pass takes.
const DOCUMENTS: [usize; 2] = [1, 6];

/// The forms of a checkpoint: a name, and what its matrices are.
const FORMS: [(&str, Option<GgmlDType>); 3] = [("f32", None), ("Q8_0", Some(GgmlDType::Q8_0)), ("Q4_K", Some(GgmlDType::Q4K))];

fn random(rows: usize, columns: usize) -> candle_core::Result<Tensor> {
    Tensor::randn(0f32, 1.0 / (columns as f32).sqrt(), (rows, columns), &Device::Cpu)
}

/// The parts of a layer: as safetensors and as GGUF files call them, rows and columns (a norm has no rows).
fn parts() -> [(&'static str, &'static str, usize, usize); 11] {
    [
        ("input_layernorm", "attn_norm", 0, HIDDEN),
        ("post_attention_layernorm", "ffn_norm", 0, HIDDEN),
        ("self_attn.q_norm", "attn_q_norm", 0, 128),
        ("self_attn.k_norm", "attn_k_norm", 0, 128),
        ("self_attn.q_proj", "attn_q", 2048, HIDDEN),
        ("self_attn.k_proj", "attn_k", 1024, HIDDEN),
        ("self_attn.v_proj", "attn_v", 1024, HIDDEN),
        ("self_attn.o_proj", "attn_output", HIDDEN, 2048),
        ("mlp.gate_proj", "ffn_gate", INNER, HIDDEN),
        ("mlp.up_proj", "ffn_up", INNER, HIDDEN),
        ("mlp.down_proj", "ffn_down", HIDDEN, INNER),
    ]
}

/// Writes the same random numbers in each form.
fn write(folder: &Path, layers: usize) -> Result<(), Error> {
    let ones = |size: usize| Tensor::ones(size, DType::F32, &Device::Cpu);
    let mut all = vec![
        ("model.embed_tokens.weight".to_owned(), "token_embd.weight".to_owned(), random(VOCABULARY, HIDDEN)?),
        ("model.norm.weight".to_owned(), "output_norm.weight".to_owned(), ones(HIDDEN)?),
    ];
    for layer in 0..layers {
        for (name, gguf, rows, columns) in parts() {
            let tensor = if rows == 0 { ones(columns)? } else { random(rows, columns)? };
            all.push((format!("model.layers.{layer}.{name}.weight"), format!("blk.{layer}.{gguf}.weight"), tensor));
        }
    }
    for (form, kind) in FORMS {
        let within = folder.join(form);
        fs::create_dir(&within)?;
        match kind {
            None => {
                let named: HashMap<String, Tensor> = all.iter().map(|(name, _, tensor)| (name.clone(), tensor.clone())).collect();
                safetensors::save(&named, within.join("model.safetensors"))?;
                fs::write(within.join("config.json"), config(layers))?;
            }
            Some(kind) => write_gguf(&within.join("model.gguf"), &all, kind, layers as u32)?,
        }
    }
    Ok(())
}

fn config(layers: usize) -> String {
    format!(
        r#"{{"vocab_size":{VOCABULARY},"hidden_size":{HIDDEN},"intermediate_size":{INNER},"num_hidden_layers":{layers},"num_attention_heads":16,
            "num_key_value_heads":8,"head_dim":128,"max_position_embeddings":4096,"rope_theta":1000000,"tie_word_embeddings":true}}"#
    )
}

fn write_gguf(path: &Path, all: &[(String, String, Tensor)], kind: GgmlDType, layers: u32) -> Result<(), Error> {
    use gguf_file::Value::{F32, String, U32};
    let metadata = [
        ("general.architecture", String("qwen3".into())),
        ("qwen3.block_count", U32(layers)),
        ("qwen3.context_length", U32(4096)),
        ("qwen3.embedding_length", U32(HIDDEN as u32)),
        ("qwen3.feed_forward_length", U32(INNER as u32)),
        ("qwen3.attention.head_count", U32(16)),
        ("qwen3.attention.head_count_kv", U32(8)),
        ("qwen3.attention.key_length", U32(128)),
        ("qwen3.attention.layer_norm_rms_epsilon", F32(1e-6)),
        ("qwen3.rope.freq_base", F32(1e6)),
    ];
    let quantised = |tensor: &Tensor| QTensor::quantize(tensor, if tensor.rank() == 1 { GgmlDType::F32 } else { kind });
    let tensors: Result<Vec<(&str, QTensor)>, _> = all.iter().map(|(_, name, tensor)| Ok((name.as_str(), quantised(tensor)?))).collect();
    let tensors: Result<_, candle_core::Error> = tensors;
    let tensors = tensors?;
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let metadata: Vec<(&str, &gguf_file::Value)> = metadata.iter().map(|(name, value)| (*name, value)).collect();
    Ok(gguf_file::write(&mut fs::File::create(path)?, &metadata, &tensors)?)
}

/// Returns the seconds of processor time that this process has used, as Linux tells them.
fn used() -> Result<f64, Error> {
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Result<Vec<f64>, _> = fields.skip(11).take(2).map(str::parse).collect();
    Ok(ticks?.iter().sum::<f64>() / TICKS)
}

/// Returns the milliseconds of one call, of as many calls as take a while.
fn milliseconds<T>(mut call: impl FnMut() -> candle_core::Result<T>) -> Result<f64, Error> {
    const ENOUGH: f64 = 0.5;
    call()?;
    let (begun, mut calls) = (used()?, 0);
    loop {
        call()?;
        calls += 1;
        let seconds = used()? - begun;
        if seconds > ENOUGH {
            return Ok(seconds * 1e3 / f64::from(calls));
        }
    }
}

/// Compares the ways to multiply by one matrix of the inner network.
fn products() -> Result<(), Error> {
    println!("milliseconds of one product with {INNER} × {HIDDEN} weights, one thread:");
    println!("        rows      f32   made plain first   candle's own   off by");
    for (form, kind) in FORMS {
        let Some(kind) = kind else { continue };
        let quantised = QTensor::quantize(&random(INNER, HIDDEN)?, kind)?;
        let plain = quantised.dequantize(&Device::Cpu)?;
        let own = QMatMul::from_qtensor(QTensor::quantize(&plain, kind)?)?;
        for count in ROWS {
            let rows = Tensor::randn(0f32, 1.0, (count, HIDDEN), &Device::Cpu)?;
            let by_plain = milliseconds(|| rows.matmul(&plain.t()?))?;
            let made_plain = milliseconds(|| rows.matmul(&quantised.dequantize(&Device::Cpu)?.t()?))?;
            let by_own = milliseconds(|| own.forward(&rows))?;
            let right = rows.matmul(&plain.t()?)?;
            let off = (own.forward(&rows)? - &right)?.abs()?.max_all()?.to_scalar::<f32>()?;
            println!("  {form} {count:6} {by_plain:8.2} {made_plain:18.2} {by_own:14.2} {off:8.0e}");
        }
    }
    Ok(())
}

/// What a process holds, in megabytes, as Linux tells it.
fn resident(what: &str) -> Result<f64, Error> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_default();
    Ok(line.split_whitespace().nth(1).unwrap_or("0").parse::<f64>()? / 1e3)
}

/// Measures one form; in a process of its own, so that nothing else is counted.
fn model(folder: &Path) -> Result<(), Error> {
    let source = Folder::open(folder)?;
    let before = resident("VmRSS")?;
    let (shape, mut weights) = match source.gguf()? {
        Some(path) => {
            let gguf = Gguf::open(&path)?;
            (DecoderShape::of_gguf(&gguf)?, Weights::of_gguf(&gguf, &Device::Cpu, &Silent)?)
        }
        None => (DecoderShape::read(&source)?, Weights::read(&source, &Device::Cpu, &Silent)?),
    };
    let decoder = Decoder::take(&mut weights, shape, 4096, DType::F32)?;
    drop(weights);
    let (loaded, loading) = (resident("VmRSS")? - before, resident("VmHWM")? - before);
    let token = |place: usize| (place * place % 997) as u32;
    let beginning: Vec<u32> = (0..BEGINNING).map(token).collect();
    let go_on = || false;
    let past = decoder.past(Row { past: None, tokens: &beginning }, &go_on)?;
    let documents: Vec<Vec<u32>> = (0..6).map(|own| (0..DOCUMENT).map(|place| token(place + own * 31)).collect()).collect();
    let rows: Vec<Row<'_>> = documents.iter().map(|tokens| Row { past: Some(&past), tokens }).collect();
    let mut took = Vec::new();
    for count in DOCUMENTS {
        took.push(milliseconds(|| Ok(decoder.last(&rows[..count], &go_on)))? / count as f64);
    }
    let name = folder.file_name().unwrap_or_default().display();
    println!("  {name:5} {loaded:10.0} {loading:16.0} {:13.0} {:14.0} {:14.0}", resident("VmRSS")? - before, took[0], took[1]);
    Ok(())
}

fn main() -> Result<(), Error> {
    let first = env::args().nth(1);
    if let Some(folder) = first.as_deref().filter(|first| first.contains('/')) {
        return Threads::start(1)?.run(|| model(Path::new(folder)));
    }
    let layers = first.map_or(Ok(4), |text| text.parse())?;
    Threads::start(1)?.run(products)?;
    let folder = tempfile::tempdir()?;
    write(folder.path(), layers)?;
    println!(
        "{layers} layers: megabytes, and milliseconds of one thread for a document of {DOCUMENT} tokens behind {BEGINNING} shared ones:"
    );
    println!("           loaded   while loading   after passes   alone in pass   one of six");
    for (form, _) in FORMS {
        Command::new(env::current_exe()?).arg(folder.path().join(form)).status()?;
    }
    Ok(())
}
