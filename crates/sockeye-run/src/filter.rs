//! The seccomp filter: which system calls come to us, which the kernel does, and which are refused.
//!
//! A filter sees numbers only, never memory. Calls about sockets that might be ours come to us, which decides by the descriptor; reading,
//! writing, polling, copying descriptors, forking are the kernel's. Every other way to the machine's network is refused.

use sockeye_sys::bpf::{Assembler, Instruction, Label};
use sockeye_sys::seccomp::{ALLOW, DATA_ARCH, DATA_NR, NATIVE_ARCH, NOTIFY, data_arg, data_arg_high, errno};

/// Calls that always come to us: nothing in their arguments tells whose socket it is.
const ALWAYS: [i64; 14] = [
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_shutdown,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
];

/// Calls that do not exist here: sockets made by io_uring would be the machine's.
const MISSING: [i64; 3] = [
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Flags of sends and receives that a socket pair does not know.
const SEND_FLAGS: i32 = libc::MSG_OOB | libc::MSG_FASTOPEN | libc::MSG_ZEROCOPY;
const RECV_FLAGS: i32 = libc::MSG_OOB | libc::MSG_ERRQUEUE | libc::MSG_TRUNC;

/// Bit of the x32 calling convention in call numbers.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

struct Ends {
    allow: Label,
    notify: Label,
    missing: Label,
    no_family: Label,
    pretend: Label,
}

/// Looks at a call's arguments.
type Branch = fn(&mut Assembler, &Ends);

/// The filter for this machine's architecture.
pub(crate) fn program() -> Vec<Instruction> {
    let mut asm = Assembler::new();
    let ends = Ends {
        allow: asm.label(),
        notify: asm.label(),
        missing: asm.label(),
        no_family: asm.label(),
        pretend: asm.label(),
    };
    asm.load(DATA_ARCH);
    asm.unless_equal(NATIVE_ARCH, ends.missing);
    asm.load(DATA_NR);
    #[cfg(target_arch = "x86_64")]
    asm.if_at_least(X32, ends.missing);
    for nr in ALWAYS {
        asm.if_equal(nr as u32, ends.notify);
    }
    for nr in MISSING {
        asm.if_equal(nr as u32, ends.missing);
    }
    let branches: [(i64, Branch); 5] = [
        (libc::SYS_socket, socket),
        (libc::SYS_sendto, |asm, ends| transfer(asm, ends, SEND_FLAGS)),
        (libc::SYS_recvfrom, |asm, ends| transfer(asm, ends, RECV_FLAGS)),
        (libc::SYS_ioctl, ioctl),
        (libc::SYS_prctl, prctl),
    ];
    let labels = branches.map(|(nr, _)| {
        let label = asm.label();
        asm.if_equal(nr as u32, label);
        label
    });
    asm.place(ends.allow);
    asm.ret(ALLOW);
    for ((_, branch), label) in branches.into_iter().zip(labels) {
        asm.place(label);
        let again = asm.label();
        let local = Ends { allow: again, ..ends };
        branch(&mut asm, &local);
        asm.place(again);
        asm.ret(ALLOW);
    }
    asm.place(ends.notify);
    asm.ret(NOTIFY);
    asm.place(ends.missing);
    asm.ret(errno(libc::ENOSYS));
    asm.place(ends.no_family);
    asm.ret(errno(libc::EAFNOSUPPORT));
    asm.place(ends.pretend);
    asm.ret(errno(0));
    asm.finish()
}

/// `socket(domain, ...)`: IP is ours, local sockets and routing information are the kernel's, the rest does not exist.
fn socket(asm: &mut Assembler, ends: &Ends) {
    asm.load(data_arg(0));
    asm.if_equal(libc::AF_INET as u32, ends.notify);
    asm.if_equal(libc::AF_INET6 as u32, ends.notify);
    asm.if_equal(libc::AF_UNIX as u32, ends.allow);
    asm.unless_equal(libc::AF_NETLINK as u32, ends.no_family);
}

/// `sendto` and `recvfrom`: without an address and special flags they are the kernel's, on the pair.
fn transfer(asm: &mut Assembler, ends: &Ends, flags: i32) {
    asm.load(data_arg(4));
    asm.unless_equal(0, ends.notify);
    asm.load(data_arg_high(4));
    asm.unless_equal(0, ends.notify);
    asm.load(data_arg(3));
    asm.if_any(flags as u32, ends.notify);
}

/// `ioctl(fd, 0x89xx)`: sockets and interfaces.
fn ioctl(asm: &mut Assembler, ends: &Ends) {
    asm.load(data_arg(1));
    asm.and(!0xff);
    asm.if_equal(0x8900, ends.notify);
}

/// `prctl(PR_SET_DUMPABLE, 0)` would hide the program's memory and descriptors from us: pretend.
fn prctl(asm: &mut Assembler, ends: &Ends) {
    asm.load(data_arg(0));
    asm.unless_equal(libc::PR_SET_DUMPABLE as u32, ends.allow);
    asm.load(data_arg(1));
    asm.if_equal(0, ends.pretend);
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_sys::bpf;

    fn decide(arch: u32, nr: i64, args: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend((nr as u32).to_ne_bytes());
        data.extend(arch.to_ne_bytes());
        data.extend(0_u64.to_ne_bytes());
        data.extend(args.iter().flat_map(|arg| arg.to_ne_bytes()));
        bpf::run(&program(), &data).expect("the filter ends")
    }

    #[test]
    fn each_call_goes_where_the_table_says() {
        let unix = libc::AF_UNIX as u64;
        let no_family = errno(libc::EAFNOSUPPORT);
        let missing = errno(libc::ENOSYS);
        for (case, nr, args, want) in [
            ("read", libc::SYS_read, [3, 0, 0, 0, 0, 0], ALLOW),
            ("close", libc::SYS_close, [3, 0, 0, 0, 0, 0], ALLOW),
            ("inet", libc::SYS_socket, [libc::AF_INET as u64, 1, 0, 0, 0, 0], NOTIFY),
            (
                "inet6",
                libc::SYS_socket,
                [libc::AF_INET6 as u64, 2, 0, 0, 0, 0],
                NOTIFY,
            ),
            ("unix", libc::SYS_socket, [unix, 1, 0, 0, 0, 0], ALLOW),
            (
                "netlink",
                libc::SYS_socket,
                [libc::AF_NETLINK as u64, 3, 0, 0, 0, 0],
                ALLOW,
            ),
            (
                "packet",
                libc::SYS_socket,
                [libc::AF_PACKET as u64, 3, 0, 0, 0, 0],
                no_family,
            ),
            (
                "vsock",
                libc::SYS_socket,
                [libc::AF_VSOCK as u64, 1, 0, 0, 0, 0],
                no_family,
            ),
            ("high bits", libc::SYS_socket, [1 << 40 | 2, 1, 0, 0, 0, 0], NOTIFY),
            ("connect", libc::SYS_connect, [3, 1, 16, 0, 0, 0], NOTIFY),
            ("recvmmsg", libc::SYS_recvmmsg, [3, 1, 1, 0, 0, 0], NOTIFY),
            ("send", libc::SYS_sendto, [3, 1, 1, 0x4000, 0, 0], ALLOW),
            ("send oob", libc::SYS_sendto, [3, 1, 1, 1, 0, 0], NOTIFY),
            ("sendto", libc::SYS_sendto, [3, 1, 1, 0, 0x7fff_0000, 16], NOTIFY),
            (
                "sendto high",
                libc::SYS_sendto,
                [3, 1, 1, 0, 0x7fff_0000_0000, 16],
                NOTIFY,
            ),
            ("recv", libc::SYS_recvfrom, [3, 1, 1, 0x40, 0, 0], ALLOW),
            ("recv trunc", libc::SYS_recvfrom, [3, 1, 1, 0x20, 0, 0], NOTIFY),
            ("recvfrom", libc::SYS_recvfrom, [3, 1, 1, 0, 9, 9], NOTIFY),
            ("SIOCGIFCONF", libc::SYS_ioctl, [3, 0x8912, 1, 0, 0, 0], NOTIFY),
            ("FIONREAD", libc::SYS_ioctl, [3, 0x541b, 1, 0, 0, 0], ALLOW),
            ("TCGETS", libc::SYS_ioctl, [0, 0x5401, 1, 0, 0, 0], ALLOW),
            ("io_uring", libc::SYS_io_uring_setup, [8, 0, 0, 0, 0, 0], missing),
            ("undumpable", libc::SYS_prctl, [4, 0, 0, 0, 0, 0], errno(0)),
            ("dumpable", libc::SYS_prctl, [4, 1, 0, 0, 0, 0], ALLOW),
            ("PR_SET_NAME", libc::SYS_prctl, [15, 0, 0, 0, 0, 0], ALLOW),
        ] {
            assert_eq!(decide(NATIVE_ARCH, nr, args), want, "{case}");
        }
        assert_eq!(decide(0x4000_0003, 1, [0; 6]), missing, "another architecture");
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            decide(NATIVE_ARCH, i64::from(X32) + 41, [2, 1, 0, 0, 0, 0]),
            missing,
            "x32"
        );
    }
}
