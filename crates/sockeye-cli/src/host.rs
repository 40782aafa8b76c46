//! `sockeye host`: a host with the built-in services on a TUN device, until a signal ends it.

use crate::args::TunHostArgs;
use crate::failure::{Failure, say};
use crate::run::log_to_stderr;
use crate::values::InterfaceAddress;
use rustix::process::Signal;
use sockeye::link::{Offload, Tun, TunError};
use sockeye::services::Services;
use sockeye::{Host, Interface};
use sockeye_sys::signal::SignalFd;
use sockeye_sys::{interfaces, tun};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::Poll;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// How often to see whether the device is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the host to its end.
pub(crate) fn host(args: &TunHostArgs) -> Result<u8, Failure> {
    log_to_stderr(args.verbose);
    let own = interfaces::addresses().map_err(|error| Failure::ours(format!("the machine's addresses: {error}")))?;
    check(&args.addr, &own)?;
    // Signals that come from here on wait until someone reads them.
    let signals = [Signal::INT, Signal::TERM, Signal::HUP].map(Signal::as_raw);
    let signals = SignalFd::new(&signals).map_err(|error| Failure::ours(format!("signals: {error}")))?;
    let ours = !tun::exists(&args.tun).unwrap_or(true);
    let tun = open(args).map_err(|error| Failure::ours(format!("--tun: {error}")))?;
    if ours {
        // Whoever may make a device may bring it up; a failure shows in what its user sees.
        let _ = tun.bring_up();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::ours(format!("no event loop: {error}")))?;
    runtime.block_on(serve(args, tun, &own, signals))
}

fn open(args: &TunHostArgs) -> Result<Tun, TunError> {
    let mut options = Tun::options().offload(!args.no_offload);
    if let Some(queues) = args.queues {
        options = options.queues(queues);
    }
    options.open(&args.tun)
}

/// The host's addresses must be nobody else's, as far as one can see from here.
fn check(addresses: &[InterfaceAddress], own: &[(String, IpAddr)]) -> Result<(), Failure> {
    for (nth, InterfaceAddress { address, .. }) in addresses.iter().enumerate() {
        if let Some((device, _)) = own.iter().find(|(_, taken)| taken == address) {
            return Err(Failure::ours(format!(
                "--addr: {address} is in use, by this machine itself (on {device}); give the host another one of that network"
            )));
        }
        if addresses[..nth].iter().any(|before| before.address == *address) {
            return Err(Failure::ours(format!(
                "--addr: {address} is given twice; once is enough"
            )));
        }
    }
    Ok(())
}

async fn serve(args: &TunHostArgs, tun: Tun, own: &[(String, IpAddr)], signals: SignalFd) -> Result<u8, Failure> {
    let (name, mtu, offload) = (tun.name().to_owned(), tun.mtu(), tun.offload());
    let mut interface = Interface::new(tun);
    for address in &args.addr {
        interface = interface.address(address.to_string());
    }
    // Whoever the machine forwards for is behind it.
    for (network, v4) in [("0.0.0.0/0", true), ("::/0", false)] {
        if args.addr.iter().any(|own| own.address.is_ipv4() == v4) {
            interface = interface.on_link(network);
        }
    }
    let mut builder = Host::builder().interface(interface);
    for sysctl in &args.host.sysctl {
        builder = builder.sysctl(&sysctl.name, &sysctl.value);
    }
    if let Some(seed) = args.seed {
        builder = builder.seed(seed);
    }
    let host = builder.build().map_err(|error| Failure::ours(error.to_string()))?;
    let services = Services::bind(&host, args.addr.iter().map(|own| own.address)).await;
    let services = services.map_err(|error| Failure::ours(format!("the services' ports: {error}")))?;
    let words = offload_in_words(offload);
    if !args.quiet {
        announce(args, &name, mtu, &words, own);
    }
    if !args.no_offload && (!offload.tcp || !offload.udp) {
        say(&format!(
            "{name}: this kernel refuses a part of offload; what is left: {words}"
        ));
    }
    let serving = tokio::spawn(
        services
            .link(&format!("TUN device {name}, MTU {mtu}, offload: {words}"))
            .run(),
    );
    let outcome = first(signalled(signals), deleted(&name)).await;
    serving.abort();
    match outcome {
        Some(Ok(())) => Ok(0),
        Some(Err(error)) => Err(Failure::ours(format!("signals: {error}"))),
        None => Err(Failure::ours(format!(
            "{name} is gone: it was deleted; nothing passes there any more"
        ))),
    }
}

