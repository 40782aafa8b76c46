use super::*;
use sockeye_core::netem::{Loss, Netem};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn waker() -> (Arc<Woken>, Waker) {
    let woken = Arc::new(Woken::default());
    (Arc::clone(&woken), Waker::from(woken))
}

fn packets(range: std::ops::Range<u8>) -> VecDeque<Packet> {
    range.map(|n| packet(vec![n; 40])).collect()
}

fn numbers(batch: &[Packet]) -> Vec<u8> {
    batch.iter().map(|packet| packet.head.as_slice()[0]).collect()
}

#[test]
fn a_pair_carries_packets_in_order_and_wakes_who_waits() {
    let (mut left, mut right) = pair();
    let ((heard, there), (_, here)) = (waker(), waker());
    let mut batch = Vec::new();
    let mut there = Context::from_waker(&there);
    let mut here = Context::from_waker(&here);
    assert!(right.poll_recv(&mut there, Instant::ZERO, &mut batch, 8).is_pending());
    assert!(left.poll_send(&mut here, Instant::ZERO, &mut packets(0..10)).is_ready());
    assert_eq!(heard.0.load(Ordering::Relaxed), 1);
    assert!(right.poll_recv(&mut there, Instant::ZERO, &mut batch, 8).is_ready());
    assert_eq!(numbers(&batch), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(right.poll_recv(&mut there, Instant::ZERO, &mut batch, 8).is_ready());
    assert_eq!(numbers(&batch[8..]), [8, 9]);
}

#[test]
fn a_full_link_leaves_the_rest_and_tells_when_there_is_room() {
    let (mut left, mut right) = pair();
    let ((heard, here), (_, there)) = (waker(), waker());
    let mut here = Context::from_waker(&here);
    let mut batch: VecDeque<Packet> = (0..queue::CAPACITY + 5).map(|_| packet(vec![1; 40])).collect();
    assert!(left.poll_send(&mut here, Instant::ZERO, &mut batch).is_pending());
    assert_eq!(batch.len(), 5);
    let mut got = Vec::new();
    assert!(
        right
            .poll_recv(&mut Context::from_waker(&there), Instant::ZERO, &mut got, 5)
            .is_ready()
    );
    assert_eq!(heard.0.load(Ordering::Relaxed), 1);
    assert!(left.poll_send(&mut here, Instant::ZERO, &mut batch).is_ready());
}

#[test]
fn what_is_sent_to_nobody_is_lost_and_nobody_waits() {
    let (mut left, right) = pair();
    let (heard, here) = waker();
    let mut here = Context::from_waker(&here);
    let mut batch: VecDeque<Packet> = (0..queue::CAPACITY + 1).map(|_| packet(vec![1; 40])).collect();
    assert!(left.poll_send(&mut here, Instant::ZERO, &mut batch).is_pending());
    drop(right);
    assert_eq!(heard.0.load(Ordering::Relaxed), 1);
    assert!(left.poll_send(&mut here, Instant::ZERO, &mut batch).is_ready());
    assert!(batch.is_empty());
}

#[test]
fn a_channel_gives_bytes_and_ends_with_the_host() {
    let (mut link, wire) = channel(1_500);
    let (heard, waker) = waker();
    let mut cx = Context::from_waker(&waker);
    assert!(wire.poll_packet_out(&mut cx).is_pending());
    assert!(link.poll_send(&mut cx, Instant::ZERO, &mut packets(1..3)).is_ready());
    assert_eq!(heard.0.load(Ordering::Relaxed), 1);
    assert_eq!(wire.try_packet_out().as_deref(), Some(&[1; 40][..]));
    for _ in 0..queue::CAPACITY {
        wire.packet_in(vec![7; 40]).unwrap();
    }
    let full = wire.packet_in(vec![7; 40]).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    let mut batch = Vec::new();
    assert!(link.poll_recv(&mut cx, Instant::ZERO, &mut batch, 3).is_ready());
    assert_eq!(numbers(&batch), [7; 3]);
    drop(link);
    assert_eq!(
        wire.poll_packet_out(&mut cx),
        Poll::Ready(Some(Bytes::from_static(&[2; 40])))
    );
    assert_eq!(wire.poll_packet_out(&mut cx), Poll::Ready(None));
    assert!(
        wire.packet_in(vec![7; 40]).is_ok(),
        "lost, like anything sent to a host that is gone"
    );
}

#[test]
fn netem_holds_packets_until_their_time_and_loses_some_both_ways() {
    let late = Netem {
        delay: Duration::from_millis(20),
        ..Netem::NONE
    };
    let lossy = Netem {
        loss: Loss::Random(1.0),
        ..Netem::NONE
    };
    let (left, mut right) = pair();
    let mut left = Impaired::new(left, &late, &lossy, 1);
    let (_, waker) = waker();
    let mut cx = Context::from_waker(&waker);
    let at = Instant::from_millis;
    let mut batch = Vec::new();
    assert!(left.poll_send(&mut cx, at(5), &mut packets(0..3)).is_ready());
    assert!(right.poll_recv(&mut cx, at(5), &mut batch, 8).is_pending());
    assert_eq!(left.deadline(), Some(at(25)));
    assert!(left.poll_send(&mut cx, at(25), &mut VecDeque::new()).is_ready());
    assert!(right.poll_recv(&mut cx, at(25), &mut batch, 8).is_ready());
    assert_eq!(numbers(&batch), [0, 1, 2]);
    assert!(right.poll_send(&mut cx, at(25), &mut packets(0..3)).is_ready());
    assert!(left.poll_recv(&mut cx, at(26), &mut batch, 8).is_pending());
    assert_eq!((left.up().delayed, left.down().lost), (3, 3));
}
