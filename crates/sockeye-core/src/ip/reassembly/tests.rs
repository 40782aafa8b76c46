use super::*;
use crate::keys::{Keys, below};
use crate::time::SECOND;
use rand::Rng as _;

const INTERFACE: InterfaceId = InterfaceId(1);

/// One host's reassembly, and what it counted.
struct Bench {
    reassembly: Reassembly,
    counters: Counters,
    now: Instant,
    v6: bool,
}

impl Bench {
    fn new(v6: bool, high_thresh: usize) -> Self {
        let settings = Settings {
            ipfrag_high_thresh: high_thresh,
            ..Settings::default()
        };
        let reassembly = Reassembly::new(&settings);
        Self {
            reassembly,
            counters: Counters::default(),
            now: Instant::ZERO,
            v6,
        }
    }

    fn send(&mut self, id: u32, offset: usize, payload: &[u8], more: bool) -> Result<Option<Packet>, DropReason> {
        self.send_with(id, offset, payload, more, protocol::UDP, 0)
    }

    fn send_with(
        &mut self,
        id: u32,
        offset: usize,
        payload: &[u8],
        more: bool,
        protocol: u8,
        tos: u8,
    ) -> Result<Option<Packet>, DropReason> {
        let ip = |n: u8| -> IpAddr { if self.v6 { [n; 16].into() } else { [n; 4].into() } };
        let mut header = vec![0; if self.v6 { 40 } else { 24 }];
        header[0] = if self.v6 { 0x60 } else { 0x46 };
        header[1] = if self.v6 { tos << 4 } else { tos };
        if !self.v6 {
            header[9] = protocol;
            header[6] = 0x20;
        }
        let fragment = Fragment {
            whole: Whole {
                src: ip(1),
                dst: ip(2),
                id,
                protocol: if self.v6 { 0 } else { protocol },
            },
            offset,
            more,
            header: &header,
            protocol,
            tos,
            interface: INTERFACE,
        };
        self.reassembly
            .on_fragment(self.now, &fragment, Bytes::copy_from_slice(payload), &mut self.counters)
    }

    /// The accounts agree with the books.
    fn check(&self) {
        let held: usize = self.reassembly.datagrams.iter().map(Datagram::cost).sum();
        assert_eq!(held, self.reassembly.held);
        assert!(held <= self.reassembly.limit);
        assert!(self.reassembly.datagrams.len() <= DATAGRAMS_MAX);
    }
}

fn payload(packet: &Packet) -> Vec<u8> {
    packet.body.concat()
}

#[test]
fn any_order_and_any_cut() {
    for seed in 0..2_000 {
        let mut rng = Keys::new(seed, "reassembly").stream("test");
        let v6 = seed % 2 == 0;
        let mut bench = Bench::new(v6, 4 << 20);
        let mut data = vec![0; 28 + below(&mut rng, 20_000) as usize];
        rng.fill_bytes(&mut data);
        let mut cuts = vec![0];
        while cuts[cuts.len() - 1] < data.len() {
            let step = 24 + 8 * below(&mut rng, 180) as usize;
            cuts.push((cuts[cuts.len() - 1] + step).min(data.len()));
        }
        let mut pieces: Vec<_> = cuts.windows(2).map(|ends| (ends[0], ends[1])).collect();
        for n in 0..pieces.len() {
            // The network makes duplicates as well.
            if below(&mut rng, 8) == 0 {
                pieces.push(pieces[n]);
            }
        }
        for n in (1..pieces.len()).rev() {
            pieces.swap(n, below(&mut rng, n as u64 + 1) as usize);
        }
        let mut whole = None;
        for (start, end) in pieces {
            if let Ok(Some(packet)) = bench.send(7, start, &data[start..end], end < data.len()) {
                whole = Some(packet);
            }
            bench.check();
        }
        let whole = whole.unwrap_or_else(|| panic!("seed {seed}: not whole"));
        assert_eq!(payload(&whole), data, "seed {seed}");
        assert_eq!(whole.meta.len as usize, data.len());
        let header = whole.head.as_slice();
        if v6 {
            assert_eq!(usize::from(u16::from_be_bytes([header[4], header[5]])), data.len());
            assert_eq!(header[6], protocol::UDP);
        } else {
            assert_eq!(usize::from(u16::from_be_bytes([header[2], header[3]])), data.len() + 24);
            assert_eq!(header[6..8], [0, 0]);
            assert_eq!(crate::wire::checksum::checksum(header), 0);
        }
    }
}

/// RFC 5722, RFC 8200 §4.5: each of these second fragments is refused, and those that overlap spoil the datagram.
#[test]
fn second_fragment_table() {
    // (case, offset, length, more, spoils); the first is 0..64 with more to come.
    let cases: [(&str, usize, usize, bool, bool); 9] = [
        ("overlaps its end", 56, 16, true, true),
        ("lies inside", 8, 8, true, true),
        ("covers it", 0, 128, true, true),
        ("same place, other bytes", 0, 64, true, true),
        ("ends before it", 8, 8, false, true),
        ("no payload", 64, 0, true, false),
        ("not a multiple of 8", 64, 15, true, false),
        ("too long a datagram", 65_528, 8, false, false),
        ("too long, more to come", 65_528, 16, true, false),
    ];
    for (case, offset, len, more, spoils) in cases {
        for v6 in [false, true] {
            let mut bench = Bench::new(v6, 4 << 20);
            assert!(matches!(bench.send(1, 0, &[1; 64], true), Ok(None)));
            let told = bench.send(1, offset, &vec![2; len], more);
            assert_eq!(told.map(|_| ()), Err(DropReason::BadFragment), "{case}");
            assert_eq!(bench.reassembly.datagrams[0].spoilt, spoils, "{case}");
            let last = bench.send(1, 64, &[1; 8], false);
            assert_eq!(matches!(last, Ok(Some(_))), !spoils, "{case}");
            bench.check();
        }
    }
}

