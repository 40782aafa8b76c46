//! DNS messages as a forwarder needs them: a question read once, answers made from what we know, other servers' answers passed through as
//! they are but for their identifier. RFC 1035, RFC 6891 (EDNS), RFC 8914 (extended errors), RFC 7766 (TCP).

use super::zone::Known;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{A, AAAA, PTR, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::IpAddr;

/// The longest answer over UDP to who does not say more. RFC 1035 §4.2.1.
const PLAIN: usize = 512;
/// The header of a message.
const HEADER: usize = 12;
/// How long our own answers may be kept, in seconds.
const TTL: u32 = 60;
/// What we take over UDP. RFC 9715 asks for 1232 or less between hosts; ours comes over the loopback or the link.
const OUR_PAYLOAD: u16 = 4_096;

/// A query, read.
#[derive(Debug)]
pub struct Question {
    message: Message,
    name: Name,
    kind: RecordType,
}

/// Why something is no query to answer.
#[derive(Debug)]
pub enum NoQuestion {
    /// Too short to be answered, or an answer itself.
    Ignore,
    /// Answer with this.
    Answer(Vec<u8>),
}

/// How a query failed, in the words of RFC 8914.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No server answered.
    NoReachableAuthority,
    /// The machine has no name server.
    NoServer,
    /// We are too busy.
    Busy,
}

impl Question {
    /// Reads a query.
    ///
    /// # Errors
    /// With what to do about a message that is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoQuestion> {
        let (Some(&[id_high, id_low, flags, ..]), true) = (bytes.first_chunk::<3>(), bytes.len() >= HEADER) else {
            return Err(NoQuestion::Ignore);
        };
        if flags & 0x80 != 0 {
            return Err(NoQuestion::Ignore);
        }
        let id = u16::from_be_bytes([id_high, id_low]);
        let refuse = |code| {
            let op_code = OpCode::from_u8(flags >> 3 & 15);
            NoQuestion::Answer(encode(&Message::error_msg(id, op_code, code)))
        };
        if OpCode::from_u8(flags >> 3 & 15) != OpCode::Query {
            return Err(refuse(ResponseCode::NotImp));
        }
        let Ok(message) = Message::from_vec(bytes) else {
            return Err(refuse(ResponseCode::FormErr));
        };
        let [query] = &message.queries[..] else {
            return Err(refuse(ResponseCode::FormErr));
        };
        let (name, kind) = (query.name().clone(), query.query_type());
        Ok(Self { message, name, kind })
    }

    /// The name asked about.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The record type asked for, when the class is Internet.
    pub fn kind(&self) -> Option<RecordType> {
        (self.message.queries[0].query_class() == DNSClass::IN).then_some(self.kind)
    }

    /// Its identifier.
    pub fn id(&self) -> u16 {
        self.message.metadata.id
    }

    /// The longest answer over UDP that the asker takes.
    pub fn max_payload(&self) -> usize {
        let edns = self
            .message
            .edns
            .as_ref()
            .map_or(PLAIN, |edns| edns.max_payload().into());
        edns.max(PLAIN)
    }

    /// The answer from our own knowledge.
    pub fn answer(&self, known: &Known) -> Vec<u8> {
        let mut reply = self.reply();
        reply.metadata.authoritative = true;
        let record = |data| Record::from_rdata(self.name.clone(), TTL, data);
        match known {
            Known::Addresses(addresses) => {
                let data = addresses.iter().map(|address| match *address {
                    IpAddr::V4(v4) => RData::A(A(v4)),
                    IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
                });
                reply.add_answers(data.map(record));
            }
            Known::Pointer(name) => {
                reply.add_answers(Name::from_ascii(name).ok().map(|name| record(RData::PTR(PTR(name)))));
            }
            Known::Nothing | Known::NoSuchName => {
                if *known == Known::NoSuchName {
                    reply.metadata.response_code = ResponseCode::NXDomain;
                }
                // RFC 2308 §3: with it the asker knows for how long.
                reply.add_authorities(authority());
            }
        }
        encode(&reply)
    }

    /// The answer that says that there is none.
    pub fn fail(&self, failure: Failure) -> Vec<u8> {
        let mut reply = self.reply();
        reply.metadata.response_code = ResponseCode::ServFail;
        let (code, text) = match failure {
            Failure::NoReachableAuthority => (22_u16, "sockeye: no name server of this machine answered"),
            Failure::NoServer => (
                22,
                "sockeye: this machine lists no name server in resolv.conf, and none answers on 127.0.0.1",
            ),
            Failure::Busy => (14, "sockeye: too many name queries at once"),
        };
        if let Some(edns) = &mut reply.edns {
            let mut option = code.to_be_bytes().to_vec();
            option.extend_from_slice(text.as_bytes());
            edns.options_mut().insert(EdnsOption::Unknown(15, option));
        }
        encode(&reply)
    }

    fn reply(&self) -> Message {
        let asked = &self.message.metadata;
        let mut reply = Message::new(asked.id, MessageType::Response, asked.op_code);
        reply.metadata.recursion_desired = asked.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.metadata.checking_disabled = asked.checking_disabled;
        reply.add_query(self.message.queries[0].clone());
        if self.message.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(OUR_PAYLOAD);
            reply.set_edns(edns);
        }
        reply
    }
}

