//! Two connections, a wire between them that does as it is told, and virtual time: TCP without a host around it.

use super::*;
use crate::buf::Rope;
use crate::counters::Counters;
use crate::keys::{Keys, below, unit};
use crate::packet::{Gso, Packet};
use crate::settings::Settings;
use crate::socket::{Shutdown, State, TcpOptions};
use crate::time::{Duration, Instant, MS};
use crate::tuple::FourTuple;
use crate::wire::tcp as wire;
use bytes::Bytes;
use rand::rngs::Xoshiro256PlusPlus;
use std::collections::BTreeMap;

mod loss;
mod needless;
mod receive;

struct Side {
    tcb: Tcb,
    settings: Settings,
    counters: Counters,
    limits: Limits,
    replies: Vec<Reply>,
    received: Vec<u8>,
    to_write: Bytes,
    close_after: bool,
}

struct Pair {
    now: Instant,
    sides: [Side; 2],
    wire: BTreeMap<(Instant, u64), (usize, Packet)>,
    serial: u64,
    rng: Xoshiro256PlusPlus,
    loss: f64,
    duplicate: f64,
    delay: Duration,
    jitter: Duration,
    /// Set once both have read all: nothing is lost any more.
    packets: u64,
}

fn tuple(flip: bool) -> FourTuple {
    let (a, b) = ("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
    if flip {
        FourTuple::new(b, a)
    } else {
        FourTuple::new(a, b)
    }
}

impl Side {
    fn cx(&mut self, now: Instant) -> (&mut Tcb, Cx<'_>) {
        let Self {
            tcb,
            settings,
            counters,
            limits,
            replies,
            ..
        } = self;
        (
            tcb,
            Cx {
                now,
                settings,
                counters,
                limits,
                pressure: Pressure::None,
                replies,
            },
        )
    }
}

impl Pair {
    fn new(seed: u64, settings: &Settings) -> Self {
        let keys = Keys::new(seed, "pair");
        let now = Instant::from_millis(1_000);
        let tcp_keys = TcpKeys::new(&keys);
        let side = |flip: bool| {
            let mut counters = Counters::default();
            let mut limits = Limits::new(keys.secret_stream("limits"));
            let mut replies = Vec::new();
            let mut cx = Cx {
                now,
                settings,
                counters: &mut counters,
                limits: &mut limits,
                pressure: Pressure::None,
                replies: &mut replies,
            };
            let iss = tcp_keys.initial_sequence(&tuple(flip), now);
            let tcb = connect(tuple(flip), iss, TcpOptions::default(), 1_500, &tcp_keys, &mut cx);
            Side {
                tcb,
                settings: settings.clone(),
                counters,
                limits,
                replies,
                received: Vec::new(),
                to_write: Bytes::new(),
                close_after: false,
            }
        };
        Self {
            now,
            sides: [side(false), side(true)],
            wire: BTreeMap::new(),
            serial: 0,
            rng: keys.stream("wire"),
            loss: 0.0,
            duplicate: 0.0,
            delay: 10 * MS,
            jitter: Duration::ZERO,
            packets: 0,
        }
    }

    fn transmit(&mut self, from: usize, packet: &Packet) {
        // One wire packet for each segment of a burst.
        let (header, options, header_len) = wire::parse(packet.head.as_slice()).unwrap();
        let mss = match packet.meta.gso {
            Gso::Tcp { mss } => usize::from(mss),
            _ => usize::MAX,
        };
        let payload: Vec<u8> = packet.to_vec()[header_len..].to_vec();
        let chunks: Vec<&[u8]> = if payload.is_empty() {
            vec![&[]]
        } else {
            payload.chunks(mss.max(1)).collect()
        };
        let last = chunks.len() - 1;
        let mut seq = header.seq;
        for (i, chunk) in chunks.into_iter().enumerate() {
            self.packets += 1;
            let mut flags = header.flags;
            if i != last {
                flags.0 &= !(wire::Flags::FIN.0 | wire::Flags::PSH.0);
            }
            let mut single = Packet::with_payload(Bytes::copy_from_slice(chunk));
            wire::build(&mut single.head, &wire::Header { seq, flags, ..header }, &options);
            seq = seq.wrapping_add(chunk.len() as u32);
            if unit(&mut self.rng) < self.loss {
                continue;
            }
            let copies = if unit(&mut self.rng) < self.duplicate { 2 } else { 1 };
            for _ in 0..copies {
                let jitter = Duration::from_nanos(below(&mut self.rng, self.jitter.as_nanos() as u64));
                self.serial += 1;
                let _ = self.wire.insert(
                    (self.now + self.delay + jitter, self.serial),
                    (1 - from, single.clone()),
                );
            }
        }
    }

    fn pump(&mut self, side: usize) {
        for _ in 0..10_000 {
            self.application(side);
            let now = self.now;
            let (tcb, mut cx) = self.sides[side].cx(now);
            let Some(packet) = next_packet(tcb, &mut cx) else { break };
            self.transmit(side, &packet);
        }
        let replies: Vec<Reply> = self.sides[side].replies.drain(..).collect();
        for reply in replies {
            let mut packet = Packet::default();
            wire::build(&mut packet.head, &reply.header, &reply.options);
            self.transmit(side, &packet);
        }
        if let Err(broken) = check(&self.sides[side].tcb) {
            panic!("{broken:?} at {} in {:?}", self.now, self.states());
        }
    }

    fn application(&mut self, side: usize) {
        let now = self.now;
        let this = &mut self.sides[side];
        if !this.to_write.is_empty() && this.tcb.readiness().writable > 0 {
            let mut data = std::mem::take(&mut this.to_write);
            let _ = this.tcb.write(&mut data);
            this.to_write = data;
        }
        if this.to_write.is_empty() && this.close_after && this.tcb.readiness().established {
            this.close_after = false;
            let (tcb, mut cx) = this.cx(now);
            tcb.shutdown(&mut cx, Shutdown::Write);
        }
        let mut rope = Rope::new();
        let (tcb, cx) = self.sides[side].cx(now);
        let n = tcb.read(&cx, usize::MAX, &mut rope);
        let mut bytes = vec![0; n];
        let _ = rope.read(&mut bytes);
        self.sides[side].received.extend(bytes);
    }

    fn step(&mut self) -> bool {
        for side in 0..2 {
            self.pump(side);
        }
        let timer = self.sides.iter().filter_map(|side| side.tcb.deadline()).min();
        let arrival = self.wire.first_key_value().map(|((at, _), _)| *at);
        let Some(next) = [timer, arrival].into_iter().flatten().min() else {
            return false;
        };
        self.now = self.now.max(next);
        let now = self.now;
        while let Some(entry) = self.wire.first_entry()
            && entry.key().0 <= now
        {
            let (to, packet) = entry.remove();
            let (header, options, _) = wire::parse(packet.head.as_slice()).unwrap();
            let segment = Segment::new(&header, options, packet.meta.len, packet.meta.len, packet.body);
            let (tcb, mut cx) = self.sides[to].cx(now);
            let _ = segment_arrives(tcb, &mut cx, segment);
            self.pump(to);
        }
        for side in 0..2 {
            let (tcb, mut cx) = self.sides[side].cx(now);
            on_deadline(tcb, &mut cx);
        }
        true
    }

    fn run(&mut self, until: Duration) {
        let end = self.now + until;
        while self.now < end && self.step() {
            if self
                .sides
                .iter()
                .all(|side| matches!(side.tcb.state, State::Closed | State::TimeWait))
            {
                return;
            }
        }
    }

    fn states(&self) -> [State; 2] {
        [self.sides[0].tcb.state, self.sides[1].tcb.state]
    }
}

fn stream(len: usize, salt: u8) -> Bytes {
    (0..len)
        .map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3] ^ salt)
        .collect::<Vec<u8>>()
        .into()
}

