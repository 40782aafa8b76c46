//! Random transfers over random networks: every byte checked, nothing stuck, nothing left behind.
//!
//! A seed decides everything: sizes, options, endings, what the link does each way. `case` is the whole story of one seed.

use crate::support::{env, seeds};
use rand::rngs::Xoshiro256PlusPlus;
use sockeye_core::HostConfig;
use sockeye_core::counters::Counters;
use sockeye_core::error::SocketError;
use sockeye_core::host::Loopback;
use sockeye_core::keys::{Keys, below, unit};
use sockeye_core::netem::{Codel, Discipline, Distribution, Loss, Netem, Step, Window};
use sockeye_core::settings::{CongestionControl, Settings};
use sockeye_core::sim::{Ending, Flow, Flows, HostId, LinkConfig, LinkId, LinkMedium, Pace, Part, Plan, Sim};
use sockeye_core::socket::TcpOptions;
use sockeye_core::time::{Duration, MS, SECOND};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;

/// A random choice, by name so that plans read well.
pub(crate) struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        Self(Keys::new(seed, name).stream("plan"))
    }

    pub(crate) fn upto(&mut self, n: u64) -> u64 {
        below(&mut self.0, n + 1)
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.upto(high - low)
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        unit(&mut self.0) < share
    }

    pub(crate) fn share(&mut self, most: f64) -> f64 {
        unit(&mut self.0) * most
    }

    /// Anything from 0 to `2^bits`, small numbers as likely as large ones.
    pub(crate) fn skewed(&mut self, bits: u64) -> u64 {
        let most = 1 << self.upto(bits);
        self.upto(most)
    }

    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.upto(of.len() as u64 - 1) as usize]
    }
}

/// What one direction of a link does. Loss stays below what TCP can live with; outages end.
fn netem(dice: &mut Dice, v6: bool) -> Netem {
    let mut netem = Netem::NONE;
    if dice.chance(0.15) {
        return netem;
    }
    if dice.chance(0.6) {
        netem.loss = match dice.upto(3) {
            0 => Loss::GilbertElliott {
                p: dice.share(0.02),
                // Not less: a burst must be over within the repeats of one segment.
                r: 0.5 + dice.share(0.5),
                bad: 1.0,
                good: 0.0,
            },
            1 => Loss::Every(dice.between(5, 100)),
            2 => Loss::Random(dice.share(0.2)),
            _ => Loss::Random(dice.share(0.03)),
        };
    }
    if dice.chance(0.3) {
        netem.corrupt = dice.share(0.05);
    }
    if dice.chance(0.3) {
        netem.duplicate = dice.share(0.2);
    }
    if dice.chance(0.3) {
        netem.reorder = dice.share(0.2);
        netem.reorder_gap = dice.upto(5) as u32;
    }
    if dice.chance(0.8) {
        netem.delay = MS * dice.skewed(8) as u32;
        if dice.chance(0.5) {
            netem.jitter = netem.delay.mul_f64(dice.share(0.5)) + Duration::from_micros(dice.upto(500));
            netem.distribution = dice.one(&[
                Distribution::Uniform,
                Distribution::Normal,
                Distribution::Pareto,
                Distribution::ParetoNormal,
            ]);
        }
    }
    if dice.chance(0.4) {
        netem.rate = Some(100_000 << dice.upto(10));
        netem.queue = dice.between(4, 200) as usize;
    }
    if dice.chance(0.2) {
        netem.mtu = Some(dice.between(if v6 { 1280 } else { 576 }, 1500) as u32);
    }
    if dice.chance(0.1) {
        let start = MS * dice.upto(2_000) as u32;
        netem.blackhole.push(Window {
            start,
            end: start + MS * dice.between(1, 10_000) as u32,
        });
    }
    netem
}

/// Queues that mark, or drop early, and holes that long packets fall into.
fn later_ideas(dice: &mut Dice, netem: &mut Netem) {
    netem.mtu_silent = netem.mtu.is_some() && dice.chance(0.5);
    if netem.rate.is_some() && dice.chance(0.6) {
        netem.discipline = match dice.upto(3) {
            0 => Discipline::Step(Step::Wait(MS * dice.between(1, 50) as u32)),
            1 => Discipline::Codel(Codel {
                target: MS * dice.between(1, 20) as u32,
                interval: MS * dice.between(20, 200) as u32,
                ecn: dice.chance(0.8),
            }),
            _ => Discipline::Step(Step::Packets(dice.between(1, 50) as usize)),
        };
    }
}

