//! How connections begin and end at the edges: both sides at once, whatever is lost; over what is left of the last one; by advice; alone.

use crate::target::*;
use crate::wire::{Fate, Wire};
use sockeye_core::error::{ConnectError, SocketError};
use sockeye_core::socket::{Close, Shutdown, State};
use sockeye_core::time::{MS, SECOND};

fn at(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], port))
}

fn settings() -> [Settings; 2] {
    [Settings::default(), Settings::default()]
}

fn dial_from(wire: &mut Wire, from: usize, local: SocketAddr, remote: SocketAddr) -> TcpId {
    let host = &mut wire.hosts[from];
    let options = BindOptions {
        reuse_address: true,
        ..BindOptions::default()
    };
    let binding = host.tcp_bind(local, options).expect("free");
    host.tcp_connect(wire.now, Some(binding), remote, TcpOptions::default())
        .expect("a route exists")
}

fn write(wire: &mut Wire, host: usize, id: TcpId, bytes: &'static [u8]) {
    let n = wire.hosts[host].tcp_write(wire.now, id, &mut Bytes::from_static(bytes));
    assert_eq!(n, Ok(bytes.len()));
}

fn read(wire: &mut Wire, host: usize, id: TcpId) -> usize {
    let mut rope = Rope::new();
    wire.hosts[host].tcp_read(wire.now, id, usize::MAX, &mut rope)
}

/// Loses the `nth` segment, and only that.
fn lose(wire: &mut Wire, nth: usize) {
    let mut count = 0;
    wire.rule = Box::new(move |_| {
        count += 1;
        if count == nth { Fate::Lose } else { Fate::Pass }
    });
}

/// RFC 9293 §3.5 figure 8: both open at once, and one connection comes of it; bytes go both ways; whichever segment is lost.
#[test]
fn simultaneous_open_whatever_is_lost() {
    for nth in 0..=12 {
        let mut wire = Wire::new(settings());
        lose(&mut wire, nth);
        let a = dial_from(&mut wire, 0, at(1, 1_000), at(2, 2_000));
        let b = dial_from(&mut wire, 1, at(2, 2_000), at(1, 1_000));
        wire.run(20 * SECOND);
        for (host, id) in [(0, a), (1, b)] {
            assert_eq!(
                wire.hosts[host].tcp_state(id),
                State::Established,
                "lost {nth}: {:#?}",
                wire.seen
            );
            write(&mut wire, host, id, b"hello");
        }
        wire.run(20 * SECOND);
        assert_eq!((read(&mut wire, 0, a), read(&mut wire, 1, b)), (5, 5), "lost {nth}");
        if nth == 0 {
            // Figure 8 has six segments; nothing beyond that but the data and its acknowledgements.
            assert!(wire.seen.len() <= 10, "{:#?}", wire.seen);
        }
        let (there, back) = (wire.hosts[0].tcp_ids().count(), wire.hosts[1].tcp_ids().count());
        assert_eq!((there, back), (1, 1), "one connection, not two");
    }
}

/// RFC 9293 §3.6 case 3, figure 13: both close at once, through CLOSING to TIME-WAIT on both sides, whichever segment is lost; with data before it.
#[test]
fn simultaneous_close_whatever_is_lost() {
    for nth in 0..=8 {
        let mut wire = Wire::new(settings());
        let (a, b) = wire.connect(false, Default::default());
        wire.run(SECOND);
        wire.seen.clear();
        lose(&mut wire, nth);
        for (host, id) in [(0, a), (1, b)] {
            write(&mut wire, host, id, b"last words");
            let now = wire.now;
            wire.hosts[host].tcp_shutdown(now, id, Shutdown::Write);
            assert_eq!(
                wire.hosts[host].tcp_state(id),
                State::Established,
                "FIN leaves with the packet"
            );
        }
        wire.run(15 * MS);
        if nth == 0 {
            let states = [(0, a), (1, b)].map(|(host, id)| wire.hosts[host].tcp_state(id));
            assert_eq!(states, [State::Closing; 2]);
        }
        wire.run(10 * SECOND);
        for (host, id) in [(0, a), (1, b)] {
            assert_eq!(read(&mut wire, host, id), 10, "lost {nth}");
            let readiness = wire.hosts[host].tcp_readiness(id);
            assert!(
                readiness.closed && readiness.error.is_none() && readiness.eof,
                "lost {nth}: {readiness:?}"
            );
            assert_eq!(readiness.unacked, 0);
            let now = wire.now;
            wire.hosts[host].tcp_close(now, id, Close::Graceful);
            let memory = wire.hosts[host].memory();
            assert_eq!((memory.connections, memory.buffers), (0, 0), "lost {nth}: {memory:?}");
            assert!(memory.time_wait > 0, "lost {nth}: {:#?}", wire.seen);
        }
        wire.run(130 * SECOND);
        assert_eq!(
            wire.hosts[0].memory().total() + wire.hosts[1].memory().total(),
            0,
            "lost {nth}"
        );
    }
}

