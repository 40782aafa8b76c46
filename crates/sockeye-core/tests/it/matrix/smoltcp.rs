//! smoltcp at an end of the track, at its best: CUBIC, wide buffers, as many islands out of order as it can be built with, polled whenever it
//! asks to be.

use super::track::End;
use bytes::Bytes;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use sockeye_core::Packet;
use sockeye_core::packet::Head;
use sockeye_core::time::Instant;
use std::collections::VecDeque;

/// Where the second end listens.
const PORT: u16 = 80;
/// Buffers of all connections of an end together, each way; no connection has less than `LEAST`.
const BUFFERS: usize = 4 << 20;
const LEAST: usize = 256 << 10;

struct Smoltcp {
    line: Line,
    interface: Interface,
    sockets: SocketSet<'static>,
    handles: Vec<SocketHandle>,
    read: Vec<u64>,
    sends: bool,
    chunk: Vec<u8>,
    now: Instant,
}

/// What has arrived and what leaves.
#[derive(Default)]
struct Line {
    arrived: VecDeque<Bytes>,
    leaving: VecDeque<Packet>,
}

struct Arrived(Bytes);
struct Leaving<'a>(&'a mut VecDeque<Packet>);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut bytes = vec![0; len];
        let result = write(&mut bytes);
        let tcp = usize::from(bytes[0] & 15) * 4;
        let headers = tcp + usize::from(bytes[tcp + 12] >> 4) * 4;
        let bytes = Bytes::from(bytes);
        let mut packet = Packet::with_payload(bytes.slice(headers..));
        packet.head = Head::from_slice(&bytes[..headers]);
        packet.meta.l4 = tcp as u8;
        self.0.push_back(packet);
        result
    }
}

impl Device for Line {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Leaving<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Arrived, Leaving<'_>)> {
        let bytes = self.arrived.pop_front()?;
        Some((Arrived(bytes), Leaving(&mut self.leaving)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Leaving<'_>> {
        Some(Leaving(&mut self.leaving))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

/// Both ends, joined by so many connections.
pub(crate) fn ends(seed: u64, flows: usize) -> [Box<dyn End>; 2] {
    [1_u8, 2].map(|end| {
        let mut line = Line::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed * 2 + u64::from(end);
        let mut interface = Interface::new(config, &mut line, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let address = IpCidr::new(IpAddress::v4(10, 0, 0, end), 24);
            addresses.push(address).expect("room for one");
        });
        let mut sockets = SocketSet::new(Vec::new());
        let handles: Vec<SocketHandle> = (0..flows as u16)
            .map(|flow| {
                let size = (BUFFERS / flows).max(LEAST);
                let buffer = || SocketBuffer::new(vec![0; size]);
                let mut socket = Socket::new(buffer(), buffer());
                socket.set_congestion_control(CongestionControl::Cubic);
                if end == 1 {
                    let to = (IpAddress::v4(10, 0, 0, 2), PORT);
                    socket
                        .connect(interface.context(), to, 10_000 + flow)
                        .expect("a fresh socket connects");
                } else {
                    socket.listen(PORT).expect("a fresh socket listens");
                }
                sockets.add(socket)
            })
            .collect();
        let end: Box<dyn End> = Box::new(Smoltcp {
            line,
            interface,
            sockets,
            read: vec![0; handles.len()],
            handles,
            sends: end == 1,
            chunk: vec![7; 64 << 10],
            now: Instant::ZERO,
        });
        end
    })
}

fn micros(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros((now.as_nanos() / 1_000) as i64)
}

impl Smoltcp {
    /// Writes and reads as much as there is room for. True when something moved: then the stack wants to be asked again.
    fn act(&mut self) -> bool {
        let mut moved = false;
        for (handle, read) in self.handles.iter().zip(&mut self.read) {
            let socket = self.sockets.get_mut::<Socket<'_>>(*handle);
            while self.sends && socket.can_send() && socket.send_slice(&self.chunk).is_ok_and(|n| n > 0) {
                moved = true;
            }
            while !self.sends && socket.can_recv() {
                let got = socket.recv(|bytes| (bytes.len(), bytes.len())).unwrap_or(0);
                *read += got as u64;
                moved |= got > 0;
            }
        }
        moved
    }
}

impl End for Smoltcp {
    fn receive(&mut self, _: Instant, batch: &mut Vec<Packet>) {
        self.line
            .arrived
            .extend(batch.drain(..).map(|packet| packet.bytes_from(0)));
    }

    fn poll(&mut self, now: Instant, out: &mut VecDeque<Packet>) {
        self.now = now;
        let _ = self.interface.poll(micros(now), &mut self.line, &mut self.sockets);
        if self.act() {
            let _ = self.interface.poll(micros(now), &mut self.line, &mut self.sockets);
        }
        out.append(&mut self.line.leaving);
    }

    fn deadline(&mut self) -> Option<Instant> {
        let at = self.interface.poll_at(micros(self.now), &self.sockets)?;
        Some(Instant::from_nanos(at.total_micros().max(0) as u64 * 1_000))
    }

    fn read(&self) -> Vec<u64> {
        self.read.clone()
    }
}
