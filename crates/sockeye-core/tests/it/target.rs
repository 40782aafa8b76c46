//! A host with nothing around it, and the far end of a connection played by hand, segment by segment.

pub(crate) use bytes::Bytes;
pub(crate) use sockeye_core::buf::Rope;
pub(crate) use sockeye_core::counters::DropReason;
pub(crate) use sockeye_core::host::{HostConfig, InterfaceConfig, InterfaceId, Medium};
pub(crate) use sockeye_core::packet::Csum;
pub(crate) use sockeye_core::settings::Settings;
pub(crate) use sockeye_core::socket::{BindOptions, ListenerId, TcpId, TcpOptions};
pub(crate) use sockeye_core::time::{Duration, Instant};
pub(crate) use sockeye_core::wire::tcp::{Flags, Header, Options, SackBlocks, Timestamps, build, parse};
pub(crate) use sockeye_core::wire::{checksum, packet_from_bytes};
pub(crate) use sockeye_core::{Host, Packet};
pub(crate) use std::collections::VecDeque;
pub(crate) use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Where the host under attack is.
pub(crate) const VICTIM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const SERVER: SocketAddrV4 = SocketAddrV4::new(VICTIM, 80);

/// A segment on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) to: SocketAddrV4,
    pub(crate) header: Header,
    pub(crate) options: Options,
    pub(crate) payload: Bytes,
}

impl Seen {
    pub(crate) fn is(&self, flags: Flags) -> bool {
        self.header.flags == flags
    }
}

pub(crate) const SYN_ACK: Flags = Flags::SYN.and(Flags::ACK);

/// The host under attack.
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) now: Instant,
    pub(crate) link: InterfaceId,
    /// What it sent and nobody has looked at.
    pub(crate) out: VecDeque<Seen>,
    /// Datagrams other than TCP that it sent: protocol and bytes.
    pub(crate) other: Vec<(u8, Bytes)>,
}

impl Target {
    /// With a budget of 8 MiB, unless the settings have one of their own.
    pub(crate) fn new(mut settings: Settings) -> Self {
        if settings.tcp_mem == Settings::default().tcp_mem {
            settings.tcp_mem = [1_024, 1_536, 2_048];
        }
        let mut host = Host::new(HostConfig {
            seed: 7,
            settings,
            ..HostConfig::default()
        });
        let link = host.add_interface(InterfaceConfig {
            name: "eth0".to_owned(),
            medium: Medium::Ip,
            mtu: 1500,
            gso: false,
            addresses: vec![(VICTIM.into(), 8)],
        });
        Self {
            host,
            now: Instant::from_millis(100_000),
            link,
            out: VecDeque::new(),
            other: Vec::new(),
        }
    }

    pub(crate) fn listen(&mut self, backlog: u32, options: TcpOptions) -> ListenerId {
        let binding = self.host.tcp_bind(SERVER.into(), BindOptions::default()).expect("free");
        self.host
            .tcp_listen(self.now, binding, backlog, options)
            .expect("nobody else listens")
    }

    /// A segment arrives; what is sent in answer is taken.
    pub(crate) fn hit(
        &mut self,
        from: SocketAddrV4,
        to: SocketAddrV4,
        header: &Header,
        options: &Options,
        payload: &[u8],
    ) {
        let mut packet = Packet::default();
        let header = Header {
            source: from.port(),
            destination: to.port(),
            ..*header
        };
        build(&mut packet.head, &header, options);
        let segment = [packet.head.as_slice(), payload].concat();
        self.hit_ip(*from.ip(), *to.ip(), 6, &segment);
        self.take();
    }

    /// An IP packet arrives.
    pub(crate) fn hit_ip(&mut self, from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) {
        self.arrive(ip(from, to, protocol, 0, 0, payload));
    }

    pub(crate) fn arrive(&mut self, bytes: Vec<u8>) {
        let mut packet = packet_from_bytes(Bytes::from(bytes), Medium::Ip);
        packet.meta.csum = Csum::Verified;
        self.host.receive(self.now, self.link, &mut vec![packet]);
    }

    /// Takes what the host wants to send.
    pub(crate) fn take(&mut self) {
        let mut packets = VecDeque::new();
        self.host
            .poll_transmit(self.now, self.link, &mut packets, usize::MAX >> 1);
        for packet in packets {
            let bytes = Bytes::from(packet.to_vec());
            let v4 = |at: usize| Ipv4Addr::from(*bytes[at..].first_chunk::<4>().expect("an IPv4 header"));
            if bytes[9] != 6 {
                self.other.push((bytes[9], bytes.slice(20..)));
                continue;
            }
            let (header, options, len) = parse(&bytes[20..]).expect("what we send can be read");
            self.out.push_back(Seen {
                to: SocketAddrV4::new(v4(16), header.destination),
                header,
                options,
                payload: bytes.slice(20 + len..),
            });
        }
        if let Err(broken) = self.host.check() {
            panic!("{broken:?}");
        }
        // Whatever happens, memory stays within the budget, and what one segment may add.
        let (memory, limit) = (self.host.memory(), self.host.settings().tcp_mem[2]);
        assert!(memory.buffers <= u64::from(limit) * 4_096 + 65_536, "{memory:?}");
    }

    /// What was sent since the last look.
    pub(crate) fn seen(&mut self) -> Vec<Seen> {
        self.take();
        self.out.drain(..).collect()
    }

