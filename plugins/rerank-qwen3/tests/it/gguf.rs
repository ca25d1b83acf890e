//! GGUF files: the scores of transformers on the same numbers, the tokens of the same tokenizer, and what is refused.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::PathBuf,
    sync::Arc,
};

use candle_core::{
    DType, Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Content, Value as Meta},
    },
    safetensors,
};
use proptest::prelude::*;
use rerank_candle::{Gguf, Tokens};
use rerank_plugin::{
    ControlTokens, Detection, Dtype, Family, Folder, LoadError, LoadOptions, Loaded, Query, Silent, Source,
    testing::{
        MapStore,
        conformance::{self, Tolerance, query},
    },
};
use rerank_qwen3::Qwen3;
use serde_json::Value;
use tempfile::TempDir;

use crate::tiny::{Model, Tiny};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
const ALL: [&str; 3] = ["gguf-q8_0", "gguf-rank", "gguf-q4_k_m"];

/// A copy of a file, taken apart so that a test may change it.
struct Copy {
    folder: TempDir,
    metadata: BTreeMap<String, Meta>,
    tensors: BTreeMap<String, Arc<QTensor>>,
}

// === impl Copy ===

impl Copy {
    fn of(name: &str) -> Self {
        let mut file = File::open(format!("{FIXTURES}/{name}/model.gguf")).unwrap();
        let content = Content::read(&mut file).unwrap();
        let tensor = |own: &String| (own.clone(), Arc::new(content.tensor(&mut file, own, &Device::Cpu).unwrap()));
        let tensors = content.tensor_infos.keys().map(tensor).collect();
        Self { folder: tempfile::tempdir().unwrap(), metadata: content.metadata.into_iter().collect(), tensors }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("model.gguf")
    }

    fn set(&mut self, name: &str, value: Meta) {
        self.metadata.insert(name.into(), value);
    }

    fn put(&mut self, name: &str, tensor: &Tensor, kind: GgmlDType) {
        self.tensors.insert(name.into(), Arc::new(QTensor::quantize(tensor, kind).unwrap()));
    }

    fn numbers(&self, name: &str) -> Tensor {
        self.tensors[name].dequantize(&Device::Cpu).unwrap()
    }

    fn written(&self) -> Folder {
        let metadata: Vec<(&str, &Meta)> = self.metadata.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> = self.tensors.iter().map(|(name, tensor)| (name.as_str(), &**tensor)).collect();
        gguf_file::write(&mut File::create(self.path()).unwrap(), &metadata, &tensors).unwrap();
        Folder::open(self.folder.path()).unwrap()
    }
}

fn folder(name: &str) -> Folder {
    Folder::open(format!("{FIXTURES}/{name}")).unwrap()
}

fn try_load(folder: Folder, set: impl FnOnce(&mut LoadOptions)) -> Result<Loaded, LoadError> {
    let mut options = LoadOptions::new(Arc::new(MapStore::default()));
    set(&mut options);
    Qwen3.load(&Source::Folder(folder), &options, &Silent)
}

fn load(folder: Folder, set: impl FnOnce(&mut LoadOptions)) -> Model {
    let Loaded::Local { preparer, mut workers } = try_load(folder, set).unwrap() else { panic!("it runs here") };
    Model { preparer, worker: workers.remove(0) }
}

/// Returns what a changed copy is refused with.
fn error(name: &str, change: impl FnOnce(&mut Copy)) -> String {
    let mut copy = Copy::of(name);
    change(&mut copy);
    try_load(copy.written(), |_| {}).err().expect("it is refused").to_string()
}

