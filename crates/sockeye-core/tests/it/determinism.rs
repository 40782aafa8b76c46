//! The same seed gives the same packets at the same times, bit for bit.

use crate::transfers::case;

#[test]
fn a_seed_is_a_run() {
    let mut all = Vec::new();
    for seed in 0..20 {
        let (first, second) = (case(seed), case(seed));
        assert_eq!(first, second, "seed {seed} gave two different runs");
        all.push(first);
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 20, "two seeds gave the same run");
}
