//! One relay: the two ends it joins, what waits between them, and how bytes and ends move across. It never decides when to begin or to let
//! go: that is `tcp`.

use super::counters::{Direction, Flow, FlowState, Protocol};
use super::ground::Ground;
use super::kernel;
use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::Shutdown as KernelShutdown;
use sockeye_core::Instant;
use sockeye_core::buf::Rope;
use sockeye_core::error::{SocketError, WriteError};
use sockeye_core::socket::{Readiness, Shutdown, SynId, TcpId, TcpInfo};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Bytes moved in one step: one pooled buffer in, a few out.
const READ: usize = 64 << 10;
const WRITE: usize = 256 << 10;
/// Below this, received bytes move to a buffer of their own size, so that short messages do not each hold a large one.
const SMALL: usize = 2 << 10;

/// How a relay began, and where it stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// The kernel connects; the program's SYN waits.
    Connecting(SynId),
    /// The kernel accepted a client of a published port; the connection to the program is on its way.
    Entering,
    /// Both sides are connected.
    Open,
    /// The outside was reset; what it sent before is still on its way to the program.
    Draining { until: Instant },
}

#[derive(Debug)]
pub(super) struct Relay {
    pub(super) stage: Stage,
    /// Gone when there is nothing more to read from it.
    pub(super) fd: Option<OwnedFd>,
    pub(super) id: Option<TcpId>,
    pub(super) direction: Direction,
    pub(super) inside: SocketAddr,
    pub(super) outside: SocketAddr,
    /// Read from the kernel, not yet taken by the host.
    pub(super) inward: Bytes,
    /// Read from the host, not yet taken by the kernel.
    pub(super) outward: Rope,
    pub(super) can_read: bool,
    pub(super) can_write: bool,
    /// The kernel announced an end: read until it comes.
    pub(super) hangup: bool,
    /// The outside's end of stream was read and handed on.
    pub(super) outside_ended: bool,
    /// The program's end of stream was read and handed on.
    pub(super) inside_ended: bool,
    /// The next look at a drain is set.
    pub(super) timed: bool,
    pub(super) opened: Instant,
    pub(super) connect_time: Option<Duration>,
    sent: u64,
    received: u64,
}

/// Why a relay is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both directions ended.
    Done,
    /// The kernel's connection failed.
    OutsideFailed,
    /// The connection to the program failed.
    InsideFailed(FlowState),
}

impl Relay {
    pub(super) fn new(
        stage: Stage,
        direction: Direction,
        inside: SocketAddr,
        outside: SocketAddr,
        opened: Instant,
    ) -> Self {
        Self {
            stage,
            fd: None,
            id: None,
            direction,
            inside,
            outside,
            inward: Bytes::new(),
            outward: Rope::new(),
            can_read: true,
            can_write: true,
            hangup: false,
            outside_ended: false,
            inside_ended: false,
            timed: false,
            opened,
            connect_time: None,
            sent: 0,
            received: 0,
        }
    }

    pub(super) fn flow(&self, ground: &Ground, state: FlowState) -> Flow {
        let info = self.id.and_then(|id| ground.host.tcp_info(ground.now, id));
        Flow {
            protocol: Protocol::Tcp,
            direction: self.direction,
            inside: self.inside,
            outside: self.outside,
            name: ground.answers.name_of(self.outside.ip()).map(str::to_owned),
            state,
            sent: self.sent,
            received: self.received,
            opened: self.opened.as_micros(),
            connect_time: self.connect_time.map(|time| time.as_micros() as u64),
            rtt: info.as_ref().and_then(measured(|info| info.rtt)),
            min_rtt: info.as_ref().and_then(measured(|info| info.min_rtt)),
            retransmissions: info.map_or(0, |info| info.total_retrans),
        }
    }

