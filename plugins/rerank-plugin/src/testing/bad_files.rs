//! Checkpoints whose files are broken or hostile: every family refuses each of them in words that name the file, and none breaks.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use serde_json::{Value, json};

use super::MapStore;
use crate::{Family, Folder, LoadError, LoadOptions, Silent, Source};

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "config.json";

/// How a checkpoint is spoilt, in words, by what, and what the refusal names.
type Case = (String, Box<dyn Fn(&Path)>, &'static str);

/// A change that leaves a checkpoint right.
type Harmless = (&'static str, fn(&Path));

/// Loads spoilt copies of the checkpoint in `fixture`, each made anew in the empty folder `scratch`.
///
/// # Panics
/// Where one of them loads, or is refused without the name of the file, in words that name the case.
pub fn check_bad_files(family: &dyn Family, fixture: &Path, scratch: &Path) {
    let load = || -> Result<(), LoadError> {
        let folder = Folder::open(scratch)?;
        family.detect(&folder);
        family.load(&Source::Folder(folder), &LoadOptions::new(Arc::new(MapStore::default())), &Silent).map(drop)
    };
    for (name, spoil) in right_ones().into_iter().chain(right_links()) {
        copy(fixture, scratch);
        spoil(scratch);
        load().unwrap_or_else(|error| panic!("{name} is fine: {error}"));
    }
    for (name, spoil, named) in weights().into_iter().chain(json_files()).chain(shards()).chain(wrong_links()) {
        copy(fixture, scratch);
        spoil(scratch);
        let said = load().expect_err(&name).to_string();
        assert!(said.contains(named) && said.len() < 1000, "{name}: the refusal names {named}: {said}");
    }
}

/// Puts a copy of `from` into `to`, and nothing else.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(to).expect("the folder is read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("it is removed");
    }
    for entry in fs::read_dir(from).expect("the fixture is read") {
        let path = entry.expect("an entry").path();
        let own = to.join(path.file_name().expect("a name"));
        if path.is_dir() { copy(&path, &own) } else { fs::copy(&path, &own).map(drop).expect("it is copied") }
    }
}

/// What looks odd and is right.
fn right_ones() -> Vec<Harmless> {
    vec![
        ("a checkpoint as it is", |_| {}),
        ("a header with spaces behind it", |folder| {
            let mut file = Safetensors::read(folder);
            file.spaces = 512;
            file.write(folder);
        }),
    ]
}

fn weights() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut bytes = |name: &str, change: fn(&mut Vec<u8>)| {
        let spoil = move |folder: &Path| {
            let mut all = fs::read(folder.join(WEIGHTS)).expect("weights");
            change(&mut all);
            fs::write(folder.join(WEIGHTS), all).expect("weights are written");
        };
        cases.push((format!("weights: {name}"), Box::new(spoil), WEIGHTS));
    };
    bytes("nothing", |all| all.clear());
    bytes("half a length", |all| all.truncate(4));
    bytes("a length alone", |all| all.truncate(8));
    bytes("cut in the header", |all| all.truncate(60));
    bytes("cut in the middle", |all| all.truncate(all.len() / 2));
    bytes("the last byte missing", |all| all.truncate(all.len() - 1));
    bytes("bytes behind the last tensor", |all| all.extend([0; 8]));
    bytes("a header longer than any number", |all| all[..8].fill(0xff));
    bytes("a header of 4 GiB", |all| all[..8].copy_from_slice(&u64::from(u32::MAX).to_le_bytes()));
    bytes("a header a little longer than the file", |all| {
        let more = all.len() as u64;
        all[..8].copy_from_slice(&more.to_le_bytes());
    });
    bytes("a header of nothing", |all| all[..8].fill(0));
    bytes("a header that is no text", |all| all[8..20].fill(0xff));
    bytes("a header that never stops opening", |all| {
        let deep = "{\"a\":".repeat(1_000_000);
        *all = [&(deep.len() as u64).to_le_bytes()[..], deep.as_bytes()].concat();
    });
    let mut header = |name: &str, change: fn(&mut Tensors)| {
        let spoil = move |folder: &Path| {
            let mut file = Safetensors::read(folder);
            change(&mut file.tensors);
            file.write(folder);
        };
        cases.push((format!("header: {name}"), Box::new(spoil), WEIGHTS));
    };
    header("two tensors that lie over each other", |tensors| {
        let (first, second) = tensors.alike();
        tensors.0[&second]["data_offsets"] = tensors.0[&first]["data_offsets"].clone();
    });
    header("a tensor behind the end", |tensors| tensors.first()["data_offsets"] = json!([1_u64 << 40, (1_u64 << 40) + 16]));
    header("a tensor that ends before it begins", |tensors| tensors.first()["data_offsets"] = json!([64, 0]));
    header("a tensor of more numbers than bytes", |tensors| tensors.first()["shape"] = json!([1_u64 << 40]));
    header("a tensor of more numbers than there are", |tensors| tensors.first()["shape"] = json!([u64::MAX, u64::MAX]));
    header("a negative size", |tensors| tensors.first()["shape"] = json!([-1]));
    header("numbers of an unknown kind", |tensors| tensors.first()["dtype"] = json!("F33"));
    header("a tensor that is no table", |tensors| *tensors.first() = json!(7));
    header("whole numbers where others belong", |tensors| tensors.as_whole_numbers());
    cases
}