/// One closes after the other, whichever segment of the end is lost; a lingering close can tell when all is acknowledged.
#[test]
fn ordered_close_whatever_is_lost() {
    for nth in 0..=8 {
        let mut wire = Wire::new(settings());
        let (a, b) = wire.connect(false, Default::default());
        wire.run(SECOND);
        lose(&mut wire, nth);
        write(&mut wire, 0, a, b"last words");
        let now = wire.now;
        wire.hosts[0].tcp_shutdown(now, a, Shutdown::Write);
        let _ = drain(&mut wire, 0);
        let mut told = false;
        for _ in 0..100 {
            wire.run(50 * MS);
            if drain(&mut wire, 0) && wire.hosts[0].tcp_state(a) == State::FinWait2 {
                told = true;
                break;
            }
        }
        assert!(told, "lost {nth}: nobody was told that FIN is acknowledged");
        assert_eq!(wire.hosts[0].tcp_readiness(a).unacked, 0);
        assert_eq!(read(&mut wire, 1, b), 10);
        let now = wire.now;
        wire.hosts[1].tcp_close(now, b, Close::Graceful);
        wire.hosts[0].tcp_close(now, a, Close::Graceful);
        wire.run(10 * SECOND);
        let memories = [0, 1].map(|host| wire.hosts[host].memory());
        assert_eq!(
            memories.map(|memory| memory.connections),
            [0, 0],
            "lost {nth}: {:#?}",
            wire.seen
        );
        assert_eq!(memories.map(|memory| memory.time_wait > 0), [true, false], "lost {nth}");
    }
}

fn drain(wire: &mut Wire, host: usize) -> bool {
    let mut any = false;
    while wire.hosts[host].poll_event().is_some() {
        any = true;
    }
    any
}

/// A remote that never closes does not keep an orphan in FIN-WAIT-2 for longer than `tcp_fin_timeout`, and TCP_LINGER2 shortens it.
#[test]
fn fin_wait_2_ends() {
    for (own, seconds) in [(None, 60), (Some(5 * SECOND), 5)] {
        let mut wire = Wire::new(settings());
        let options = TcpOptions {
            fin_timeout: own,
            ..TcpOptions::default()
        };
        let (a, _) = wire.connect(false, [options, TcpOptions::default()]);
        let now = wire.now;
        wire.hosts[0].tcp_close(now, a, Close::Graceful);
        wire.run((seconds - 1) * SECOND);
        assert!(wire.hosts[0].memory().connections > 0);
        wire.run(2 * SECOND);
        assert_eq!(wire.hosts[0].memory().connections, 0);
    }
}

