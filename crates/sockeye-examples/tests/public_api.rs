//! Everything that a user of the `sockeye` crate can name, one a line, is recorded in `docs/api/sockeye.txt`: a change to the public surface
//! is a change to that file, and seen in review.

use public_api::Builder;
use std::path::Path;
use std::process::Command;

#[test]
fn the_public_surface_is_as_recorded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("target/api");
    let mut rustdoc = Command::new(env!("CARGO"));
    rustdoc
        .args([
            "rustdoc",
            "--locked",
            "--quiet",
            "--package",
            "sockeye",
            "--lib",
            "--target-dir",
        ])
        .arg(&target)
        .args([
            "--",
            "-Z",
            "unstable-options",
            "--output-format",
            "json",
            "--cap-lints",
            "allow",
        ])
        .env("RUSTDOC", root.join(".ci/rustdoc"))
        .current_dir(&root);
    let status = rustdoc.status().expect("cargo runs");
    assert!(status.success(), "{rustdoc:?}: {status}");
    let api = Builder::from_rustdoc_json(target.join("doc/sockeye.json"))
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build();
    let now = api
        .expect("rustdoc's JSON is of the version that public-api reads")
        .to_string();
    let file = root.join("docs/api/sockeye.txt");
    if std::env::var_os("SOCKEYE_BLESS").is_some_and(|value| value == "1") {
        return std::fs::write(&file, now).expect("the file can be written");
    }
    let recorded = std::fs::read_to_string(&file).unwrap_or_default();
    let missing = |one: &str, other: &str| -> Vec<String> {
        let other: Vec<&str> = other.lines().collect();
        let lines = one.lines().filter(|line| !other.contains(line));
        lines.map(str::to_owned).collect()
    };
    let (added, gone) = (missing(&now, &recorded), missing(&recorded, &now));
    assert!(
        now == recorded,
        "the public surface changed.\nadded: {added:#?}\ngone: {gone:#?}\nIf that is meant, record it: SOCKEYE_BLESS=1 cargo test -p sockeye-examples --test public_api"
    );
}