/// Which of two futures is done first: `None` for the second.
async fn first<T>(one: impl Future<Output = T>, other: impl Future) -> Option<T> {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    std::future::poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => other.as_mut().poll(cx).map(|_| None),
    })
    .await
}

/// Waits until there is no such device any more. Its descriptor does not tell: an error is all that it ever shows, and runtimes wait for bytes.
async fn deleted(name: &str) {
    while tun::exists(name).unwrap_or(true) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits for a signal.
async fn signalled(signals: SignalFd) -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe; the descriptor stays open as long as its owner"
    )]
    let signals = AsyncFd::new(Signals(signals))?;
    loop {
        let mut ready = signals.readable().await?;
        if signals.get_ref().0.take().is_some() {
            return Ok(());
        }
        ready.clear_ready();
    }
}

struct Signals(SignalFd);

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Says where the host is, and how the machine reaches it if it does not yet.
fn announce(args: &TunHostArgs, name: &str, mtu: u32, offload: &str, own: &[(String, IpAddr)]) {
    let addresses: Vec<String> = args.addr.iter().map(ToString::to_string).collect();
    say(&format!(
        "host {} on {name}, MTU {mtu}, offload: {offload}; echo 7, discard 9, daytime 13, chargen 19, http 80",
        addresses.join(" ")
    ));
    for address in &args.addr {
        let reached = |(device, local): &(String, IpAddr)| {
            device == name && local.is_ipv4() == address.address.is_ipv4() && !is_link_local(*local)
        };
        if !own.iter().any(reached) && !is_link_local(address.address) {
            say(&format!(
                "{name} has no address for {address} yet: sudo ip addr add {} dev {name}; sudo ip link set {name} up",
                neighbour(*address)
            ));
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// An address for the machine's end: the first of the network that is not the host's.
fn neighbour(host: InterfaceAddress) -> InterfaceAddress {
    let beside = |bits: u128, longest: u8| {
        let hosts = 1_u128
            .checked_shl(u32::from(longest - host.prefix))
            .map_or(u128::MAX, |size| size - 1);
        // Networks of two have no address for themselves. RFC 3021, RFC 6164.
        let first = bits & !hosts | u128::from(hosts > 1);
        if first == bits {
            first ^ if hosts > 1 { 3 } else { 1 }
        } else {
            first
        }
    };
    let address = match host.address {
        IpAddr::V4(v4) => IpAddr::V4((beside(u128::from(v4.to_bits()), 32) as u32).into()),
        IpAddr::V6(v6) => IpAddr::V6(beside(v6.to_bits(), 128).into()),
    };
    InterfaceAddress { address, ..host }
}

fn offload_in_words(offload: Offload) -> String {
    let parts = [
        (offload.tcp, "TCP segmentation"),
        (offload.udp, "UDP segmentation"),
        (offload.checksum, "checksums"),
    ];
    let parts: Vec<&str> = parts
        .into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, name)| name)
        .collect();
    if parts.is_empty() {
        "none".to_owned()
    } else {
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::interface_address;

    #[test]
    fn the_machines_end_is_another_address_of_the_network() {
        for (host, want) in [
            ("10.9.0.2/24", "10.9.0.1/24"),
            ("10.9.0.1/24", "10.9.0.2/24"),
            ("10.9.0.77/24", "10.9.0.1/24"),
            ("10.9.0.0/31", "10.9.0.1/31"),
            ("10.9.0.1/31", "10.9.0.0/31"),
            ("fd09::2/64", "fd09::1/64"),
        ] {
            assert_eq!(neighbour(interface_address(host).unwrap()).to_string(), want, "{host}");
        }
    }
}
