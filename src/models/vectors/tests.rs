//! Files of vectors, whole and broken.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use proptest::{collection::vec, prelude::any, prop_assert, prop_assert_eq, proptest};
use rerank_plugin::{Artifact, ArtifactKey, ArtifactStore, Card, Digest128, Fingerprint, Scale, Slot, Vector};

use super::{
    Checked, Found, Locked, Shape, Vectors, VectorsError,
    format::{HEADER, SEGMENT_HEAD},
};
use crate::models::Store;

const OWN: Fingerprint = Fingerprint([1; 32]);
const OTHER: Fingerprint = Fingerprint([2; 32]);
/// Bytes of one vector of these tests with its name.
const ENTRY: usize = 16 + 8;

fn card() -> Card {
    let mut card = Card::new("embedding", OWN, Scale::Cosine, 256);
    card.keeps_vectors = true;
    card
}

fn vector(number: u32) -> Vector {
    Vector::new([number as f32, 0.5])
}

fn named(numbers: impl Iterator<Item = u32>) -> Vec<(Digest128, Vector)> {
    numbers.map(|number| (Digest128(u128::from(number)), vector(number))).collect()
}

/// Appends a segment of vectors with these numbers, and returns what was found before.
fn append(path: &Path, fingerprint: Fingerprint, numbers: impl Iterator<Item = u32>) -> Checked {
    let mut checked = Locked::open(path).unwrap().check(fingerprint).unwrap();
    let vectors = named(numbers);
    checked.writer.append(Shape::of(fingerprint, &vectors[0].1), &vectors).unwrap();
    checked
}

/// A folder with a file of ten own vectors in two segments, and one of another model between them.
fn usual() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.bin");
    append(&path, OWN, 0..5);
    append(&path, OTHER, 100..103);
    append(&path, OWN, 5..10);
    (folder, path)
}

/// Returns the numbers of the vectors that a store has of a file, after they were read into it.
fn filled(path: &Path, bytes: u64) -> Vec<u32> {
    let store = Store::new(bytes);
    Vectors::open(path).unwrap().fill(&card(), &store);
    let key = |number: u32| ArtifactKey { fingerprint: OWN, slot: Slot::Document, digest: Digest128(u128::from(number)) };
    (0..200).filter(|number| store.get(&key(*number)).is_some()).collect()
}

#[test]
fn what_was_written_is_there_after_a_restart_for_its_own_model() {
    let (_folder, path) = usual();
    assert_eq!(filled(&path, 1 << 20), (0..10).collect::<Vec<_>>());
    let survey = Vectors::open(&path).unwrap().survey().unwrap().unwrap();
    let found: Vec<_> = survey.shapes.iter().map(|(shape, vectors)| (shape.fingerprint, shape.components, shape.half, *vectors)).collect();
    assert_eq!(found, [(OWN, 2, false, 10), (OTHER, 2, false, 3)]);
    assert_eq!(survey.damage, None);
}

#[test]
fn digests_are_the_files_in_every_process() {
    let (_folder, path) = usual();
    let keys = [(); 2].map(|()| Vectors::open(&path).unwrap().digester().unwrap().key());
    assert_eq!(keys[0], keys[1]);
    assert_eq!(Locked::open(&path).unwrap().digester().key(), keys[0]);
}

#[test]
fn the_file_is_its_owners_alone() {
    let (_folder, path) = usual();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "it holds the key of the digests");
}

#[test]
fn a_writer_finds_what_is_there_and_goes_on_behind_it() {
    let (_folder, path) = usual();
    let length = fs::metadata(&path).unwrap().len();
    let locked = Locked::open(&path).unwrap();
    assert_eq!(locked.found(), Found::Vectors);
    let Checked { writer, known, damage, .. } = locked.check(OWN).unwrap();
    assert_eq!((known.len(), damage, writer.bytes()), (10, None, length));
    assert!((0..10).all(|number| known.contains(&Digest128(number))));
}

#[test]
fn one_process_writes_at_a_time() {
    let (_folder, path) = usual();
    let first = Locked::open(&path).unwrap();
    let refused = Locked::open(&path).unwrap_err().to_string();
    assert_eq!(refused, format!("{} is being written by another podium warm: wait until that ends", path.display()));
    assert_eq!(filled(&path, 1 << 20).len(), 10, "others may read");
    drop(first);
    assert!(Locked::open(&path).is_ok());
}