    /// Moves bytes both ways until neither side takes or gives more.
    pub(super) fn pump(&mut self, ground: &mut Ground) -> Result<(), End> {
        let (Some(fd), Some(id)) = (self.fd.take(), self.id) else {
            return Err(End::OutsideFailed);
        };
        // Outward even when inward failed: the program's last words go out before the end that follows them.
        let inward = self.move_inward(ground, &fd, id);
        let outward = self.move_outward(ground, &fd, id);
        self.fd = Some(fd);
        inward.and(outward)?;
        if self.outside_ended && self.inside_ended {
            return Err(End::Done);
        }
        match inside_failure(ground.host.tcp_readiness(id)) {
            Some(state) => Err(End::InsideFailed(state)),
            None => Ok(()),
        }
    }

    pub(super) fn move_inward(&mut self, ground: &mut Ground, fd: &OwnedFd, id: TcpId) -> Result<(), End> {
        loop {
            if !self.inward.is_empty() {
                match ground.host.tcp_write(ground.now, id, &mut self.inward) {
                    Ok(_) if self.inward.is_empty() => {}
                    // The events of the host tell how it ended, or when there is room.
                    Ok(_) | Err(WriteError::WouldBlock | WriteError::NotConnected) => return Ok(()),
                    Err(WriteError::TimedOut) => return Err(End::InsideFailed(FlowState::TimedOut)),
                    Err(_) => return Err(End::InsideFailed(FlowState::Reset)),
                }
            }
            if !self.can_read || self.outside_ended {
                return Ok(());
            }
            // One buffer more than the host may take: a write that it does not take whole makes it tell when there is room.
            match kernel::read(fd, ground.host.pool(), READ) {
                Ok(bytes) if bytes.is_empty() => {
                    self.outside_ended = true;
                    if matches!(self.stage, Stage::Open) {
                        ground.host.tcp_shutdown(ground.now, id, Shutdown::Write);
                    }
                }
                Ok(bytes) => {
                    self.can_read = bytes.len() == READ || self.hangup;
                    self.received += bytes.len() as u64;
                    self.inward = if bytes.len() < SMALL {
                        Bytes::copy_from_slice(&bytes)
                    } else {
                        bytes
                    };
                }
                Err(Errno::AGAIN) => self.can_read = false,
                Err(Errno::INTR) => {}
                Err(_) => return Err(End::OutsideFailed),
            }
        }
    }

    fn move_outward(&mut self, ground: &mut Ground, fd: &OwnedFd, id: TcpId) -> Result<(), End> {
        while !self.inside_ended {
            if self.outward.is_empty() {
                let taken = if self.can_write {
                    ground.host.tcp_read(ground.now, id, WRITE, &mut self.outward)
                } else {
                    0
                };
                if taken == 0 {
                    if ended(ground.host.tcp_readiness(id)) {
                        self.inside_ended = true;
                        let _ = rustix::net::shutdown(fd, KernelShutdown::Write);
                    }
                    return Ok(());
                }
            }
            if !self.can_write {
                return Ok(());
            }
            match kernel::write(fd, &mut self.outward) {
                Ok(taken) => self.sent += taken as u64,
                Err(Errno::AGAIN) => self.can_write = false,
                Err(Errno::INTR) => {}
                Err(_) => return Err(End::OutsideFailed),
            }
        }
        Ok(())
    }
}

/// How the connection to the program failed, when it did.
pub(super) fn inside_failure(readiness: Readiness) -> Option<FlowState> {
    match readiness.error {
        Some(SocketError::ConnectionRefused) => Some(FlowState::Refused),
        Some(SocketError::TimedOut) => Some(FlowState::TimedOut),
        Some(SocketError::HostUnreachable | SocketError::NetworkUnreachable | SocketError::Prohibited) => {
            Some(FlowState::Unreachable)
        }
        Some(_) => Some(FlowState::Reset),
        None if readiness.closed && !readiness.fin_received => Some(FlowState::Reset),
        None => None,
    }
}

/// True after the program's FIN and all before it: a connection that broke gives nothing more to read either.
fn ended(readiness: Readiness) -> bool {
    readiness.eof && readiness.fin_received
}

/// A TcpInfo field that is 0 until it was measured.
fn measured(field: impl Fn(&TcpInfo) -> u32) -> impl Fn(&TcpInfo) -> Option<u32> {
    move |info| Some(field(info)).filter(|value| *value != 0 && *value != u32::MAX)
}
