//! Packet scripts: every file below `tests/scripts` is run against a Host in virtual time, and `docs/conformance.md` is what comes of it.
//!
//! The comment lines at the head of a script are its record: what it shows, with its RFC sections; then `row: TABLE "NAME"` for the rows it
//! stands for, `sockeye: why` when it is known not to hold yet, `linux: why` when Linux differs (`linux: not run: why` when nobody looked), `remark: ...`. A script that says
//! `sockeye:` and holds all the same is a failure, too: take the line away.

use sockeye_core::script::Script;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

mod rows;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

/// All scripts, by their paths below the folder.
fn files() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder()];
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(below).expect("the folder of the scripts").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "pkt") {
                let name = path.strip_prefix(folder()).expect("below the folder");
                let text = fs::read_to_string(&path).expect("a script is text");
                let _ = found.insert(name.to_string_lossy().replace('\\', "/"), text);
            }
        }
    }
    found
}

/// What the head of a script says.
#[derive(Default)]
struct Record {
    shows: String,
    rows: Vec<String>,
    sockeye: Option<String>,
    linux: Option<String>,
    remark: Option<String>,
}

impl Record {
    fn of(script: &Script) -> Self {
        let mut record = Self::default();
        for line in &script.head {
            let (field, rest) = line.split_once(": ").unwrap_or(("", line));
            let rest = rest.to_owned();
            match field {
                "row" => record.rows.push(rest),
                "sockeye" => record.sockeye = Some(rest),
                "linux" => record.linux = Some(rest),
                "remark" => record.remark = Some(rest),
                _ => record.shows = format!("{} {line}", record.shows).trim().to_owned(),
            }
        }
        record
    }

    /// Whether it shows requirement `n` of RFC 9293.
    fn must(&self, n: u32) -> bool {
        let word = format!("MUST-{n}");
        let followed = |at: usize| self.shows[at + word.len()..].starts_with(|c: char| c.is_ascii_digit());
        self.shows.match_indices(&word).any(|(at, _)| !followed(at))
    }

    fn remarks(&self) -> String {
        let sockeye = self.sockeye.as_ref().map(|why| format!("Sockeye: {why}"));
        let linux = self.linux.as_ref().map(|why| match why.strip_prefix("not run: ") {
            Some(why) => format!("not run on Linux: {why}"),
            None => format!("Linux {why}"),
        });
        let all: Vec<String> = [sockeye, linux, self.remark.clone()].into_iter().flatten().collect();
        all.join("; ")
    }
}

fn records() -> BTreeMap<String, Record> {
    let parse = |(name, text): (String, String)| {
        let script = Script::parse(&name, &text).unwrap_or_else(|fault| panic!("{fault}"));
        (name, Record::of(&script))
    };
    files().into_iter().map(parse).collect()
}

