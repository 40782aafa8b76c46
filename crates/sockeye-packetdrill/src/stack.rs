//! packetdrill's calls, passed on to the machine.

use crate::flags::Flags;
use crate::machine::Machine;
use sockeye_core::bsd::address::{Family, Named};
use sockeye_core::bsd::{EpollEvent as CoreEvent, PollFd as CorePollFd};
use sockeye_core::settings::Settings;
use sockeye_sys::packetdrill::{Arrived, EpollEvent, Outcome, PollFd, Stack};
use std::time::Duration;

/// The variable with settings for every run.
const ENVIRONMENT: &str = "SOCKEYE_SYSCTL";

impl Stack for Machine {
    fn start(text: &str) -> Self {
        let mut flags = Flags::default();
        // Settings may stand in the environment one by one, under their own names.
        let mut named: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with("net.")).collect();
        named.sort();
        flags.settings.append(&mut named);
        flags.add(&std::env::var(ENVIRONMENT).unwrap_or_default());
        flags.add(text);
        // A kernel paces only where its queue does, and packetdrill's has none: scripts expect a window at once.
        let mut settings = Settings {
            tcp_pacing_ss_ratio: 0,
            tcp_pacing_ca_ratio: 0,
            tcp_mtu_probing: 0,
            ..Settings::default()
        };
        for (name, value) in &flags.settings {
            if let Err(error) = settings.set(name, value) {
                flags.remarks.push(error.to_string());
            }
        }
        for remark in &flags.remarks {
            eprintln!("sockeye: {remark}");
        }
        Self::new(&flags, settings)
    }

    fn socket(&self, domain: i32, kind: i32, protocol: i32) -> Outcome<i32> {
        self.call(|calls, _| Ok(calls.socket(domain, kind, protocol)?))
    }

    fn bind(&self, fd: i32, name: &[u8]) -> Outcome<()> {
        for family in [Family::V4, Family::V6] {
            if let Ok(Named::At(address)) = family.parse(name) {
                self.learn(address.ip());
            }
        }
        self.call(|calls, _| Ok(calls.bind(fd, name)?))
    }

    fn listen(&self, fd: i32, backlog: i32) -> Outcome<()> {
        self.call(|calls, _| Ok(calls.listen(fd, backlog)?))
    }

    fn accept(&self, fd: i32) -> Outcome<(i32, Vec<u8>)> {
        self.call(|calls, wait| calls.accept4(fd, 0, wait))
    }

    fn connect(&self, fd: i32, name: &[u8]) -> Outcome<()> {
        self.call(|calls, wait| calls.connect(fd, name, wait))
    }

    fn read(&self, fd: i32, buf: &mut [u8]) -> Outcome<usize> {
        self.call(|calls, wait| calls.read(fd, buf, wait))
    }

    fn write(&self, fd: i32, data: &[u8]) -> Outcome<usize> {
        self.call(|calls, wait| calls.write(fd, data, wait))
    }

    fn receive(&self, fd: i32, buf: &mut [u8], flags: i32, room: usize) -> Outcome<Arrived> {
        let arrived = self.call(|calls, wait| calls.recvmsg(fd, buf, flags, room, wait))?;
        Ok(Arrived {
            len: arrived.len,
            name: arrived.name,
            control: arrived.control,
            flags: arrived.flags,
        })
    }

    fn send(&self, fd: i32, data: &[u8], flags: i32, name: Option<&[u8]>, control: &[u8]) -> Outcome<usize> {
        self.call(|calls, wait| calls.sendmsg(fd, data, name, control, flags, wait))
    }

    fn fcntl(&self, fd: i32, command: i32, arg: i32) -> Outcome<i32> {
        self.call(|calls, _| Ok(calls.fcntl(fd, command, arg)?))
    }

    fn ioctl(&self, fd: i32, request: u64, arg: i32) -> Outcome<i32> {
        self.call(|calls, _| Ok(calls.ioctl(fd, request, arg)?))
    }

    fn close(&self, fd: i32) -> Outcome<()> {
        self.call(|calls, wait| calls.close(fd, wait))
    }

    fn shutdown(&self, fd: i32, how: i32) -> Outcome<()> {
        self.call(|calls, _| Ok(calls.shutdown(fd, how)?))
    }

    fn getsockopt(&self, fd: i32, level: i32, name: i32, room: i32) -> Outcome<Vec<u8>> {
        self.call(|calls, _| Ok(calls.getsockopt(fd, level, name, room)?))
    }

    fn setsockopt(&self, fd: i32, level: i32, name: i32, value: &[u8]) -> Outcome<()> {
        self.call(|calls, _| Ok(calls.setsockopt(fd, level, name, value)?))
    }

    fn poll(&self, fds: &mut [PollFd], timeout: i32) -> Outcome<usize> {
        let mut asked: Vec<CorePollFd> = fds
            .iter()
            .map(|fd| CorePollFd {
                fd: fd.fd,
                events: fd.events,
                revents: 0,
            })
            .collect();
        let found = self.call(|calls, wait| calls.poll(&mut asked, timeout, wait))?;
        for (fd, asked) in fds.iter_mut().zip(&asked) {
            fd.revents = asked.revents;
        }
        Ok(found)
    }

    fn epoll_create(&self, size: i32) -> Outcome<i32> {
        self.call(|calls, _| Ok(calls.epoll_create(size)?))
    }

    fn epoll_ctl(&self, epfd: i32, op: i32, fd: i32, event: EpollEvent) -> Outcome<()> {
        let event = CoreEvent {
            events: event.events,
            data: event.data,
        };
        self.call(|calls, _| Ok(calls.epoll_ctl(epfd, op, fd, event)?))
    }

    fn epoll_wait(&self, epfd: i32, max: i32, timeout: i32) -> Outcome<Vec<EpollEvent>> {
        let mut events = Vec::new();
        self.call(|calls, wait| calls.epoll_wait(epfd, &mut events, max, timeout, wait))?;
        let event = |event: &CoreEvent| EpollEvent {
            events: event.events,
            data: event.data,
        };
        Ok(events.iter().map(event).collect())
    }

    fn pipe(&self) -> Outcome<[i32; 2]> {
        self.call(|calls, _| Ok(calls.pipe2(0)?))
    }

    fn splice(&self, from: i32, to: i32, len: usize, flags: u32) -> Outcome<usize> {
        self.call(|calls, wait| calls.splice(from, to, len, flags as i32, wait))
    }

    fn netdev_send(&self, packet: &[u8]) -> Outcome<()> {
        self.inject(packet)
    }

    fn netdev_receive(&self, buf: &mut [u8]) -> Outcome<(usize, i64)> {
        self.take(buf)
    }

    fn usleep(&self, micros: u32) -> Outcome<()> {
        self.sleep(Duration::from_micros(u64::from(micros)));
        Ok(())
    }

    fn gettimeofday(&self) -> i64 {
        self.read_clock()
    }
}
