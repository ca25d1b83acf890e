//! How the tensors of a decoder are called in GGUF files.

/// Names of whole tensors, as transformers and as llama.cpp call them.
const WHOLE: [(&str, &str); 4] = [
    ("model.embed_tokens.weight", "token_embd.weight"),
    ("model.norm.weight", "output_norm.weight"),
    ("lm_head.weight", "output.weight"),
    ("score.weight", "cls.output.weight"),
];

/// The parts of a layer.
const PARTS: [(&str, &str); 11] = [
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// Returns what a GGUF file calls the tensor that safetensors call `name`; other names stay.
pub(crate) fn gguf_name(name: &str) -> String {
    let whole = WHOLE.iter().find(|(own, _)| *own == name).map(|(_, gguf)| (*gguf).to_owned());
    whole.or_else(|| in_layer(name)).unwrap_or_else(|| name.to_owned())
}

fn in_layer(name: &str) -> Option<String> {
    let (number, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (_, gguf) = PARTS.iter().find(|(own, _)| part.strip_suffix(".weight") == Some(own))?;
    Some(format!("blk.{number}.{gguf}.weight"))
}
