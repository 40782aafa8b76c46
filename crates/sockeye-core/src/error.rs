//! What can go wrong with a call or a socket: one small enum an operation, each variant with the errno a kernel socket would give.

use std::fmt;

macro_rules! errors {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $errno:ident, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The errno that a kernel socket gives in this case.
            pub const fn errno(self) -> Errno {
                match self { $(Self::$variant => Errno::$errno,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)* })
            }
        }

        impl std::error::Error for $name {}

        impl From<$name> for Errno {
            fn from(error: $name) -> Self {
                error.errno()
            }
        }
    };
}

/// Linux's error numbers, as far as sockets use them (the same on x86-64 and aarch64).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
#[allow(missing_docs, reason = "errno(3) documents them")]
pub enum Errno {
    EPERM = 1,
    ENOENT = 2,
    EINTR = 4,
    EIO = 5,
    EBADF = 9,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EFAULT = 14,
    EEXIST = 17,
    ENODEV = 19,
    EINVAL = 22,
    EMFILE = 24,
    ENOTTY = 25,
    ESPIPE = 29,
    EPIPE = 32,
    EDOM = 33,
    EPROTO = 71,
    ENOTSOCK = 88,
    EDESTADDRREQ = 89,
    EMSGSIZE = 90,
    EPROTOTYPE = 91,
    ENOPROTOOPT = 92,
    EPROTONOSUPPORT = 93,
    ESOCKTNOSUPPORT = 94,
    EOPNOTSUPP = 95,
    EAFNOSUPPORT = 97,
    EADDRINUSE = 98,
    EADDRNOTAVAIL = 99,
    ENETDOWN = 100,
    ENETUNREACH = 101,
    ECONNABORTED = 103,
    ECONNRESET = 104,
    ENOBUFS = 105,
    EISCONN = 106,
    ENOTCONN = 107,
    ETIMEDOUT = 110,
    ECONNREFUSED = 111,
    EHOSTDOWN = 112,
    EHOSTUNREACH = 113,
    EALREADY = 114,
    EINPROGRESS = 115,
}

errors! {
    /// Why a socket could not take a local address.
    BindError {
        /// Another socket holds the port, and not both allow sharing.
        AddressInUse = EADDRINUSE, "address already in use";
        /// The address is not one of ours.
        AddressNotAvailable = EADDRNOTAVAIL, "address is not one of this host's";
        /// Port 0 was asked and no dynamic port is free.
        PortsExhausted = EADDRINUSE, "no free port left";
    }
}

errors! {
    /// Why a socket could not listen.
    ListenError {
        /// Another socket listens on the port already.
        AddressInUse = EADDRINUSE, "another socket listens on this port";
    }
}

errors! {
    /// Why a connection attempt could not start.
    ConnectError {
        /// No route covers the remote address.
        Unreachable = ENETUNREACH, "no route to the remote address";
        /// All dynamic ports towards this remote are taken. RFC 6056 §3.3.
        PortsExhausted = EADDRNOTAVAIL, "no free port towards this remote address";
        /// This very 4-tuple is in use.
        AddressInUse = EADDRNOTAVAIL, "a connection between these two addresses exists";
        /// A multicast or broadcast address, or port 0.
        InvalidRemote = ECONNREFUSED, "not an address to connect to";
        /// A broadcast address without SO_BROADCAST.
        BroadcastNotAllowed = EACCES, "broadcast without permission";
        /// IPv4 socket and IPv6 remote, or an IPv6-only socket and an IPv4 remote.
        FamilyMismatch = EAFNOSUPPORT, "local and remote address are of different families";
    }
}

