//! No sender sits idle: on any network, from any moment after which nothing is lost, bytes arrive within one retransmission timeout.
//!
//! Exactly: while a sender has bytes outstanding, a *quiet stretch* begins whenever bytes are newly acknowledged (cumulatively or selectively),
//! and anew whenever the network drops or corrupts a packet, either way: as long as it does that it is not up. A quiet stretch may last one
//! timeout as the sender computes it (RFC 6298, back-off included) when the stretch begins, the longest round trip that the network can
//! make, and the longest delay of an acknowledgement. Whatever lasts longer is a stall.

use crate::support::seeds;
use crate::transfers::Dice;
use bytes::Bytes;
use sockeye_core::HostConfig;
use sockeye_core::buf::Rope;
use sockeye_core::netem::{HOLD, Loss, Netem, NetemCounters, Window};
use sockeye_core::settings::{CongestionControl, Settings};
use sockeye_core::sim::{HostId, LinkConfig, LinkId, Sim};
use sockeye_core::socket::{BindOptions, TcpId, TcpOptions};
use sockeye_core::time::{Duration, Instant, MS, SECOND};
use std::net::SocketAddr;
use std::sync::Mutex;

/// One direction: loss of any kind below what TCP can live with, mess of any kind, and outages that end.
fn netem(dice: &mut Dice) -> Netem {
    let mut netem = Netem::NONE;
    netem.delay = MS * dice.skewed(8) as u32;
    if dice.chance(0.3) {
        netem.jitter = netem.delay.mul_f64(dice.share(0.5)) + Duration::from_micros(dice.upto(500));
        netem.keep_order = dice.chance(0.3);
    }
    if dice.chance(0.5) {
        netem.loss = match dice.upto(2) {
            0 => Loss::Every(dice.between(3, 100)),
            1 => Loss::Random(dice.share(0.1)),
            _ => Loss::GilbertElliott {
                p: dice.share(0.05),
                // Not less: a burst must be over within the repeats of one segment.
                r: 0.5 + dice.share(0.5),
                bad: 1.0,
                good: 0.0,
            },
        };
    }
    if dice.chance(0.2) {
        netem.corrupt = dice.share(0.02);
    }
    if dice.chance(0.2) {
        netem.duplicate = dice.share(0.2);
    }
    if dice.chance(0.3) {
        netem.reorder = dice.share(0.2);
    }
    if dice.chance(0.4) {
        netem.rate = Some(1_000_000 << dice.upto(7));
        netem.queue = dice.between(4, 100) as usize;
    }
    let mut at = Duration::ZERO;
    for _ in 0..dice.upto(3) {
        let start = at + MS * dice.upto(1_500) as u32;
        at = start + MS * dice.skewed(14) as u32;
        netem.blackhole.push(Window { start, end: at });
    }
    netem
}

/// The longest that a packet can be under way.
fn longest(netem: &Netem) -> Duration {
    let queue = netem.rate.map_or(Duration::ZERO, |rate| {
        let bits = (netem.queue as u64 + 2) * 1_514 * 8;
        Duration::from_nanos(bits * 1_000_000_000 / rate)
    });
    netem.delay + netem.jitter + queue + HOLD
}

fn settings(dice: &mut Dice) -> Settings {
    Settings {
        tcp_sack: dice.chance(0.75),
        tcp_dsack: dice.chance(0.8),
        tcp_timestamps: dice.chance(0.6),
        tcp_window_scaling: dice.chance(0.9),
        tcp_frto: dice.upto(1) as u8 * 2,
        tcp_early_retrans: 3 * dice.upto(1) as u8,
        tcp_recovery: u8::from(dice.chance(0.8)),
        tcp_congestion_control: dice.one(&[CongestionControl::Cubic, CongestionControl::Reno]),
        tcp_slow_start_after_idle: dice.chance(0.7),
        tcp_syn_retries: 20,
        tcp_synack_retries: 20,
        ..Settings::default()
    }
}

/// One sender under watch.
struct Watcher {
    host: HostId,
    id: TcpId,
    left: usize,
    /// Bytes at a time, and how long to rest after each time.
    write: usize,
    rest: Duration,
    resting_until: Instant,
    /// Bytes acknowledged, and segments SACKed, at the last look.
    known: (u64, u32),
    /// When the quiet stretch began, and the timeout then.
    quiet: Option<(Instant, Duration)>,
    /// Longest quiet stretch, as a share of what it may last.
    worst: f64,
}

impl Watcher {
    fn write(&mut self, sim: &mut Sim) {
        if self.left == 0 || sim.now() < self.resting_until {
            return;
        }
        let mut data = Bytes::from(vec![7; self.left.min(self.write)]);
        let (host, id) = (self.host, self.id);
        let taken = sim
            .on(host, |host, now| host.tcp_write(now, id, &mut data))
            .unwrap_or(0);
        self.left -= taken;
        if taken > 0 {
            self.resting_until = sim.now() + self.rest;
        }
    }

