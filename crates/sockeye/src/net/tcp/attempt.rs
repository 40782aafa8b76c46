//! What a connection is asked under the lock. Nothing here copies more than 4 KiB; the order of what comes first is Linux's.

use crate::host::Stack;
use crate::net::errors;
use bytes::Bytes;
use sockeye_core::Instant;
use sockeye_core::buf::{Pool, Rope};
use sockeye_core::error::WriteError;
use sockeye_core::packet::Body;
use sockeye_core::socket::{Readiness, TcpId};
use std::io::{self, IoSlice};
use std::task::Poll;
use tokio::io::{Interest, Ready};

/// Writes of more than this look for room before they copy.
pub(super) const LOOK_FIRST: usize = 4 << 10;
/// What one write takes at most: the largest buffer of the pool.
const MOST: usize = 64 << 10;
/// Copies shorter than this come from the allocator: a pooled buffer would be given back at once.
const UNPOOLED: usize = 1 << 10;

/// Moves up to `max` received bytes out. Received bytes come before a pending error, and that before the end of stream.
pub(super) fn take(stack: &mut Stack, now: Instant, id: TcpId, max: usize) -> Poll<io::Result<Rope>> {
    let mut rope = Rope::new();
    if stack.host.tcp_read(now, id, max, &mut rope) > 0 {
        return Poll::Ready(Ok(rope));
    }
    nothing_there(stack, id).map_ok(|()| rope)
}

/// As `take`, at most one slice.
pub(super) fn take_chunk(stack: &mut Stack, now: Instant, id: TcpId, max: usize) -> Poll<io::Result<Option<Bytes>>> {
    let mut slices = Body::new();
    if stack.host.tcp_peek_slices(id, max, &mut slices) == 0 {
        return nothing_there(stack, id).map_ok(|()| None);
    }
    let mut rope = Rope::new();
    let first = slices.first().map_or(0, Bytes::len);
    let _ = stack.host.tcp_read(now, id, first, &mut rope);
    Poll::Ready(Ok(rope.pop_chunk(first)))
}

/// Shows up to `max` received bytes, and leaves them.
pub(super) fn peek(stack: &mut Stack, id: TcpId, max: usize) -> Poll<io::Result<Body>> {
    let mut slices = Body::new();
    if stack.host.tcp_peek_slices(id, max, &mut slices) > 0 {
        return Poll::Ready(Ok(slices));
    }
    nothing_there(stack, id).map_ok(|()| slices)
}

/// No bytes: an error, the end (`Ok`), or not yet.
fn nothing_there(stack: &mut Stack, id: TcpId) -> Poll<io::Result<()>> {
    if let Some(error) = stack.host.tcp_take_error(id) {
        return Poll::Ready(Err(errors::socket(error)));
    }
    if stack.host.tcp_readiness(id).eof {
        Poll::Ready(Ok(()))
    } else {
        Poll::Pending
    }
}

/// How many bytes a write would take: one at least.
pub(super) fn room(stack: &mut Stack, now: Instant, id: TcpId) -> Poll<io::Result<usize>> {
    let room = stack.host.tcp_readiness(id).writable;
    if room > 0 {
        return Poll::Ready(Ok(room));
    }
    // Refused for want of room, or for the reason that there will be none; an event will tell of room.
    put(stack, now, id, &mut Bytes::from_static(&[0])).map_ok(|_| 1)
}

/// Queues what the send buffer takes of `data`.
pub(super) fn put(stack: &mut Stack, now: Instant, id: TcpId, data: &mut Bytes) -> Poll<io::Result<usize>> {
    match stack.host.tcp_write(now, id, data) {
        Ok(n) => Poll::Ready(Ok(n)),
        Err(WriteError::WouldBlock) => Poll::Pending,
        Err(error) => Poll::Ready(Err(errors::write(error))),
    }
}

/// Copies up to `room` bytes of what is to be written, outside of the lock.
pub(super) fn gather(pool: &Pool, bufs: &[IoSlice<'_>], room: usize) -> Bytes {
    let total = bufs.iter().map(|buf| buf.len()).sum::<usize>();
    let want = total.min(room).min(MOST);
    if want < UNPOOLED {
        let mut bytes = Vec::with_capacity(want);
        bufs.iter()
            .for_each(|buf| bytes.extend_from_slice(&buf[..buf.len().min(want - bytes.len())]));
        return bytes.into();
    }
    pool.fill(want, |into| {
        let mut done = 0;
        for buf in bufs {
            let n = buf.len().min(want - done);
            into[done..done + n].copy_from_slice(&buf[..n]);
            done += n;
        }
        done
    })
}

/// A connection's readiness in tokio's words.
pub(super) fn ready(is: &Readiness) -> Ready {
    let failed = is.error.is_some();
    let mut ready = Ready::EMPTY;
    if is.readable > 0 || is.eof || failed {
        ready |= Ready::READABLE;
    }
    if is.fin_received || is.closed {
        ready |= Ready::READ_CLOSED;
    }
    if is.writable > 0 || is.write_closed || failed {
        ready |= Ready::WRITABLE;
    }
    if is.closed || (is.fin_received && is.write_closed) {
        ready |= Ready::WRITE_CLOSED;
    }
    if failed {
        ready |= Ready::ERROR;
    }
    ready
}

/// The part of it that concerns an interest.
pub(crate) fn of_interest(ready: Ready, interest: Interest) -> Ready {
    let mut mask = Ready::EMPTY;
    if interest.is_readable() {
        mask |= Ready::READABLE | Ready::READ_CLOSED;
    }
    if interest.is_writable() {
        mask |= Ready::WRITABLE | Ready::WRITE_CLOSED;
    }
    if interest.is_error() {
        mask |= Ready::ERROR;
    }
    ready & mask
}