    /// Time passes, with all that falls due.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.host.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.host.handle_timeout(self.now);
            self.take();
        }
        self.now = until;
    }

    pub(crate) fn accept(&mut self, listener: ListenerId) -> TcpId {
        self.host.tcp_accept(self.now, listener).expect("it is pending")
    }

    pub(crate) fn read(&mut self, id: TcpId) -> usize {
        let mut rope = Rope::new();
        let n = self.host.tcp_read(self.now, id, usize::MAX, &mut rope);
        self.take();
        n
    }

    pub(crate) fn write(&mut self, id: TcpId, bytes: usize) -> usize {
        let n = self
            .host
            .tcp_write(self.now, id, &mut Bytes::from(vec![7; bytes]))
            .unwrap_or(0);
        self.take();
        n
    }

    pub(crate) fn drops(&self, reason: DropReason) -> u64 {
        self.host.counters().drops(reason)
    }

    /// An honest client is served: it connects, and bytes go both ways.
    pub(crate) fn serves(&mut self, listener: ListenerId, client: SocketAddrV4) {
        let mut remote = Remote::open(self, client, Remote::OPTIONS);
        let id = self.accept(listener);
        remote.send(self, b"hello");
        assert_eq!(self.read(id), 5, "what an honest client sent was not received");
        assert_eq!(self.write(id, 1_000), 1_000);
        let got: usize = self.seen().iter().map(|seen| seen.payload.len()).sum();
        assert_eq!(got, 1_000, "an honest client was not answered");
    }
}

/// The far end of one connection, as an attacker plays it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote {
    pub(crate) at: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
    /// The next sequence number to send, and to expect.
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    /// The host's timestamp to echo, when agreed.
    pub(crate) echo: Option<u32>,
    pub(crate) clock: u32,
}

impl Remote {
    pub(crate) const OPTIONS: Options = Options {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 1, echo: 0 }),
        ..NO_OPTIONS
    };

    /// The whole handshake.
    pub(crate) fn open(target: &mut Target, at: SocketAddrV4, options: Options) -> Self {
        let syn = Header {
            seq: 1_000,
            flags: Flags::SYN,
            window: 65_535,
            ..Header::default()
        };
        target.out.clear();
        target.hit(at, SERVER, &syn, &options, &[]);
        let answer = target.out.pop_front().expect("a SYN is answered");
        assert!(answer.is(SYN_ACK), "{answer:?}");
        let mut remote = Self {
            at,
            to: SERVER,
            seq: 1_001,
            ack: answer.header.seq.wrapping_add(1),
            window: 1_024,
            echo: answer.options.timestamps.map(|ts| ts.value),
            clock: 2,
        };
        remote.acknowledge(target);
        remote
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            timestamps: self.echo.map(|echo| Timestamps {
                value: self.clock,
                echo,
            }),
            ..NO_OPTIONS
        }
    }

    /// A segment whose numbers are off by so much, with these flags.
    pub(crate) fn forge(&self, target: &mut Target, seq: u32, ack: u32, flags: Flags, payload: &[u8]) {
        let header = Header {
            seq: self.seq.wrapping_add(seq),
            ack: self.ack.wrapping_add(ack),
            flags,
            window: self.window,
            ..Header::default()
        };
        target.hit(self.at, self.to, &header, &self.options(), payload);
    }

    pub(crate) fn acknowledge(&mut self, target: &mut Target) {
        self.forge(target, 0, 0, Flags::ACK, &[]);
    }

    /// Bytes in order.
    pub(crate) fn send(&mut self, target: &mut Target, payload: &[u8]) {
        self.forge(target, 0, 0, Flags::ACK.and(Flags::PSH), payload);
        self.seq = self.seq.wrapping_add(payload.len() as u32);
    }

    /// Takes in what the host sent here: the next number to expect, the timestamp to echo.
    pub(crate) fn listen(&mut self, target: &mut Target) -> Vec<Seen> {
        let (mine, rest): (VecDeque<Seen>, VecDeque<Seen>) = target.out.drain(..).partition(|seen| seen.to == self.at);
        target.out = rest;
        for seen in &mine {
            let fin = u32::from(seen.header.flags.has(Flags::FIN));
            let end = seen.header.seq.wrapping_add(seen.payload.len() as u32 + fin);
            if end.wrapping_sub(self.ack).cast_signed() > 0 {
                self.ack = end;
            }
            if let (Some(echo), Some(ts)) = (&mut self.echo, seen.options.timestamps) {
                *echo = ts.value;
            }
        }
        mine.into()
    }
}

pub(crate) const NO_OPTIONS: Options = Options {
    mss: None,
    window_scale: None,
    sack_permitted: false,
    timestamps: None,
    sack: SackBlocks::NONE,
    fast_open: None,
    user_timeout: None,
};

/// An attacker's address, one of many.
pub(crate) fn bot(n: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(0x0a10_0000 + n / 50_000), 1_024 + (n % 50_000) as u16)
}

/// An IPv4 packet, or a fragment of one at `offset` bytes (`more` sets the flag).
pub(crate) fn ip(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, id: u16, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend_from_slice(&(payload.len() as u16 + 20).to_be_bytes());
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend_from_slice(&fragment.to_be_bytes());
    bytes.extend_from_slice(&[64, protocol, 0, 0]);
    bytes.extend_from_slice(&from.octets());
    bytes.extend_from_slice(&to.octets());
    let check = checksum::checksum(&bytes);
    bytes[10..12].copy_from_slice(&check.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// An honest client, far from the attackers.
pub(crate) const HONEST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 200, 0, 9), 5_000);

/// The end of a socket address that is IPv4.
pub(crate) fn v4(at: Option<SocketAddr>) -> SocketAddrV4 {
    match at {
        Some(SocketAddr::V4(at)) => at,
        other => panic!("no IPv4 address: {other:?}"),
    }
}
