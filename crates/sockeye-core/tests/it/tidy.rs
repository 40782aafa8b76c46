//! Rules of the house that no compiler checks: which module may know which, how long a file may be, what is cited.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Leaves: they know each other at most, and nothing above.
const LEAVES: &[&str] = &[
    "buf", "counters", "error", "inbox", "keys", "packet", "settings", "slab", "socket", "table", "time", "tuple",
    "wheel", "wire",
];

/// Rooms of the line. They know leaves and what is listed; siblings never know each other: only `host` hands a packet from one to the next.
const ROOMS: &[(&str, &[&str])] = &[
    ("gso", &[]),
    ("gro", &["gso"]),
    ("ip", &["gso", "host"]),
    ("udp", &["port"]),
    ("raw", &["port"]),
    // What arrived for nobody: it remembers SYNs, in the words of `tcp`.
    ("stray", &["demux", "tcp"]),
    ("tcp", &[]),
    ("port", &[]),
    ("demux", &["port"]),
    (
        "host",
        &["gso", "gro", "ip", "udp", "raw", "stray", "tcp", "port", "demux"],
    ),
    // What programs ask of a host: beside the line, above all of it.
    ("bsd", &["host"]),
    ("netem", &["gso", "host"]),
    ("pcap", &["gso", "host"]),
    ("sim", &["gso", "host", "netem", "pcap"]),
    ("script", &["bsd", "gso", "host"]),
];

/// What `host` lends to rooms below it: the names in its contract that are plain data.
const LENT: &[(&str, &[&str])] = &[
    (
        "ip",
        &[
            "HostConfig",
            "InterfaceConfig",
            "InterfaceId",
            "Loopback",
            "Medium",
            "Route",
        ],
    ),
    ("wire", &["Medium"]),
    ("gso", &["Medium"]),
    ("pcap", &["Medium"]),
];

/// Files that may be longer than the rest, and why.
const LONG: &[(&str, &str)] = &[];
const LONGEST: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All Rust files below a folder, with their text, in order of name.
fn rust_files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file is text");
                files.push((path, text));
            }
        }
    }
    files.sort();
    files
}

/// The part of a file that is neither comment nor test.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Paths after `crate::`, as (module, next name).
fn imports(code: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + 7..];
        let module = ident(rest);
        let after = rest[module.len()..].strip_prefix("::").unwrap_or_default();
        if let Some(list) = rest.strip_prefix('{') {
            // `use crate::{a::b, c}`
            for item in list.split('}').next().unwrap_or_default().split(',') {
                let _ = found.insert((ident(item.trim()).to_owned(), String::new()));
            }
        } else if let Some(list) = after.strip_prefix('{') {
            for item in list.split('}').next().unwrap_or_default().split(',') {
                let _ = found.insert((module.to_owned(), ident(item.trim()).to_owned()));
            }
        } else {
            let _ = found.insert((module.to_owned(), ident(after).to_owned()));
        }
    }
    found
}

fn ident(text: &str) -> &str {
    &text[..text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())]
}

/// The module a file belongs to: its first folder, or its own name.
fn module_of(path: &Path, src: &Path) -> String {
    let inside = path.strip_prefix(src).expect("below src");
    let first = inside
        .components()
        .next()
        .expect("not empty")
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn layers_point_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (path, text) in rust_files(&src) {
        let module = module_of(&path, &src);
        let is_test = path.ends_with("tests.rs") || path.parent().is_some_and(|folder| folder.ends_with("tests"));
        if module == "lib" || is_test {
            continue;
        }
        let allowed: &[&str] = match ROOMS.iter().find(|(name, _)| *name == module) {
            Some((_, allowed)) => allowed,
            None if LEAVES.contains(&module.as_str()) => &[],
            None => {
                wrong.push(format!("module `{module}` is not in the table: say where it belongs"));
                continue;
            }
        };
        let lent = LENT
            .iter()
            .find(|(name, _)| *name == module)
            .map_or(&[][..], |(_, names)| names);
        for (target, name) in imports(&code(&text)) {
            let target = match target.as_str() {
                "Host" | "HostConfig" => "host",
                "Packet" => "packet",
                "Instant" => "time",
                other => other,
            };
            let known = target == module
                || target.is_empty()
                || LEAVES.contains(&target)
                || target == "host" && lent.contains(&name.as_str())
                || allowed.contains(&target) && (target != "host" || lent.is_empty());
            if !known {
                wrong.push(format!("{}: `{module}` may not use `{target}::{name}`", path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that point the wrong way:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files(&root().join("crates")) {
        let lines = text.lines().count();
        let listed = LONG.iter().any(|(name, _)| path.ends_with(name));
        if lines > LONGEST && !listed {
            wrong.push(format!("{}: {lines} lines; {LONGEST} at most", path.display()));
        }
    }
    assert!(wrong.is_empty(), "too long:\n{}", wrong.join("\n"));
}

#[test]
fn core_has_neither_clock_nor_unsafe() {
    for (path, text) in rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        for banned in [
            "SystemTime",
            "std::time::Instant",
            "HashMap",
            "thread::sleep",
            "unsafe {",
        ] {
            assert!(!code(&text).contains(banned), "{} has {banned}", path.display());
        }
    }
}

/// `RFC 9293 §3.6` and what comes before a blank or a sign.
fn citations(text: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("RFC ") {
        let rest = &text[at + 4..];
        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let Ok(number) = number.parse() else { continue };
        let after = &rest[rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())..];
        let section = after.strip_prefix(" §").map(|section| {
            let end = section
                .find(|c: char| !c.is_alphanumeric() && c != '.')
                .unwrap_or(section.len());
            section[..end].trim_end_matches('.').to_owned()
        });
        found.push((number, section.unwrap_or_default()));
    }
    found
}

/// `cargo test -p sockeye-core --test it rfc_table -- --nocapture` prints what is cited: in code, and in tests.
#[test]
fn rfc_table() {
    let mut table: BTreeMap<u32, BTreeMap<String, (u32, u32)>> = BTreeMap::new();
    for (path, text) in rust_files(&root().join("crates")) {
        let in_tests = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        let (code, tests) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        for (part, is_test) in [(code, in_tests), (tests, true)] {
            for (number, section) in citations(part) {
                let count = table.entry(number).or_default().entry(section).or_default();
                *(if is_test { &mut count.1 } else { &mut count.0 }) += 1;
            }
        }
    }
    println!("{:>6}  {:<12} {:>5} {:>6}", "RFC", "section", "code", "tests");
    for (number, sections) in &table {
        for (section, (code, tests)) in sections {
            println!("{number:>6}  {section:<12} {code:>5} {tests:>6}");
        }
    }
    for number in [791, 792, 1122, 4443, 6298, 8200, 9293] {
        assert!(table.contains_key(&number), "RFC {number} is cited nowhere");
    }
}
