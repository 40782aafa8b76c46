//! Makes hostile packets: from nothing, from packets overheard, and answers to what the victim said.

use bytes::Bytes;
use rand::Rng;
use sockeye_core::Packet;
use sockeye_core::gso;
use sockeye_core::host::Medium;
use sockeye_core::keys::{below, unit};
use sockeye_core::packet::Csum;
use sockeye_core::wire::{checksum, packet_from_bytes};
use std::collections::VecDeque;
use std::net::IpAddr;

/// Packets overheard that are remembered, each way.
const MEMORY: usize = 64;

/// Numbers that break things.
const AWKWARD: [u32; 14] = [
    0,
    1,
    2,
    7,
    8,
    0x7f,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
];

/// The attacker: it sees everything and may forge anything.
pub(super) struct Forger<D> {
    dice: D,
    victim: [IpAddr; 2],
    /// The victim's hardware address, where there is Ethernet.
    hardware: Option<[u8; 6]>,
    /// What the victim sent, and what was sent to it.
    from_victim: VecDeque<Vec<u8>>,
    to_victim: VecDeque<Vec<u8>>,
    cookie: Option<Vec<u8>>,
}

/// The places of headers in a packet.
struct Place {
    v6: bool,
    protocol: u8,
    /// Where the transport header is.
    l4: usize,
}

fn place(bytes: &[u8]) -> Option<Place> {
    match bytes.first()? >> 4 {
        4 if bytes.len() >= 20 => Some(Place {
            v6: false,
            protocol: bytes[9],
            l4: usize::from(bytes[0] & 15) * 4,
        }),
        6 if bytes.len() >= 40 => Some(Place {
            v6: true,
            protocol: bytes[6],
            l4: 40,
        }),
        _ => None,
    }
}

impl<D: Rng> Forger<D> {
    pub(super) fn new(dice: D, victim: [IpAddr; 2], hardware: Option<[u8; 6]>) -> Self {
        Self {
            dice,
            victim,
            hardware,
            from_victim: VecDeque::new(),
            to_victim: VecDeque::new(),
            cookie: None,
        }
    }

    fn upto(&mut self, n: usize) -> usize {
        below(&mut self.dice, n as u64 + 1) as usize
    }

    fn chance(&mut self, share: f64) -> bool {
        unit(&mut self.dice) < share
    }

    fn word(&mut self) -> u32 {
        if self.chance(0.5) {
            AWKWARD[self.upto(AWKWARD.len() - 1)]
        } else {
            self.dice.next_u32()
        }
    }

    /// Remembers a packet on the wire.
    pub(super) fn overhears(&mut self, packet: &Packet, from_victim: bool) {
        let mut segments = VecDeque::new();
        gso::segment(packet.clone(), u32::MAX, &mut segments);
        for mut segment in segments {
            gso::finish(&mut segment);
            let bytes = segment.to_vec().split_off(usize::from(segment.meta.l3));
            if from_victim {
                self.overhear_cookie(&bytes);
            }
            let memory = if from_victim {
                &mut self.from_victim
            } else {
                &mut self.to_victim
            };
            if memory.len() == MEMORY {
                let _ = memory.pop_front();
            }
            memory.push_back(bytes);
        }
    }

    /// The next hostile packet.
    pub(super) fn forge(&mut self) -> Packet {
        let mut bytes = match self.upto(19) {
            0 => self.noise(),
            1..=2 => self.blind(),
            3 => self.syn(),
            4..=5 => self.icmp_error().unwrap_or_default(),
            6 => self.neighbor(),
            7..=12 => self.reply().unwrap_or_default(),
            _ => self.replay().unwrap_or_default(),
        };
        let mutations = [0, 0, 1, 1, 2, 4, 16][self.upto(6)];
        for _ in 0..mutations {
            self.mutate(&mut bytes);
        }
        let believed = self.chance(0.7);
        if believed {
            repair(&mut bytes);
        }
        let mut packet = match self.hardware {
            None => packet_from_bytes(Bytes::from(bytes), Medium::Ip),
            Some(address) => {
                let frame = self.frame(address, bytes);
                packet_from_bytes(Bytes::from(frame), Medium::Ethernet { address })
            }
        };
        if believed && self.chance(0.9) {
            packet.meta.csum = if self.chance(0.5) {
                Csum::Verified
            } else {
                Csum::Partial
            };
        }
        packet
    }

    fn noise(&mut self) -> Vec<u8> {
        let len = self.upto(200);
        let mut bytes = vec![0; len];
        self.dice.fill_bytes(&mut bytes);
        if let Some(first) = bytes.first_mut() {
            *first = if *first & 1 == 0 { 0x45 } else { 0x60 };
        }
        bytes
    }

