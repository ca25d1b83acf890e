//! How fast the packed BERT is, as a ratio to candle's own in the same run, and how far apart their numbers lie.

mod side_by_side;

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_transformers::models::bert::{BertModel, Config};
use rerank_candle::{Bert, BertShape, Threads, TypedRow, Weights};
use rerank_plugin::{Folder, Silent};
use side_by_side::{Numbers, checkpoint, compare, mixed, random, rows, table};

/// The shape of all-MiniLM-L6-v2 with a small vocabulary.
const CONFIG: &str = r#"{ "model_type": "bert", "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 384, "initializer_range": 0.02,
    "intermediate_size": 1536, "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "num_attention_heads": 12,
    "num_hidden_layers": 6, "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": 1000 }"#;

fn main() {
    let checkpoint = checkpoint(CONFIG, &tensors());
    let folder = Folder::open(checkpoint.path()).expect("the folder");
    let shape = BertShape::read(&folder).expect("a right configuration");
    let weights = Weights::read(&folder, &Device::Cpu, &Silent).expect("the weights");
    let own = weights.build(DType::F32, |_| false, |tensors| Bert::load(&tensors, &shape)).expect("the model");
    let config: Config = folder.json("config.json").expect("a right configuration");
    let stock = weights.build(DType::F32, |_| false, |tensors| BertModel::load(tensors, &config)).expect("candle's model");
    let threads = Threads::start(1).expect("a thread");
    for (name, lengths) in [("32 x 128", vec![128; 32]), ("100 x 64", vec![64; 100]), ("64 of 16 to 126", mixed())] {
        threads.run(|| compare(name, &rows(lengths), |batch| packed(&own, batch), |batch| padded(&stock, batch)));
    }
}

fn packed(model: &Bert, rows: &[Vec<u32>]) -> Numbers {
    let rows: Vec<TypedRow<'_>> = rows.iter().map(|tokens| TypedRow { tokens, types: &[] }).collect();
    model.forward(&rows).and_then(|hidden| hidden.means()?.to_vec2()).expect("a forward pass")
}

/// Pads, masks and pools as one must with candle's model.
fn padded(model: &BertModel, rows: &[Vec<u32>]) -> Numbers {
    let means = || {
        let tokens = table(rows, |row, place| row[place] as f32)?.to_dtype(DType::U32)?;
        let hidden = model.forward(&tokens, &tokens.zeros_like()?, Some(&table(rows, |_, _| 1.0)?))?;
        let shares = table(rows, |row, _| 1.0 / row.len() as f32)?.unsqueeze(1)?;
        shares.matmul(&hidden)?.squeeze(1)?.to_vec2()
    };
    means().unwrap_or_else(|error: candle_core::Error| panic!("{error}"))
}

fn tensors() -> HashMap<String, Tensor> {
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