/// Returns the largest distance of a probability and of a pair of log-odds from the reference's, alone and together.
fn distance(folder: &Folder, reference: &str, set: impl Fn(&mut LoadOptions)) -> (f32, f32) {
    let (mut by_score, mut by_odds) = (0f32, 0f32);
    for case in Tiny::expected(reference)["cases"].as_array().unwrap() {
        let length = case["max_length"].as_u64().unwrap() as u32;
        let mut model = load(folder.clone(), |options| {
            options.control_tokens = ControlTokens::Parse;
            options.max_tokens = Some(if reference == "gguf-q4_k_m" { length } else { length.min(2048) });
            set(options);
        });
        let asked = Query { instruction: case["instruction"].as_str().map(Into::into), ..query(case["query"].as_str().unwrap()) };
        let documents: Vec<&str> = case["documents"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        let number = |value: &Value| value.as_f64().unwrap() as f32;
        for (found, expected) in model.scores(&asked, &documents).iter().zip(case["scores"].as_array().unwrap()) {
            by_score = by_score.max((found.presented() - number(expected)).abs());
        }
        for (document, expected) in documents.iter().zip(case["logits_no_yes"].as_array().unwrap()) {
            let found = model.scores(&asked, &[document])[0].order();
            by_odds = by_odds.max((found - (number(&expected[1]) - number(&expected[0]))).abs());
        }
    }
    (by_score, by_odds)
}

#[test]
fn scores_are_those_of_transformers_on_the_same_numbers() {
    for name in ALL {
        for (dtype, tolerance) in [(None, 1e-5), (Some(Dtype::F16), 5e-3), (Some(Dtype::Bf16), 2e-2)] {
            let (by_score, by_odds) = distance(&folder(name), name, |options| options.dtype = dtype);
            println!("{name} {dtype:?}: {by_score:.1e} of the score, {by_odds:.1e} of the log-odds");
            assert!(by_score <= tolerance && by_odds <= 10.0 * tolerance, "{name} {dtype:?}: {by_score} {by_odds}");
        }
    }
}

#[test]
fn it_conforms() {
    for (name, threads, batch_tokens) in [("gguf-q8_0", 1, 16384), ("gguf-rank", 2, 300), ("gguf-q4_k_m", 2, 16384)] {
        let set = |options: &mut LoadOptions| {
            (options.threads, options.batch_tokens, options.max_tokens) = (threads, batch_tokens, Some(1024));
        };
        let loaded = try_load(folder(name), set);
        conformance::check(loaded.unwrap(), Tolerance::F32);
    }
    conformance::check_fingerprints(&Qwen3, |set| try_load(folder("gguf-q8_0"), set).unwrap(), 512);
    conformance::check_chunks(|set| try_load(folder("gguf-q8_0"), set).unwrap(), Tolerance::F32);
}

/// What is not quantised is as exact as it is in safetensors.
#[test]
fn plain_numbers_give_the_scores_of_safetensors() {
    for kind in [GgmlDType::F32, GgmlDType::BF16] {
        let mut copy = Copy::of("gguf-q8_0");
        let tiny = Tiny::copy("tied");
        for (name, tensor) in tiny.weights() {
            let matrix = tensor.rank() == 2;
            let name = match name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) {
                Some((number, part)) => format!("blk.{number}.{}.weight", PARTS.iter().find(|(own, _)| part.starts_with(own)).unwrap().1),
                None if name.contains("embed") => "token_embd.weight".into(),
                None => "output_norm.weight".into(),
            };
            assert!(copy.tensors.contains_key(&name), "{name}");
            copy.put(&name, &tensor.to_dtype(DType::F32).unwrap(), if matrix { kind } else { GgmlDType::F32 });
        }
        assert!(distance(&copy.written(), "tied", |_| {}).0 <= 1e-5, "{kind:?}");
    }
}

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

#[test]
fn heads_of_every_kind_give_the_same() {
    let turned = |copy: &mut Copy| {
        let rows = copy.numbers("cls.output.weight");
        let rows = Tensor::stack(&[rows.get(1).unwrap(), rows.get(0).unwrap()], 0).unwrap();
        copy.put("cls.output.weight", &rows, GgmlDType::F32);
        copy.set("qwen3.classifier.output_labels", labels(&["no", "YES"]));
    };
    let logit = |copy: &mut Copy| {
        let rows = copy.numbers("cls.output.weight");
        let row = (rows.get(0).unwrap() - rows.get(1).unwrap()).unwrap().unsqueeze(0).unwrap();
        copy.put("cls.output.weight", &row, GgmlDType::F32);
        copy.metadata.remove("qwen3.classifier.output_labels");
    };
    let causal = |copy: &mut Copy| {
        let head = &safetensors::load(format!("{FIXTURES}/untied/model.safetensors"), &Device::Cpu).unwrap()["lm_head.weight"];
        copy.put("output.weight", &head.to_dtype(DType::F32).unwrap(), GgmlDType::BF16);
        copy.tensors.remove("cls.output.weight");
        copy.metadata.retain(|name, _| name != "qwen3.pooling_type" && name != "qwen3.classifier.output_labels");
    };
    let changes: [&dyn Fn(&mut Copy); 3] = [&turned, &logit, &causal];
    for (number, change) in changes.into_iter().enumerate() {
        let mut copy = Copy::of("gguf-rank");
        change(&mut copy);
        assert!(distance(&copy.written(), "gguf-rank", |_| {}).0 <= 1e-5, "{number}");
    }
}