fn json_files() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for name in [CONFIG, TOKENIZER] {
        let mut file = |what: &str, spoil: fn(&Path)| {
            cases.push((format!("{name}: {what}"), Box::new(move |folder: &Path| spoil(&folder.join(name))), name));
        };
        file("missing", |path| fs::remove_file(path).expect("it is removed"));
        file("empty", |path| fs::write(path, "").expect("it is written"));
        file("cut off", |path| fs::write(path, "{\"model_type\":").expect("it is written"));
        file("a list", |path| fs::write(path, "[]").expect("it is written"));
        file("no text", |path| fs::write(path, [0xff; 64]).expect("it is written"));
        file("of a gigabyte", |path| File::create(path).and_then(|made| made.set_len(1 << 30)).expect("it is written"));
        file("a folder", |path| fs::remove_file(path).and_then(|()| fs::create_dir(path)).expect("a folder"));
        file("that never stops opening", |path| fs::write(path, "{\"normalizer\":".repeat(1_000_000)).expect("it is written"));
        file("nested too deep", |path| {
            let mut whole: Value = serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON");
            whole["model_type"] = Value::Null;
            let mut text = whole.to_string();
            text.truncate(text.len() - 1);
            let deep = "{\"type\":\"Sequence\",\"normalizers\":[".repeat(100_000);
            write!(text, ",\"normalizer\":{deep}null{}}}", "]}".repeat(100_000)).expect("a text grows");
            fs::write(path, text).expect("it is written");
        });
    }
    cases
}

fn shards() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let outside =
        ["../model.safetensors", "/etc/model.safetensors", "a/../../model.safetensors", "a\\..\\model.safetensors", "..", "", "model.bin"];
    for shard in outside {
        let spoil = move |folder: &Path| index(folder, &json!({ "weight_map": { "a": shard } }));
        cases.push((format!("an index that names {shard:?}"), Box::new(spoil), INDEX));
    }
    let mut links = |what: &str, named: &'static str, spoil: fn(&Path)| cases.push((what.to_owned(), Box::new(spoil), named));
    links("an index of nothing", "tensor", |folder| index(folder, &json!({ "weight_map": {} })));
    links("an index without a map", INDEX, |folder| index(folder, &json!({ "metadata": {} })));
    links("an index of a shard that is not there", "model-2.safetensors", |folder| {
        index(folder, &json!({ "weight_map": { "a": "model-2.safetensors" } }));
    });
    links("a tensor in two shards", "two files", |folder| {
        fs::copy(folder.join(WEIGHTS), folder.join("model-2.safetensors")).expect("it is copied");
        index(folder, &json!({ "weight_map": { "a": WEIGHTS, "b": "model-2.safetensors" } }));
    });
    links("a pickle alone", "pickle", |folder| {
        fs::rename(folder.join(WEIGHTS), folder.join("pytorch_model.bin")).expect("it is renamed");
    });
    cases
}