#[test]
fn every_script_holds() {
    let mut failures = Vec::new();
    for (name, text) in files() {
        let path = format!("crates/sockeye-core/tests/scripts/{name}");
        let script = match Script::parse(&path, &text) {
            Ok(script) => script,
            Err(fault) => {
                failures.push(fault.to_string());
                continue;
            }
        };
        match (script.run_on_host(), Record::of(&script).sockeye) {
            (Err(fault), None) => failures.push(fault.to_string()),
            (Ok(()), Some(_)) => failures.push(format!("{path}: it holds: take its `sockeye:` line away")),
            _ => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_script_says_what_it_shows() {
    for (name, record) in records() {
        assert!(
            record.shows.contains("RFC ") || record.shows.contains('('),
            "{name}: no specification is named"
        );
        for row in &record.rows {
            let known = rows::FEATURES.iter().map(|row| format!("D \"{row}\""));
            let known = known.chain(rows::DECIDED.iter().map(|row| format!("D2 \"{row}\"")));
            assert!(
                known.into_iter().any(|known| known == *row),
                "{name}: there is no row {row}"
            );
        }
    }
}

#[test]
fn the_page_is_what_the_scripts_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md");
    let page = page(&records());
    if std::env::var_os("SOCKEYE_BLESS").is_some() {
        fs::write(&path, page).expect("the page can be written");
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/conformance.md is not what the scripts say: SOCKEYE_BLESS=1 cargo test scripts writes it anew"
    );
}

/// The page.
fn page(records: &BTreeMap<String, Record>) -> String {
    let mut page = String::from(
        "# Conformance\n\n\
         What Sockeye's TCP does, row by row, each shown by packet scripts that anyone can run. This page is generated from the heads of the\n\
         scripts below `crates/sockeye-core/tests/scripts`; `cargo test scripts` runs them all and fails when the page is not what they say.\n\n\
         - Sockeye: `sockeye script FILE...`, in virtual time. \"no\" is a known gap, with its reason.\n\
         - Linux: `sockeye script --against linux FILE...`, as root: the same script on the machine's kernel, so that the script itself is\n  \
           checked. \"differs\" comes with what Linux does instead. Run last on Linux 6.18.\n\n",
    );
    let _ = writeln!(page, "## Features\n");
    table(&mut page, records, &rows::FEATURES, "D", &rows::WITHOUT);
    let _ = writeln!(page, "\n## Requirements that tell stacks apart\n");
    table(&mut page, records, &rows::DECIDED, "D2", &rows::WITHOUT);
    let _ = writeln!(
        page,
        "\n## Every MUST of RFC 9293\n\n| | requirement | scripts | Sockeye | Linux |\n|---|---|---|---|---|"
    );
    for (n, what, elsewhere) in rows::MUSTS {
        let shown: Vec<_> = records.iter().filter(|(_, record)| record.must(*n)).collect();
        let scripts = match &shown[..] {
            [] => (*elsewhere).to_owned(),
            _ => shown.iter().map(|(name, _)| link(name)).collect::<Vec<_>>().join(" "),
        };
        let (sockeye, linux) = verdicts(shown.iter().map(|(_, record)| *record));
        let _ = writeln!(page, "| MUST-{n} | {what} | {scripts} | {sockeye} | {linux} |");
    }
    let _ = writeln!(
        page,
        "\n## Every script\n\n| script | shows | Sockeye | Linux | remark |\n|---|---|---|---|---|"
    );
    for (name, record) in records {
        let (sockeye, linux) = verdicts(std::iter::once(record));
        let _ = writeln!(
            page,
            "| {} | {} | {sockeye} | {linux} | {} |",
            link(name),
            record.shows,
            record.remarks()
        );
    }
    page
}

fn table(page: &mut String, records: &BTreeMap<String, Record>, rows: &[&str], table: &str, missing: &[(&str, &str)]) {
    let _ = writeln!(
        page,
        "| row | RFC | scripts | Sockeye | Linux | remark |\n|---|---|---|---|---|---|"
    );
    for row in rows {
        let key = format!("{table} \"{row}\"");
        let shown: Vec<_> = records
            .iter()
            .filter(|(_, record)| record.rows.contains(&key))
            .collect();
        let scripts: Vec<String> = shown.iter().map(|(name, _)| link(name)).collect();
        let mut rfcs: Vec<&str> = shown.iter().flat_map(|(_, record)| rfcs(&record.shows)).collect();
        rfcs.sort_unstable();
        rfcs.dedup();
        let (sockeye, linux) = verdicts(shown.iter().map(|(_, record)| *record));
        let mut remarks: Vec<String> = shown
            .iter()
            .map(|(_, record)| record.remarks())
            .filter(|text| !text.is_empty())
            .collect();
        remarks.dedup();
        if let Some((_, why)) = missing.iter().find(|(name, _)| name == row) {
            remarks.push((*why).to_owned());
        }
        let _ = writeln!(
            page,
            "| {row} | {} | {} | {sockeye} | {linux} | {} |",
            rfcs.join(", "),
            scripts.join(" "),
            remarks.join("; ")
        );
    }
}

/// Numbers of the RFCs in a text.
fn rfcs(text: &str) -> Vec<&str> {
    let parts = text.split("RFC ").skip(1);
    parts
        .map(|part| part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default())
        .collect()
}

/// What to say of Sockeye and of Linux for some scripts together.
fn verdicts<'a>(records: impl Iterator<Item = &'a Record>) -> (String, String) {
    let (mut all, mut sockeye, mut linux, mut unknown) = (0, 0, 0, false);
    for record in records {
        unknown |= record.linux.as_ref().is_some_and(|why| why.starts_with("not run"));
        all += 1;
        sockeye += usize::from(record.sockeye.is_none());
        linux += usize::from(record.linux.is_none());
    }
    let say = |holds: usize, part: &str| match holds {
        _ if all == 0 => "-".to_owned(),
        holds if holds == all => "yes".to_owned(),
        _ if all == 1 => part.to_owned(),
        holds => format!("{holds} of {all}"),
    };
    (
        say(sockeye, "no"),
        say(linux, if unknown { "not run" } else { "differs" }),
    )
}

fn link(name: &str) -> String {
    let short = name.trim_end_matches(".pkt");
    format!("[{short}](../crates/sockeye-core/tests/scripts/{name})")
}

/// No input makes the runner panic, and it ends: scripts with characters and lines changed, dropped and doubled, from a seed.
#[test]
fn broken_scripts_break_nothing() {
    let files: Vec<String> = files().into_values().collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let rounds = super::support::env("SOCKEYE_FUZZ").unwrap_or(3_000);
    for round in 0..rounds {
        let mut text: Vec<char> = files[draw(files.len())].chars().collect();
        for _ in 0..1 + draw(4) {
            let at = draw(text.len());
            let len = draw(12).min(text.len() - at);
            match draw(4) {
                0 => drop(text.drain(at..at + len)),
                1 => {
                    let copy: Vec<char> = text[at..at + len].to_vec();
                    let to = draw(text.len());
                    let _ = text.splice(to..to, copy);
                }
                2 => {
                    let signs = [
                        '0', '9', '<', '>', '[', '{', '(', ')', '.', '"', '-', '~', ',', ':', 'S', ' ', '\n',
                    ];
                    text.insert(at, signs[draw(signs.len())]);
                }
                _ => {
                    let number = draw(1 << 33).to_string();
                    let _ = text.splice(at..at + len.min(2), number.chars());
                }
            }
            if text.is_empty() {
                text.push('x');
            }
        }
        let text: String = text.into_iter().collect();
        let ran = catch_unwind(|| {
            if let Ok(script) = Script::parse("broken.pkt", &text) {
                let _ = script.run_on_host();
            }
        });
        assert!(ran.is_ok(), "round {round} panicked:\n{text}");
    }
}