fn labels(all: &[&str]) -> Meta {
    Meta::Array(all.iter().map(|label| Meta::String((*label).to_owned())).collect())
}

const TEXTS: [&str; 9] = [
    "The capital of China is Beijing.",
    "e\u{301}té \u{fb01} Ａ 北京是中国的首都 — 🦙👩‍👩‍👧‍👦",
    "don't DON'T we'LL 1234567 x=3.14;\r\n\r\n\t  tabs   and   spaces  ",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nyes<tool_call></tool_call>",
    "<|im_ end|><|fim_prefix|><|endoftext|><think",
    "\u{0}\u{7f}\u{200b}\u{feff}\u{10ffff}",
    "[PAD618] [PAD619]",
    "",
    "   \n \n\n",
];

#[test]
fn the_tokens_are_those_of_the_checkpoints_tokenizer() {
    let tied = Tiny::copy("tied");
    for name in ALL {
        let gguf = Gguf::open(format!("{FIXTURES}/{name}/model.gguf").as_ref()).unwrap();
        for control in [ControlTokens::Escape, ControlTokens::Parse] {
            let (own, reference) = (Tokens::of_gguf(&gguf, control).unwrap(), Tokens::read(&tied.folder(), control).unwrap());
            assert_eq!((own.vocabulary(), own.frame()), (reference.vocabulary(), 0));
            for token in ["<|im_start|>", "<think>", "yes", "no", "none such"] {
                assert_eq!(own.id(token), reference.id(token), "{token}");
            }
            let same = |one: &Tokens, other: &Tokens| {
                for text in TEXTS {
                    assert_eq!(one.first(text, 1000).unwrap(), other.first(text, 1000).unwrap(), "{text:?} {control:?}");
                }
            };
            same(&own, &reference);
            same(&own.without_added().unwrap(), &reference.without_added().unwrap());
        }
    }
}

