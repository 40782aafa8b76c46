//! Who may reach what: the question that a gateway asks its user about each flow from inside to the machine's network, and the answers.

use super::counters::Protocol;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

/// Decisions about datagrams that are remembered; with one more all are asked for anew.
const REMEMBERED: usize = 4_096;

/// What a program inside wants to reach; see [`Gateway::set_policy`](super::Gateway::set_policy).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request<'a> {
    /// TCP: a connection. UDP: datagrams from one address and port to another.
    pub protocol: Protocol,
    /// The program's address and port.
    pub inside: SocketAddr,
    /// Where it wants to.
    pub outside: SocketAddr,
    /// The name that the gateway's name server last answered with that address; `None` when there was none.
    pub name: Option<&'a str>,
    /// Whose it is, where the gateway's owner knows; see [`Gateway::set_processes`](super::Gateway::set_processes).
    pub process: Option<u32>,
}

/// What becomes of a flow.
#[derive(Debug)]
#[non_exhaustive]
pub enum Decision {
    /// It is relayed to where it wants, by the machine's own sockets.
    Allow,
    /// It is refused: RST, or for a datagram "port unreachable".
    Refuse,
    /// Nothing is said, as by a firewall that drops.
    Drop,
    /// It is relayed to another address by the machine's own sockets, and the program does not notice. A datagram only to one of the same
    /// family.
    Redirect(SocketAddr),
    /// The connection is relayed to this stream: whoever holds its other end ([`UnixStream::pair`]) is who the program speaks with, in any
    /// thread or runtime. Ends of stream are carried over both ways. Datagrams are refused.
    Handle(UnixStream),
}

/// As [`Decision`], for datagrams: what can be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    To(SocketAddr),
    Refuse,
    Drop,
}

type Policy = Box<dyn FnMut(&Request<'_>) -> Decision + Send>;
type Processes = Box<dyn FnMut(Protocol, SocketAddr) -> Option<u32> + Send>;

/// Asks the user.
#[derive(Default)]
pub(super) struct Judge {
    policy: Option<Policy>,
    processes: Option<Processes>,
    remembered: HashMap<(SocketAddr, SocketAddr), Ruling>,
}

impl Judge {
    pub(super) fn set_policy(&mut self, policy: Policy) {
        self.policy = Some(policy);
        self.remembered.clear();
    }

    pub(super) fn set_processes(&mut self, processes: Processes) {
        self.processes = Some(processes);
    }

    /// True when there is somebody to ask.
    pub(super) const fn is_in_office(&self) -> bool {
        self.policy.is_some()
    }

    pub(super) fn decide(
        &mut self,
        protocol: Protocol,
        inside: SocketAddr,
        outside: SocketAddr,
        name: Option<&str>,
    ) -> Decision {
        let Some(policy) = &mut self.policy else {
            return Decision::Allow;
        };
        let process = self.processes.as_mut().and_then(|find| find(protocol, inside));
        policy(&Request {
            protocol,
            inside,
            outside,
            name,
            process,
        })
    }

    /// The decision about a datagram, asked for once as long as it is remembered.
    pub(super) fn rule(&mut self, inside: SocketAddr, outside: SocketAddr, name: Option<&str>) -> Ruling {
        if self.policy.is_none() {
            return Ruling::To(outside);
        }
        if let Some(ruling) = self.remembered.get(&(inside, outside)) {
            return *ruling;
        }
        let ruling = match self.decide(Protocol::Udp, inside, outside, name) {
            Decision::Allow => Ruling::To(outside),
            Decision::Redirect(to) if to.is_ipv4() == inside.is_ipv4() => Ruling::To(to),
            Decision::Drop => Ruling::Drop,
            Decision::Refuse | Decision::Redirect(_) | Decision::Handle(_) => Ruling::Refuse,
        };
        if self.remembered.len() >= REMEMBERED {
            self.remembered.clear();
        }
        self.remembered.insert((inside, outside), ruling);
        ruling
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge")
            .field("policy", &self.policy.is_some())
            .field("remembered", &self.remembered.len())
            .finish_non_exhaustive()
    }
}