fn settings(dice: &mut Dice) -> Settings {
    Settings {
        tcp_sack: dice.chance(0.85),
        tcp_dsack: dice.chance(0.8),
        tcp_timestamps: dice.chance(0.8),
        tcp_window_scaling: dice.chance(0.85),
        tcp_congestion_control: dice.one(&[
            CongestionControl::Cubic,
            CongestionControl::Reno,
            CongestionControl::Bbr,
        ]),
        tcp_slow_start_after_idle: dice.chance(0.7),
        tcp_ecn: dice.one(&[0, 1, 1, 2]),
        tcp_ecn_fallback: dice.chance(0.8),
        tcp_mtu_probing: dice.one(&[1, 1, 1, 2]),
        // The network here may lose one packet in five each way for long: patience, so that a failure is a fault.
        tcp_syn_retries: 20,
        tcp_synack_retries: 20,
        tcp_orphan_retries: 20,
        ..Settings::default()
    }
}

fn part(dice: &mut Dice, rude: bool) -> Part {
    let bytes = dice.skewed(20);
    let options = TcpOptions {
        nodelay: dice.chance(0.3),
        quickack: dice.chance(0.1),
        max_segment: dice.chance(0.3).then(|| dice.between(88, 1460) as u16),
        recv_buffer: dice.chance(0.3).then(|| dice.between(2_048, 300_000) as u32),
        send_buffer: dice.chance(0.3).then(|| dice.between(2_048, 300_000) as u32),
        // After a rude end nothing but a probe tells a silent side that the other is gone.
        keepalive: rude,
        keepalive_time: Some(30 * SECOND),
        keepalive_intvl: Some(5 * SECOND),
        keepalive_probes: Some(20),
        ..TcpOptions::default()
    };
    let ending = match (rude, dice.upto(3)) {
        (true, 0 | 1) => Ending::ResetAfter(dice.upto(bytes)),
        (true, 2) => Ending::CloseEarly,
        (_, 0 | 1) => Ending::HalfClose,
        _ => Ending::Close,
    };
    let slow = dice.chance(0.15);
    let pace = Pace {
        write: dice.one(&[65_536, 65_536, 1_000, 10_000, if bytes < 5_000 { 1 } else { 536 }]),
        read: if slow {
            dice.between(1_000, 20_000) as usize
        } else {
            65_536
        },
        pause: if slow {
            MS * dice.between(1, 300) as u32
        } else {
            Duration::ZERO
        },
    };
    Part {
        bytes,
        options,
        ending,
        pace,
    }
}

/// One network and what runs over it.
struct Case {
    sim: Sim,
    /// Two on the link, and one alone.
    hosts: [HostId; 3],
    link: LinkId,
    config: LinkConfig,
    plans: Vec<Plan>,
}

fn build(seed: u64) -> Case {
    let mut dice = Dice::new(seed, "transfers");
    let v6 = dice.chance(0.4);
    let mut config = LinkConfig {
        there: netem(&mut dice, v6),
        back: netem(&mut dice, v6),
        medium: if dice.chance(0.15) {
            LinkMedium::Ethernet
        } else {
            LinkMedium::Ip
        },
        mtu: dice.one(&[1500, 1500, 1500, 1280, 9000, 65_535]),
        gso: dice.chance(0.7),
    };
    if config.medium == LinkMedium::Ethernet {
        // An outage while the neighbour is asked for ends attempts to connect after three seconds, as it should.
        for netem in [&mut config.there, &mut config.back] {
            netem.blackhole.retain(|window| window.start > 5 * SECOND);
        }
    }
    for netem in [&mut config.there, &mut config.back] {
        later_ideas(&mut dice, netem);
    }
    let mut sim = Sim::new(seed);
    let hosts = ["a", "b"].map(|name| {
        let settings = settings(&mut dice);
        sim.host_with(
            name,
            HostConfig {
                settings,
                ..HostConfig::default()
            },
        )
    });
    let [a, b] = hosts;
    let link = sim.connect(a, b, &config);
    // A third host speaks with itself alone.
    let settings = settings(&mut dice);
    let alone = sim.host_with(
        "c",
        HostConfig {
            settings,
            loopback: Loopback::External,
            ..HostConfig::default()
        },
    );
    let _ = sim.loop_back(alone, &config.there);
    // Where neighbours are asked for thrice, one time in a few hundred nobody hears it.
    let excused = (config.medium == LinkMedium::Ethernet).then_some(SocketError::HostUnreachable);
    let mut plans = Vec::new();
    for n in 0..=dice.one(&[0, 0, 0, 1, 2]) {
        let (client, server) = dice.one(&[(a, b), (a, b), (a, b), (b, a), (b, a), (b, a), (alone, alone)]);
        let rude = dice.chance(0.2);
        let (up, mut down) = (part(&mut dice, rude), part(&mut dice, rude));
        if !rude && up.ending == Ending::HalfClose && dice.chance(0.3) {
            down.ending = Ending::LastWord;
        }
        let address = match (server == alone, v6) {
            (false, _) => sim.address(server, link, v6),
            (true, false) => Ipv4Addr::LOCALHOST.into(),
            (true, true) => Ipv6Addr::LOCALHOST.into(),
        };
        let to = SocketAddr::new(address, 2000 + n);
        plans.push(Plan {
            client,
            server,
            to,
            up,
            down,
            excused,
        });
    }
    Case {
        sim,
        hosts: [a, b, alone],
        link,
        config,
        plans,
    }
}

