//! A socket statement, its names and numbers resolved; and what should come of it.

use super::constants::{constant, errno_name, nearest};
use super::control::{self, Control};
use super::craft::pattern;
use super::fault::{At, Wrong, wrong};
use super::flags::Setup;
use super::subject::{Outcome, Request};
use super::tree::{Call, Expr, ExprKind};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// How much of a stream a descriptor has written and read, in the script's numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) written: u32,
    pub(super) read: u32,
}

impl Default for Progress {
    fn default() -> Self {
        Self { written: 1, read: 1 }
    }
}

/// The descriptors of a script: what it calls them, and what they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Descriptors {
    pub(super) live: BTreeMap<i64, i32>,
    pub(super) progress: BTreeMap<i64, Progress>,
}

/// A call to make, and what to compare.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) outputs: Outputs,
    /// The descriptor, as the script calls it.
    pub(super) fd: i64,
}

/// What a call should have given besides its result.
#[derive(Clone, Debug)]
pub(super) enum Outputs {
    Nothing,
    /// A new descriptor.
    Descriptor,
    /// These bytes.
    Text(Vec<u8>),
    /// The bytes of the stream, as the script's packets carry them.
    Stream,
    /// Integers in a row.
    Ints(Vec<i64>),
    Address(SocketAddr),
    /// `msg_flags`, and control messages where the script names any.
    Message(i32, Option<Vec<Control>>),
    /// What is ready, by place or by data.
    Ready(Vec<(u64, u32)>),
}

/// Resolves arguments.
pub(super) struct Resolver<'a> {
    pub(super) setup: &'a Setup,
    pub(super) fds: &'a Descriptors,
    pub(super) call: &'a Call,
}

type Made = Result<(Request, Outputs), Wrong>;

