//! Candle's own models. Rows of a pass are equally long, so that nothing is padded; masks are given where a model wants one.

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_transformers::models::{bert, debertav2, modernbert, qwen3, xlm_roberta};
use rerank_candle::Weights;
use rerank_plugin::{Folder, Silent};

use crate::{Error, Model};

pub fn load(kind: &str, folder: &Folder, dtype: DType) -> Result<Model, Error> {
    let weights = Weights::read(folder, &Device::Cpu, &Silent)?;
    let spare = |_: &str| true;
    let first = |states: Tensor| states.i((.., 0));
    Ok(match kind {
        "bert" => {
            let config: bert::Config = folder.json("config.json")?;
            let body = weights.build(dtype, spare, |tensors| bert::BertModel::load(tensors, &config))?;
            Box::new(move |rows| {
                let tokens = table(rows)?;
                first(body.forward(&tokens, &tokens.zeros_like()?, None)?)
            })
        }
        "xlm-roberta" => {
            let config: xlm_roberta::Config = folder.json("config.json")?;
            let body = weights.build(dtype, spare, |tensors| xlm_roberta::XLMRobertaModel::new(&config, tensors))?;
            Box::new(move |rows| {
                let tokens = table(rows)?;
                let mask = tokens.ones_like()?;
                first(body.forward(&tokens, &mask, &tokens.zeros_like()?, None, None, None)?)
            })
        }
        "modernbert" => {
            let config: modernbert::Config = folder.json("config.json")?;
            let body = weights.build(dtype, spare, |tensors| modernbert::ModernBert::load(tensors, &config))?;
            Box::new(move |rows| {
                let tokens = table(rows)?;
                first(body.forward(&tokens, &tokens.ones_like()?.to_dtype(DType::F32)?)?)
            })
        }
        "deberta-v2" => {
            let config: debertav2::Config = folder.json("config.json")?;
            let body = weights.build(dtype, spare, |tensors| debertav2::DebertaV2Model::load(tensors, &config))?;
            Box::new(move |rows| {
                let tokens = table(rows)?;
                let mask = tokens.ones_like()?.to_dtype(DType::I64)?;
                first(body.forward(&tokens, None, Some(mask))?)
            })
        }
        "qwen3" => {
            let config: qwen3::Config = folder.json("config.json")?;
            let body = weights.build(dtype, spare, |tensors| qwen3::Model::new(&config, tensors))?;
            Box::new(move |rows| body.clone().forward(&table(rows)?, 0)?.i((.., rows[0].len() - 1)))
        }
        other => return Err(format!("no model for {other}").into()),
    })
}

fn table(rows: &[Vec<u32>]) -> candle_core::Result<Tensor> {
    Tensor::from_vec(rows.concat(), (rows.len(), rows[0].len()), &Device::Cpu)
}