fn authority() -> Option<Record> {
    let zone = Name::from_ascii("sockeye.test.").ok()?;
    let owner = Name::from_ascii("nobody.invalid.").ok()?;
    let soa = SOA::new(zone.clone(), owner, 1, 3_600, 600, 86_400, TTL);
    Some(Record::from_rdata(zone, TTL, RData::SOA(soa)))
}

fn encode(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap_or_else(|_| {
        // Cannot happen for the messages made here; a header that says "server failure" is always right.
        let id = message.metadata.id.to_be_bytes();
        vec![id[0], id[1], 0x80, 0x82, 0, 0, 0, 0, 0, 0, 0, 0]
    })
}

/// Puts another identifier into a message.
pub fn set_id(message: &mut [u8], id: u16) {
    if let Some(field) = message.get_mut(..2) {
        field.copy_from_slice(&id.to_be_bytes());
    }
}

/// True when `reply` answers `query`: the same identifier and question. RFC 5452 §9.1.
pub fn answers(reply: &[u8], query: &[u8]) -> bool {
    let (Some(ours), Some(theirs)) = (question_end(query), question_end(reply)) else {
        return false;
    };
    let is_response = reply[2] & 0x80 != 0;
    let questions = reply[4..6] == query[4..6] && reply[HEADER..theirs].eq_ignore_ascii_case(&query[HEADER..ours]);
    is_response && reply[..2] == query[..2] && questions
}

/// True when another server may know better: SERVFAIL, NOTIMP, REFUSED.
pub fn is_failure(reply: &[u8]) -> bool {
    matches!(reply.get(3).map(|flags| flags & 15), Some(2 | 4 | 5))
}

/// A long answer cut down for an asker that takes no more over UDP: it is told to ask again over TCP. RFC 1035 §4.2.1, RFC 7766 §5.
pub fn truncate(reply: Vec<u8>, max: usize) -> Vec<u8> {
    if reply.len() <= max {
        return reply;
    }
    let mut short = reply;
    short.truncate(question_end(&short).unwrap_or(HEADER));
    short[2] |= 0x02;
    let questions = [short[4], short[5]];
    short[4..HEADER].fill(0);
    if short.len() > HEADER {
        short[4..6].copy_from_slice(&questions);
    }
    short
}

/// Where the question section ends. `None` when the message is cut off before.
fn question_end(message: &[u8]) -> Option<usize> {
    let questions = u16::from_be_bytes([*message.get(4)?, *message.get(5)?]);
    let mut at = HEADER;
    for _ in 0..questions {
        loop {
            let label = usize::from(*message.get(at)?);
            at += 1 + label;
            match label {
                0 => break,
                1..64 => {}
                // A pointer has nothing to point to in the first section.
                _ => return None,
            }
        }
        at += 4;
    }
    (at <= message.len()).then_some(at)
}

/// The addresses in an answer to a question about a name.
pub fn addresses(reply: &[u8]) -> Vec<IpAddr> {
    let Ok(message) = Message::from_vec(reply) else {
        return Vec::new();
    };
    let data = message.answers.iter().map(|record| &record.data);
    data.filter_map(|data| match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    })
    .collect()
}

#[cfg(test)]
mod tests;
