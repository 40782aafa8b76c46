//! One direction of a link in memory: a bounded queue of packets, and who waits at its two ends.

use sockeye_core::Packet;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Packets that may lie in a queue, super-segments counted as one. A sender waits for more room: backpressure, no loss.
pub(super) const CAPACITY: usize = 256;

/// Shared by the end that puts packets in and the end that takes them out.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    packets: VecDeque<Packet>,
    /// Who waits for a packet.
    receiver: Option<Waker>,
    /// Who waits for room.
    sender: Option<Waker>,
    /// One of the ends is gone.
    closed: bool,
}

impl Queue {
    /// Takes packets off the front of `batch`. What is sent to an end that is gone is lost.
    pub(super) fn poll_push(&self, cx: &mut Context<'_>, batch: &mut VecDeque<Packet>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.closed {
            batch.clear();
            return Poll::Ready(());
        }
        if batch.is_empty() {
            return Poll::Ready(());
        }
        let room = CAPACITY.saturating_sub(inner.packets.len());
        if batch.len() <= room {
            inner.packets.append(batch);
        } else {
            inner.packets.extend(batch.drain(..room));
            keep(&mut inner.sender, cx.waker());
        }
        let woken = inner.receiver.take_if(|_| room > 0);
        drop(inner);
        if let Some(waker) = woken {
            waker.wake();
        }
        if batch.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Puts one packet in, unless the queue is full. `None` when it went in, or when nobody will ever take it out.
    pub(super) fn try_push(&self, packet: Packet) -> Option<Packet> {
        let mut inner = self.lock();
        if inner.closed {
            return None;
        }
        if inner.packets.len() >= CAPACITY {
            return Some(packet);
        }
        inner.packets.push_back(packet);
        let woken = inner.receiver.take();
        drop(inner);
        if let Some(waker) = woken {
            waker.wake();
        }
        None
    }

    /// Hands up to `max` packets to `take`: at least one, else it is pending. `Ready(false)` when none will ever come again.
    pub(super) fn poll_pop(&self, cx: &mut Context<'_>, max: usize, take: &mut impl Extend<Packet>) -> Poll<bool> {
        let mut inner = self.lock();
        if inner.packets.is_empty() {
            if inner.closed {
                return Poll::Ready(false);
            }
            keep(&mut inner.receiver, cx.waker());
            return Poll::Pending;
        }
        let n = max.min(inner.packets.len());
        take.extend(inner.packets.drain(..n));
        let woken = inner.sender.take();
        drop(inner);
        if let Some(waker) = woken {
            waker.wake();
        }
        Poll::Ready(true)
    }

    /// The next packet, without waiting.
    pub(super) fn try_pop(&self) -> Option<Packet> {
        let mut inner = self.lock();
        let packet = inner.packets.pop_front()?;
        let woken = inner.sender.take();
        drop(inner);
        if let Some(waker) = woken {
            waker.wake();
        }
        Some(packet)
    }

    /// One end goes: the other is told, after what is still in the queue.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let woken = [inner.receiver.take(), inner.sender.take()];
        drop(inner);
        woken.into_iter().flatten().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Remembers who to wake, without cloning a waker that is known already.
fn keep(place: &mut Option<Waker>, waker: &Waker) {
    match place {
        Some(kept) => kept.clone_from(waker),
        None => *place = Some(waker.clone()),
    }
}