    /// A packet of some protocol that knows the addresses and no more.
    fn blind(&mut self) -> Vec<u8> {
        let protocol = [6, 17, 1, 58, 0, 43, 44, 60, 2, 255][self.upto(9)];
        let v6 = self.chance(0.5);
        let len = self.upto(120);
        let mut payload = vec![0; len];
        self.dice.fill_bytes(&mut payload);
        if len >= 4 && self.chance(0.8) {
            let port: u16 = [80, 53, 7, 49_152][self.upto(3)];
            payload[2..4].copy_from_slice(&port.to_be_bytes());
        }
        let from = self.stranger(v6);
        ip(from, self.victim[usize::from(v6)], protocol, &payload)
    }

    /// An Ethernet frame around an IP packet, or an ARP packet instead of one.
    fn frame(&mut self, victim: [u8; 6], mut ip: Vec<u8>) -> Vec<u8> {
        let mut to = match self.upto(9) {
            0 => [0xff; 6],
            1 => [0x33, 0x33, 0, 0, 0, 1],
            _ => victim,
        };
        let from = [2, 0, 0, 0, 0, self.upto(4) as u8];
        let mut kind: u16 = if ip.first().is_some_and(|first| first >> 4 == 6) {
            0x86dd
        } else {
            0x800
        };
        if self.chance(0.05) {
            kind = 0x806;
            ip = vec![0, 1, 8, 0, 6, 4, 0, 1 + self.upto(2) as u8];
            ip.extend_from_slice(&from);
            ip.extend_from_slice(&[10, 0, 0, self.upto(9) as u8]);
            ip.extend_from_slice(&[2, 0, 0, 0, 0, self.upto(4) as u8]);
            ip.extend_from_slice(&[10, 0, 0, self.upto(3) as u8]);
            let mutations = self.upto(2);
            for _ in 0..mutations {
                self.mutate(&mut ip);
            }
        }
        if self.chance(0.02) {
            kind = self.word() as u16;
            to[5] ^= 1;
        }
        let mut frame = [&to[..], &from[..], &kind.to_be_bytes()[..], &ip[..]].concat();
        if self.chance(0.02) {
            frame.truncate(self.upto(20));
        }
        frame
    }

    /// Neighbor and router discovery, hop limit 255 as it has to be.
    fn neighbor(&mut self) -> Vec<u8> {
        let mut message = vec![[133, 134, 135, 136, 137][self.upto(4)], 0, 0, 0];
        message.extend_from_slice(&self.word().to_be_bytes());
        let target = if self.chance(0.7) {
            self.victim[1]
        } else {
            self.stranger(true)
        };
        if let IpAddr::V6(target) = target {
            message.extend_from_slice(&target.octets());
        }
        let options = self.upto(3);
        for _ in 0..options {
            let len = [0, 1, 1, 1, 2, 40][self.upto(5)];
            message.extend_from_slice(&[self.upto(5) as u8, len]);
            message.resize(message.len() + 6, 9);
        }
        let from = self.stranger(true);
        let mut packet = ip(from, self.victim[1], 58, &message);
        packet[7] = 255;
        packet
    }

    /// A SYN from anywhere to the port that is listened on, some with a payload.
    fn syn(&mut self) -> Vec<u8> {
        let v6 = self.chance(0.4);
        let mut segment = Vec::new();
        segment.extend_from_slice(&(self.upto(20_000) as u16 + 1_000).to_be_bytes());
        segment.extend_from_slice(&80_u16.to_be_bytes());
        segment.extend_from_slice(&self.dice.next_u32().to_be_bytes());
        segment.extend_from_slice(&[0; 4]);
        let options = match self.upto(4) {
            0 => Vec::new(),
            // Fast Open: a request or a cookie, overheard or not, in either dress; a user timeout.
            3 => self.fast_open(),
            4 => {
                let time = self.word().to_be_bytes();
                vec![28, 4, time[0], time[1], 2, 4, 5, 180]
            }
            1 => vec![2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7],
            _ => self.options(&[]),
        };
        segment.push((5 + options.len() as u8 / 4) << 4);
        segment.extend_from_slice(&[2, 255, 255, 0, 0, 0, 0]);
        segment.extend_from_slice(&options);
        let len = if self.chance(0.2) { self.upto(100) } else { 0 };
        segment.resize(segment.len() + len, 1);
        let from = self.stranger(v6);
        ip(from, self.victim[usize::from(v6)], 6, &segment)
    }

