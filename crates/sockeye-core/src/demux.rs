//! Which socket is a packet for? First the conversation itself (`flows`: exact 4-tuple), then who waits on the port (`binds`: exact address,
//! then any address).
//!
//! It decides the order of these and who of several sharers gets a packet. It does not decide who may share (`port`), and holds no keys of
//! conversations: those live in the records that entries name, and callers compare them. Spec: RFC 9293 §3.9.1 MUST-42 (specific before
//! wildcard), RFC 1122 §4.1.3.5 for UDP; the order among wildcards is Linux's.

use crate::keys::{Key, Keys};
use crate::slab::Slab;
use crate::table::IndexTable;
use crate::tuple::{FourTuple, Transport, halves, mapped};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a lookup finds: a kind of record, and its index in that kind's slab.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// A TCP connection.
    Connection(u32),
    /// The remains of a TCP connection in TIME-WAIT.
    TimeWait(u32),
    /// A half-open connection of a listener.
    SynReceived(u32),
    /// A SYN for an address nobody holds, waiting for the owner's decision.
    HeldSyn(u32),
    /// A TCP listener.
    Listener(u32),
    /// A UDP socket, connected when found under a 4-tuple.
    Udp(u32),
}

/// The kind takes the upper three bits.
const INDEX_BITS: u32 = 29;

impl Entry {
    fn pack(self) -> u32 {
        let (kind, index) = match self {
            Self::Connection(index) => (0, index),
            Self::TimeWait(index) => (1, index),
            Self::SynReceived(index) => (2, index),
            Self::HeldSyn(index) => (3, index),
            Self::Listener(index) => (4, index),
            Self::Udp(index) => (5, index),
        };
        debug_assert!(index >> INDEX_BITS == 0, "index {index} too large for an entry");
        kind << INDEX_BITS | index
    }

    fn unpack(packed: u32) -> Option<Self> {
        let index = packed & ((1 << INDEX_BITS) - 1);
        Some(match packed >> INDEX_BITS {
            0 => Self::Connection(index),
            1 => Self::TimeWait(index),
            2 => Self::SynReceived(index),
            3 => Self::HeldSyn(index),
            4 => Self::Listener(index),
            5 => Self::Udp(index),
            _ => return None,
        })
    }
}

/// How a socket waits on a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    /// Who.
    pub(crate) entry: Entry,
    /// Arrivals are spread over all members that say so (`SO_REUSEPORT`).
    pub(crate) reuse_port: bool,
    /// A wildcard IPv6 member that takes no IPv4 packets (`IPV6_V6ONLY`).
    pub(crate) only_v6: bool,
}

/// All sockets that wait on one address and port, in the order they came.
#[derive(Debug)]
struct Group {
    transport: Transport,
    local: [u8; 16],
    port: u16,
    members: Vec<Member>,
}

/// The tables from packets to sockets.
#[derive(Debug)]
pub(crate) struct Demux {
    key: Key,
    flows: IndexTable,
    binds: IndexTable,
    groups: Slab<Group>,
}

impl Demux {
    /// Empty tables, with a hash key of their own.
    pub(crate) fn new(keys: &Keys) -> Self {
        Self {
            key: keys.key("demux"),
            flows: IndexTable::new(),
            binds: IndexTable::new(),
            groups: Slab::new(),
        }
    }

    /// The hash that all calls about this conversation want. Compute it once a packet.
    pub(crate) fn hash(&self, transport: Transport, tuple: &FourTuple) -> u64 {
        tuple.hash(&self.key, transport as u64)
    }

    /// Conversations known.
    #[cfg(test)]
    pub(crate) fn flows(&self) -> usize {
        self.flows.len()
    }

    /// The most slots that looking up a conversation looks at. Walks the whole table: for tests and the curious.
    pub(crate) fn longest_probe(&self) -> usize {
        self.flows.longest_probe()
    }

