//! One frame from a descriptor of the kernel's, or to it, with a virtio-net header in front or without.

use super::vnet;
use sockeye_core::Packet;
use sockeye_core::buf::Pool;
use sockeye_core::host::Medium;
use sockeye_core::wire::packet_from_bytes;
use sockeye_sys::packet::PacketSocket;
use sockeye_sys::tun::{Tun, VNET_HEADER_LEN};
use std::io::{self, IoSlice, IoSliceMut};

/// The longest that a device gives at once.
const LONGEST: usize = 64 << 10;
/// Pieces of one packet that are handed over without being copied together first.
const PIECES: usize = 64;

/// What gives and takes whole frames.
pub(in crate::link) trait Device {
    fn receive(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<Option<usize>>;
    fn send(&self, pieces: &[IoSlice<'_>]) -> io::Result<()>;
}

impl Device for Tun {
    fn receive(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<Option<usize>> {
        self.receive_vectored(buffers)
    }

    fn send(&self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        self.send_vectored(pieces)
    }
}

impl Device for PacketSocket {
    fn receive(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<Option<usize>> {
        self.receive_vectored(buffers)
    }

    fn send(&self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        self.send_vectored(pieces)
    }
}

/// The next frame, in a buffer of `pool`.
pub(in crate::link) fn read(
    device: &impl Device,
    vnet_header: bool,
    medium: Medium,
    pool: &Pool,
) -> io::Result<Option<Packet>> {
    let mut header = [0; VNET_HEADER_LEN];
    let skip = if vnet_header { VNET_HEADER_LEN } else { 0 };
    let mut outcome = Ok(None);
    let bytes = pool.fill(LONGEST, |buffer| {
        let room = buffer.len();
        outcome = device.receive(&mut [IoSliceMut::new(&mut header[..skip]), IoSliceMut::new(buffer)]);
        let len = outcome
            .as_ref()
            .ok()
            .copied()
            .flatten()
            .unwrap_or(0)
            .saturating_sub(skip);
        // One that was longer is cut off, and so is nothing.
        if len <= room { len } else { 0 }
    });
    if outcome?.is_none() {
        return Ok(None);
    }
    let mut packet = packet_from_bytes(bytes, medium);
    if vnet_header {
        vnet::apply(&header, &mut packet);
    }
    Ok(Some(packet))
}

/// Hands one frame over.
pub(in crate::link) fn write(device: &impl Device, vnet_header: bool, packet: &mut Packet) -> io::Result<()> {
    let header = if vnet_header {
        vnet::describe(packet)
    } else {
        [0; VNET_HEADER_LEN]
    };
    let mut pieces = [IoSlice::new(&[]); PIECES];
    let mut count = 0;
    let mut put = |piece| {
        pieces[count] = IoSlice::new(piece);
        count += 1;
    };
    if vnet_header {
        put(&header[..]);
    }
    put(packet.head.as_slice());
    let whole;
    if packet.body.len() <= PIECES - 2 {
        packet.body.iter().for_each(|slice| put(slice));
    } else {
        whole = packet.bytes_from(packet.head.len());
        put(&whole);
    }
    device.send(&pieces[..count])
}
