//! docs/compatibility.md, row by row: each row is whole, its states are known, and the tests that it names exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The parts that rows may stand in.
const PARTS: [&str; 6] = ["Routes", "Query text", "Body keys", "URL parameters", "Features", "Clients"];
const TITLES: [&str; 4] = ["what", "Elasticsearch", "OpenSearch", "proved by"];
const STATES: [&str; 7] = ["reranked", "page only", "forwarded:", "copied", "streams through", "its own error", "n/a"];
const DOCUMENT: &str = "docs/compatibility.md";

/// One row of the table.
#[derive(Debug)]
struct Row {
    part: String,
    cells: Vec<String>,
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Returns the cells between the bars of a line; an escaped bar divides nothing.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{1}");
    inner.split('|').map(|cell| cell.replace('\u{1}', "|").trim().to_owned()).collect()
}

/// Returns the rows below the headings of level two, and what is wrong with the form of the document.
fn rows(text: &str) -> (Vec<Row>, Vec<String>) {
    let (mut rows, mut wrong, mut parts) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut part = None;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            part = Some(heading.to_owned());
            if !PARTS.contains(&heading) || !parts.insert(heading) {
                wrong.push(format!("## {heading}: no such part, or it stands twice"));
            }
        }
        let Some(current) = part.as_ref().filter(|_| line.starts_with('|')) else { continue };
        let cells = cells(line);
        if cells == TITLES || cells.iter().all(|cell| cell.chars().all(|letter| "-:".contains(letter))) {
            continue;
        }
        rows.push(Row { part: current.clone(), cells });
    }
    for empty in parts.iter().filter(|known| !rows.iter().any(|row| row.part == **known)) {
        wrong.push(format!("## {empty}: has no row"));
    }
    (rows, wrong)
}

/// Returns the words that stand in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns the reasons that docs/configuration.md explains.
fn reasons() -> BTreeSet<String> {
    let document = read("docs/configuration.md");
    let (_, table) = document.split_once("## Why a search was not reranked").expect("the list of reasons");
    let known = table.lines().filter(|line| line.starts_with("| `")).flat_map(|line| {
        let first = cells(line).swap_remove(0);
        quoted(&first).map(str::to_owned).collect::<Vec<_>>()
    });
    known.collect()
}

/// Returns whether a cell begins with a state; every reason in it must be one. What stands behind the state is for people.
fn is_state(cell: &str, reasons: &BTreeSet<String>) -> bool {
    let plain = cell.replace('`', "");
    let mut named = plain.split("forwarded: ").skip(1).map(|behind| behind.split([' ', ',', ';']).next().unwrap_or_default());
    let begins = |state: &&str| plain.strip_prefix(*state).is_some_and(|behind| !behind.starts_with(char::is_alphanumeric));
    STATES.iter().any(begins) && named.all(|reason| reasons.contains(reason))
}

/// Returns what is wrong with the tests that a row names: `path/to/file.rs::name`, each in backticks.
fn wrong_proofs(cell: &str) -> Vec<String> {
    let named: Vec<&str> = quoted(cell).collect();
    let mut wrong: Vec<String> = named.iter().filter(|proof| !exists(proof)).map(|proof| format!("no such test: {proof}")).collect();
    if named.is_empty() {
        wrong.push("names no test".to_owned());
    }
    wrong
}

fn exists(proof: &str) -> bool {
    let Some((file, name)) = proof.split_once("::") else { return false };
    let Ok(text) = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)) else { return false };
    text.lines().any(|line| line.contains(&format!("fn {name}(")))
}

/// Returns everything that is wrong with a document in the form of docs/compatibility.md.
fn problems(document: &str) -> Vec<String> {
    let reasons = reasons();
    let (rows, mut wrong) = rows(document);
    if rows.is_empty() {
        wrong.push("there is no row at all".to_owned());
    }
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for Row { part, cells } in &rows {
        let [what, elasticsearch, opensearch, proved_by] = cells.as_slice() else {
            wrong.push(format!("{part}: {cells:?} has {} cells, not 4", cells.len()));
            continue;
        };
        *seen.entry((part, what)).or_default() += 1;
        for state in [elasticsearch, opensearch].into_iter().filter(|state| !is_state(state, &reasons)) {
            wrong.push(format!("{part}: {what}: {state:?} is no state"));
        }
        wrong.extend(wrong_proofs(proved_by).into_iter().map(|proof| format!("{part}: {what}: {proof}")));
    }
    wrong.extend(seen.iter().filter(|(_, times)| **times > 1).map(|((part, what), _)| format!("{part}: {what} stands twice")));
    wrong
}

#[test]
fn every_row_is_whole_and_names_tests_that_exist() {
    let wrong = problems(&read(DOCUMENT));
    assert!(wrong.is_empty(), "{DOCUMENT}:\n{}", wrong.join("\n"));
}

#[test]
fn a_broken_table_is_found_out() {
    let proof = "`tests/it/compatibility.rs::a_broken_table_is_found_out`";
    let table = |part: &str, row: &str| format!("## {part}\n| what | Elasticsearch | OpenSearch | proved by |\n|---|---|---|---|\n{row}\n");
    let right = format!("| `a\\|b` | reranked | forwarded: `sorted` (as ever) | {proof} |");
    assert_eq!(problems(&table("Routes", &right)), Vec::<String>::new());
    for (part, row, expected) in [
        ("Routes", format!("| a | reranked | {proof} |"), "has 3 cells, not 4"),
        ("Routes", format!("| a | reranked | perhaps | {proof} |"), "\"perhaps\" is no state"),
        ("Routes", format!("| a | forwarded: no-such-reason | n/a | {proof} |"), "is no state"),
        ("Routes", format!("| a | reranked; from there forwarded: no-such-reason | n/a | {proof} |"), "is no state"),
        ("Routes", format!("| a | rerankedly | n/a | {proof} |"), "is no state"),
        ("Routes", "| a | reranked | n/a | by hand |".to_owned(), "names no test"),
        ("Routes", "| a | reranked | n/a | `tests/it/compatibility.rs::nobody` |".to_owned(), "no such test"),
        ("Routes", "| a | reranked | n/a | `tests/it/nowhere.rs::cells` |".to_owned(), "no such test"),
        ("Routes", format!("{right}\n{right}"), "stands twice"),
        ("Roots", right.clone(), "no such part"),
        ("Routes", String::new(), "has no row"),
        ("Routes", String::new(), "there is no row at all"),
    ] {
        let found = problems(&table(part, &row));
        assert!(found.iter().any(|problem| problem.contains(expected)), "{row}: {found:?}");
    }
}

#[test]
fn the_readme_promise_links_to_the_table() {
    let readme = read("README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let promise = "change the address and nothing else";
    let (_, behind) =
        readme.to_lowercase().split_once(promise).map(|(before, behind)| (before.to_owned(), behind.to_owned())).expect(promise);
    assert!(behind.starts_with(&format!("]({DOCUMENT})")), "the promise is the text of a link to {DOCUMENT}");
}
