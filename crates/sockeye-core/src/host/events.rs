//! Sockets that changed and that nobody has looked at yet.

use crate::socket::{Event, SocketId};
use std::collections::VecDeque;

/// How far back a repetition is noticed: sockets take turns within a batch of packets, seldom more than this.
const NOTICED: usize = 8;

/// Events in the order they happened, most repetitions left out.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    queue: VecDeque<SocketId>,
}

impl EventQueue {
    /// Something about `socket` changed.
    pub(crate) fn push(&mut self, socket: SocketId) {
        if !self.queue.iter().rev().take(NOTICED).any(|waiting| *waiting == socket) {
            self.queue.push_back(socket);
        }
    }

    /// The oldest event.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front().map(|socket| Event { socket })
    }
}