/// RFC 6191: connecting over our own TIME-WAIT needs timestamps that tell old segments, a second, and permission (`tcp_tw_reuse`).
#[test]
fn connecting_over_our_time_wait() {
    for (reuse, timestamps, wait, works) in [
        (1, true, 2 * SECOND, true),
        (1, true, 100 * MS, false),
        (1, false, 2 * SECOND, false),
        (0, true, 2 * SECOND, false),
        (2, true, 2 * SECOND, false),
    ] {
        let settings = Settings {
            tcp_tw_reuse: reuse,
            tcp_timestamps: timestamps,
            ..Settings::default()
        };
        let mut wire = Wire::new([settings, Settings::default()]);
        let listener = wire.listen(false, 16, TcpOptions::default());
        let a = dial_from(&mut wire, 0, at(1, 1_000), at(2, 80));
        wire.run(SECOND);
        let first = wire.seen[0].seq;
        let b = wire.hosts[1].tcp_accept(wire.now, listener).expect("pending");
        write(&mut wire, 0, a, b"hello");
        wire.run(100 * MS);
        let now = wire.now;
        assert_eq!(read(&mut wire, 1, b), 5);
        wire.hosts[0].tcp_close(now, a, Close::Graceful);
        wire.run(100 * MS);
        wire.hosts[1].tcp_close(wire.now, b, Close::Graceful);
        wire.run(100 * MS);
        assert!(wire.hosts[0].memory().time_wait > 0);
        wire.run(wait);
        wire.seen.clear();
        let host = &mut wire.hosts[0];
        let options = BindOptions {
            reuse_address: true,
            ..BindOptions::default()
        };
        let binding = host.tcp_bind(at(1, 1_000), options);
        let Ok(binding) = binding else {
            assert!(!works, "{reuse} {timestamps} {wait:?}: {binding:?}");
            continue;
        };
        match host.tcp_connect(wire.now, Some(binding), at(2, 80), TcpOptions::default()) {
            Ok(id) => {
                assert!(works, "{reuse} {timestamps} {wait:?}");
                wire.run(SECOND);
                assert_eq!(wire.hosts[0].tcp_state(id), State::Established);
                let ahead = wire.seen[0].seq.wrapping_sub(first).cast_signed();
                assert!(ahead > 65_535, "the new numbers begin {ahead} after the old ones");
                assert_eq!(wire.hosts[0].memory().time_wait, 0);
            }
            Err((_, error)) => {
                assert_eq!(error, ConnectError::AddressInUse);
                assert!(!works, "{reuse} {timestamps} {wait:?}");
            }
        }
    }
}

/// `tcp_syncookies`: 0 drops what does not fit, 1 answers it without memory, 2 never takes any.
#[test]
fn three_ways_with_cookies() {
    for (mode, answered, remembered) in [(0, 13, 13), (1, 40, 16), (2, 40, 0)] {
        let mut target = Target::new(Settings {
            tcp_syncookies: mode,
            tcp_max_syn_backlog: 16,
            ..Settings::default()
        });
        let listener = target.listen(15, TcpOptions::default());
        for n in 0..40 {
            let syn = Header {
                flags: Flags::SYN,
                window: 1,
                ..Header::default()
            };
            target.hit(bot(n), SERVER, &syn, &Remote::OPTIONS, &[]);
        }
        assert_eq!(target.seen().len(), answered, "mode {mode}");
        let records = target.host.memory().half_open / 64;
        assert!(
            (remembered..=remembered * 2).contains(&records),
            "mode {mode}: {records} records"
        );
        if mode > 0 {
            target.serves(listener, HONEST);
        }
    }
}

