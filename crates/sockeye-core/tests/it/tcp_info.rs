//! TCP_INFO: Linux's fields with Linux's meanings, at moments at which every value is known; and what held the sender back, exactly.
//!
//! The wire takes 10 ms each way and spaces packets by 0.1 ms.

use crate::wire::{Fate, Wire};
use bytes::Bytes;
use sockeye_core::buf::Rope;
use sockeye_core::settings::Settings;
use sockeye_core::socket::{Limited, TcpId, TcpInfo, TcpOptions};
use sockeye_core::time::{Duration, MS, SECOND};

const SEGMENT: usize = 1_448;
const US: Duration = Duration::from_micros(1);

/// Two hosts that differ from the defaults, and a connection whose handshake is over at both ends.
fn connected(change: impl Fn(&mut Settings), options: [TcpOptions; 2]) -> (Wire, TcpId, TcpId) {
    let mut settings = Settings::default();
    change(&mut settings);
    let mut wire = Wire::new([settings.clone(), settings]);
    let (client, server) = wire.connect(false, options);
    (wire, client, server)
}

fn write(wire: &mut Wire, id: TcpId, len: usize) -> usize {
    let mut data = Bytes::from(vec![7; len]);
    let _ = wire.hosts[0].tcp_write(wire.now, id, &mut data);
    len - data.len()
}

fn read_all(wire: &mut Wire, id: TcpId) {
    let mut rope = Rope::new();
    while wire.hosts[1].tcp_read(wire.now, id, usize::MAX, &mut rope) > 0 {}
}

fn spent(info: &TcpInfo, by: Limited) -> Duration {
    info.limited[by as usize]
}

/// Every moment since the connection was established is somebody's.
#[track_caller]
fn accounted(wire: &Wire, id: TcpId) {
    // The SYN-ACK came 20 ms after the start.
    let open = wire.now.since(sockeye_core::Instant::from_millis(1_020));
    let info = wire.info(0, id);
    assert_eq!(info.limited.iter().sum::<Duration>(), open, "{:?}", info.limited);
}

#[test]
fn a_connection_that_was_just_opened() {
    let (wire, client, server) = connected(|_| {}, Default::default());
    let info = wire.info(0, client);
    let timestamps_sack_wscale = 1 | 2 | 4;
    let want = TcpInfo {
        state: 1,
        options: timestamps_sack_wscale,
        snd_wscale: 7,
        rcv_wscale: 7,
        // RFC 6298 §2.2: R + max(G, 4 * R/2), the latter no less than 200 ms.
        rto: 220_000,
        ato: 40_000,
        snd_mss: 1_448,
        rcv_mss: 536,
        last_data_sent: 10,
        last_data_recv: 10,
        last_ack_recv: 10,
        pmtu: 1_500,
        rcv_ssthresh: 131_072,
        rtt: 20_000,
        rttvar: 10_000,
        snd_ssthresh: 0x7fff_ffff,
        snd_cwnd: 10,
        advmss: 1_460,
        reordering: 3,
        // Ten segments, until a reader was seen.
        rcv_space: 14_600,
        pacing_rate: info.pacing_rate,
        max_pacing_rate: u64::MAX,
        segs_out: 2,
        segs_in: 1,
        min_rtt: 20_000,
        delivered: 1,
        snd_wnd: 64_240,
        rcv_wnd: 131_072,
        limited: [10, 0, 0, 0, 0, 0].map(Duration::from_millis),
        ..TcpInfo::default()
    };
    assert_eq!(info, want);
    let info = wire.info(1, server);
    assert_eq!(
        (info.state, info.rtt, info.delivered, info.snd_wnd),
        (1, 20_000, 1, 131_072)
    );
    assert_eq!(info.limited, [Duration::ZERO; 6]);
}