/// Both open at once (RFC 9293 figure 8), both send, both close.
fn exchange(seed: u64, size: usize, settings: &Settings, shape: impl FnOnce(&mut Pair)) -> Pair {
    let mut pair = Pair::new(seed, settings);
    shape(&mut pair);
    for side in 0..2 {
        pair.sides[side].to_write = stream(size, side as u8);
        pair.sides[side].close_after = true;
    }
    pair.run(Duration::from_secs(3_600));
    for side in 0..2 {
        let want = stream(size, 1 - side as u8);
        let got = &pair.sides[side].received;
        assert_eq!(
            got.len(),
            want.len(),
            "seed {seed} side {side} {:?} at {}",
            pair.states(),
            pair.now
        );
        assert!(got[..] == want[..], "seed {seed} side {side}: bytes differ");
    }
    pair
}

#[test]
fn simultaneous_open_transfer_and_close() {
    let pair = exchange(1, 100_000, &Settings::default(), |_| {});
    assert_eq!(pair.states(), [State::TimeWait, State::TimeWait]);
    assert_eq!(pair.sides[0].counters.tcp_retrans_segs, 0, "nothing was lost");
}

#[test]
fn every_byte_through_any_weather() {
    for seed in 0..300 {
        let mut settings = Settings::default();
        let mut rng = Keys::new(seed, "weather").stream("weather");
        settings.tcp_sack = below(&mut rng, 4) != 0;
        settings.tcp_timestamps = below(&mut rng, 4) != 0;
        settings.tcp_window_scaling = below(&mut rng, 4) != 0;
        let size = below(&mut rng, 300_000) as usize;
        let (loss, duplicate) = (0.2 * unit(&mut rng) * unit(&mut rng), 0.1 * unit(&mut rng));
        let (delay, jitter) = (below(&mut rng, 100), below(&mut rng, 30));
        let _ = exchange(seed, size, &settings, |pair| {
            pair.loss = loss;
            pair.duplicate = duplicate;
            pair.delay = Duration::from_millis(delay);
            pair.jitter = Duration::from_millis(jitter);
        });
    }
}

#[test]
fn a_connection_is_small() {
    assert!(size_of::<Tcb>() <= 256, "{}", size_of::<Tcb>());
}

/// RFC 9293 §3.10.7.4: a FIN that overtakes the last bytes is kept, as they are; nobody has to send it again.
#[test]
fn a_fin_that_comes_early_is_kept() {
    let mut pair = Pair::new(3, &Settings::default());
    pair.run(MS * 100);
    assert_eq!(pair.states(), [State::Established, State::Established]);
    let held: Vec<_> = {
        pair.sides[0].to_write = stream(1_000, 1);
        pair.pump(0);
        let first = std::mem::take(&mut pair.wire);
        pair.sides[0].close_after = true;
        pair.pump(0);
        first.into_iter().collect()
    };
    assert_eq!((held.len(), pair.wire.len()), (1, 1));
    pair.run(MS * 15);
    assert_eq!(pair.states()[1], State::Established, "a byte is missing");
    for ((_, serial), packet) in held {
        let _ = pair.wire.insert((pair.now + MS, serial), packet);
    }
    pair.run(MS * 15);
    assert_eq!(pair.states(), [State::FinWait2, State::CloseWait]);
    assert_eq!(pair.sides[0].counters.tcp_retrans_segs, 0);
}