    fn fast_open(&mut self) -> Vec<u8> {
        let overheard = self.chance(0.5);
        let cookie = self.cookie.clone().filter(|_| overheard);
        let cookie = cookie.unwrap_or_else(|| vec![0x5a; [0, 4, 8, 16, 7, 18][self.upto(5)]]);
        let mut option = if self.chance(0.2) {
            vec![254, 4 + cookie.len() as u8, 0xf9, 0x89]
        } else {
            vec![34, 2 + cookie.len() as u8]
        };
        option.extend_from_slice(&cookie);
        option.resize(option.len().next_multiple_of(4), 1);
        option
    }

    /// A Fast Open cookie that the victim gave.
    fn overhear_cookie(&mut self, bytes: &[u8]) {
        if let Some(at) = bytes.windows(2).position(|pair| pair == [34, 10])
            && let Some(cookie) = bytes.get(at + 2..at + 10)
        {
            self.cookie = Some(cookie.to_vec());
        }
    }

    fn stranger(&mut self, v6: bool) -> IpAddr {
        let last = self.upto(12) as u8;
        match (v6, self.chance(0.1)) {
            (false, false) => IpAddr::from([10, 0, 0, last]),
            (true, false) => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]),
            (false, true) => IpAddr::from([[127, 0, 0, 1], [255; 4], [224, 0, 0, 1], [0; 4]][self.upto(3)]),
            (true, true) => {
                IpAddr::from([[0, 0, 0, 0, 0, 0, 0, 1], [0xff02, 0, 0, 0, 0, 0, 0, 1], [0_u16; 8]][self.upto(2)])
            }
        }
    }

    fn heard(&mut self, from_victim: bool) -> Option<Vec<u8>> {
        let len = if from_victim {
            self.from_victim.len()
        } else {
            self.to_victim.len()
        };
        let n = self.upto(len.checked_sub(1)?);
        Some(if from_victim {
            self.from_victim[n].clone()
        } else {
            self.to_victim[n].clone()
        })
    }

    fn replay(&mut self) -> Option<Vec<u8>> {
        self.heard(false)
    }

    /// A segment in a connection of the victim's, near what it expects.
    fn reply(&mut self) -> Option<Vec<u8>> {
        let heard = self.heard(true)?;
        let place = place(&heard)?;
        let (src, dst) = addresses(&heard, place.v6)?;
        let theirs = heard.get(place.l4..)?;
        if place.protocol != 6 || theirs.len() < 20 {
            return None;
        }
        let number = |at: usize| u32::from_be_bytes([theirs[at], theirs[at + 1], theirs[at + 2], theirs[at + 3]]);
        let header = usize::from(theirs[12] >> 4) * 4;
        let syn_or_fin = u32::from(theirs[13] & 2 != 0) + u32::from(theirs[13] & 1 != 0);
        let sent = theirs.len().saturating_sub(header) as u32 + syn_or_fin;
        let (seq, ack) = (self.near(number(8)), self.near(number(4).wrapping_add(sent)));
        let mut segment = Vec::new();
        segment.extend_from_slice(&theirs[2..4]);
        segment.extend_from_slice(&theirs[..2]);
        segment.extend_from_slice(&seq.to_be_bytes());
        segment.extend_from_slice(&ack.to_be_bytes());
        let flags = [
            0x10,
            0x10,
            0x10,
            0x30,
            0x38,
            0x18,
            0x11,
            0x12,
            0x02,
            0x04,
            0x14,
            0x01,
            0x00,
            0x3f,
            self.dice.next_u32() as u8,
        ];
        let options = self.options(&theirs[20..header.clamp(20, theirs.len())]);
        segment.push((5 + options.len() as u8 / 4) << 4);
        segment.push(flags[self.upto(flags.len() - 1)]);
        let (window, urgent) = (self.word() as u16, self.word() as u16);
        segment.extend_from_slice(&window.to_be_bytes());
        segment.extend_from_slice(&[0; 2]);
        segment.extend_from_slice(&urgent.to_be_bytes());
        segment.extend_from_slice(&options);
        let most = [0, 1, 10, 1448, 3000][self.upto(4)];
        let len = self.upto(most);
        segment.resize(segment.len() + len, 0x5a);
        Some(ip(dst, src, 6, &segment))
    }

    fn near(&mut self, number: u32) -> u32 {
        match self.upto(9) {
            0 => self.dice.next_u32(),
            1 => number.wrapping_add(self.word()),
            2 => number.wrapping_sub(self.upto(3000) as u32),
            3 => number.wrapping_add(self.upto(60_000) as u32),
            4 => number.wrapping_add(1),
            _ => number,
        }
    }

    /// Options: the right timestamps and block edges of the victim's own now and then, rubbish else.
    fn options(&mut self, theirs: &[u8]) -> Vec<u8> {
        let mut options = match self.upto(3) {
            0 => Vec::new(),
            // Their timestamps, value and echo exchanged.
            1 => match theirs.windows(12).find(|w| w[..4] == [1, 1, 8, 10]) {
                Some(w) => [&w[..4], &w[8..12], &w[4..8]].concat(),
                None => Vec::new(),
            },
            2 => {
                let mut sack = vec![1, 1, 5, 10];
                sack.extend_from_slice(&self.word().to_be_bytes());
                sack.extend_from_slice(&self.word().to_be_bytes());
                sack
            }
            _ => {
                let mut rubbish = vec![0; self.upto(10) * 4];
                self.dice.fill_bytes(&mut rubbish);
                rubbish
            }
        };
        options.truncate(40);
        options
    }

    /// An ICMP error about something the victim sent.
    fn icmp_error(&mut self) -> Option<Vec<u8>> {
        let heard = self.heard(true)?;
        let place = place(&heard)?;
        let (src, dst) = addresses(&heard, place.v6)?;
        let (kind, code) = if place.v6 {
            ([1, 2, 3, 4][self.upto(3)], self.upto(6) as u8)
        } else {
            ([3, 3, 3, 11, 12, 4, 5][self.upto(6)], self.upto(15) as u8)
        };
        let mut message = vec![kind, code, 0, 0];
        message.extend_from_slice(&self.word().to_be_bytes());
        let quoted = self.upto(heard.len());
        message.extend_from_slice(&heard[..quoted]);
        let from = if self.chance(0.5) { dst } else { self.stranger(place.v6) };
        Some(ip(from, src, if place.v6 { 58 } else { 1 }, &message))
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        // Headers are where it hurts.
        let reach = if self.chance(0.8) {
            bytes.len().min(80)
        } else {
            bytes.len()
        };
        let at = self.upto(reach - 1);
        match self.upto(6) {
            0 => bytes[at] ^= 1 << self.upto(7),
            1 => bytes[at] = self.word() as u8,
            2 => bytes.truncate(at),
            3 => {
                let more = self.upto(100);
                bytes.resize(bytes.len() + more, 0);
            }
            4 if at + 4 <= bytes.len() => {
                let word = self.word();
                bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
            }
            5 if at + 2 <= bytes.len() => {
                let word = self.word() as u16;
                bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
            }
            _ => {
                let more = bytes[..at].to_vec();
                let place = self.upto(bytes.len() - 1);
                drop(bytes.splice(place..place, more));
                bytes.truncate(4_000);
            }
        }
    }
}

