//! A fingerprint of a run: every packet's bytes, way and times, in order.

use crate::packet::Packet;
use crate::time::Instant;
use siphasher::sip::SipHasher13;
use std::hash::Hasher as _;

/// The fingerprint so far.
#[derive(Clone, Debug)]
pub struct Digest {
    hasher: SipHasher13,
}

impl Digest {
    /// An empty run.
    pub fn new(seed: u64) -> Self {
        Self {
            hasher: SipHasher13::new_with_keys(seed, 0),
        }
    }

    /// A packet entered a wire.
    pub fn sent(&mut self, now: Instant, wire: usize, packet: &Packet) {
        self.hasher.write_u64(now.as_nanos());
        self.hasher.write_u64((wire as u64) << 32 | packet.total_len() as u64);
        self.hasher.write(packet.head.as_slice());
        for slice in &packet.body {
            self.hasher.write(slice);
        }
    }

    /// A packet left a wire.
    pub fn arrived(&mut self, now: Instant, wire: usize, packet: &Packet) {
        self.hasher.write_u64(now.as_nanos());
        self.hasher
            .write_u64((wire as u64) << 32 | packet.total_len() as u64 | 1 << 63);
    }

    /// The fingerprint.
    pub fn finish(&self) -> u64 {
        self.hasher.finish()
    }
}