/// The hub's own cache is made of links.
#[cfg(unix)]
fn right_links() -> Vec<Harmless> {
    vec![("a cache of links to files elsewhere", |folder| {
        let elsewhere = folder.join("blobs");
        fs::create_dir(&elsewhere).expect("a folder");
        for name in [WEIGHTS, CONFIG, TOKENIZER] {
            fs::rename(folder.join(name), elsewhere.join(name)).expect("it is moved");
            std::os::unix::fs::symlink(elsewhere.join(name), folder.join(name)).expect("a link");
        }
    })]
}

#[cfg(unix)]
fn wrong_links() -> Vec<Case> {
    let targets = [("nothing", "nowhere"), ("itself", WEIGHTS), ("a folder", "."), ("a device", "/dev/zero"), ("text", CONFIG)];
    let case = |(what, target): (&str, &'static str)| -> Case {
        let spoil = move |folder: &Path| {
            fs::remove_file(folder.join(WEIGHTS)).expect("it is removed");
            std::os::unix::fs::symlink(target, folder.join(WEIGHTS)).expect("a link");
        };
        (format!("weights that are a link to {what}"), Box::new(spoil), WEIGHTS)
    };
    targets.map(case).into()
}

#[cfg(not(unix))]
fn right_links() -> Vec<Harmless> {
    Vec::new()
}

#[cfg(not(unix))]
fn wrong_links() -> Vec<Case> {
    Vec::new()
}

fn index(folder: &Path, content: &Value) {
    fs::write(folder.join(INDEX), content.to_string()).expect("the index is written");
}

/// A file of weights, taken apart.
struct Safetensors {
    tensors: Tensors,
    spaces: usize,
    numbers: Vec<u8>,
}

/// Its header.
struct Tensors(serde_json::Map<String, Value>);

// === impl Safetensors ===

impl Safetensors {
    fn read(folder: &Path) -> Self {
        let bytes = fs::read(folder.join(WEIGHTS)).expect("weights");
        let (length, rest) = bytes.split_first_chunk().expect("a length");
        let (header, numbers) = rest.split_at(u64::from_le_bytes(*length) as usize);
        Self { tensors: Tensors(serde_json::from_slice(header).expect("a header")), spaces: 0, numbers: numbers.to_vec() }
    }

    fn write(&self, folder: &Path) {
        let header = Value::Object(self.tensors.0.clone()).to_string() + &" ".repeat(self.spaces);
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &self.numbers].concat();
        fs::write(folder.join(WEIGHTS), bytes).expect("weights are written");
    }
}

// === impl Tensors ===

impl Tensors {
    fn names(&self) -> Vec<String> {
        self.0.keys().filter(|name| *name != "__metadata__").cloned().collect()
    }

    fn first(&mut self) -> &mut Value {
        let name = self.names().remove(0);
        &mut self.0[&name]
    }

    /// The names of two tensors of one shape.
    fn alike(&self) -> (String, String) {
        let names = self.names();
        let twin = |one: &String| names.iter().find(|other| *other != one && self.0[*other]["shape"] == self.0[one]["shape"]);
        names.iter().find_map(|one| Some((one.clone(), twin(one)?.clone()))).expect("two layers are alike")
    }

    /// Says of all weights that their bytes are whole numbers of the same size.
    fn as_whole_numbers(&mut self) {
        for name in self.names() {
            let whole = if self.0[&name]["dtype"] == "F32" { "I32" } else { "I16" };
            self.0[&name]["dtype"] = json!(whole);
        }
    }
}
