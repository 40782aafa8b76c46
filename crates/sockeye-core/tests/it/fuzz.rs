//! Hostile packets into a host whose connections are in every state: random ones, real ones with bits changed, well-made ones that lie.
//!
//! A seed is one small world (`world`). `SOCKEYE_FUZZ=10000000` sends that many hostile packets instead of the few of an ordinary run. The
//! folder `fuzz/` at the root lets a fuzzer that watches the code throw the dice.

mod forge;
mod world;

use crate::support::{env, seeds};
use sockeye_core::counters::DropReason;
use sockeye_core::keys::Keys;
use sockeye_core::socket::State;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use world::World;

/// Hostile packets a seed.
const PACKETS: u64 = 5_000;

/// What the hostile packets came to, summed over the seeds: most must get past the first checks, or they test little.
#[derive(Default)]
struct Tally {
    seen: BTreeSet<State>,
    delivered: u64,
    drops: BTreeMap<&'static str, u64>,
    challenges: u64,
}

#[test]
fn fuzz() {
    let tally = Mutex::new(Tally::default());
    let count = env("SOCKEYE_FUZZ").map_or(100, |packets| packets.div_ceil(PACKETS));
    seeds("fuzz", "", count, |seed| {
        let keys = Keys::new(seed, "fuzz");
        let mut world = World::new(seed, keys.stream("dice"), keys.stream("forger"));
        world.run(PACKETS, || true);
        let counters = world.victim().counters().clone();
        let mut tally = tally.lock().expect("no panic while held");
        tally.seen.extend(world.seen);
        tally.delivered += counters.in_delivers;
        tally.challenges += counters.tcp_challenge_acks;
        for reason in DropReason::ALL {
            *tally.drops.entry(reason.name()).or_default() += counters.drops(*reason);
        }
        Ok(())
    });
    let Tally {
        seen,
        delivered,
        drops,
        challenges,
    } = tally.into_inner().expect("no panic while held");
    println!("{delivered} delivered, {challenges} challenged, dropped: {drops:?}");
    if env("SOCKEYE_SEED").is_none() {
        for state in [
            State::SynSent,
            State::Established,
            State::FinWait1,
            State::FinWait2,
            State::CloseWait,
            State::Closing,
            State::LastAck,
        ] {
            assert!(seen.contains(&state), "no connection ever was in {state:?}: {seen:?}");
        }
    }
}
