//! Any text as a description of a bad link: an error or a description, and a description does what it says without panicking.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye_core::netem::Netem;

fuzz_target!(|text: &str| {
    if let Ok(netem) = text.parse::<Netem>() {
        for share in [netem.corrupt, netem.duplicate, netem.reorder] {
            assert!((0.0..=1.0).contains(&share), "{text}");
        }
    }
});
