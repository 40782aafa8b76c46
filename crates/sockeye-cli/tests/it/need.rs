//! What a machine may lack: a test that needs it is skipped and says so, or fails where everything must be there.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// True when all `programs` are installed. Else the test is to return: it was named as skipped, unless `SOCKEYE_REQUIRE_ALL` is set,
/// which makes that a failure.
#[track_caller]
pub(crate) fn have(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs
        .iter()
        .copied()
        .filter(|program| find(program).is_none())
        .collect();
    missing.is_empty() || skip(&format!("not installed: {}", missing.join(", ")))
}

/// Names the running test as skipped; always false.
#[track_caller]
pub(crate) fn skip(why: &str) -> bool {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let strict = std::env::var_os("SOCKEYE_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!strict, "{test} cannot run: {why}");
    // Past the test runner, which shows nothing of tests that pass.
    let _ = writeln!(std::io::stderr(), "skipped {test}: {why}");
    false
}

/// Where a program is, looked up as the shell does, and in the folders for administrators too.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| executable(file))
}

fn executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
