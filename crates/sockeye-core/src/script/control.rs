//! Control messages of `recvmsg`: `msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=9000}]`.

use super::constants::errno;
use super::fault::{At, Wrong, wrong};
use super::request::{field, value};
use super::tree::{Expr, ExprKind};

/// `struct cmsghdr` without its data.
const HEADER: usize = 16;
/// Fields of `struct sock_extended_err`, and how many bytes each has.
const EXTENDED_ERROR: &[(&str, usize)] = &[
    ("ee_errno", 4),
    ("ee_origin", 1),
    ("ee_type", 1),
    ("ee_code", 1),
    ("", 1),
    ("ee_info", 4),
    ("ee_data", 4),
];

/// A control message that a script expects. Of its data the first bytes are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Control {
    level: i32,
    kind: i32,
    data: Vec<u8>,
}

/// What a script expects.
pub(super) fn expected(list: &Expr, v6: bool) -> Result<Vec<Control>, Wrong> {
    let ExprKind::Array(items) = &list.kind else {
        return wrong(
            list.at,
            "a list is expected here: [{cmsg_level=..., cmsg_type=..., cmsg_data=...}]",
        );
    };
    items.iter().map(|item| one(item, v6)).collect()
}

fn one(item: &Expr, v6: bool) -> Result<Control, Wrong> {
    let part = |name: &str| match field(item, name) {
        Some(part) => Ok(part),
        None => wrong(item.at, format!("a control message has a {name}")),
    };
    // As Linux's scripts call what depends on the version of IP.
    let number = |part: &Expr| match &part.kind {
        ExprKind::Name(name) if name == "CMSG_LEVEL_IP" => Ok(if v6 { 41 } else { 0 }),
        ExprKind::Name(name) if name == "CMSG_TYPE_RECVERR" => Ok(if v6 { 25 } else { 11 }),
        _ => value(part),
    };
    Ok(Control {
        level: number(part("cmsg_level")?)? as i32,
        kind: number(part("cmsg_type")?)? as i32,
        data: data(part("cmsg_data")?)?,
    })
}

fn data(arg: &Expr) -> Result<Vec<u8>, Wrong> {
    let ExprKind::Struct(fields) = &arg.kind else {
        return Ok((value(arg)? as i32).to_ne_bytes().to_vec());
    };
    let known = |name: &Option<String>| EXTENDED_ERROR.iter().any(|(known, _)| name.as_deref() == Some(known));
    if let Some((name, field)) = fields.iter().find(|(name, _)| !known(name)) {
        let name = name.as_deref().unwrap_or("a value without name");
        return wrong(
            field.at,
            format!("{name} is not understood here: ee_errno, ee_origin, ee_type, ee_code, ee_info, ee_data are"),
        );
    }
    let mut bytes = Vec::new();
    for (name, size) in EXTENDED_ERROR {
        let part = match field(arg, name) {
            Some(Expr {
                kind: ExprKind::Name(name),
                ..
            }) if errno(name).is_some() => errno(name).map_or(0, i64::from),
            Some(part) => value(part)?,
            None => 0,
        };
        match size {
            1 => bytes.push(part as u8),
            _ => bytes.extend((part as u32).to_ne_bytes()),
        }
    }
    Ok(bytes)
}

/// Compares what came, one message after the other.
pub(super) fn compare(at: At, wanted: &[Control], mut got: &[u8]) -> Result<(), Wrong> {
    let mut came = Vec::new();
    while got.len() >= HEADER {
        let len = u64::from_ne_bytes(std::array::from_fn(|n| got[n])) as usize;
        let word = |at: usize| i32::from_ne_bytes(std::array::from_fn(|n| got[at + n]));
        let Some(data) = got.get(HEADER..len) else { break };
        came.push(Control {
            level: word(8),
            kind: word(12),
            data: data.to_vec(),
        });
        got = got.get(len.next_multiple_of(8)..).unwrap_or_default();
    }
    if came.len() != wanted.len() {
        return wrong(
            at,
            format!("{} control messages came, not {}", came.len(), wanted.len()),
        );
    }
    for (wanted, came) in wanted.iter().zip(&came) {
        let same = came.data.starts_with(&wanted.data);
        if (wanted.level, wanted.kind) != (came.level, came.kind) || !same {
            return wrong(at, format!("a control message is {came:?}, not {wanted:?}"));
        }
    }
    Ok(())
}
