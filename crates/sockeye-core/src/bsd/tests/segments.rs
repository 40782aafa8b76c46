//! What calls and their options put on the wire, where Linux's programs count on it.

use super::*;
use crate::host::HostConfig;
use crate::packet::Packet;
use crate::settings::Settings;
use crate::wire::tcp::Flags;
use std::collections::VecDeque;

/// Flags and payload length of each segment that crossed the wire since the last look.
fn seen(world: &mut World) -> Vec<(u8, u32)> {
    let flags = |packet: &Packet| packet.head.as_slice()[33];
    let seen = world.pair.seen.drain(..);
    seen.map(|packet| (flags(&packet), packet.meta.len)).collect()
}

const DATA: u8 = Flags::ACK.0;
const PUSH: u8 = Flags::ACK.0 | Flags::PSH.0;

#[test]
fn a_burst_of_segments_ends_with_a_push() {
    let mut world = World::new();
    let (a, b) = world.connected();
    let _ = seen(&mut world);
    world.a().write(a, &[7; 40 * 1_448], &mut NOW()).unwrap();
    world.pair.settle();
    let sent = seen(&mut world);
    let data: Vec<_> = sent.iter().filter(|(_, len)| *len > 0).collect();
    assert!(data.len() > 1, "{data:?}");
    // Each stands for many segments, of which the last carries it.
    assert!(data.iter().all(|(flags, _)| *flags == PUSH), "{data:?}");
    assert_eq!(world.b().recv(b, &mut [0; 100], 0, &mut NOW()), Ok(100));
}

#[test]
fn setting_nodelay_sends_what_the_cork_holds() {
    let mut world = World::new();
    let (a, _) = world.connected();
    world.a().setsockopt(a, IPPROTO_TCP, TCP_CORK, &int(1)).unwrap();
    let _ = seen(&mut world);
    for _ in 0..2 {
        world.a().write(a, &[1; 40], &mut NOW()).unwrap();
        world.pair.settle();
        assert_eq!(seen(&mut world), []);
        world.a().setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &int(1)).unwrap();
        world.pair.settle();
        assert_eq!(seen(&mut world)[0], (PUSH, 40));
        // With nothing to send it holds for nothing.
        world.a().setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &int(1)).unwrap();
    }
}

#[test]
fn a_fin_after_data_is_acknowledged_by_ours_if_that_comes_soon() {
    // RFC 9293 §3.8.6.3: an acknowledgement may wait, less than half a second.
    for (wrote, closes) in [(false, false), (true, false), (true, true)] {
        let mut world = World::new();
        let (a, b) = world.connected();
        if wrote {
            world.a().write(a, b"x", &mut NOW()).unwrap();
            world.pair.settle();
            world.b().read(b, &mut [0; 9], &mut NOW()).unwrap();
        }
        let _ = seen(&mut world);
        world.a().shutdown(a, SHUT_WR).unwrap();
        world.pair.settle();
        let answers = |world: &mut World| seen(world).into_iter().skip(1).collect::<Vec<_>>();
        assert_eq!(answers(&mut world).is_empty(), wrote);
        if closes {
            world.b().close(b, &mut NOW()).unwrap();
            world.pair.settle();
            assert_eq!(seen(&mut world)[0].0, Flags::FIN.0 | Flags::ACK.0);
        } else if wrote {
            world.pair.pass(40 * MS);
            assert_eq!(seen(&mut world), [(DATA, 0)]);
        }
    }
}

#[test]
fn a_receiver_hears_how_much_more_there_is() {
    let settings = Settings {
        tcp_timestamps: false,
        ..Settings::default()
    };
    let config = HostConfig {
        settings,
        ..HostConfig::default()
    };
    let mut world = World {
        pair: Pair::with(config.clone(), config),
        ..World::new()
    };
    let (a, b) = world.connected();
    world.b().setsockopt(b, IPPROTO_TCP, TCP_INQ, &int(1)).unwrap();
    world.a().write(a, &[1; 1_000], &mut NOW()).unwrap();
    world.a().close(a, &mut NOW()).unwrap();
    world.pair.settle();
    for (take, left) in [(400, 600), (600, 1), (1, 1)] {
        let arrived = world.b().recvmsg(b, &mut vec![0; take], 0, 64, &mut NOW()).unwrap();
        assert_eq!(arrived.control[16..20], int(left), "{take}");
    }
    assert_eq!(
        world.b().recvmsg(b, &mut [0; 9], 0, 0, &mut NOW()).unwrap().flags,
        MSG_CTRUNC
    );
}

/// RFC 5681 §3.1, RFC 3042 §2: duplicate acknowledgements let the window be.
#[test]
fn duplicate_acknowledgements_open_no_window() {
    let mut world = World::new();
    let (a, _) = world.connected();
    world.a().write(a, &[7; 10 * 1_448], &mut NOW()).unwrap();
    let Pair { now, link, .. } = world.pair;
    let (mut bursts, mut segments) = (VecDeque::new(), VecDeque::new());
    world.pair.a.poll_transmit(now, link, &mut bursts, 100);
    for burst in bursts {
        crate::gso::segment(burst, 1_500, &mut segments);
    }
    assert_eq!(segments.len(), 10);
    let window = |world: &mut World| {
        let info = world.a().getsockopt(a, IPPROTO_TCP, TCP_INFO, 240).unwrap();
        u32::from_ne_bytes(info[80..84].try_into().unwrap())
    };
    assert_eq!(window(&mut world), 10);
    let _ = segments.pop_front();
    for _ in 0..2 {
        let mut batch: Vec<_> = segments.pop_front().into_iter().collect();
        world.pair.b.receive(now, link, &mut batch);
        let mut answers = VecDeque::new();
        world.pair.b.poll_transmit(now, link, &mut answers, 100);
        assert_eq!(answers.len(), 1);
        world.pair.a.receive(now, link, &mut answers.into());
        assert_eq!(window(&mut world), 10);
    }
}