/// Runs one seed to its end.
pub(crate) fn case(seed: u64) -> Result<Run, String> {
    let Case {
        mut sim,
        hosts,
        link,
        config,
        plans,
    } = build(seed);
    let file = env("SOCKEYE_SEED").and_then(|_| std::env::var_os("SOCKEYE_PCAP"));
    if file.is_some() {
        sim.capture(link);
    }
    if env("SOCKEYE_SEED").is_some() {
        println!("{config:?}\n{plans:#?}");
    }
    let mut flows = Flows::new();
    for plan in plans.clone() {
        flows.start(&mut sim, plan);
    }
    let result = flows.run(&mut sim, 7_200 * SECOND);
    if let Some(file) = file {
        std::fs::write(file, sim.end_capture(link)).expect("the capture can be written");
    }
    result.map_err(|stuck| format!("{stuck}\n  {config:?}\n  {plans:?}"))?;
    if !sim.broken().is_empty() {
        return Err(format!(
            "seed {seed}:\n  {}\n  {config:?}\n  {plans:?}",
            sim.broken().join("\n  ")
        ));
    }
    calm_network_needs_no_repeats(&sim, &config, hosts)?;
    // Everything is closed: what is left is the last acknowledgements and TIME-WAIT.
    let _ = sim.run_while(4_000 * SECOND, |_| false);
    for (name, id) in ["a", "b", "c"].into_iter().zip(hosts) {
        let host = sim.look(id);
        let left: Vec<_> = host.tcp_ids().map(|id| (id, host.tcp_state(id))).collect();
        if !left.is_empty() || host.poll_timeout().is_some() {
            return Err(format!(
                "seed {seed}: {name} keeps {left:?}, timer {:?}\n  {config:?}\n  {plans:?}",
                host.poll_timeout()
            ));
        }
    }
    let outcomes = flows.iter().flat_map(Flow::outcomes);
    let total = |count: fn(&Counters) -> u64| hosts.map(|id| count(sim.look(id).counters())).iter().sum();
    Ok(Run {
        digest: sim.digest(),
        connections: plans.len() as u64,
        bytes: outcomes.map(|outcome| outcome.received).sum(),
        segments: total(|counters| counters.tcp_in_segs),
        repeated: total(|counters| counters.tcp_retrans_segs),
        timeouts: total(|counters| counters.tcp_timeouts),
        marked: sim.netem(link).0.marked + sim.netem(link).1.marked,
    })
}

/// What a seed came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    /// Fingerprint of its packets.
    pub(crate) digest: u64,
    connections: u64,
    bytes: u64,
    segments: u64,
    repeated: u64,
    timeouts: u64,
    marked: u64,
}

/// On a network that neither loses nor disturbs, nothing is sent twice.
fn calm_network_needs_no_repeats(sim: &Sim, config: &LinkConfig, hosts: [HostId; 3]) -> Result<(), String> {
    let calm = |netem: &Netem| {
        let delay_only = Netem {
            delay: netem.delay,
            ..Netem::NONE
        };
        // A delay above the initial timeout makes SYNs repeat, rightly.
        *netem == delay_only && netem.delay <= 200 * MS
    };
    if !calm(&config.there) || !calm(&config.back) {
        return Ok(());
    }
    for id in hosts {
        let counters = sim.look(id).counters();
        // A tail loss probe may cross a delayed acknowledgement: RFC 8985 §7.2 waits for that behind a single segment only.
        if counters.tcp_retrans_segs > counters.tcp_loss_probes || counters.tcp_timeouts > 0 {
            return Err(format!(
                "seed {}: {} segments repeated, {} timeouts on a calm network {config:?}",
                sim.seed(),
                counters.tcp_retrans_segs,
                counters.tcp_timeouts
            ));
        }
    }
    Ok(())
}

#[test]
fn transfers() {
    let total = Mutex::new(Run::default());
    seeds("transfers", "SOCKEYE_TRANSFERS", 10_000, |seed| {
        let run = case(seed)?;
        let mut total = total.lock().expect("no panic while held");
        *total = Run {
            digest: total.digest.wrapping_add(run.digest),
            connections: total.connections + run.connections,
            bytes: total.bytes + run.bytes,
            segments: total.segments + run.segments,
            repeated: total.repeated + run.repeated,
            timeouts: total.timeouts + run.timeouts,
            marked: total.marked + run.marked,
        };
        Ok(())
    });
    println!("{:?}", total.into_inner().expect("no panic while held"));
}
