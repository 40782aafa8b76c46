//! `SO_ZEROCOPY` and `MSG_ZEROCOPY`: each such send has a number, and when its bytes were acknowledged the error queue says so. Bytes are copied all the
//! same, and the notification says that, too; a program that keeps its buffers until it hears of them works as it does on Linux.

use super::descriptors::{FileId, Transport};
use super::{Calls, control};
use crate::error::Errno;
use std::collections::VecDeque;

/// Sends without copying of one socket.
#[derive(Debug, Default)]
pub(super) struct ZeroCopy {
    /// The number of the next one.
    next: u32,
    /// Those not acknowledged: what `bytes_acked` will be then.
    pending: VecDeque<u64>,
    /// Ranges of numbers that the program has not heard of.
    done: VecDeque<(u32, u32)>,
}

impl ZeroCopy {
    fn begin(&mut self, ends: u64) {
        self.pending.push_back(ends);
        self.next = self.next.wrapping_add(1);
    }

    /// True when one or more have ended since.
    fn on_acked(&mut self, acked: u64) -> bool {
        let mut news = false;
        while self.pending.front().is_some_and(|&ends| ends <= acked) {
            let number = self.next.wrapping_sub(self.pending.len() as u32);
            let _ = self.pending.pop_front();
            match self.done.back_mut() {
                Some((_, last)) if last.wrapping_add(1) == number => *last = number,
                _ => self.done.push_back((number, number)),
            }
            news = true;
        }
        news
    }
}

impl Calls<'_> {
    fn bytes_acked(&self, id: FileId) -> Option<u64> {
        let tcp = self.stream(id).ok()?.tcp()?;
        self.host.tcp_info(self.now, tcp).map(|info| info.bytes_acked)
    }

    /// A send with MSG_ZEROCOPY took something: it has a number when SO_ZEROCOPY is set.
    pub(super) fn note_zerocopy(&mut self, id: FileId) -> Result<(), Errno> {
        if !self.sock(id)?.options.zerocopy {
            return Ok(());
        }
        let Some(tcp) = self.stream(id)?.tcp() else {
            return Ok(());
        };
        let ahead = self.host.tcp_readiness(tcp).unacked as u64;
        let acked = self.bytes_acked(id).unwrap_or(0);
        self.stream_mut(id)?
            .zerocopy
            .get_or_insert_default()
            .begin(acked + ahead);
        Ok(())
    }

    /// Looks at what was acknowledged; an end is a change of the file.
    pub(super) fn settle_zerocopy(&mut self, id: FileId) {
        let waits = matches!(self.sock(id).map(|sock| &sock.transport), Ok(Transport::Stream(stream))
            if stream.zerocopy.as_ref().is_some_and(|zero| !zero.pending.is_empty()));
        if !waits {
            return;
        }
        // A connection that is gone holds nothing any more.
        let acked = self.bytes_acked(id).unwrap_or(u64::MAX);
        let news = self
            .stream_mut(id)
            .ok()
            .and_then(|stream| stream.zerocopy.as_mut())
            .is_some_and(|zero| zero.on_acked(acked));
        if news {
            self.process.touch(id);
        }
    }

    /// True while the error queue has a notification.
    pub(super) fn has_zerocopy_news(&self, zerocopy: Option<&ZeroCopy>) -> bool {
        zerocopy.is_some_and(|zero| !zero.done.is_empty())
    }

    /// The next notification of the error queue, as a control message.
    pub(super) fn take_zerocopy(&mut self, id: FileId) -> Result<Vec<u8>, Errno> {
        self.settle_zerocopy(id);
        let family = self.sock(id)?.family;
        let zerocopy = self.stream_mut(id)?.zerocopy.as_mut();
        let (first, last) = zerocopy.and_then(|zero| zero.done.pop_front()).ok_or(Errno::EAGAIN)?;
        Ok(control::zerocopy_report(family, first, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_told_as_one_range() {
        let mut zero = ZeroCopy::default();
        for ends in [100, 200, 300] {
            zero.begin(ends);
        }
        assert!(!zero.on_acked(99));
        assert!(zero.on_acked(250));
        assert!(!zero.on_acked(299));
        assert_eq!(zero.done, [(0, 1)]);
        assert!(zero.on_acked(300));
        assert_eq!(zero.done.pop_front(), Some((0, 2)));
        zero.begin(301);
        assert!(zero.on_acked(301));
        assert_eq!(zero.done, [(3, 3)]);
    }
}
