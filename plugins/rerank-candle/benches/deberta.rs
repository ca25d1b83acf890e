//! How fast the packed DeBERTa is, as a ratio to candle's own in the same run, and how far apart their numbers lie.

mod side_by_side;

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_transformers::models::debertav2::{Config, DebertaV2Model};
use rerank_candle::{Deberta, DebertaShape, Threads, TypedRow, Weights};
use rerank_plugin::{Folder, Silent};
use side_by_side::{Numbers, checkpoint, compare, mixed, random, rows, table};

/// The shape of mxbai-rerank-xsmall-v1 with a third of its layers and a small vocabulary.
const CONFIG: &str = r#"{ "model_type": "deberta-v2", "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "hidden_size": 384, "initializer_range": 0.02, "intermediate_size": 1536, "layer_norm_eps": 1e-7, "max_position_embeddings": 512,
    "max_relative_positions": -1, "norm_rel_ebd": "layer_norm", "num_attention_heads": 6, "num_hidden_layers": 4,
    "pos_att_type": "p2c|c2p", "position_biased_input": false, "position_buckets": 256, "relative_attention": true,
    "share_att_key": true, "type_vocab_size": 0, "vocab_size": 1000 }"#;

fn main() {
    let checkpoint = checkpoint(CONFIG, &tensors());
    let folder = Folder::open(checkpoint.path()).expect("the folder");
    let shape = DebertaShape::read(&folder).expect("a right configuration");
    let weights = Weights::read(&folder, &Device::Cpu, &Silent).expect("the weights");
    let own = weights.build(DType::F32, |_| false, |tensors| Deberta::load(&tensors, &shape)).expect("the model");
    let config: Config = folder.json("config.json").expect("a right configuration");
    let stock = weights.build(DType::F32, |_| false, |tensors| DebertaV2Model::load(tensors, &config)).expect("candle's model");
    let threads = Threads::start(1).expect("a thread");
    for (name, lengths) in [("32 x 128", vec![128; 32]), ("8 x 512", vec![512; 8]), ("64 of 16 to 126", mixed())] {
        threads.run(|| compare(name, &rows(lengths), |batch| packed(&own, batch), |batch| padded(&stock, batch)));
    }
}

fn packed(model: &Deberta, rows: &[Vec<u32>]) -> Numbers {
    let rows: Vec<TypedRow<'_>> = rows.iter().map(|tokens| TypedRow { tokens, types: &[] }).collect();
    model.forward(&rows).and_then(|hidden| hidden.firsts()?.to_vec2()).expect("a forward pass")
}

/// Pads and masks as one must with candle's model.
fn padded(model: &DebertaV2Model, rows: &[Vec<u32>]) -> Numbers {
    let firsts = || {
        let tokens = table(rows, |row, place| row[place] as f32)?.to_dtype(DType::U32)?;
        let mask = table(rows, |_, _| 1.0)?.to_dtype(DType::I64)?;
        model.forward(&tokens, None, Some(mask))?.narrow(1, 0, 1)?.squeeze(1)?.to_vec2()
    };
    firsts().unwrap_or_else(|error: candle_core::Error| panic!("{error}"))
}

fn tensors() -> HashMap<String, Tensor> {
    let mut all = HashMap::new();
    for (name, lines) in [("embeddings.word_embeddings", 1000), ("encoder.rel_embeddings", 512)] {
        all.insert(format!("{name}.weight"), random(&[lines, 384], 0.0, 0.5));
    }
    let mut norms = ["embeddings", "encoder"].map(|part| format!("{part}.LayerNorm")).to_vec();
    for layer in 0..4 {
        let below = format!("encoder.layer.{layer}");
        let square =
            ["self.query_proj", "self.key_proj", "self.value_proj", "output.dense"].map(|name| (format!("attention.{name}"), 384, 384));
        for (name, lines, columns) in
            square.into_iter().chain([("intermediate.dense".into(), 1536, 384), ("output.dense".into(), 384, 1536)])
        {
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
