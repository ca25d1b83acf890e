//! Podium's bodies.

use candle_core::DType;
use rerank_candle::{
    Bert, BertShape, Deberta, DebertaShape, Decoder, DecoderShape, Halt, ModernBert, ModernBertShape, Row, TypedRow, Weights,
};
use rerank_plugin::{Folder, Silent};

use crate::{Error, Model};

pub fn load(kind: &str, folder: &Folder, dtype: DType) -> Result<Model, Error> {
    let mut weights = Weights::read(folder, &candle_core::Device::Cpu, &Silent)?;
    let spare = |_: &str| true;
    Ok(match kind {
        "bert" | "xlm-roberta" => {
            let shape = BertShape::read(folder)?;
            let body = weights.build(dtype, spare, |tensors| Bert::load(&tensors, &shape))?;
            Box::new(move |rows| body.forward(&typed(rows))?.firsts())
        }
        "modernbert" => {
            let shape = ModernBertShape::read(folder)?;
            let body = weights.build(dtype, spare, |tensors| ModernBert::load(&tensors.pp("model"), &shape))?;
            Box::new(move |rows| body.forward(&typed(rows))?.firsts())
        }
        "deberta-v2" => {
            let shape = DebertaShape::read(folder)?;
            let body = weights.build(dtype, spare, |tensors| Deberta::load(&tensors, &shape))?;
            Box::new(move |rows| body.forward(&typed(rows))?.firsts())
        }
        "qwen3" => {
            let body = Decoder::take(&mut weights, DecoderShape::read(folder)?, 4096, dtype)?;
            Box::new(move |rows| {
                let rows: Vec<Row<'_>> = rows.iter().map(|tokens| Row { past: None, tokens }).collect();
                body.last(&rows, &|| false).map_err(|halt| match halt {
                    Halt::Failed(error) => error,
                    Halt::Stopped => candle_core::Error::Msg("stopped".into()),
                })
            })
        }
        other => return Err(format!("no body for {other}").into()),
    })
}

fn typed(rows: &[Vec<u32>]) -> Vec<TypedRow<'_>> {
    rows.iter().map(|tokens| TypedRow { tokens, types: &[] }).collect()
}