errors! {
    /// Why a datagram was not sent.
    SendError {
        /// No route covers the destination.
        Unreachable = ENETUNREACH, "no route to the destination";
        /// Larger than the protocol or (with "don't fragment") the path can carry.
        MessageTooLong = EMSGSIZE, "datagram too long";
        /// Neither connected nor given a destination.
        NoDestination = EDESTADDRREQ, "no destination address";
        /// The send queue is full.
        WouldBlock = EAGAIN, "send queue full";
        /// A broadcast destination without SO_BROADCAST.
        BroadcastNotAllowed = EACCES, "broadcast without permission";
        /// No dynamic port is free.
        PortsExhausted = EAGAIN, "no free port left";
        /// The source address is not one of ours.
        AddressNotAvailable = EADDRNOTAVAIL, "source address is not one of this host's";
        /// IPv4 socket and IPv6 destination, or an IPv6-only socket and an IPv4 destination.
        FamilyMismatch = EAFNOSUPPORT, "socket and destination are of different families";
        /// An invalid argument, such as port 0 as destination.
        Invalid = EINVAL, "invalid destination";
        /// ICMP said of an earlier datagram that nobody holds its port; the call consumed that error.
        Refused = ECONNREFUSED, "destination refused an earlier datagram";
        /// ICMP said of an earlier datagram that its host cannot be reached; the call consumed that error.
        HostUnreachable = EHOSTUNREACH, "destination of an earlier datagram cannot be reached";
        /// ICMP said of an earlier datagram that its protocol is not spoken there; the call consumed that error.
        ProtocolUnreachable = ENOPROTOOPT, "destination of an earlier datagram does not speak its protocol";
    }
}

errors! {
    /// Why bytes were not taken for sending on a connection.
    WriteError {
        /// The send buffer is full; wait for an event.
        WouldBlock = EAGAIN, "send buffer full";
        /// We sent FIN, or the connection is gone and its error was taken.
        BrokenPipe = EPIPE, "connection closed for writing";
        /// Not connected yet.
        NotConnected = ENOTCONN, "not connected";
        /// A pending error; the call consumed it. See [`SocketError`] for the kinds.
        Reset = ECONNRESET, "connection reset by peer";
        /// The user timeout or the retransmission limit ended the connection.
        TimedOut = ETIMEDOUT, "connection timed out";
    }
}

errors! {
    /// What ended or hurt a socket: SO_ERROR's values.
    SocketError {
        /// The remote refused: RST to our SYN, or port unreachable.
        ConnectionRefused = ECONNREFUSED, "connection refused";
        /// The remote reset an established connection.
        ConnectionReset = ECONNRESET, "connection reset by peer";
        /// No answer for too long (RFC 9293 §3.8.3 R2, RFC 5482).
        TimedOut = ETIMEDOUT, "connection timed out";
        /// ICMP says that the host cannot be reached.
        HostUnreachable = EHOSTUNREACH, "no route to host";
        /// ICMP says that the network cannot be reached.
        NetworkUnreachable = ENETUNREACH, "network is unreachable";
        /// ICMP says that the protocol is not spoken there.
        ProtocolUnreachable = ENOPROTOOPT, "protocol not available";
        /// ICMP says that it is forbidden.
        Prohibited = EHOSTUNREACH, "administratively prohibited";
        /// The datagram was larger than the path carries.
        MessageTooLong = EMSGSIZE, "message too long";
        /// ICMP parameter problem.
        ProtocolError = EIO, "protocol error";
        /// The connection was given up because the host's memory for connections ran out.
        NoMemory = ENOMEM, "out of memory";
        /// The connection was aborted on this side.
        Aborted = ECONNABORTED, "connection aborted";
        /// Write after the end.
        BrokenPipe = EPIPE, "broken pipe";
    }
}

impl From<SocketError> for SendError {
    /// The pending error of a datagram socket, as its next send reports it.
    fn from(error: SocketError) -> Self {
        match error {
            SocketError::NetworkUnreachable => Self::Unreachable,
            SocketError::HostUnreachable | SocketError::Prohibited => Self::HostUnreachable,
            SocketError::ProtocolUnreachable => Self::ProtocolUnreachable,
            SocketError::MessageTooLong => Self::MessageTooLong,
            _ => Self::Refused,
        }
    }
}