impl Resolver<'_> {
    pub(super) fn resolve(&self) -> Result<Asked, Wrong> {
        let plain = |request: Request| Ok((request, Outputs::Nothing));
        let (request, outputs) = match self.call.name.as_str() {
            "socket" => (
                Request::Socket {
                    domain: self.domain()?,
                    kind: self.int(1)?,
                    protocol: self.int(2)?,
                },
                Outputs::Descriptor,
            ),
            "bind" => plain(Request::Bind {
                fd: self.fd(0)?,
                address: self.address(1, self.setup.local, self.setup.bind_port)?,
            })?,
            "listen" => plain(Request::Listen {
                fd: self.fd(0)?,
                backlog: self.int(1)?,
            })?,
            "accept" | "accept4" => self.accept()?,
            "connect" => plain(Request::Connect {
                fd: self.fd(0)?,
                address: self.address(1, self.setup.remote, self.setup.connect_port)?,
            })?,
            "read" | "recv" | "recvfrom" | "readv" | "recvmsg" => self.receive()?,
            "write" | "send" | "sendto" | "writev" | "sendmsg" => self.send()?,
            "getsockopt" => self.get_option()?,
            "setsockopt" => plain(Request::SetOption {
                fd: self.fd(0)?,
                level: self.int(1)?,
                name: self.int(2)?,
                value: self.option_value(self.arg(3)?)?,
            })?,
            "shutdown" => plain(Request::Shutdown {
                fd: self.fd(0)?,
                how: self.int(1)?,
            })?,
            "close" => plain(Request::Close { fd: self.fd(0)? })?,
            "fcntl" => plain(Request::Fcntl {
                fd: self.fd(0)?,
                command: self.int(1)?,
                argument: if self.call.args.len() > 2 { self.int(2)? } else { 0 },
            })?,
            "ioctl" => self.ioctl()?,
            "getsockname" => (Request::LocalName { fd: self.fd(0)? }, self.address_given(1)?),
            "getpeername" => (Request::PeerName { fd: self.fd(0)? }, self.address_given(1)?),
            "poll" => self.poll()?,
            "epoll_create" | "epoll_create1" => (Request::EpollCreate, Outputs::Descriptor),
            "epoll_ctl" => self.epoll_control()?,
            "epoll_wait" => self.epoll_wait()?,
            other => {
                let known = "socket, bind, listen, accept, connect, read, write, send, recv, sendto, recvfrom, sendmsg, recvmsg, readv, \
                             writev, getsockopt, setsockopt, shutdown, close, fcntl, ioctl, poll, epoll_*, getsockname, getpeername";
                return wrong(self.call.at, format!("{other}() is not known: {known} are"));
            }
        };
        let fd = match self.call.args.first().map(|arg| &arg.kind) {
            Some(ExprKind::Int(fd)) => *fd,
            _ => -1,
        };
        Ok(Asked { request, outputs, fd })
    }

    fn arg(&self, n: usize) -> Result<&Expr, Wrong> {
        match self.call.args.get(n) {
            Some(arg) => Ok(arg),
            None => wrong(
                self.call.at,
                format!(
                    "{}() needs more arguments than {}",
                    self.call.name,
                    self.call.args.len()
                ),
            ),
        }
    }

    fn number<T: TryFrom<i64>>(&self, n: usize) -> Result<T, Wrong> {
        let arg = self.arg(n)?;
        let value = value(arg)?;
        T::try_from(value).map_err(|_| (arg.at, format!("{value} is out of range here")))
    }

    fn int(&self, n: usize) -> Result<i32, Wrong> {
        let arg = self.arg(n)?;
        match value(arg)? {
            // 0xffffffff is -1 to whoever reads 32 bits.
            value if (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&value) => Ok(value as i32),
            value => wrong(arg.at, format!("{value} does not fit 32 bits")),
        }
    }

    fn fd(&self, n: usize) -> Result<i32, Wrong> {
        self.descriptor(self.arg(n)?)
    }

    fn descriptor(&self, arg: &Expr) -> Result<i32, Wrong> {
        let fd = value(arg)?;
        match self.fds.live.get(&fd) {
            Some(live) => Ok(*live),
            // To be refused by what is under test.
            None if fd < 0 => Ok(-1),
            None => wrong(
                arg.at,
                format!("descriptor {fd} was never opened: socket() or accept() gives one"),
            ),
        }
    }

    fn domain(&self) -> Result<i32, Wrong> {
        match self.arg(0)?.kind {
            ExprKind::Ellipsis if self.setup.local.is_ipv6() => Ok(10),
            ExprKind::Ellipsis => Ok(2),
            _ => self.int(0),
        }
    }

    fn address(&self, n: usize, default: IpAddr, port: u16) -> Result<SocketAddr, Wrong> {
        let arg = self.arg(n)?;
        match &arg.kind {
            ExprKind::Ellipsis => Ok(SocketAddr::new(default, port)),
            _ => address(arg),
        }
    }

    fn address_given(&self, n: usize) -> Result<Outputs, Wrong> {
        let arg = self.arg(n)?;
        match &arg.kind {
            ExprKind::Struct(_) => address(arg).map(Outputs::Address),
            _ => Ok(Outputs::Nothing),
        }
    }

    fn accept(&self) -> Made {
        let flags = if self.call.name == "accept4" { self.int(3)? } else { 0 };
        let fd = self.fd(0)?;
        Ok((Request::Accept { fd, flags }, Outputs::Descriptor))
    }

    fn receive(&self) -> Made {
        let fd = self.fd(0)?;
        let (mut flags, mut outputs) = (0, Outputs::Stream);
        let len = match self.call.name.as_str() {
            "readv" => self.vector(self.arg(1)?, None)?.0,
            "recvmsg" => {
                let message = self.arg(1)?;
                let given = field(message, "msg_flags").map_or(Ok(0), value)? as i32;
                let controls = field(message, "msg_control");
                let controls = controls.map(|list| control::expected(list, self.setup.local.is_ipv6()));
                if field(message, "msg_flags").is_some() || controls.is_some() {
                    outputs = Outputs::Message(given, controls.transpose()?);
                }
                flags = self.int(2)?;
                self.message(message, None)?.0
            }
            name => {
                if name != "read" {
                    flags = self.int(3)?;
                }
                if let ExprKind::Text(text) = &self.arg(1)?.kind {
                    outputs = Outputs::Text(text.clone());
                }
                self.length(2)?
            }
        };
        Ok((Request::Receive { fd, len, flags }, outputs))
    }

    /// A size of a buffer.
    fn length(&self, n: usize) -> Result<usize, Wrong> {
        let len: usize = self.number(n)?;
        if len > 64 << 20 {
            return wrong(
                self.arg(n)?.at,
                format!("{len} bytes are too many: 67108864 is the most"),
            );
        }
        Ok(len)
    }

    fn send(&self) -> Made {
        let fd = self.fd(0)?;
        let at = match self.call.args.first().map(|arg| &arg.kind) {
            Some(ExprKind::Int(fd)) => self.fds.progress.get(fd).copied().unwrap_or_default().written,
            _ => 1,
        };
        let (mut flags, mut to) = (0, None);
        let data = match self.call.name.as_str() {
            "writev" => self.vector(self.arg(1)?, Some(at))?.1,
            "sendmsg" => {
                flags = self.int(2)?;
                let message = self.arg(1)?;
                if let Some(name) = field(message, "msg_name") {
                    to = self.destination(name)?;
                }
                self.message(message, Some(at))?.1
            }
            name => {
                if name != "write" {
                    flags = self.int(3)?;
                }
                if name == "sendto" {
                    to = self.destination(self.arg(4)?)?;
                }
                buffer(self.arg(1)?, self.length(2)?, at)
            }
        };
        Ok((Request::Send { fd, data, flags, to }, Outputs::Nothing))
    }

    /// Where `sendto` goes; 0 and NULL are nowhere.
    fn destination(&self, arg: &Expr) -> Result<Option<SocketAddr>, Wrong> {
        match &arg.kind {
            ExprKind::Ellipsis => Ok(Some(SocketAddr::new(self.setup.remote, self.setup.connect_port))),
            ExprKind::Struct(_) => address(arg).map(Some),
            _ => value(arg).map(|_| None),
        }
    }

    fn message(&self, arg: &Expr, at: Option<u32>) -> Result<(usize, Vec<u8>), Wrong> {
        match field(arg, "msg_iov") {
            Some(vector) => self.vector(vector, at),
            None => wrong(
                arg.at,
                "a message is expected here: {msg_name(...)=..., msg_iov(1)=[{..., 1000}], msg_flags=0}",
            ),
        }
    }

    /// The buffers of `[{..., 100}, {..., 200}]`: their length together, and what is in them.
    fn vector(&self, arg: &Expr, at: Option<u32>) -> Result<(usize, Vec<u8>), Wrong> {
        let ExprKind::Array(items) = &arg.kind else {
            return wrong(arg.at, "a list of buffers is expected here: [{..., 100}, {..., 200}]");
        };
        let (mut total, mut data) = (0, Vec::new());
        for item in items {
            let ExprKind::Struct(fields) = &item.kind else {
                return wrong(item.at, "a buffer is expected here: {..., 100}");
            };
            let [(None, content), (None, len)] = &fields[..] else {
                return wrong(item.at, "a buffer has two parts: {..., 100}");
            };
            let size = value(len)?;
            total += match usize::try_from(size) {
                Ok(size) if size <= 16 << 20 && total <= 64 << 20 => size,
                _ => return wrong(len.at, format!("{size} is no size for a buffer")),
            };
            if let Some(at) = at {
                let missing = total - data.len();
                data.extend(buffer(content, missing, at.wrapping_add(data.len() as u32)));
            }
        }
        Ok((total, data))
    }

    fn get_option(&self) -> Made {
        let wanted = self.arg(3)?;
        let outputs = match &wanted.kind {
            ExprKind::Ellipsis => Outputs::Nothing,
            ExprKind::Text(text) => Outputs::Text(text.clone()),
            _ => Outputs::Ints(ints(wanted)?),
        };
        let len = match &self.arg(4)?.kind {
            ExprKind::Array(items) if items.len() == 1 => value(&items[0])?,
            _ => 256,
        };
        let request = Request::GetOption {
            fd: self.fd(0)?,
            level: self.int(1)?,
            name: self.int(2)?,
            len: usize::try_from(len).unwrap_or(0).min(4_096),
        };
        Ok((request, outputs))
    }

    fn option_value(&self, arg: &Expr) -> Result<Vec<u8>, Wrong> {
        match &arg.kind {
            ExprKind::Text(text) => Ok(text.clone()),
            _ => {
                let words = ints(arg)?;
                Ok(words.iter().flat_map(|word| (*word as i32).to_ne_bytes()).collect())
            }
        }
    }

    fn ioctl(&self) -> Made {
        let request = Request::Ioctl {
            fd: self.fd(0)?,
            request: self.number(1)?,
        };
        let wanted = self.arg(2)?;
        let outputs = match &wanted.kind {
            ExprKind::Ellipsis => Outputs::Nothing,
            _ => Outputs::Ints(ints(wanted)?),
        };
        Ok((request, outputs))
    }

    fn poll(&self) -> Made {
        let list = self.arg(0)?;
        let ExprKind::Array(items) = &list.kind else {
            return wrong(
                list.at,
                "a list is expected here: [{fd=3, events=POLLIN, revents=POLLIN}]",
            );
        };
        let (mut fds, mut ready) = (Vec::new(), Vec::new());
        for (place, item) in items.iter().enumerate() {
            let (Some(fd), Some(events)) = (field(item, "fd"), field(item, "events")) else {
                return wrong(item.at, "fd and events are expected here: {fd=3, events=POLLIN}");
            };
            fds.push((self.descriptor(fd)?, value(events)? as i16));
            if let Some(wanted) = field(item, "revents") {
                ready.push((place as u64, value(wanted)? as u32));
            }
        }
        let timeout = self.int(2)?;
        Ok((Request::Poll { fds, timeout }, Outputs::Ready(ready)))
    }

    fn epoll_control(&self) -> Made {
        let (operation, fd) = (self.int(1)?, self.fd(2)?);
        let (mut events, mut data) = (0, 0);
        if operation != 2 {
            (data, events) = self.epoll_event(self.arg(3)?)?;
        }
        let epoll = self.fd(0)?;
        let request = Request::EpollControl {
            epoll,
            operation,
            fd,
            events,
            data,
        };
        Ok((request, Outputs::Nothing))
    }

    fn epoll_wait(&self) -> Made {
        let wanted = self.arg(1)?;
        let ready = match &wanted.kind {
            ExprKind::Ellipsis => None,
            ExprKind::Array(items) => {
                let events: Result<Vec<_>, _> = items.iter().map(|item| self.epoll_event(item)).collect();
                Some(events?)
            }
            _ => Some(vec![self.epoll_event(wanted)?]),
        };
        let request = Request::EpollWait {
            epoll: self.fd(0)?,
            most: self.number::<u16>(2)?.into(),
            timeout: self.int(3)?,
        };
        Ok((request, ready.map_or(Outputs::Nothing, Outputs::Ready)))
    }

    /// Data and events of `{events=EPOLLIN, fd=4}`.
    fn epoll_event(&self, arg: &Expr) -> Result<(u64, u32), Wrong> {
        let data = ["fd", "ptr", "u32", "u64"].iter().find_map(|name| field(arg, name));
        match (field(arg, "events"), data) {
            (Some(events), Some(data)) => Ok((value(data)? as u64, value(events)? as u32)),
            _ => wrong(arg.at, "an event is expected here: {events=EPOLLIN, fd=4}"),
        }
    }
}

