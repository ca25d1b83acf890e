//! Vectors and scores: the conformance kit, batches, lengths, labels, control tokens, the store.

use std::{slice, sync::Arc};

use rerank_plugin::{
    ControlTokens, Digest128, Document, Dtype, Fault, Image, Pair, Part, Prepared, PreparedQuery, StateId, Stop,
    testing::conformance::{self, Tolerance, document, query},
};

use crate::tiny::{Model, Tiny};

impl Model {
    fn prepare(&self, parts: Vec<Part>, digest: u128) -> Result<Prepared, Fault> {
        let prepared = self.preparer.query(&query("red shoes"))?;
        self.preparer.document(&prepared, &Document { parts, digest: Digest128(digest) })
    }

    fn vector(&mut self, parts: Vec<Part>, digest: u128) -> Vec<f32> {
        let prepared = self.prepare(parts, digest).unwrap();
        let mut vectors = self.worker.encode(slice::from_ref(&&prepared), &Stop::default()).unwrap();
        vectors.remove(0).unwrap().components().to_vec()
    }

    fn text_vector(&mut self, text: &str, digest: u128) -> Vec<f32> {
        self.vector(vec![Part::text(text)], digest)
    }
}

fn near(left: &[f32], right: &[f32]) -> bool {
    left.iter().zip(right).all(|(one, other)| (one - other).abs() <= 1e-5)
}

fn labelled(label: Option<&str>, text: &str, max_tokens: Option<u32>) -> Part {
    Part::Text { label: label.map(Arc::from), text: text.into(), max_tokens }
}

#[test]
fn it_conforms() {
    let tiny = Tiny::write();
    for (threads, batch_tokens) in [(1, 16384), (2, 300), (1, 1)] {
        let set = |options: &mut rerank_plugin::LoadOptions| (options.threads, options.batch_tokens) = (threads, batch_tokens);
        let (loaded, _) = tiny.try_load(set).unwrap();
        conformance::check(loaded, Tolerance::F32);
    }
}

#[test]
fn a_vector_has_length_one_and_does_not_depend_on_the_batch() {
    let tiny = Tiny::write();
    let (mut wide, mut narrow) = (tiny.load(|_| {}), tiny.load(|options| options.batch_tokens = 1));
    let texts = ["red shoe", "a history of the roads, a history of the shoes", "wet", "number 12 of the document"];
    let prepared: Vec<Prepared> = (0..).zip(texts).map(|(digest, text)| wide.prepare(vec![Part::text(text)], digest).unwrap()).collect();
    let borrowed: Vec<&Prepared> = prepared.iter().collect();
    let together = wide.worker.encode(&borrowed, &Stop::default()).unwrap();
    for ((digest, text), vector) in (0..).zip(texts).zip(together) {
        let vector = vector.unwrap();
        let length: f32 = vector.components().iter().map(|component| component * component).sum();
        assert!((length - 1.0).abs() < 1e-5);
        assert!(near(&vector.components(), &narrow.text_vector(text, digest)), "{text}");
    }
}

#[test]
fn half_precision_comes_close() {
    let tiny = Tiny::write();
    let text = "a history of the roads, a history of the shoes";
    let exact = tiny.load(|_| {}).text_vector(text, 1);
    for (dtype, tolerance) in [(Dtype::F16, 5e-3), (Dtype::Bf16, 3e-2)] {
        let mut model = tiny.load(|options| options.dtype = Some(dtype));
        let vector = model.text_vector(text, 1);
        let off = exact.iter().zip(&vector).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
        assert!(off > 0.0 && off < tolerance, "{dtype:?}: {off}");
        assert_ne!(model.preparer.card().fingerprint, tiny.load(|_| {}).preparer.card().fingerprint);
    }
}

#[test]
fn documents_are_read_past_128_tokens_and_up_to_the_limit() {
    let tiny = Tiny::write();
    let mut model = tiny.load(|_| {});
    let long = |times, tail: &str| format!("{}{tail}", "word ".repeat(times));
    let texts = [long(200, "red"), long(200, "wet"), long(254, "red"), long(254, "wet"), long(5000, "wet")];
    let vectors: Vec<_> = (0..).zip(&texts).map(|(digest, text)| model.text_vector(text, digest)).collect();
    assert!(!near(&vectors[0], &vectors[1]), "the tail at token 201 counts");
    assert!(near(&vectors[2], &vectors[3]) && near(&vectors[3], &vectors[4]), "256 tokens are looked at, two of them the model's own");
    let prepared = model.preparer.query(&query(&texts[4])).unwrap();
    assert_eq!(prepared.cost(), 64, "a query has a limit of its own");
}

