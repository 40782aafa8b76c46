//! Packets that no honest host sends. Addresses stay as they are, so that nothing leaves for the machine's network.

use crate::world::World;
use sockeye::gateway::GatewayConfig;
use sockeye_core::Packet;
use sockeye_core::keys::{Keys, below};
use sockeye_core::packet::Csum;
use sockeye_core::socket::Close;
use std::net::SocketAddr;

/// What an honest program sends while it uses every service, as it leaves its host.
fn honest() -> Vec<Packet> {
    let mut packets = Vec::new();
    let mut world = World::with(quiet());
    world.watch = Some(Vec::new());
    let get = b"GET /bytes/100k HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (port, bytes) in [(7, &b"echo"[..]), (80, get), (19, b""), (9, &[1; 5000])] {
        for host in ["10.0.2.2", "[fd00::2]"] {
            let id = world.connect(format!("{host}:{port}").parse().unwrap()).unwrap();
            world.write(id, bytes);
            world.turn();
            world.close(id, if port == 19 { Close::Reset } else { Close::Graceful });
        }
    }
    let udp = world.udp("0.0.0.0:0");
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05hello\x07sockeye\x04test\0\0\x01\0\x01";
    for (to, data) in [
        ("10.0.2.2:7", &b"datagram"[..]),
        ("10.0.2.3:53", query),
        ("10.0.2.99:9", b"nobody"),
    ] {
        world.send_to(udp, to.parse::<SocketAddr>().unwrap(), data);
    }
    packets.extend(world.watch.take().unwrap());
    assert!(packets.len() > 50, "{}", packets.len());
    packets
}

/// Asks nobody.
fn quiet() -> GatewayConfig {
    GatewayConfig {
        dns: Some(vec![]),
        host_loopback: false,
        ..GatewayConfig::default()
    }
}

#[test]
fn mutated_packets_neither_panic_nor_stall_it() {
    let honest = honest();
    let mut rng = Keys::new(3, "hostile").stream("mutations");
    let mut draw = |n: usize| below(&mut rng, n as u64) as usize;
    let mut world = World::with(quiet());
    for round in 0..40_000 {
        let mut packet = honest[draw(honest.len())].clone();
        let transport = usize::from(packet.meta.l4);
        packet.meta.csum = Csum::Verified;
        for _ in 0..draw(4) {
            let head = packet.head.as_mut_slice();
            if transport < head.len() {
                let at = transport + draw(head.len() - transport);
                head[at] = [0, 1, 0x7f, 0xff, head[at] ^ 1 << draw(8)][draw(5)];
            }
        }
        if draw(8) == 0 {
            packet.body.clear();
            packet.meta.len = 0;
        }
        let now = world.now();
        world.gateway.receive(now, &mut vec![packet]);
        if round % 500 == 0 {
            world.skip(std::time::Duration::from_secs(draw(100) as u64));
        }
    }
    let id = world.connect("10.0.2.2:7".parse().unwrap()).unwrap();
    world.write(id, b"still there?");
    assert_eq!(world.read(id, 12).unwrap(), b"still there?");
    let flows = world.gateway.flows();
    assert!(flows.len() <= 1_024 + world.gateway.counters().services as usize);
}