    /// The first candidate for a conversation, not compared: a batch touches its record before it works, so that cache misses overlap.
    #[expect(
        dead_code,
        reason = "the batch loop of `Host::receive` looks its packets up one by one so far"
    )]
    pub(crate) fn peek_flow(&self, hash: u64) -> Option<Entry> {
        Entry::unpack(self.flows.peek(hash))
    }

    /// The conversation whose record `is_it` recognises.
    pub(crate) fn find_flow(&self, hash: u64, mut is_it: impl FnMut(Entry) -> bool) -> Option<Entry> {
        let found = self
            .flows
            .find(hash, |packed| Entry::unpack(packed).is_some_and(&mut is_it))?;
        Entry::unpack(found)
    }

    /// Adds a conversation.
    pub(crate) fn insert_flow(&mut self, hash: u64, entry: Entry) {
        self.flows.insert(hash, entry.pack());
    }

    /// Takes a conversation out. False when it was not there.
    pub(crate) fn remove_flow(&mut self, hash: u64, entry: Entry) -> bool {
        let packed = entry.pack();
        self.flows.remove(hash, |value| value == packed).is_some()
    }

    /// Adds a socket that waits on `local`.
    pub(crate) fn insert_bind(&mut self, transport: Transport, local: SocketAddr, member: Member) {
        let (octets, port) = (mapped(local.ip()), local.port());
        if let Some(index) = self.group(transport, &octets, port) {
            if let Some(group) = self.groups.at_mut(index) {
                group.members.push(member);
            }
            return;
        }
        let group = Group {
            transport,
            local: octets,
            port,
            members: vec![member],
        };
        let (index, _) = self.groups.insert(group);
        self.binds.insert(self.bind_hash(transport, &octets, port), index);
    }

    /// Takes a socket out that waited on `local`. False when it was not there.
    pub(crate) fn remove_bind(&mut self, transport: Transport, local: SocketAddr, entry: Entry) -> bool {
        let (octets, port) = (mapped(local.ip()), local.port());
        let Some(index) = self.group(transport, &octets, port) else {
            return false;
        };
        let (Some(generation), Some(group)) = (self.groups.generation(index), self.groups.at_mut(index)) else {
            return false;
        };
        let Some(at) = group.members.iter().position(|member| member.entry == entry) else {
            return false;
        };
        let _ = group.members.remove(at);
        if group.members.is_empty() {
            let hash = self.bind_hash(transport, &octets, port);
            let _ = self.groups.remove(index, generation);
            let _ = self.binds.remove(hash, |value| value == index);
        }
        true
    }

    /// Who waits for packets to `local`: on that address, else on any; IPv4 packets ask IPv4 wildcards before dual-stack ones. `hash` is the
    /// conversation's: with `SO_REUSEPORT` it picks the member, the same one for every packet of a conversation.
    pub(crate) fn find_bind(&self, transport: Transport, local: SocketAddr, hash: u64) -> Option<Entry> {
        const ANY_V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        if self.groups.len() == 0 {
            return None;
        }
        let (address, v4) = (local.ip().to_canonical(), local.ip().to_canonical().is_ipv4());
        let order: &[IpAddr] = if v4 {
            &[address, ANY_V4, ANY_V6]
        } else {
            &[address, ANY_V6]
        };
        order.iter().find_map(|at| {
            let index = self.group(transport, &mapped(*at), local.port())?;
            self.groups.at(index)?.choose(v4, hash)
        })
    }

    fn group(&self, transport: Transport, local: &[u8; 16], port: u16) -> Option<u32> {
        self.binds.find(self.bind_hash(transport, local, port), |index| {
            let group = self.groups.at(index);
            group.is_some_and(|group| group.local == *local && group.port == port && group.transport == transport)
        })
    }

    fn bind_hash(&self, transport: Transport, local: &[u8; 16], port: u16) -> u64 {
        let [high, low] = halves(local);
        self.key.hash(&[high, low, (transport as u64) << 16 | u64::from(port)])
    }
}