#[test]
fn a_gguf_file_alone_is_taken_and_what_lies_beside_it_is_not_read() {
    let copy = Copy::of("gguf-q8_0");
    let alone = copy.written();
    assert_eq!(Qwen3.detect(&alone), Detection::Yes);
    let fingerprint = |folder: &Folder| load(folder.clone(), |_| {}).preparer.card().fingerprint;
    let before = fingerprint(&alone);
    for name in ["config.json", "tokenizer.json"] {
        fs::write(copy.folder.path().join(name), r#"{ "model_type": "bert" }"#).unwrap();
    }
    assert_eq!((Qwen3.detect(&alone), fingerprint(&alone)), (Detection::Yes, before));
    fs::write(copy.folder.path().join("model.safetensors"), "").unwrap();
    assert_eq!(Qwen3.detect(&alone), Detection::No, "safetensors come first");
    let chosen = alone.choose("model.gguf").unwrap();
    assert_eq!((Qwen3.detect(&chosen), fingerprint(&chosen)), (Detection::Yes, before));
    let mut other = Copy::of("gguf-q8_0");
    other.set("general.name", Meta::String("another".into()));
    assert_ne!(fingerprint(&other.written()), before, "all of the file counts");
}

#[test]
fn what_would_run_wrong_is_refused_with_what_would_work() {
    let says = |name: &'static str, value: Meta| error("gguf-q8_0", move |copy| copy.set(name, value));
    for (error, said) in [
        (
            says("general.architecture", Meta::String("qwen3moe".into())),
            "says general.architecture = \"qwen3moe\"; of GGUF files, this version",
        ),
        (says("general.architecture", Meta::String("bert".into())), "for other models take the safetensors"),
        (says("qwen3.pooling_type", Meta::U32(3)), "is an embedding model, and such a file does not say its prompts; of GGUF files"),
        (says("qwen3.pooling_type", Meta::U32(1)), "says qwen3.pooling_type = 1, which no reranker does"),
        (says("general.type", Meta::String("adapter".into())), "is no model (\"adapter\")"),
        (says("split.count", Meta::U16(2)), "is one part of a split file"),
        (says("qwen3.rope.scaling.type", Meta::String("yarn".into())), "scales positions by \"yarn\"; take a conversion"),
        (says("qwen3.rope.scaling.factor", Meta::F32(4.0)), "scales positions by 4"),
        (says("qwen3.attention.sliding_window", Meta::U32(512)), "asks for a sliding window"),
        (says("qwen3.expert_count", Meta::U32(8)), "is a mixture of experts"),
        (says("qwen3.attention.causal", Meta::Bool(false)), "looks at later tokens too"),
        (says("qwen3.dense_2_feat_in", Meta::U32(64)), "says qwen3.dense_2_feat_in, which is not known here"),
        (says("tokenizer.ggml.model", Meta::String("llama".into())), "says tokenizer.ggml.model = \"llama\", and only \"gpt2\" is read"),
        (says("tokenizer.ggml.pre", Meta::String("llama-bpe".into())), "says tokenizer.ggml.pre = \"llama-bpe\", and only \"qwen2\""),
        (
            error("gguf-rank", |copy| drop(copy.metadata.remove("qwen3.pooling_type"))),
            "has cls.output.weight, and qwen3.pooling_type does not",
        ),
        (error("gguf-rank", |copy| drop(copy.tensors.remove("cls.output.weight"))), "says `rank`, and there is no cls.output.weight"),
        (error("gguf-rank", |copy| drop(copy.metadata.remove("qwen3.classifier.output_labels"))), "has 2 rows in cls.output.weight"),
        (error("gguf-rank", |copy| copy.set("qwen3.classifier.output_labels", labels(&["a", "b"]))), "must be \"yes\" and \"no\""),
    ] {
        assert!(error.contains(said) && error.contains("model.gguf"), "{error}");
    }
}

#[test]
fn a_language_model_is_not_taken_for_a_reranker_unless_asked_for() {
    let mut copy = Copy::of("gguf-q8_0");
    copy.put("token_embd.weight", &Tensor::zeros((151_936, 64), DType::F32, &Device::Cpu).unwrap(), GgmlDType::Q8_0);
    let folder = copy.written();
    let Detection::Refused { reason } = Qwen3.detect(&folder) else { panic!("refused") };
    assert!(reason.contains("model.gguf describes a Qwen3 language model") && reason.contains("kind = \"qwen3\""), "{reason}");
    assert!(try_load(folder, |_| {}).is_ok());
}

#[test]
fn tensors_that_are_missing_left_over_or_misshapen_are_named() {
    let zeros = |dimensions: &[usize]| Tensor::zeros(dimensions, DType::F32, &Device::Cpu).unwrap();
    let gate = "blk.1.ffn_gate.weight";
    let with = |name: &'static str, dimensions: &'static [usize]| {
        error("gguf-q8_0", move |copy| copy.put(name, &zeros(dimensions), GgmlDType::Q8_0))
    };
    let says = |name: &'static str, value: Meta| error("gguf-q8_0", move |copy| copy.set(name, value));
    let without = |name: &'static str| error("gguf-q8_0", move |copy| drop(copy.metadata.remove(name)));
    for (error, said) in [
        (error("gguf-q8_0", |copy| drop(copy.tensors.remove(gate))), "the tensor blk.1.ffn_gate.weight is missing"),
        (error("gguf-q8_0", |copy| drop(copy.tensors.remove("token_embd.weight"))), "the tensor token_embd.weight is missing"),
        (with(gate, &[64, 128]), "blk.1.ffn_gate.weight is [64, 128], and its metadata says [128, 64]"),
        (with("rope_freqs.weight", &[1, 32]), "its metadata does not account for the tensor rope_freqs.weight"),
        (with("blk.0.attn_q.bias", &[1, 128]), "its metadata does not account for the tensor blk.0.attn_q.bias"),
        (with("output.weight", &[32, 64]), "output.weight is [32, 64], and its metadata says [618, 64]"),
        (with("token_embd.weight", &[96, 64]), "it has 618 tokens, and token_embd.weight says 96"),
        (says("qwen3.block_count", Meta::U64(1 << 60)), "the tensor blk.3.attn_norm.weight is missing"),
        (says("qwen3.embedding_length", Meta::U64(1 << 60)), "its metadata says [618, 1152921504606846976]"),
        (says("qwen3.feed_forward_length", Meta::U64(1 << 60)), "its metadata says [1152921504606846976, 64]"),
        (says("qwen3.attention.head_count", Meta::U32(0)), "0 heads cannot share 2"),
        (says("qwen3.attention.key_length", Meta::U32(16)), "qwen3.attention.value_length is 32, and the heads have 16 numbers"),
        (says("qwen3.vocab_size", Meta::U32(5)), "qwen3.vocab_size is 5, and token_embd.weight has 618 rows"),
        (says("qwen3.rope.freq_base", Meta::F32(f32::NAN)), "the base of the positions' angles is NaN"),
        (says("qwen3.rope.freq_base", Meta::F32(0.5)), "the base of the positions' angles is 0.5"),
        (says("qwen3.attention.layer_norm_rms_epsilon", Meta::F32(-1.0)), "the norms add -1, and that must be 0 or a little more"),
        (says("qwen3.block_count", Meta::String("3".into())), "qwen3.block_count is not a whole number"),
        (without("qwen3.context_length"), "its metadata has no qwen3.context_length"),
        (without("tokenizer.ggml.tokens"), "its metadata has no tokenizer.ggml.tokens"),
        (says("tokenizer.ggml.merges", labels(&["ab"])), "a merge is not two tokens with a space between"),
        (says("tokenizer.ggml.merges", labels(&["none such"])), "its tokenizer: "),
        (says("tokenizer.ggml.token_type", Meta::Array(vec![Meta::I32(1)])), "it has 618 tokens and 1 token types"),
    ] {
        assert!(error.contains(said) && error.contains("model.gguf"), "{error}");
    }
    let twice = error("gguf-q8_0", |copy| {
        let Some(Meta::Array(tokens)) = copy.metadata.get_mut("tokenizer.ggml.tokens") else { panic!("tokens") };
        tokens[5] = tokens[6].clone();
    });
    assert!(twice.contains("stands in it twice"), "{twice}");
    let unmarked = error("gguf-q8_0", |copy| {
        let Some(Meta::Array(tokens)) = copy.metadata.get_mut("tokenizer.ggml.tokens") else { panic!("tokens") };
        let think = tokens.iter().position(|token| token.to_string().unwrap() == "<think>").unwrap();
        tokens[think] = Meta::String("<thought>".into());
    });
    assert!(unmarked.contains("model.gguf: it has no token <think>"), "{unmarked}");
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let whole = fs::read(format!("{FIXTURES}/gguf-q8_0/model.gguf")).unwrap();
    let cut = |length: usize| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.gguf"), &whole[..length]).unwrap();
        try_load(Folder::open(folder.path()).unwrap(), |_| {}).err().map(|error| error.to_string())
    };
    for length in (0..whole.len()).step_by(4999).chain([whole.len() - 33]) {
        let error = cut(length);
        assert!(error.as_ref().is_some_and(|error| error.contains("model.gguf")), "{length}: {error:?}");
    }
    assert_eq!(cut(whole.len()), None);
}

#[test]
fn several_files_and_parts_of_one_are_named() {
    let copy = Copy::of("gguf-q8_0");
    let folder = copy.written();
    fs::copy(copy.path(), copy.folder.path().join("other.gguf")).unwrap();
    let refusal = || match Qwen3.detect(&folder) {
        Detection::Refused { reason } => reason,
        other => panic!("{other:?}"),
    };
    assert!(refusal().contains("several GGUF files: model.gguf, other.gguf; name one of them"), "{}", refusal());
    fs::rename(copy.path(), copy.folder.path().join("model-00001-of-00002.gguf")).unwrap();
    assert!(refusal().contains("is one part of a split GGUF file; join the parts"), "{}", refusal());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whatever becomes of a head with a tokenizer in it, the file is loaded or refused.
    #[test]
    fn damage_is_no_panic(places in prop::collection::vec((0usize..22_000, any::<u8>()), 1..4)) {
        let mut bytes = fs::read(format!("{FIXTURES}/gguf-rank/model.gguf")).unwrap();
        for (place, byte) in places {
            bytes[place] = byte;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.gguf"), &bytes).unwrap();
        let _ = try_load(Folder::open(folder.path()).unwrap(), |_| {});
    }
}