fn addresses(bytes: &[u8], v6: bool) -> Option<(IpAddr, IpAddr)> {
    let v6_at = |at: usize| Some(IpAddr::from(*bytes.get(at..at + 16)?.first_chunk::<16>()?));
    let v4_at = |at: usize| Some(IpAddr::from(*bytes.get(at..at + 4)?.first_chunk::<4>()?));
    if v6 {
        Some((v6_at(8)?, v6_at(24)?))
    } else {
        Some((v4_at(12)?, v4_at(16)?))
    }
}

/// An IP packet; addresses of different families make a broken one.
fn ip(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            bytes.extend_from_slice(&[0x45, 0]);
            bytes.extend_from_slice(&(payload.len() as u16 + 20).to_be_bytes());
            bytes.extend_from_slice(&[0, 1, 0, 0, 64, protocol, 0, 0]);
            bytes.extend_from_slice(&src.octets());
            bytes.extend_from_slice(&dst.octets());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            bytes.extend_from_slice(&[0x60, 0, 0, 0]);
            bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            bytes.extend_from_slice(&[protocol, 64]);
            bytes.extend_from_slice(&src.octets());
            bytes.extend_from_slice(&dst.octets());
        }
        _ => {}
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// Makes lengths and the IPv4 header checksum right again, so that the lie gets further. (Transport checksums are marked as believed.)
fn repair(bytes: &mut [u8]) {
    let len = bytes.len();
    match place(bytes) {
        Some(Place { v6: false, l4, .. }) if l4 >= 20 && l4 <= len => {
            bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            bytes[10..12].fill(0);
            let check = checksum::checksum(&bytes[..l4]);
            bytes[10..12].copy_from_slice(&check.to_be_bytes());
        }
        Some(Place { v6: true, .. }) => bytes[4..6].copy_from_slice(&(len as u16 - 40).to_be_bytes()),
        _ => {}
    }
}
