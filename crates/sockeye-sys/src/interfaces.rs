//! The addresses of the machine itself: getifaddrs(3).

use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// All addresses of the machine's network devices, each with the name of its device.
///
/// # Errors
/// Those of getifaddrs(3).
pub fn addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let mut list = ptr::null_mut();
    // SAFETY: getifaddrs writes one pointer.
    if unsafe { libc::getifaddrs(&raw mut list) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut at = list;
    // SAFETY: the list is what getifaddrs made, ends with null, and is freed only below.
    while let Some(entry) = unsafe { at.as_ref() } {
        at = entry.ifa_next;
        let Some(address) = address(entry.ifa_addr) else {
            continue;
        };
        // SAFETY: the name is a string of the same list.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) };
        found.push((name.to_string_lossy().into_owned(), address));
    }
    // SAFETY: freed once, and nothing of it is used after.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

/// The IP address at `from`, which is null or an address as the kernel makes it.
fn address(from: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: null, or at least the family is there.
    let family = i32::from(unsafe { from.as_ref() }?.sa_family);
    match family {
        libc::AF_INET => {
            // SAFETY: the family says that it is this structure; getifaddrs aligns them for any.
            let v4 = unsafe { ptr::read_unaligned(from.cast::<libc::sockaddr_in>()) };
            Some(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: likewise.
            let v6 = unsafe { ptr::read_unaligned(from.cast::<libc::sockaddr_in6>()) };
            Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_knows_its_own_addresses() {
        let all = addresses().expect("addresses");
        let socket = std::net::UdpSocket::bind("127.0.0.1:0");
        assert!(socket.is_err() || all.iter().any(|(_, address)| *address == Ipv4Addr::LOCALHOST));
    }
}
