//! Sockets as 4.2BSD made them: integers that the operating system knows, too. `cargo run --example descriptors`

use sockeye::bsd::{self, AF_INET, SOCK_DGRAM, SOCK_STREAM};
use sockeye::{Host, link, services_registry::PortClass};
use std::thread;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Two machines and a cable. Each moves its packets on a thread of its own.
    let (left, right) = link::pair();
    let server = Host::builder().address("10.0.0.1/24").link(left).build_on_thread()?;
    let client = Host::builder().address("10.0.0.2/24").link(right);
    let client = client.name("server.example", [10, 0, 0, 1]).build_on_thread()?;

    // A server has a well-known port; the registry knows it by its service's name.
    let echo = bsd::getservbyname("echo", Some("tcp")).ok_or("no such service")?;
    println!("{} is port {}, {:?}", echo.name, echo.port, PortClass::of(echo.port));
    let (tcp, udp) = {
        let _entered = server.enter();
        (
            bsd::socket(AF_INET, SOCK_STREAM, 0)?,
            bsd::socket(AF_INET, SOCK_DGRAM, 0)?,
        )
    };
    bsd::bind(tcp, "0.0.0.0:echo")?;
    bsd::listen(tcp, 5)?;
    bsd::bind(udp, "0.0.0.0:echo")?;
    let serving = thread::spawn(move || -> std::io::Result<()> {
        let mut buf = [0; 512];
        let (fd, _) = bsd::accept(tcp)?;
        let n = bsd::read(fd, &mut buf)?;
        bsd::write(fd, &buf[..n])?;
        bsd::close(fd)?;
        // A datagram tells where it came from, and the answer needs that address.
        let (n, from) = bsd::recvfrom(udp, &mut buf, 0)?;
        bsd::sendto(udp, &buf[..n], 0, from.unwrap_or(bsd::Address::Unspecified))?;
        bsd::close(udp)
    });

    // A client names the machine and the service, and gets a dynamic port.
    let _entered = client.enter();
    let mut buf = [0; 512];
    let fd = bsd::socket(AF_INET, SOCK_STREAM, 0)?;
    bsd::connect(fd, "server.example:echo")?;
    println!("{} -> {}", bsd::getsockname(fd)?, bsd::getpeername(fd)?);
    let copy = bsd::dup(fd)?; // another descriptor of the same socket
    bsd::write(copy, b"by stream")?;
    let n = bsd::read(fd, &mut buf)?; // `poll` and `select`, the operating system's own, work as well
    println!("{}", std::str::from_utf8(&buf[..n])?);
    bsd::close(fd)?;
    bsd::close(copy)?;

    let fd = bsd::socket(AF_INET, SOCK_DGRAM, 0)?;
    bsd::sendto(fd, b"by datagram", 0, "server.example:echo")?;
    let n = bsd::recv(fd, &mut buf, 0)?;
    println!("{}", std::str::from_utf8(&buf[..n])?);
    bsd::close(fd)?;
    serving.join().map_err(|_| "the server panicked")??;
    Ok(())
}