/// The third of ten segments is lost: doubt, recovery, and what remains of it.
#[test]
fn in_recovery() {
    let (mut wire, client, server) = connected(|_| {}, Default::default());
    let mut n = 0;
    wire.rule = Box::new(move |seen| {
        n += u32::from(seen.len > 0);
        if n == 3 && seen.len > 0 { Fate::Lose } else { Fate::Pass }
    });
    assert_eq!(write(&mut wire, client, 10 * SEGMENT), 10 * SEGMENT);
    wire.run(5 * MS);
    let info = wire.info(0, client);
    assert_eq!((info.ca_state, info.unacked, info.notsent_bytes), (0, 10, 0));
    assert_eq!(
        (info.bytes_sent, info.data_segs_out, info.last_data_sent),
        (14_480, 10, 5)
    );
    // Two acknowledgements and the first SACK.
    wire.run(15 * MS + 200 * US);
    let info = wire.info(0, client);
    assert_eq!((info.ca_state, info.unacked, info.sacked, info.lost), (1, 8, 1, 0));
    wire.run(1_700 * US);
    let info = wire.info(0, client);
    assert_eq!((info.ca_state, info.unacked, info.sacked), (3, 8, 7));
    assert_eq!((info.lost, info.retrans, info.total_retrans), (1, 1, 1));
    assert_eq!(
        (info.bytes_retrans, info.bytes_sent, info.data_segs_out),
        (1_448, 15_928, 11)
    );
    assert_eq!((info.delivered, info.retransmits), (10, 0));
    assert!(
        (7..=9).contains(&info.snd_ssthresh),
        "0.7 of 10 to 13: {}",
        info.snd_ssthresh
    );
    wire.run(SECOND);
    read_all(&mut wire, server);
    let info = wire.info(0, client);
    assert_eq!(
        (info.ca_state, info.unacked, info.sacked, info.lost, info.retrans),
        (0, 0, 0, 0, 0)
    );
    assert_eq!((info.bytes_acked, info.delivered, info.total_retrans), (14_480, 11, 1));
    assert!(info.delivery_rate > 0, "it outlives the flow state");
    let far = wire.info(1, server);
    assert_eq!((far.bytes_received, far.data_segs_in, far.rcv_ooopack), (14_480, 10, 7));
    accounted(&wire, client);
}

/// Two timeouts for one segment: 220 ms, and twice that.
#[test]
fn after_timeouts() {
    let (mut wire, client, _) = connected(
        |settings| (settings.tcp_early_retrans, settings.tcp_mtu_probing) = (0, 0),
        Default::default(),
    );
    let end = wire.now + 300 * MS;
    wire.rule = Box::new(move |seen| if seen.at < end { Fate::Lose } else { Fate::Pass });
    let _ = write(&mut wire, client, SEGMENT);
    wire.run(250 * MS);
    let info = wire.info(0, client);
    assert_eq!(
        (info.ca_state, info.retransmits, info.backoff, info.rto),
        (4, 1, 1, 440_000)
    );
    assert_eq!((info.lost, info.retrans, info.snd_cwnd, info.unacked), (1, 1, 1, 1));
    assert_eq!(
        (info.total_rto, info.total_rto_recoveries, info.total_rto_time),
        (1, 1, 30)
    );
    wire.run(420 * MS);
    let info = wire.info(0, client);
    assert_eq!(
        (info.ca_state, info.retransmits, info.backoff, info.rto),
        (4, 2, 2, 880_000)
    );
    assert_eq!(
        (info.total_rto, info.total_rto_recoveries, info.total_retrans),
        (2, 1, 2)
    );
    wire.run(5 * SECOND);
    let info = wire.info(0, client);
    assert_eq!((info.ca_state, info.retransmits, info.backoff), (0, 0, 0));
    // From 220 ms to the acknowledgement at 680 ms.
    assert_eq!(
        (info.total_rto, info.total_rto_recoveries, info.total_rto_time),
        (2, 1, 460)
    );
    assert_eq!(info.busy_time, 680_000);
    accounted(&wire, client);
}

#[test]
fn limited_by_the_receive_window() {
    let small = TcpOptions {
        recv_buffer: Some(8_192),
        ..TcpOptions::default()
    };
    let (mut wire, client, server) = connected(|_| {}, [TcpOptions::default(), small]);
    assert_eq!(write(&mut wire, client, 12_000), 12_000);
    wire.run(300 * MS);
    assert_eq!(
        spent(&wire.info(0, client), Limited::ReceiveWindow),
        300 * MS,
        "still so"
    );
    read_all(&mut wire, server);
    wire.run(SECOND);
    let info = wire.info(0, client);
    // The news that the window is open takes 10 ms.
    assert_eq!(spent(&info, Limited::ReceiveWindow), 310 * MS);
    assert_eq!((info.rwnd_limited, info.bytes_acked), (310_000, 12_000));
    assert_eq!(spent(&info, Limited::CongestionWindow), Duration::ZERO);
    accounted(&wire, client);
    wire.run(5 * SECOND);
    assert_eq!(
        wire.info(0, client).rwnd_limited,
        310_000,
        "the flow state is gone, the sum is not"
    );
    accounted(&wire, client);
}