/// A field of a structure.
pub(super) fn field<'e>(arg: &'e Expr, name: &str) -> Option<&'e Expr> {
    let ExprKind::Struct(fields) = &arg.kind else {
        return None;
    };
    let found = fields.iter().find(|(known, _)| known.as_deref() == Some(name));
    found.map(|(_, value)| value)
}

/// What a buffer holds: text as it is, else the pattern of the stream.
fn buffer(content: &Expr, len: usize, at: u32) -> Vec<u8> {
    let mut data = match &content.kind {
        ExprKind::Text(text) => text.clone(),
        _ => Vec::new(),
    };
    data.truncate(len);
    let from = data.len();
    data.extend((from..len).map(|n| pattern(at.wrapping_add(n as u32))));
    data
}

/// A number.
pub(super) fn value(arg: &Expr) -> Result<i64, Wrong> {
    match &arg.kind {
        ExprKind::Int(value) => Ok(*value),
        ExprKind::Name(name) => match constant(name) {
            Some(value) => Ok(value),
            None => wrong(arg.at, unknown(name)),
        },
        ExprKind::Or(a, b) => Ok(value(a)? | value(b)?),
        ExprKind::Apply(name, args) if name == "htons" && args.len() == 1 => value(&args[0]),
        _ => wrong(arg.at, "a number is expected here"),
    }
}