#[test]
fn a_file_that_breaks_off_is_used_as_far_as_it_is_whole_and_repaired_by_the_next_writer() {
    let (folder, path) = usual();
    let whole = fs::read(&path).unwrap();
    let last = SEGMENT_HEAD + 5 * ENTRY;
    for cut in [1, ENTRY, 5 * ENTRY, 5 * ENTRY + 1, last - 1] {
        let broken = folder.path().join(format!("broken-{cut}"));
        fs::write(&broken, &whole[..whole.len() - cut]).unwrap();
        let damage = Vectors::open(&broken).unwrap().survey().unwrap().unwrap().damage.unwrap();
        assert_eq!(damage.to_string(), format!("it breaks off at byte {}", whole.len() - last), "{cut}");
        assert_eq!(filled(&broken, 1 << 20), (0..5).collect::<Vec<_>>(), "{cut}");
        let checked = append(&broken, OWN, 5..10);
        assert_eq!((checked.known.len(), checked.damage), (5, Some(damage)), "{cut}");
        drop(checked);
        assert_eq!(fs::read(&broken).unwrap(), whole, "{cut}: as if nothing had happened");
    }
}

#[test]
fn a_changed_byte_costs_what_stands_behind_it() {
    let (folder, path) = usual();
    let whole = fs::read(&path).unwrap();
    let second = HEADER + SEGMENT_HEAD + 5 * ENTRY;
    let third = second + SEGMENT_HEAD + 3 * ENTRY;
    for (place, left, what) in [
        (HEADER, 0, "no segment begins"),
        (HEADER + 10, 0, "a checksum is wrong"),
        (HEADER + SEGMENT_HEAD + 3, 0, "a checksum is wrong"),
        (second, 5, "no segment begins"),
        (third + SEGMENT_HEAD + 20, 5, "a checksum is wrong"),
    ] {
        let broken = folder.path().join(format!("broken-{place}"));
        let mut changed = whole.clone();
        changed[place] ^= 0x10;
        fs::write(&broken, &changed).unwrap();
        // A changed fingerprint makes the segment another model's: it is not read, and the rest is.
        let expected = if place == HEADER + 10 { 5..10 } else { 0..left };
        assert_eq!(filled(&broken, 1 << 20), expected.collect::<Vec<_>>(), "{place}");
        let Checked { known, damage, .. } = Locked::open(&broken).unwrap().check(OWN).unwrap();
        assert_eq!((known.len(), damage.unwrap().what), (left as usize, what), "{place}");
    }
}

#[test]
fn lengths_in_the_file_are_not_believed() {
    let (folder, path) = usual();
    let broken = folder.path().join("broken");
    for (place, number) in [(HEADER + 36, u32::MAX), (HEADER + 44, u32::MAX), (HEADER + 44, 1_000_000), (HEADER + 36, 16 << 20)] {
        let mut changed = fs::read(&path).unwrap();
        changed[place..place + 4].copy_from_slice(&number.to_le_bytes());
        fs::write(&broken, &changed).unwrap();
        assert_eq!(filled(&broken, 1 << 20), [0; 0], "{number} at {place}");
    }
}

#[test]
fn files_that_are_of_no_use_say_why_and_are_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.bin");
    let shown = path.display();
    let open = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        let said = [Vectors::open(&path).unwrap_err().to_string(), Locked::open(&path).unwrap_err().to_string()];
        assert_eq!(said[0], said[1]);
        assert_eq!(fs::read(&path).unwrap(), content);
        said[0].clone()
    };
    assert_eq!(
        open(b"SQLite format 3\0 and more"),
        format!("{shown} is not a file of vectors: name another in cache.vectors-file, or move this one away")
    );
    let newer = [&b"podvec\r\n"[..], &2_u32.to_le_bytes(), &[0; 32]].concat();
    assert_eq!(
        open(&newer),
        format!("{shown} has format 2, and this version of podium reads format 1: move it away, and podium warm writes a new one")
    );
    fs::remove_file(&path).unwrap();
    assert_eq!(Vectors::open(&path).unwrap_err().to_string(), format!("{shown} is not there yet: podium warm writes it"));
    let of_folder = Vectors::open(folder.path()).unwrap_err();
    assert!(matches!(of_folder, VectorsError::Foreign { .. }), "{of_folder}");
    let nowhere = Locked::open(Path::new("/nowhere/v.bin")).unwrap_err().to_string();
    assert_eq!(nowhere, "/nowhere/v.bin cannot be written: No such file or directory (os error 2)");
}

