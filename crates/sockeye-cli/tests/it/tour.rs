//! `docs/tour.md`: every command of the page is run, and must print what the page shows.
//!
//! In a `console` block, a line that begins with `$ ` is a command (a `\` at the end continues it), and the lines after it are what it
//! prints. `~12` stands for any number, `...` for any text, `...` alone on a line for any lines; runs of spaces are alike.

use crate::need::have;
use crate::process::{finish, shell};
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A command of the page, the line it stands on, and what it prints.
#[derive(Debug, PartialEq)]
struct Step {
    line: usize,
    command: String,
    output: Vec<String>,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut continued) = (false, false);
    for (index, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        let (text, goes_on) = line.strip_suffix('\\').map_or((line, false), |text| (text, true));
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (_, Some(step)) if continued => step.command += text.trim_start(),
            (Some(_), _) => {
                let command = text[2..].to_owned();
                steps.push(Step {
                    line: index + 1,
                    command,
                    output: Vec::new(),
                });
            }
            (None, Some(step)) => {
                step.output.push(line.to_owned());
                continue;
            }
            (None, None) => panic!("line {}: output without a command", index + 1),
        }
        continued = goes_on;
    }
    steps
}

/// Whether lines are as the page shows them.
fn alike(shown: &[String], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first.trim() == "..." => (0..=printed.len()).any(|skip| alike(rest, &printed[skip..])),
        Some((first, rest)) => match printed.split_first() {
            Some((line, others)) => alike_line(&spaced(first), &spaced(line)) && alike(rest, others),
            None => false,
        },
    }
}

fn spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn alike_line(shown: &str, printed: &str) -> bool {
    if let Some(rest) = shown.strip_prefix("...") {
        return (0..=printed.len()).any(|skip| printed.get(skip..).is_some_and(|printed| alike_line(rest, printed)));
    }
    if let Some(rest) = shown
        .strip_prefix('~')
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    {
        return match (number(rest), number(printed)) {
            (shown, found) if found > 0 => alike_line(&rest[shown..], &printed[found..]),
            _ => false,
        };
    }
    match (shown.chars().next(), printed.chars().next()) {
        (None, None) => true,
        (Some(a), Some(b)) if a == b => alike_line(&shown[a.len_utf8()..], &printed[b.len_utf8()..]),
        _ => false,
    }
}

/// Length of the number at the front: digits, and a fraction.
fn number(text: &str) -> usize {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let fraction = text[whole..].strip_prefix('.').map_or(0, digits);
    whole + if whole > 0 && fraction > 0 { fraction + 1 } else { 0 }
}

#[test]
fn pages_are_read_and_compared() {
    let page = "text\n```console\n$ one \\\n    two\nprinted\n$ three\n```\n```sh\n$ not this\n```\n";
    let step = |line, command: &str, output: &[&str]| Step {
        line,
        command: command.to_owned(),
        output: output.iter().map(|&line| line.to_owned()).collect(),
    };
    assert_eq!(steps(page), [step(3, "one two", &["printed"]), step(6, "three", &[])]);
    for (shown, printed, want) in [
        (&["a ~12 b"][..], &["a   3.5 b"][..], true),
        (&["a ~12 b"], &["a x b"], false),
        (&["rtt ~1.5ms."], &["rtt 12ms."], true),
        (&["a ... z"], &["a b c z"], true),
        (&["a", "...", "z"], &["a", "z"], true),
        (&["a", "...", "z"], &["a", "b", "c", "z"], true),
        (&["a", "..."], &["b"], false),
        (&["a"], &["a", "b"], false),
        (&["10 packets"], &["11 packets"], false),
    ] {
        let shown: Vec<String> = shown.iter().map(|&line| line.to_owned()).collect();
        assert_eq!(alike(&shown, printed), want, "{shown:?} {printed:?}");
    }
}

#[test]
fn every_command_prints_what_the_page_shows() {
    if !have(&["python3", "curl", "nc", "tshark"]) {
        return;
    }
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/tour.md")).expect("the page");
    let folder = Path::new(env!("CARGO_BIN_EXE_sockeye")).parent().expect("a folder");
    let path = std::env::join_paths(
        std::iter::once(folder.to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let steps = steps(&page);
    assert!(steps.len() > 15, "only {} commands", steps.len());
    let mut wrong = String::new();
    for step in steps {
        // One pipe, so that lines keep their order.
        let mut command = shell(&format!("exec 2>&1; {}", step.command));
        let _ = command
            .current_dir(ROOT)
            .env("PATH", path.as_ref().expect("a path"))
            .env("NO_COLOR", "1");
        let ended = finish(&mut command);
        let text = ended.text();
        let printed: Vec<&str> = text.lines().collect();
        if !alike(&step.output, &printed) {
            wrong += &format!(
                "\nline {}: $ {}\n--- the page\n{}\n--- printed\n{text}",
                step.line,
                step.command,
                step.output.join("\n")
            );
        }
    }
    assert!(wrong.is_empty(), "docs/tour.md is not what happens:{wrong}");
}