    /// Looks whether something moved since the last look. `trouble`: the network has dropped something since.
    fn look(&mut self, sim: &Sim, trouble: bool, slack: Duration) -> Result<(), String> {
        let now = sim.now();
        let Some(info) = sim.look(self.host).tcp_info(now, self.id) else {
            return Ok(());
        };
        if let Some((since, timeout)) = self.quiet {
            let (lasted, most) = (now.since(since), timeout + slack);
            self.worst = self.worst.max(lasted.as_secs_f64() / most.as_secs_f64());
            if lasted > most {
                return Err(format!(
                    "nothing acknowledged from {since} to {now}, {lasted:?}; a timeout was {timeout:?} and the rest {slack:?}: {info:?}"
                ));
            }
        }
        let known = (info.bytes_acked, info.sacked);
        if info.unacked == 0 {
            self.quiet = None;
        } else if self.quiet.is_none() || trouble || known != self.known {
            self.quiet = Some((now, Duration::from_micros(u64::from(info.rto))));
        }
        self.known = known;
        Ok(())
    }
}

fn drops(counters: (&NetemCounters, &NetemCounters)) -> u64 {
    let one = |counters: &NetemCounters| counters.dropped() + counters.corrupted;
    one(counters.0) + one(counters.1)
}

/// A connection over a network of a seed, both ends.
struct Connection {
    sim: Sim,
    link: LinkId,
    config: LinkConfig,
    ends: [(HostId, TcpId); 2],
}

fn connect(seed: u64, dice: &mut Dice) -> Option<Connection> {
    let config = LinkConfig {
        there: netem(dice),
        back: netem(dice),
        ..LinkConfig::default()
    };
    let mut sim = Sim::new(seed);
    let [a, b] = ["a", "b"].map(|name| {
        let settings = settings(dice);
        sim.host_with(
            name,
            HostConfig {
                settings,
                ..HostConfig::default()
            },
        )
    });
    let link = sim.connect(a, b, &config);
    let to = SocketAddr::new(sim.address(b, link, false), 80);
    let listener = sim.on(b, |host, now| {
        let binding = host.tcp_bind(to, BindOptions::default()).expect("the port is free");
        host.tcp_listen(now, binding, 1, TcpOptions::default())
            .expect("nobody else listens")
    });
    let options = TcpOptions {
        nodelay: dice.chance(0.3),
        ..TcpOptions::default()
    };
    let client = sim.on(a, |host, now| host.tcp_connect(now, None, to, options)).ok()?;
    if !sim.run_while(600 * SECOND, |sim| sim.look(b).listener_pending(listener) > 0) {
        return None;
    }
    let server = sim.on(b, |host, now| host.tcp_accept(now, listener))?;
    Some(Connection {
        sim,
        link,
        config,
        ends: [(a, client), (b, server)],
    })
}

/// The longest quiet stretch of a seed, as a share of what it may last.
fn case(seed: u64) -> Result<f64, String> {
    let mut dice = Dice::new(seed, "progress");
    let Some(connection) = connect(seed, &mut dice) else {
        return Err(format!("seed {seed}: no connection"));
    };
    let Connection {
        mut sim,
        link,
        config,
        ends,
    } = connection;
    let slack = longest(&config.there) + longest(&config.back) + 210 * MS;
    let both = dice.chance(0.3);
    let mut watchers = ends.map(|(host, id)| Watcher {
        host,
        id,
        left: dice.skewed(18) as usize,
        write: dice.one(&[65_536, 10_000, 1_000, 100]),
        rest: MS * dice.one(&[0, 0, 0, 1, 20, 500]),
        resting_until: Instant::ZERO,
        known: (0, 0),
        quiet: None,
        worst: 0.0,
    });
    if !both {
        watchers[1].left = 0;
    }
    let total = watchers.each_ref().map(|watcher| watcher.left);
    let mut got = [0; 2];
    let mut dropped = 0;
    let mut failure = None;
    let mut rope = Rope::new();
    let done = sim.run_while(7_200 * SECOND, |sim| {
        let trouble = drops(sim.netem(link)) != std::mem::replace(&mut dropped, drops(sim.netem(link)));
        for (n, watcher) in watchers.iter_mut().enumerate() {
            if let Err(what) = watcher.look(sim, trouble, slack) {
                failure = Some(what);
                return true;
            }
            watcher.write(sim);
            let (host, id) = ends[1 - n];
            while sim.on(host, |host, now| host.tcp_read(now, id, usize::MAX, &mut rope)) > 0 {}
            got[n] += rope.len();
            rope.drop_front(rope.len());
        }
        got == total
    });
    match failure {
        Some(what) => Err(format!("seed {seed}: {what}\n  {config:?}")),
        // A writer that rests wakes with the next thing that happens; when nothing more does, it had nothing outstanding.
        None if !done && watchers.iter().all(|watcher| watcher.left == 0) => {
            Err(format!("seed {seed}: {got:?} of {total:?} arrived\n  {config:?}"))
        }
        None => Ok(watchers.iter().map(|watcher| watcher.worst).fold(0.0, f64::max)),
    }
}

#[test]
fn progress() {
    let worst = Mutex::new((0.0, 0));
    seeds("progress", "SOCKEYE_SEEDS", 3_000, |seed| {
        let share = case(seed)?;
        let mut worst = worst.lock().expect("no panic while held");
        if share > worst.0 {
            *worst = (share, seed);
        }
        Ok(())
    });
    let (share, seed) = worst.into_inner().expect("no panic while held");
    println!("longest quiet stretch: {share:.3} of a timeout and a round trip, seed {seed}");
}