#[test]
fn a_duplicate_spoils_nothing() {
    let mut bench = Bench::new(true, 4 << 20);
    assert!(matches!(bench.send(1, 0, &[1; 64], true), Ok(None)));
    assert_eq!(
        bench.send(1, 0, &[1; 64], true).map(|_| ()),
        Err(DropReason::BadFragment)
    );
    assert!(matches!(bench.send(1, 64, &[2; 3], false), Ok(Some(_))));
    assert_eq!(bench.counters.reasm_oks, 1);
}

#[test]
fn two_ends() {
    let mut bench = Bench::new(false, 4 << 20);
    assert!(matches!(bench.send(1, 64, &[1; 8], false), Ok(None)));
    assert!(bench.send(1, 72, &[1; 8], true).is_err(), "behind the end");
    assert!(bench.send(1, 0, &[1; 64], true).is_err(), "spoilt");
    assert!(matches!(bench.send(2, 64, &[1; 8], true), Ok(None)));
    assert!(
        bench.send(2, 32, &[1; 8], false).is_err(),
        "an end before what is there"
    );
}

#[test]
fn tiny_first_fragments() {
    for (case, offset, len, protocol, fine) in [
        ("TCP header cut", 0, 16, protocol::TCP, false),
        ("TCP header whole", 0, 24, protocol::TCP, true),
        ("TCP flags in the second", 8, 24, protocol::TCP, false),
        ("UDP header whole", 0, 8, protocol::UDP, true),
    ] {
        let mut bench = Bench::new(false, 4 << 20);
        let told = bench.send_with(1, offset, &vec![0; len], true, protocol, 0);
        assert_eq!(told.is_ok(), fine, "{case}");
    }
}

#[test]
fn time_runs_out() {
    let mut bench = Bench::new(false, 4 << 20);
    let _ = bench.send(1, 0, &[1; 64], true);
    bench.now = Instant::ZERO + SECOND;
    let _ = bench.send(2, 64, &[1; 64], true);
    assert_eq!(bench.reassembly.poll_timeout(), Some(Instant::ZERO + 30 * SECOND));
    bench
        .reassembly
        .handle_timeout(Instant::ZERO + 30 * SECOND, &mut bench.counters);
    let expired = bench.reassembly.poll_expired().unwrap();
    assert_eq!((expired.whole.id, payload(&expired.packet)), (1, vec![1; 64]));
    bench
        .reassembly
        .handle_timeout(Instant::ZERO + 31 * SECOND, &mut bench.counters);
    assert!(
        bench.reassembly.poll_expired().is_none(),
        "nobody is told without the first fragment"
    );
    assert_eq!(
        (
            bench.reassembly.poll_timeout(),
            bench.counters.drops(DropReason::ReassemblyTimeout)
        ),
        (None, 2)
    );
    bench.check();
}

#[test]
fn limits_hold() {
    let mut bench = Bench::new(true, 100_000);
    for id in 0..10_000 {
        let _ = bench.send(id, 0, &[1; 1_232], true);
        let _ = bench.send(id, 2_464, &[1; 1_232], true);
        bench.check();
    }
    assert!(bench.counters.drops(DropReason::FragmentMemory) > 19_000);
    // The newest had room.
    assert!(matches!(bench.send(9_999, 1_232, &[1; 1_232], true), Ok(None)));
    assert!(matches!(bench.send(9_999, 3_696, &[1], false), Ok(Some(_))));
    let mut bench = Bench::new(true, 4 << 20);
    let refused = (0..4_000)
        .filter(|n| bench.send(1, n * 16, &[1; 8], true).is_err())
        .count();
    assert_eq!(refused, 4_000 - PIECES_MAX);
    assert_eq!(bench.reassembly.held, 0);
}

/// RFC 3168 §5.3.
#[test]
fn congestion_is_kept() {
    for (case, first, second, want) in [
        ("none", 2, 2, Some(2)),
        ("both", 3, 3, Some(3)),
        ("first", 3, 2, Some(3)),
        ("second", 2, 3, Some(3)),
        ("second, other ECT", 1, 3, Some(3)),
        ("not capable", 0, 3, None),
    ] {
        for v6 in [false, true] {
            let mut bench = Bench::new(v6, 4 << 20);
            let _ = bench.send_with(1, 0, &[1; 8], true, protocol::UDP, first);
            let whole = bench.send_with(1, 8, &[1; 8], false, protocol::UDP, second);
            let tos = whole
                .ok()
                .flatten()
                .map(|packet| packet.head.as_slice()[1] >> if v6 { 4 } else { 0 });
            assert_eq!(tos, want, "{case}");
        }
    }
}
