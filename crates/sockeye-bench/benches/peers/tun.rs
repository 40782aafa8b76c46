//! Rows 7 and 8: one flow between the kernel's TCP and a stack behind a TUN device, with segmentation and checksum offload; the kernel's own veth
//! beside it. Everything in networks of its own, which takes root; CPU time of both ends, and of the kernel between them.

mod device;
mod kernel_veth;
mod ours;
mod smoltcp_tun;

use crate::cpu;
use crate::report::{Bar, Report, Samples, alternate};
use device::Far;
use rustix::net::sockopt::set_tcp_congestion;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// CPU seconds of one sample.
const SECONDS: f64 = 0.6;
/// How long the kernel's end waits before it looks at the time again.
const PATIENCE: Duration = Duration::from_millis(50);
const CHUNK: usize = 256 << 10;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From the kernel to the far end.
    There,
    /// From the far end to the kernel.
    Back,
}

/// What the far end's thread and the measuring one tell each other.
#[derive(Debug, Default)]
struct Shared {
    /// The far end is to send.
    send: AtomicBool,
    /// Bytes that the far end's program has read.
    read: AtomicU64,
    over: AtomicBool,
}

/// One connection from the kernel's TCP to a far end on a thread of its own.
struct Flow {
    way: Way,
    stream: TcpStream,
    shared: Arc<Shared>,
    far: Option<JoinHandle<()>>,
    buffer: Vec<u8>,
}

impl Flow {
    fn new(way: Way, far: Far) -> io::Result<Self> {
        let Far { stream, shared, thread } = far;
        // One that does not pace: the default of a machine may.
        set_tcp_congestion(&stream, "cubic").or_else(|_| set_tcp_congestion(&stream, "reno"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            way,
            stream,
            shared,
            far: Some(thread),
            buffer: vec![1; CHUNK],
        })
    }

    /// CPU seconds a gigabyte, of both ends.
    fn cost(&mut self) -> f64 {
        let (start, before) = (cpu::process(), self.shared.read.load(Relaxed));
        let mut bytes = 0;
        match self.way {
            Way::There => {
                let mut written = 0;
                while cpu::process() - start < SECONDS {
                    written += self.stream.write(&self.buffer).unwrap_or(0) as u64;
                }
                while bytes < written {
                    std::thread::sleep(Duration::from_millis(1));
                    bytes = self.shared.read.load(Relaxed) - before;
                }
            }
            Way::Back => {
                self.shared.send.store(true, Relaxed);
                while cpu::process() - start < SECONDS {
                    bytes += self.stream.read(&mut self.buffer).unwrap_or(0) as u64;
                }
                self.shared.send.store(false, Relaxed);
                while let Ok(n @ 1..) = self.stream.read(&mut self.buffer) {
                    bytes += n as u64;
                }
            }
        }
        (cpu::process() - start) / (bytes as f64 * 1e-9)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.shared.over.store(true, Relaxed);
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(far) = self.far.take() {
            let _ = far.join();
        }
    }
}

/// Row 7: the kernel sends.
pub(crate) fn to_us(report: &mut Report) {
    let whats = [
        (0.90, "kernel to TUN, offload, both ends; smoltcp"),
        (0.65, "kernel to TUN, offload, both ends; kernel veth"),
    ];
    row(report, 7, Way::There, whats);
}

/// Row 8: the kernel receives.
pub(crate) fn to_kernel(report: &mut Report) {
    let whats = [
        (0.75, "TUN to kernel, offload, both ends; smoltcp"),
        (0.90, "TUN to kernel, offload, both ends; kernel veth"),
    ];
    row(report, 8, Way::Back, whats);
}

fn row(report: &mut Report, number: u8, way: Way, whats: [(f64, &str); 2]) {
    match measure(way) {
        Ok(samples) => {
            for ((bar, what), peer) in whats.into_iter().zip(1..) {
                report.line(number, what, "s/GB", Bar::AtMost(bar), &samples[0], &samples[peer]);
            }
        }
        Err(error) => {
            let why = format!("needs root and /dev/net/tun, for networks of its own: {error}");
            for (bar, what) in whats {
                report.unmeasured(number, what, "s/GB", Bar::AtMost(bar), &why);
            }
        }
    }
}

fn measure(way: Way) -> io::Result<Vec<Samples>> {
    let mut us = Flow::new(way, device::behind_tun(ours::run)?)?;
    let mut smoltcp = Flow::new(way, device::behind_tun(smoltcp_tun::run)?)?;
    let mut veth = Flow::new(way, kernel_veth::far()?)?;
    let mut all = [&mut us, &mut smoltcp, &mut veth];
    // Windows open first.
    for flow in &mut all {
        let _ = flow.cost();
    }
    let [us, smoltcp, veth] = all;
    Ok(alternate(&mut [&mut || us.cost(), &mut || smoltcp.cost(), &mut || {
        veth.cost()
    }]))
}
