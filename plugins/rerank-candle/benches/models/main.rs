//! Runs Podium's bodies and candle's own on the checkpoint of a folder, as `compare.py` beside this file asks, line by line:
//! `ENGINE TYPE ROWS FOUND`, where ENGINE is `podium` or `candle`, ROWS a file with rows of tokens and FOUND the file to write the
//! states to. Answers with the seconds of one round, by the clock and of the processor, and with the bytes of memory that the model
//! takes and that the round took above that at its peak. The folder's name is followed by the number of threads and by the most tokens
//! of one pass.

#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

#[path = "../side_by_side/busy.rs"]
mod busy;
mod memory;
mod ours;
mod stock;

use std::{collections::HashMap, fs, io, time::Instant};

use busy::busy;
use candle_core::{DType, Tensor};
use rerank_candle::Threads;
use rerank_plugin::Folder;

/// The most tokens of one pass, as the plugins have it where nothing else is asked.
const FORWARD_TOKENS: usize = 1024;

/// Makes one state of each row: the first token's, or the last one's where only that has seen the whole row.
type Model = Box<dyn FnMut(&[Vec<u32>]) -> candle_core::Result<Tensor> + Send>;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let folder = arguments.next().ok_or("the folder of a checkpoint is missing; compare.py names it")?;
    let threads = Threads::start(arguments.next().map_or(Ok(1), |count| count.parse())?)?;
    let tokens = arguments.next().map_or(Ok(FORWARD_TOKENS), |count| count.parse())?;
    let folder = Folder::open(folder)?;
    let mut models = HashMap::new();
    for line in io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [engine, dtype, rows, found] = words[..] else { return Err(format!("{line:?} is not what is asked here").into()) };
        let name = format!("{engine} {dtype}");
        if !models.contains_key(&name) {
            let before = memory::resident();
            let model = load(engine, dtype, &folder)?;
            models.insert(name.clone(), (model, memory::resident().saturating_sub(before)));
        }
        let rows: Vec<Vec<u32>> = serde_json::from_slice(&fs::read(rows)?)?;
        let (model, weights) = models.get_mut(&name).ok_or("the model was just loaded")?;
        let before = memory::watch()?;
        let (states, wall, own) = threads.run(|| round(model, &rows, tokens))?;
        let peak = memory::peak().saturating_sub(before);
        fs::write(found, serde_json::to_vec(&states)?)?;
        println!("{wall} {own} {weights} {peak}");
    }
    Ok(())
}

fn load(engine: &str, dtype: &str, folder: &Folder) -> Result<Model, Error> {
    let dtype = match dtype {
        "f32" => DType::F32,
        "bf16" => DType::BF16,
        "f16" => DType::F16,
        other => return Err(format!("{other} is no type of numbers").into()),
    };
    let kind: serde_json::Value = folder.json("config.json")?;
    let kind = kind["model_type"].as_str().unwrap_or_default();
    if engine == "podium" { ours::load(kind, folder, dtype) } else { stock::load(kind, folder, dtype) }
}

fn round(model: &mut Model, rows: &[Vec<u32>], tokens: usize) -> candle_core::Result<(Vec<Vec<f32>>, f64, f64)> {
    let (began, before) = (Instant::now(), busy());
    let mut states = Vec::new();
    for pass in rows.chunks((tokens / rows[0].len()).max(1)) {
        states.extend(model(pass)?.to_dtype(DType::F32)?.to_vec2::<f32>()?);
    }
    let own = before.and_then(|before| Some(busy()? - before)).unwrap_or_default();
    Ok((states, began.elapsed().as_secs_f64(), own.as_secs_f64()))
}