#[test]
fn a_damaged_beginning_is_said_and_written_anew() {
    let (_folder, path) = usual();
    let mut changed = fs::read(&path).unwrap();
    changed[20] ^= 1;
    fs::write(&path, &changed).unwrap();
    assert_eq!(
        Vectors::open(&path).unwrap_err().to_string(),
        format!("the beginning of {} is damaged, so that nothing of it can be used: podium warm writes it anew", path.display())
    );
    let locked = Locked::open(&path).unwrap();
    assert_eq!(locked.found(), Found::NoHeader);
    assert!(locked.check(OWN).unwrap().known.is_empty());
    append(&path, OWN, 0..3);
    assert_eq!(filled(&path, 1 << 20), [0, 1, 2]);
}

#[test]
fn of_more_vectors_than_there_is_room_for_the_newest_are_read() {
    let (_folder, path) = usual();
    // Each weighs 8 bytes, and 200 in the cache.
    assert_eq!(filled(&path, 208 * 7), (3..10).collect::<Vec<_>>());
    assert_eq!(filled(&path, 208 * 3), (7..10).collect::<Vec<_>>());
}

#[test]
fn models_without_vectors_and_configurations_without_a_file_read_nothing() {
    let (_folder, path) = usual();
    let store = Store::new(1 << 20);
    let mut without = card();
    without.keeps_vectors = false;
    Vectors::open(&path).unwrap().fill(&without, &store);
    Vectors::default().fill(&card(), &store);
    Vectors::open_or_log(None).fill(&card(), &store);
    Vectors::open_or_log(Some(Path::new("/nowhere/v.bin"))).fill(&card(), &store);
    assert_eq!(store.entries(), 0);
}

#[test]
fn a_model_that_is_loaded_again_does_not_read_its_vectors_again() {
    let (_folder, path) = usual();
    let (vectors, store) = (Vectors::open(&path).unwrap(), Store::new(1 << 20));
    vectors.fill(&card(), &store);
    assert_eq!(store.entries(), 10);
    store.clear();
    vectors.clone().fill(&card(), &store);
    assert_eq!(store.entries(), 0, "what was emptied stays empty");
}

#[test]
fn what_a_full_disk_left_half_written_is_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.bin");
    append(&path, OWN, 0..3);
    let before = fs::read(&path).unwrap();
    // Half a segment, as a full disk leaves it.
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&before[HEADER..HEADER + 70]).unwrap();
    let checked = Locked::open(&path).unwrap().check(OWN).unwrap();
    assert_eq!(checked.known.len(), 3);
    drop(checked);
    assert_eq!(fs::read(&path).unwrap(), before);
}

proptest! {
    #[test]
    fn whatever_becomes_of_a_file_what_is_read_is_what_was_written(
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<proptest::sample::Index>(),
        garbage in vec(any::<u8>(), 0..100),
    ) {
        let (folder, path) = usual();
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(cut.index(bytes.len()) + 1);
        for (place, value) in &changes {
            let place = place.index(bytes.len());
            bytes[place] = *value;
        }
        bytes.extend(&garbage);
        let broken = folder.path().join("broken");
        fs::write(&broken, &bytes).unwrap();
        if let Ok(vectors) = Vectors::open(&broken) {
            let store = Store::new(1 << 20);
            vectors.fill(&card(), &store);
            let mut found = 0;
            for number in 0..10_u32 {
                let key = ArtifactKey { fingerprint: OWN, slot: Slot::Document, digest: Digest128(u128::from(number)) };
                if let Some(Artifact::Vector(read)) = store.get(&key) {
                    prop_assert_eq!(read, vector(number));
                    found += 1;
                }
            }
            prop_assert_eq!(store.entries(), found, "nothing else is there");
            let checked = Locked::open(&broken).unwrap().check(OWN).unwrap();
            prop_assert!(checked.known.len() as u64 <= found, "what stands behind a damage is not known");
        }
    }
}
