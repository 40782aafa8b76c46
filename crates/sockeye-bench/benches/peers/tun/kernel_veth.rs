//! The kernel's own TCP at both ends of a veth pair, each in a network of its own; MTU 1500, with its segmentation offload.

use super::Shared;
use super::device::{Far, alone, ip};
use super::{CHUNK, PATIENCE};
use rustix::net::sockopt::set_tcp_congestion;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

pub(super) fn far() -> io::Result<Far> {
    let shared = Arc::new(Shared::default());
    let theirs = Arc::clone(&shared);
    let (say_where, tid) = channel();
    let (joined, wired) = channel();
    let (say_ready, ready) = channel();
    let (connected, connection) = channel();
    let thread = std::thread::spawn(move || {
        let listener = alone().and_then(|()| listen(&say_where, &wired));
        let ended = match listener {
            Ok(listener) => {
                let _ = say_ready.send(Ok(()));
                serve(&listener, &theirs)
            }
            Err(error) => {
                let _ = say_ready.send(Err(error));
                Ok(())
            }
        };
        drop(ended);
    });
    let first = std::thread::spawn(move || {
        let stream = alone().and_then(|()| {
            let tid = tid.recv().map_err(io::Error::other)?;
            ip("link add v0 type veth peer name v1")?;
            ip(&format!("link set v1 netns {tid}"))?;
            ip("link set v0 up")?;
            ip("address add 10.77.0.1/24 dev v0")?;
            let _ = joined.send(());
            ready.recv().map_err(io::Error::other)??;
            TcpStream::connect((SERVER, 5_000))
        });
        let _ = connected.send(stream);
    });
    let outcome = connection.recv().map_err(io::Error::other)?;
    let _ = first.join();
    Ok(Far {
        stream: outcome?,
        shared,
        thread,
    })
}

fn listen(say_where: &Sender<i32>, wired: &Receiver<()>) -> io::Result<TcpListener> {
    let _ = say_where.send(rustix::thread::gettid().as_raw_nonzero().get());
    wired.recv().map_err(io::Error::other)?;
    ip("link set v1 up")?;
    ip("address add 10.77.0.2/24 dev v1")?;
    TcpListener::bind((SERVER, 5_000))
}

fn serve(listener: &TcpListener, shared: &Shared) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    set_tcp_congestion(&stream, "cubic").or_else(|_| set_tcp_congestion(&stream, "reno"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut buffer = vec![1; CHUNK];
    while !shared.over.load(Relaxed) {
        if shared.send.load(Relaxed) {
            let _ = stream.write(&buffer);
        } else if let Ok(n) = stream.read(&mut buffer) {
            let _ = shared.read.fetch_add(n as u64, Relaxed);
        }
    }
    Ok(())
}
