//! What the documents say about the tests is true.

use std::{fs, path::Path};

#[test]
fn every_proof_in_the_table_of_compatibility_is_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("docs/compatibility.md")).unwrap();
    let mut proofs = 0;
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what |")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let named = cells.last().unwrap().split('`').filter_map(|text| text.split_once("::"));
        let before = proofs;
        for (file, test) in named {
            let source = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(source.contains(&format!("fn {test}(")), "no {test} in {file}");
            proofs += 1;
        }
        assert!(proofs > before, "nothing proves {row}");
    }
    assert!(proofs > 100, "{proofs}");
}