/// What to say about a name that nobody knows.
pub(super) fn unknown(name: &str) -> String {
    match nearest(name) {
        Some(near) => format!("`{name}` is not known; {near} is"),
        None => format!("`{name}` is not known"),
    }
}

/// Numbers of an option: `[1]`, `1`, `{onoff=1, linger=0}`.
fn ints(arg: &Expr) -> Result<Vec<i64>, Wrong> {
    match &arg.kind {
        ExprKind::Array(items) => items.iter().map(value).collect(),
        ExprKind::Struct(fields) => fields.iter().map(|(_, field)| value(field)).collect(),
        _ => value(arg).map(|value| vec![value]),
    }
}

/// `{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}`
fn address(arg: &Expr) -> Result<SocketAddr, Wrong> {
    const FORM: &str =
        "an address is expected here: {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"192.0.2.1\")}";
    let port = field(arg, "sin_port").or(field(arg, "sin6_port"));
    let ip = field(arg, "sin_addr").or(field(arg, "sin6_addr"));
    let (Some(port), Some(ip)) = (port, ip) else {
        return wrong(arg.at, FORM);
    };
    let number = value(port)?;
    let Ok(number) = u16::try_from(number) else {
        return wrong(port.at, format!("{number} is no port"));
    };
    let text = match &ip.kind {
        ExprKind::Apply(_, args) => args.iter().find_map(|arg| match &arg.kind {
            ExprKind::Text(text) => Some(text),
            _ => None,
        }),
        ExprKind::Name(name) if name == "INADDR_ANY" => return Ok(SocketAddr::from(([0, 0, 0, 0], number))),
        _ => None,
    };
    let parsed = text.and_then(|text| std::str::from_utf8(text).ok()?.parse::<IpAddr>().ok());
    match parsed {
        Some(ip) => Ok(SocketAddr::new(ip, number)),
        None => wrong(ip.at, FORM),
    }
}