/// RFC 5482: advice goes with the SYN and the first segment after it, is taken where it is wanted and not overridden, and kept within limits.
#[test]
fn user_timeouts_are_advised() {
    let ask = |seconds: u64| TcpOptions {
        advertise_timeout: Some(SECOND * seconds as u32),
        ..TcpOptions::default()
    };
    let mut target = Target::new(Settings::default());
    let listener = target.listen(16, ask(120));
    // (what the remote advises, what the application sets, patience in seconds)
    for (n, (advice, own, patience)) in [
        (Some(200_u16), None, 200),
        (Some(5), None, 120),
        (Some(0x8000 | 600), None, 3_600),
        (Some(0), None, 924),
        (None, None, 924),
        (Some(200), Some(30), 30),
    ]
    .into_iter()
    .enumerate()
    {
        let mut remote = Remote::open(&mut target, bot(n as u32), Remote::OPTIONS);
        let id = target.accept(listener);
        let header = Header {
            seq: remote.seq,
            ack: remote.ack,
            flags: Flags::ACK.and(Flags::PSH),
            window: 1_024,
            ..Header::default()
        };
        let options = Options {
            user_timeout: advice,
            ..remote.options()
        };
        target.hit(remote.at, SERVER, &header, &options, b"x");
        remote.seq += 1;
        if let Some(own) = own {
            let mut options = target.host.tcp_options(id);
            options.user_timeout = Some(SECOND * own);
            target.host.tcp_set_options(target.now, id, options);
        }
        assert_eq!(target.read(id), 1);
        assert_eq!(target.write(id, 5_000), 5_000);
        let first = target.seen();
        let advice: Vec<_> = first.iter().map(|seen| seen.options.user_timeout).collect();
        assert_eq!(advice[0], Some(120), "the first segment after the SYN");
        assert!(advice[1..].iter().all(Option::is_none), "{advice:?}");
        let size = |seen: &Seen| seen.payload.len() + seen.options.len();
        assert!(
            first.iter().all(|seen| size(seen) <= 1_460),
            "longer than the MSS allows"
        );
        let start = target.now;
        while target.host.tcp_readiness(id).error.is_none() {
            let next = target.host.poll_timeout().expect("it does not wait for ever");
            let step = next.since(target.now);
            target.pass(step);
        }
        let after = target.now.since(start).as_secs();
        assert!(
            (patience..patience + 130).contains(&after),
            "{advice:?} {own:?}: {after} s, want {patience}"
        );
        assert_eq!(target.host.tcp_take_error(id), Some(SocketError::TimedOut));
        target.host.tcp_close(target.now, id, Close::Reset);
    }
    let _ = target.seen();
    // As a client: in the SYN, and in the first acknowledgement. Not where nobody asks.
    let id = target
        .host
        .tcp_connect(target.now, None, at(9, 80), ask(40_000))
        .expect("a route");
    let syn = target.seen();
    assert_eq!(syn[0].options.user_timeout, Some(0x8000 | 666));
    target.host.tcp_close(target.now, id, Close::Reset);
    let _ = target.seen();
    let _ = target
        .host
        .tcp_connect(target.now, None, at(9, 80), TcpOptions::default());
    assert_eq!(target.seen()[0].options.user_timeout, None);
}

/// `tcp_max_orphans`: beyond it a close resets at once; those before it finish in peace.
#[test]
fn orphans_are_limited() {
    let mut target = Target::new(Settings {
        tcp_max_orphans: 10,
        ..Settings::default()
    });
    let listener = target.listen(64, TcpOptions::default());
    for n in 0..30 {
        let mut remote = Remote::open(&mut target, bot(n), Remote::OPTIONS);
        let id = target.accept(listener);
        remote.window = 0;
        remote.acknowledge(&mut target);
        let _ = target.write(id, 10_000);
        let _ = target.seen();
        target.host.tcp_close(target.now, id, Close::Graceful);
        let reset = target.seen().iter().any(|seen| seen.header.flags.has(Flags::RST));
        assert_eq!(reset, n >= 10, "{n}");
        // A close that has nothing left to do is nobody's burden.
        if n == 20 {
            let mut other = Remote::open(&mut target, bot(100), Remote::OPTIONS);
            let id = target.accept(listener);
            other.forge(&mut target, 0, 0, Flags::RST, &[]);
            other.window = 0;
            target.host.tcp_close(target.now, id, Close::Graceful);
        }
    }
    assert_eq!(target.host.tcp_ids().count(), 10);
    // One that finishes already can still be reset.
    let one = target.host.tcp_ids().next().expect("one of ten");
    target.host.tcp_close(target.now, one, Close::Graceful);
    assert_eq!(target.host.tcp_ids().count(), 10);
    target.host.tcp_close(target.now, one, Close::Reset);
    assert!(target.seen().iter().any(|seen| seen.header.flags.has(Flags::RST)));
    assert_eq!(target.host.tcp_ids().count(), 9);
    assert_eq!(target.host.counters().tcp_abort_on_memory, 20);
    target.pass(600 * SECOND);
    assert_eq!(target.host.tcp_ids().count(), 0);
    // Room again.
    let mut remote = Remote::open(&mut target, HONEST, Remote::OPTIONS);
    let id = target.accept(listener);
    let _ = target.write(id, 100);
    let _ = remote.listen(&mut target);
    target.host.tcp_close(target.now, id, Close::Graceful);
    assert!(target.seen().iter().all(|seen| !seen.header.flags.has(Flags::RST)));
}