impl Group {
    /// Of several sharers with `SO_REUSEADDR` the one that came last takes all, as on Linux; with `SO_REUSEPORT` they share by hash.
    fn choose(&self, v4: bool, hash: u64) -> Option<Entry> {
        let takes = |member: &&Member| !(v4 && member.only_v6);
        let last = self.members.iter().rev().find(takes)?;
        if !last.reuse_port {
            return Some(last.entry);
        }
        let sharers = || self.members.iter().filter(takes).filter(|member| member.reuse_port);
        let nth = ((hash & 0xffff_ffff) * sharers().count() as u64) >> 32;
        sharers().nth(nth as usize).map(|member| member.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demux() -> Demux {
        Demux::new(&Keys::new(1, "demux"))
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn entries_pack() {
        const LARGEST: u32 = (1 << 29) - 1;
        for index in [0, 1, LARGEST] {
            for entry in [
                Entry::Connection(index),
                Entry::TimeWait(index),
                Entry::SynReceived(index),
                Entry::HeldSyn(index),
                Entry::Listener(index),
                Entry::Udp(index),
            ] {
                assert_eq!(Entry::unpack(entry.pack()), Some(entry));
                assert_ne!(entry.pack(), IndexTable::NONE);
            }
        }
        assert_eq!(Entry::unpack(IndexTable::NONE), None);
    }

    #[test]
    fn most_specific_first() {
        // Who waits (0, 1, ...; "6" marks IPV6_V6ONLY), where a packet goes, who gets it.
        for (waiting, to, want) in [
            (vec!["0.0.0.0:80", "10.0.0.1:80"], "10.0.0.1:80", Some(1)),
            (vec!["0.0.0.0:80", "10.0.0.1:80"], "10.0.0.2:80", Some(0)),
            (vec!["0.0.0.0:80", "10.0.0.1:80"], "10.0.0.2:81", None),
            (vec!["[::]:80"], "10.0.0.1:80", Some(0)),
            (vec!["[::]:80"], "[fd00::1]:80", Some(0)),
            (vec!["6[::]:80"], "10.0.0.1:80", None),
            (vec!["6[::]:80"], "[fd00::1]:80", Some(0)),
            (vec!["6[::]:80", "0.0.0.0:80"], "10.0.0.1:80", Some(1)),
            (vec!["6[::]:80", "0.0.0.0:80"], "[fd00::1]:80", Some(0)),
            (vec!["[::]:80", "[fd00::1]:80"], "[fd00::1]:80", Some(1)),
            (vec!["[::ffff:10.0.0.1]:80", "[::]:80"], "10.0.0.1:80", Some(0)),
            (vec!["0.0.0.0:80"], "[fd00::1]:80", None),
            (vec!["0.0.0.0:80", "0.0.0.0:80"], "10.0.0.1:80", Some(1)),
        ] {
            let mut demux = demux();
            for (index, text) in waiting.iter().enumerate() {
                let member = Member {
                    entry: Entry::Udp(index as u32),
                    reuse_port: false,
                    only_v6: text.starts_with('6'),
                };
                demux.insert_bind(Transport::Udp, at(text.trim_start_matches('6')), member);
            }
            assert_eq!(
                demux.find_bind(Transport::Udp, at(to), 1),
                want.map(Entry::Udp),
                "{waiting:?} {to}"
            );
            assert_eq!(demux.find_bind(Transport::Tcp, at(to), 1), None);
            for (index, text) in waiting.iter().enumerate() {
                let local = at(text.trim_start_matches('6'));
                assert!(demux.remove_bind(Transport::Udp, local, Entry::Udp(index as u32)));
                assert!(!demux.remove_bind(Transport::Udp, local, Entry::Udp(index as u32)));
            }
            assert_eq!(demux.find_bind(Transport::Udp, at(to), 1), None);
            assert_eq!((demux.groups.len(), demux.binds.len()), (0, 0));
        }
    }

    #[test]
    fn reuse_port_spreads_and_stays() {
        let mut demux = demux();
        for index in 0..4 {
            let member = Member {
                entry: Entry::Listener(index),
                reuse_port: true,
                only_v6: false,
            };
            demux.insert_bind(Transport::Tcp, at("0.0.0.0:80"), member);
        }
        let mut taken = [0; 4];
        for port in 0..4_000 {
            let tuple = FourTuple::new(at("10.0.0.1:80"), SocketAddr::new([10, 0, 0, 2].into(), port));
            let hash = demux.hash(Transport::Tcp, &tuple);
            match demux.find_bind(Transport::Tcp, at("10.0.0.1:80"), hash) {
                Some(Entry::Listener(index)) => taken[index as usize] += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(taken.iter().all(|n| (850..1150).contains(n)), "{taken:?}");
    }

    #[test]
    fn flows_come_and_go() {
        let mut demux = demux();
        let tuples: Vec<_> = (0..1000_u32)
            .map(|n| FourTuple::new(at("10.0.0.1:80"), SocketAddr::new(Ipv4Addr::from(n).into(), 9)))
            .collect();
        for (index, tuple) in tuples.iter().enumerate() {
            let hash = demux.hash(Transport::Tcp, tuple);
            demux.insert_flow(hash, Entry::Connection(index as u32));
        }
        for (index, tuple) in tuples.iter().enumerate() {
            let entry = Entry::Connection(index as u32);
            let hash = demux.hash(Transport::Tcp, tuple);
            let same = |found| matches!(found, Entry::Connection(at) if tuples[at as usize] == *tuple);
            assert_eq!(demux.find_flow(hash, same), Some(entry));
            assert!(demux.remove_flow(hash, entry));
            assert!(!demux.remove_flow(hash, entry));
            assert_eq!(demux.find_flow(hash, same), None);
        }
        assert_eq!(demux.flows(), 0);
    }
}
