//! A network of its own with a TUN device, and a stack at the other end of it.

use super::Shared;
use std::io;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

pub(super) const MTU: u32 = 1_500;
/// The kernel's address, the stack's, and where it listens.
pub(super) const NEAR: [u8; 4] = [10, 5, 0, 1];
pub(super) const FAR: [u8; 4] = [10, 5, 0, 2];
pub(super) const PORT: u16 = 80;

/// The far end of a flow, and the kernel's socket for it.
pub(super) struct Far {
    pub(super) stream: TcpStream,
    pub(super) shared: Arc<Shared>,
    pub(super) thread: JoinHandle<()>,
}

/// Runs a stack on a TUN device in a network of its own, on a thread of its own: it says when its device is open, listens, and serves one
/// connection until all is over.
pub(super) fn behind_tun(run: fn(&Shared, &Sender<io::Result<()>>)) -> io::Result<Far> {
    let shared = Arc::new(Shared::default());
    let (stack_opened, opened) = channel();
    let (connected, connection) = channel();
    let theirs = Arc::clone(&shared);
    // The network's first thread makes the socket; the stack's inherits the network.
    let first = std::thread::spawn(move || {
        let thread = alone().map(|()| std::thread::spawn(move || run(&theirs, &stack_opened)));
        let stream = thread.and_then(|thread| {
            opened.recv().map_err(io::Error::other)??;
            ip(&format!("link set tun0 mtu {MTU} txqueuelen 2000 up"))?;
            ip("address add 10.5.0.1/24 dev tun0")?;
            Ok((TcpStream::connect((std::net::Ipv4Addr::from(FAR), PORT))?, thread))
        });
        let _ = connected.send(stream);
    });
    let outcome = connection.recv().map_err(io::Error::other)?;
    let _ = first.join();
    let (stream, thread) = outcome?;
    Ok(Far { stream, shared, thread })
}

/// Moves this thread to a network of its own, with nothing in it that speaks by itself.
pub(super) fn alone() -> io::Result<()> {
    sockeye_sys::tun::own_network()?;
    let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    Ok(())
}

/// `ip` of iproute2, in the network of this thread.
pub(super) fn ip(arguments: &str) -> io::Result<()> {
    let done = Command::new("ip").args(arguments.split(' ')).output()?;
    if done.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "ip {arguments}: {}",
            String::from_utf8_lossy(&done.stderr).trim()
        )))
    }
}