#[test]
fn parts_are_labelled_cut_and_joined() {
    let tiny = Tiny::write();
    let mut model = tiny.load(|_| {});
    let whole = model.text_vector("title: red shoes\nwet roads", 1);
    let parts = vec![labelled(Some("title"), "red shoes", None), labelled(None, "wet roads", None)];
    assert!(near(&whole, &model.vector(parts, 2)));
    let cut = vec![labelled(Some("title"), "red shoes a history", Some(4)), labelled(None, "wet roads of the", Some(2))];
    assert!(near(&whole, &model.vector(cut, 3)), "a label counts toward its part's budget");
    let crowded = vec![labelled(None, &"word ".repeat(300), None), labelled(None, "wet", None)];
    assert!(near(&model.vector(crowded, 4), &model.text_vector(&"word ".repeat(254), 5)), "parts share the document's limit");
}

#[test]
fn control_tokens_are_text_unless_they_are_to_be_parsed() {
    let tiny = Tiny::write();
    let cost = |control, text: &str| {
        let model = tiny.load(|options| options.control_tokens = control);
        model.prepare(vec![Part::text(text)], 1).unwrap().cost()
    };
    assert_eq!(cost(ControlTokens::Parse, "[SEP]"), 3);
    assert_eq!(cost(ControlTokens::Escape, "[SEP]"), 2 + 5, "[ s ##e ##p ]");
}

#[test]
fn what_cannot_be_read_is_the_documents_fault() {
    let tiny = Tiny::write();
    let model = tiny.load(|_| {});
    let image = Image { bytes: Arc::from([0u8; 4]), digest: Digest128(1) };
    for parts in [vec![Part::Image(Arc::new(image))], vec![Part::text(" \n\t")], vec![]] {
        assert!(matches!(model.prepare(parts, 1), Err(Fault::Input(_))));
    }
    assert!(matches!(model.preparer.query(&query("\u{0}")), Err(Fault::Input(_))));
}

#[test]
fn vectors_of_queries_and_documents_are_kept() {
    let tiny = Tiny::write();
    let mut model = tiny.load(|_| {});
    let (asked, wanted) = (query("red shoes"), document("wet roads"));
    let prepared = model.preparer.query(&asked).unwrap();
    let missing = model.preparer.document(&prepared, &wanted).unwrap();
    assert_eq!((prepared.cost(), missing.cost()), (4, 4));
    let state = begin(&mut model, &prepared).unwrap();
    assert_eq!(model.store.len(), 1, "the query's");
    let cold = model.worker.score(&[Pair { state, document: &missing, stop: &Stop::default() }]);
    assert_eq!(model.store.len(), 2, "and the document's");

    let again = model.preparer.query(&asked).unwrap();
    let kept = model.preparer.document(&again, &wanted).unwrap();
    assert_eq!((again.cost(), kept.cost()), (0, 0));
    let stop = Stop::default();
    stop.ask();
    let warm = begin(&mut model, &again).unwrap();
    assert_eq!(
        model.worker.score(&[Pair { state: warm, document: &kept, stop: &stop }]),
        cold,
        "what is known is answered even when asked to stop"
    );
    model.store.clear();
    assert_eq!(model.preparer.document(&again, &wanted).unwrap().cost(), 4, "a store may forget");
}

#[test]
fn nan_is_the_models_fault_and_is_not_kept() {
    let tiny = Tiny::write();
    tiny.spoil("encoder.layer.1.output.LayerNorm.bias");
    let mut model = tiny.load(|_| {});
    let prepared = model.preparer.query(&query("red shoes")).unwrap();
    assert!(matches!(begin(&mut model, &prepared), Err(Fault::Model(_))));
    let missing = model.preparer.document(&prepared, &document("wet roads")).unwrap();
    let vectors = model.worker.encode(&[&missing], &Stop::default()).unwrap();
    assert!(matches!(vectors.as_slice(), [Err(Fault::Model(_))]));
    assert!(model.store.is_empty());
}

fn begin(model: &mut Model, query: &PreparedQuery) -> Result<StateId, Fault> {
    model.worker.begin(&[query], &Stop::default()).remove(0)
}