/// Compares what came of a call with what the statement says.
pub(super) fn compare(call: &Call, asked: &Asked, outcome: &Outcome, fds: &Descriptors) -> Result<(), Wrong> {
    let error = |errno: i32| match errno {
        0 => String::new(),
        errno => format!(" {}", errno_name(errno)),
    };
    let wanted = match &call.result.kind {
        ExprKind::Ellipsis => outcome.result,
        _ => value(&call.result)?,
    };
    let descriptor = matches!(asked.outputs, Outputs::Descriptor) && wanted >= 0 && outcome.result >= 0;
    if wanted != outcome.result && !descriptor {
        let got = format!("{}() gave {}{}", call.name, outcome.result, error(outcome.errno));
        return wrong(call.at, format!("{got}, not {wanted}"));
    }
    if let Some((at, name)) = &call.errno {
        let Some(wanted) = super::constants::errno(name) else {
            return wrong(*at, unknown(name));
        };
        if outcome.result >= 0 || wanted != outcome.errno {
            return wrong(*at, format!("{}() gave{}, not {name}", call.name, error(outcome.errno)));
        }
    }
    if outcome.result < 0 {
        return Ok(());
    }
    outputs(call.at, asked, outcome, fds)
}

fn outputs(at: At, asked: &Asked, outcome: &Outcome, fds: &Descriptors) -> Result<(), Wrong> {
    match &asked.outputs {
        Outputs::Nothing | Outputs::Descriptor => Ok(()),
        Outputs::Text(text) => {
            let got = &outcome.data[..outcome.data.len().min(text.len())];
            if got == &text[..] {
                return Ok(());
            }
            let (got, text) = (String::from_utf8_lossy(&outcome.data), String::from_utf8_lossy(text));
            wrong(at, format!("it gave {got:?}, not {text:?}"))
        }
        Outputs::Stream => {
            let from = fds.progress.get(&asked.fd).copied().unwrap_or_default().read;
            let wanted = |n: usize| pattern(from.wrapping_add(n as u32));
            match outcome.data.iter().enumerate().find(|(n, byte)| **byte != wanted(*n)) {
                Some((n, _)) => wrong(
                    at,
                    format!("byte {} of the stream is not what was sent", from as usize + n),
                ),
                None => Ok(()),
            }
        }
        Outputs::Ints(wanted) => {
            let words = outcome.data.chunks(4).map(|word| {
                let mut bytes = [0; 4];
                bytes[..word.len()].copy_from_slice(word);
                i64::from(i32::from_ne_bytes(bytes))
            });
            let got: Vec<i64> = words.take(wanted.len()).collect();
            if got.len() == wanted.len() && got.iter().zip(wanted).all(|(a, b)| *a as i32 == *b as i32) {
                return Ok(());
            }
            wrong(at, format!("it gave {got:?}, not {wanted:?}"))
        }
        Outputs::Address(wanted) if outcome.address == Some(*wanted) => Ok(()),
        Outputs::Address(wanted) => match outcome.address {
            Some(got) => wrong(at, format!("it gave {got}, not {wanted}")),
            None => wrong(at, format!("it gave no address, not {wanted}")),
        },
        Outputs::Message(wanted, _) if outcome.flags != *wanted => {
            wrong(at, format!("msg_flags are {:#x}, not {wanted:#x}", outcome.flags))
        }
        Outputs::Message(_, wanted) => match wanted {
            Some(wanted) => control::compare(at, wanted, &outcome.control),
            None => Ok(()),
        },
        Outputs::Ready(wanted) => {
            for (key, events) in wanted {
                let found = outcome.ready.iter().find(|(known, _)| known == key);
                let got = found.map_or(0, |(_, events)| *events);
                if got != *events {
                    return wrong(at, format!("it found events {got:#x}, not {events:#x}"));
                }
            }
            Ok(())
        }
    }
}
