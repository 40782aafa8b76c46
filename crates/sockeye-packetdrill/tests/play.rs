//! The library as a C program sees it: `play.c` loads it and plays scripts by hand.

use std::process::Command;

#[test]
fn a_c_program_plays_scripts() {
    let Ok(version) = Command::new("cc").arg("--version").output() else {
        assert!(
            std::env::var_os("SOCKEYE_REQUIRE_ALL").is_none(),
            "no C compiler (cc) on this machine"
        );
        eprintln!("skipped: no C compiler (cc) on this machine");
        return;
    };
    assert!(version.status.success());
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("play");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/play.c");
    let compiled = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-pthread", "-o"])
        .arg(&program)
        .args([source, "-ldl"])
        .output()
        .unwrap();
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    // Cargo puts the library beside this test.
    let test = std::env::current_exe().unwrap();
    let library = test.with_file_name("libsockeye_packetdrill.so");
    assert!(library.exists(), "{} is not there", library.display());
    let played = Command::new(&program).arg(&library).output().unwrap();
    let told = String::from_utf8_lossy(&played.stderr);
    assert!(played.status.success(), "{}\n{told}", played.status);
    assert!(told.contains("tcp_no_such_thing"), "{told}");
}
