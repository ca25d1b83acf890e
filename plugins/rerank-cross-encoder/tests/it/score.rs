//! What a score depends on: labels, activations, parts, limits.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use candle_core::{Device, Tensor};
use rerank_cross_encoder::CrossEncoder;
use rerank_plugin::{
    Device as Place, Digest128, Document, Dtype, Family, Fault, Folder, Image, LoadOptions, Loaded, Part, Progress, Scale, Source,
    testing::{MapStore, conformance::query},
};
use serde_json::json;

use crate::fixture::{ALL, Changed, Model, load, path};

fn labelled(label: Option<&str>, text: &str, max_tokens: Option<u32>) -> Part {
    Part::Text { label: label.map(Arc::from), text: text.into(), max_tokens }
}

/// Tokens of a pair whose document has these parts.
fn cost(model: &Model, parts: Vec<Part>) -> Result<u32, Fault> {
    let asked = model.preparer.query(&query("china")).unwrap();
    model.preparer.document(&asked, &Document { parts, digest: Digest128(1) }).map(|document| document.cost())
}

/// Counts what is read.
#[derive(Default)]
struct Counted(AtomicU64);

impl Progress for Counted {
    fn begin(&self, _what: &str, _total: Option<u64>) {}

    fn advance(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[test]
fn the_files_are_read_once_for_all_workers_which_score_alike() {
    let folder = Folder::open(path("bert")).unwrap();
    let (size, read) = (folder.weights_size(), Counted::default());
    let mut options = LoadOptions::new(Arc::new(MapStore::default()));
    options.devices = vec![Place::Cpu; 2];
    let loaded = CrossEncoder.load(&Source::Folder(folder), &options, &read).unwrap();
    let Loaded::Local { preparer, workers } = loaded else { panic!("cross-encoders are local") };
    assert_eq!((workers.len(), read.0.into_inner()), (2, size));
    assert_eq!(preparer.card().placement.as_ref().unwrap().to_string(), "cpu and cpu in f32");
    let pair = [("red shoe", "a shoe that is red")];
    let scores: Vec<_> =
        workers.into_iter().map(|worker| Model { preparer: Arc::clone(&preparer), worker }.scores(&pair)[0].order()).collect();
    assert!(scores[0] == scores[1], "{scores:?}");
}

/// Two labels whose first logit is 0 say what one label says.
#[test]
fn of_two_labels_the_second_is_relevance() {
    let changed = Changed::copy("bert");
    let tensors = changed.tensors();
    for name in ["classifier.weight", "classifier.bias"] {
        let own = &tensors[name];
        changed.tensor(name, Some(Tensor::cat(&[&own.zeros_like().unwrap(), own], 0).unwrap()));
    }
    changed.config("id2label", json!({ "0": "LABEL_0", "1": "LABEL_1" }));
    let (mut one, mut two) = (load(&path("bert"), |_| {}), load(changed.path(), |_| {}));
    for document in ["Beijing", "a force"] {
        let (expected, found) = (one.score("china", document), two.score("china", document));
        assert!((expected - found).abs() < 1e-5, "{expected} {found}");
    }
}

/// A logistic is how the score is presented, and the identity is what it is ordered by.
#[test]
fn activations_that_keep_the_order_are_taken() {
    for activation in ["torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity"] {
        let changed = Changed::copy("bert");
        changed.config("sentence_transformers", json!({ "activation_fn": activation, "version": "5.1.0" }));
        let score = load(changed.path(), |_| {}).scores(&[("what is the capital of china?", "The capital of China is Beijing.")])[0];
        assert!((score.order() - 1.244_585_2).abs() < 2e-5 && (score.presented() - 0.776_361_1).abs() < 1e-5);
        assert_eq!(score.scale(), Scale::Logit);
    }
}

#[test]
fn pooling_goes_by_the_configuration() {
    let changed = Changed::copy("modernbert");
    changed.config("classifier_pooling", json!("cls"));
    let (means, firsts) =
        (load(&path("modernbert"), |_| {}).score("china", "Beijing"), load(changed.path(), |_| {}).score("china", "Beijing"));
    assert!((means - firsts).abs() > 1e-3, "{means} {firsts}");
}

/// Newer files spell the same rotary positions and layers in another way.
#[test]
fn newer_spellings_of_modernbert_score_alike() {
    let changed = Changed::copy("modernbert");
    let rope = |theta: f64| json!({ "rope_type": "default", "rope_theta": theta });
    changed
        .config("rope_parameters", json!({ "full_attention": rope(160_000.0), "sliding_attention": rope(10_000.0) }))
        .config("layer_types", json!(["full_attention", "sliding_attention", "sliding_attention"]));
    for key in ["global_rope_theta", "local_rope_theta", "global_attn_every_n_layers"] {
        changed.config(key, json!(null));
    }
    let (older, newer) =
        (load(&path("modernbert"), |_| {}).score("china", "Beijing"), load(changed.path(), |_| {}).score("china", "Beijing"));
    assert_eq!(older, newer);
    let swapped = Changed::copy("modernbert");
    swapped.config("layer_types", json!(["sliding_attention", "sliding_attention", "full_attention"]));
    let long = "gravity is a force ".repeat(10);
    let scores = [changed.path(), swapped.path()].map(|folder| load(folder, |_| {}).score("china", &long));
    assert!((scores[0] - scores[1]).abs() > 1e-4, "which layers see everything counts: {scores:?}");
}

#[test]
fn parts_are_labelled_cut_and_joined_by_line_feeds() {
    for name in ALL {
        let mut model = load(&path(name), |_| {});
        let whole = cost(&model, vec![Part::text("force: gravity is a force\nbodies")]).unwrap();
        let parts = vec![labelled(Some("force"), "gravity is a force", None), labelled(None, "bodies", None)];
        assert_eq!(cost(&model, parts).unwrap(), whole, "{name}");
        let cut = cost(&model, vec![labelled(None, "force force force force", Some(2)), labelled(None, "bodies", None)]).unwrap();
        assert!(
            cut < cost(&model, vec![labelled(None, "force force force force", None), labelled(None, "bodies", None)]).unwrap(),
            "{name}"
        );
        let (joined, apart) = (model.score("china", "gravity\nforce"), model.score("china", "force\ngravity"));
        assert!(joined != apart, "{name}: the order of parts counts");
    }
}

#[test]
fn pairs_are_cut_at_the_limit() {
    for name in ALL {
        let mut model = load(&path(name), |options| options.max_tokens = Some(24));
        assert_eq!(model.preparer.card().max_tokens, 24);
        let long = "gravity is a force ".repeat(50);
        assert_eq!(model.cost("what is the capital of china?", &long), 24, "{name}");
        let tails = ["china", "force"].map(|tail| format!("{long}{tail}"));
        assert_eq!(model.score("china", &tails[0]), model.score("china", &tails[1]), "{name}: behind the limit nothing counts");
    }
}

#[test]
fn what_cannot_be_read_is_the_documents_fault() {
    let model = load(&path("bert"), |_| {});
    let image = Image { bytes: Arc::from([0u8; 4]), digest: Digest128(1) };
    for parts in [vec![Part::Image(Arc::new(image))], vec![]] {
        assert!(matches!(cost(&model, parts), Err(Fault::Input(_))));
    }
    assert!(matches!(model.preparer.query(&query("\u{0}")), Err(Fault::Input(_))));
}

#[test]
fn the_fingerprint_follows_all_that_changes_scores() {
    let fingerprint = |folder: &std::path::Path, set: fn(&mut LoadOptions)| load(folder, set).preparer.card().fingerprint;
    let plain = fingerprint(&path("bert"), |_| {});
    assert_eq!(plain, fingerprint(&path("bert"), |options| options.batch_tokens = 7), "batches change no score");
    assert_eq!(plain, fingerprint(&path("bert"), |options| options.dtype = Some(Dtype::F32)), "what it is anyway");
    let mut all = vec![
        plain,
        fingerprint(&path("bert"), |options| options.max_tokens = Some(32)),
        fingerprint(&path("bert"), |options| options.dtype = Some(Dtype::Bf16)),
        fingerprint(&path("xlmr"), |_| {}),
    ];
    let changed = Changed::copy("bert");
    changed.config("layer_norm_eps", json!(1e-5));
    all.push(fingerprint(changed.path(), |_| {}));
    changed.tensor("classifier.bias", Some(Tensor::new(&[0.5f32], &Device::Cpu).unwrap()));
    all.push(fingerprint(changed.path(), |_| {}));
    for (place, one) in all.iter().enumerate() {
        assert!(!all[place + 1..].contains(one), "{place}");
    }
}
