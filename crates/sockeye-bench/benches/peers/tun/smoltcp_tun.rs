//! smoltcp behind a TUN device with a virtio-net header, at its best: TCP segmentation offload both ways, checksums left to the kernel, buffers of
//! 4 MiB, no congestion control.

use super::device::{FAR, MTU, NEAR, PORT};
use super::{CHUNK, Shared};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::socket::tcp::{self, CongestionControl};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, Ipv4Address};
use sockeye_sys::tun::{Attach, Tun, VNET_HEADER_LEN, offload};
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;

const BUFFER: usize = 4 << 20;
const LONGEST: usize = 70_000;

struct Link {
    tun: Tun,
    caps: DeviceCapabilities,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    idle: bool,
}

struct Received<'a>(&'a [u8]);

struct Sending<'a> {
    tun: &'a Tun,
    buffer: &'a mut [u8],
    meta: PacketMeta,
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let (header, rest) = self.buffer.split_at_mut(VNET_HEADER_LEN);
        let packet = &mut rest[..len];
        let result = f(packet);
        header.fill(0);
        const TCP: u8 = 6;
        if packet[9] == TCP {
            // The kernel goes on from the sum over the pseudo-header.
            let mut sum = u32::from(TCP) + len as u32 - 20;
            for pair in packet[12..20].chunks_exact(2) {
                sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
            }
            while sum >> 16 != 0 {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            packet[36..38].copy_from_slice(&(sum as u16).to_be_bytes());
            header[0] = 1;
            header[6..8].copy_from_slice(&20_u16.to_ne_bytes());
            header[8..10].copy_from_slice(&16_u16.to_ne_bytes());
            if let Some(size) = self.meta.segmentation_offload_size {
                header[1] = 1;
                let headers = 20 + u16::from(packet[32] >> 4) * 4;
                header[2..4].copy_from_slice(&headers.to_ne_bytes());
                header[4..6].copy_from_slice(&size.get().to_ne_bytes());
            }
        }
        // A queue that is full drops.
        let _ = self.tun.send(&self.buffer[..VNET_HEADER_LEN + len]);
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.meta = meta;
    }
}

impl Device for Link {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        let got = self.tun.receive(&mut self.incoming).ok()??;
        self.idle = false;
        let sending = Sending {
            tun: &self.tun,
            buffer: &mut self.outgoing,
            meta: PacketMeta::default(),
        };
        Some((Received(self.incoming.get(VNET_HEADER_LEN..got)?), sending))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending {
            tun: &self.tun,
            buffer: &mut self.outgoing,
            meta: PacketMeta::default(),
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.caps.clone()
    }
}

fn open() -> io::Result<Tun> {
    let how = Attach {
        vnet_header: true,
        ..Attach::default()
    };
    let tun = Tun::attach("tun0", how)?;
    tun.set_offload(offload::CHECKSUM | offload::TCP4)?;
    Ok(tun)
}

pub(super) fn run(shared: &Shared, opened: &Sender<io::Result<()>>) {
    let tun = match open() {
        Ok(tun) => tun,
        Err(error) => return drop(opened.send(Err(error))),
    };
    let mut caps = DeviceCapabilities::default();
    caps.medium = Medium::Ip;
    caps.max_transmission_unit = MTU as usize;
    caps.checksum = phy::ChecksumCapabilities::ignored();
    caps.checksum.ipv4 = Checksum::Both;
    caps.segmentation.tcpv4 = NonZeroUsize::new(65_535);
    let mut link = Link {
        tun,
        caps,
        incoming: vec![0; LONGEST],
        outgoing: vec![0; LONGEST],
        idle: true,
    };
    let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut link, Instant::now());
    let [a, b, c, d] = FAR;
    interface.update_ip_addrs(|addresses| {
        let address = IpCidr::new(IpAddress::v4(a, b, c, d), 24);
        addresses.push(address).expect("there is room for one");
    });
    let _ = interface.routes_mut().add_default_ipv4_route(Ipv4Address::from(NEAR));
    let bytes = || tcp::SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = tcp::Socket::new(bytes(), bytes());
    socket.set_congestion_control(CongestionControl::None);
    socket.set_nagle_enabled(false);
    socket.listen(PORT).expect("a fresh socket listens");
    let mut sockets = SocketSet::new(Vec::new());
    let handle = sockets.add(socket);
    let _ = opened.send(Ok(()));
    let mut sink = vec![0; CHUNK];
    let source = vec![1; CHUNK];
    while !shared.over.load(Relaxed) {
        link.idle = true;
        let _ = interface.poll(Instant::now(), &mut link, &mut sockets);
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        let mut moved = false;
        while let Ok(n @ 1..) = socket.recv_slice(&mut sink) {
            let _ = shared.read.fetch_add(n as u64, Relaxed);
            moved = true;
        }
        if shared.send.load(Relaxed) && socket.can_send() {
            moved |= socket.send_slice(&source).is_ok_and(|n| n > 0);
        }
        if moved {
            let _ = interface.poll(Instant::now(), &mut link, &mut sockets);
        } else if link.idle {
            let wait = interface.poll_delay(Instant::now(), &sockets);
            let wait = wait.map_or(20, |wait| wait.total_millis().clamp(1, 20));
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: wait as i64 * 1_000_000,
            };
            let _ = poll(&mut [PollFd::new(&link.tun, PollFlags::IN)], Some(&timeout));
        }
    }
}