#[test]
fn limited_by_the_congestion_window() {
    let (mut wire, client, _) = connected(|settings| settings.tcp_pacing_ss_ratio = 0, Default::default());
    assert_eq!(write(&mut wire, client, 20 * SEGMENT), 20 * SEGMENT);
    wire.run(SECOND);
    let info = wire.info(0, client);
    // Ten leave at once. Every acknowledgement from 20 ms on lets two more go: the fifth, 0.4 ms later, is the last one needed.
    assert_eq!(spent(&info, Limited::CongestionWindow), 20 * MS + 400 * US);
    assert_eq!(spent(&info, Limited::ReceiveWindow), Duration::ZERO);
    assert_eq!(spent(&info, Limited::Link), Duration::ZERO);
    // The second ten arrive from 30 ms on, 0.1 ms apart.
    assert_eq!(info.busy_time, 40_900);
    accounted(&wire, client);
}

/// A million bytes a second, as the application asked: bursts of two segments, each after what the one before takes.
#[test]
fn limited_by_pacing() {
    let slow = TcpOptions {
        max_pacing_rate: Some(1_000_000),
        ..TcpOptions::default()
    };
    let (mut wire, client, _) = connected(|_| {}, [slow, TcpOptions::default()]);
    assert_eq!(write(&mut wire, client, 10 * SEGMENT), 10 * SEGMENT);
    wire.run(SECOND);
    let info = wire.info(0, client);
    assert_eq!((info.pacing_rate, info.max_pacing_rate), (1_000_000, 1_000_000));
    // Two segments take 2.896 ms, and who comes from idleness has 1 ms to make up for: the fifth burst leaves 4 * 2.896 - 1 ms after the first.
    assert_eq!(spent(&info, Limited::Pacing), 10_584 * US);
    assert_eq!(spent(&info, Limited::CongestionWindow), Duration::ZERO);
    accounted(&wire, client);
}

#[test]
fn limited_by_the_send_buffer() {
    let small = TcpOptions {
        send_buffer: Some(3 * SEGMENT as u32),
        ..TcpOptions::default()
    };
    let (mut wire, client, _) = connected(|_| {}, [small, TcpOptions::default()]);
    assert_eq!(write(&mut wire, client, 10 * SEGMENT), 3 * SEGMENT);
    wire.run(SECOND);
    let info = wire.info(0, client);
    // The second acknowledgement makes room enough to tell the application.
    assert_eq!(spent(&info, Limited::SendBuffer), 20 * MS + 100 * US);
    assert_eq!((info.sndbuf_limited, info.rwnd_limited), (20_100, 0));
    accounted(&wire, client);
}

/// Nobody asks the host for its packets for a while.
#[test]
fn limited_by_the_link() {
    let (mut wire, client, _) = connected(|_| {}, Default::default());
    let _ = write(&mut wire, client, SEGMENT);
    wire.now += 7 * MS;
    wire.run(SECOND);
    let info = wire.info(0, client);
    assert_eq!(spent(&info, Limited::Link), 7 * MS);
    assert_eq!(info.busy_time, 27_000);
    accounted(&wire, client);
}

/// Over a bad path, with pauses in between: no moment is lost or counted twice.
#[test]
fn every_moment_is_somebodys() {
    for seed in 0_u32..8 {
        let (mut wire, client, server) = connected(|_| {}, Default::default());
        let mut n = seed;
        wire.rule = Box::new(move |seen| {
            n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if seen.len > 0 && n >> 24 < 12 {
                Fate::Lose
            } else {
                Fate::Pass
            }
        });
        for _ in 0..3 {
            let _ = wire.transfer(0, client, server, 200_000, 60 * SECOND);
            accounted(&wire, client);
            wire.run(3 * SECOND);
            accounted(&wire, client);
        }
        let info = wire.info(0, client);
        assert_eq!(info.bytes_acked, 600_000);
        assert_eq!(info.bytes_sent, 600_000 + info.bytes_retrans);
        assert!(info.total_retrans > 0 && info.bytes_retrans > 0);
        assert!(spent(&info, Limited::CongestionWindow) > 100 * MS, "{:?}", info.limited);
    }
}
