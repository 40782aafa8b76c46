//! What of a program's addresses concerns only us: how long they may be, and local ones. The rest is `sockeye_core::bsd::address`.

/// Longest address the kernel takes: `struct sockaddr_storage`.
pub(crate) const LONGEST: usize = 128;

/// The path of an AF_UNIX address with a path.
pub(crate) fn unix_path(bytes: &[u8]) -> Option<&[u8]> {
    let (family, path) = bytes.split_at_checked(2)?;
    let local = i32::from(u16::from_ne_bytes([family[0], family[1]])) == libc::AF_UNIX;
    let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
    (local && end > 0).then(|| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_addresses_with_a_path_have_one() {
        assert_eq!(unix_path(b"\x01\0/run/x\0yz"), Some(&b"/run/x"[..]));
        assert_eq!(unix_path(b"\x01\0\0abstract"), None);
        assert_eq!(unix_path(b"\x02\0/run/x"), None);
    }
}
