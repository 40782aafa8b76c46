use super::*;
use hickory_proto::op::Query;

fn query(name: &str, kind: RecordType, edns: Option<u16>) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.id = 0x1234;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    if let Some(size) = edns {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

fn reply_of(query: &[u8], code: ResponseCode, answers: usize) -> Vec<u8> {
    let mut message = Message::from_vec(query).unwrap();
    message.metadata.message_type = MessageType::Response;
    message.metadata.response_code = code;
    let name = message.queries[0].name().clone();
    for n in 0..answers {
        let address = [192, 0, 2, n as u8].into();
        message.add_answer(Record::from_rdata(name.clone(), 5, RData::A(A(address))));
    }
    message.to_vec().unwrap()
}

#[test]
fn our_answers_echo_the_question() {
    let question = Question::parse(&query("Hello.Sockeye.Test.", RecordType::A, Some(1232))).unwrap();
    let known = Known::Addresses(vec!["10.0.2.2".parse().unwrap()]);
    let reply = question.answer(&known);
    let read = Message::from_vec(&reply).unwrap();
    assert_eq!(read.metadata.id, 0x1234);
    assert!(read.metadata.recursion_desired && read.metadata.recursion_available && read.metadata.authoritative);
    assert_eq!(read.queries[0].name().to_ascii(), "Hello.Sockeye.Test.");
    assert_eq!(addresses(&reply), ["10.0.2.2".parse::<IpAddr>().unwrap()]);
    assert!(read.edns.is_some());
    let none = Message::from_vec(&question.answer(&Known::NoSuchName)).unwrap();
    assert_eq!(
        (none.metadata.response_code, none.authorities.len()),
        (ResponseCode::NXDomain, 1)
    );
}

#[test]
fn failures_say_why_to_those_who_can_read_it() {
    for (edns, options) in [(None, None), (Some(4096), Some(true))] {
        let question = Question::parse(&query("example.com.", RecordType::A, edns)).unwrap();
        let reply = Message::from_vec(&question.fail(Failure::NoServer)).unwrap();
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
        let extended =
            |edns: &Edns| matches!(edns.option(15.into()), Some(EdnsOption::Unknown(15, text)) if text[..2] == [0, 22]);
        assert_eq!(reply.edns.as_ref().map(extended), options);
    }
}

#[test]
fn what_is_no_question_is_told_so_or_ignored() {
    let good = query("example.com.", RecordType::A, None);
    let mut response = good.clone();
    response[2] |= 0x80;
    let mut update = good.clone();
    update[2] |= 5 << 3;
    let mut two = good.clone();
    two[5] = 2;
    for (case, bytes, want) in [
        ("empty", &b""[..], None),
        ("short", &good[..11], None),
        ("response", &response[..], None),
        ("update", &update[..], Some(4)),
        ("two questions", &two[..], Some(1)),
        ("cut off", &good[..good.len() - 1], Some(1)),
    ] {
        let code = match Question::parse(bytes) {
            Err(NoQuestion::Ignore) => None,
            Err(NoQuestion::Answer(reply)) => {
                assert_eq!(reply[..2], good[..2], "{case}");
                Some(reply[3] & 15)
            }
            Ok(_) => Some(0),
        };
        assert_eq!(code, want, "{case}");
    }
}

#[test]
fn only_the_answer_to_the_question_counts() {
    let asked = query("example.com.", RecordType::A, None);
    let reply = reply_of(&asked, ResponseCode::NoError, 1);
    let mut other_id = reply.clone();
    set_id(&mut other_id, 1);
    let mut other_case = reply.clone();
    other_case[13] = b'E';
    let other_name = reply_of(&query("example.org.", RecordType::A, None), ResponseCode::NoError, 1);
    let other_type = reply_of(&query("example.com.", RecordType::AAAA, None), ResponseCode::NoError, 0);
    for (case, bytes, want) in [
        ("reply", &reply, true),
        ("other case", &other_case, true),
        ("other id", &other_id, false),
        ("other name", &other_name, false),
        ("other type", &other_type, false),
        ("the query itself", &asked, false),
    ] {
        assert_eq!(answers(bytes, &asked), want, "{case}");
    }
    for cut in 0..reply.len() {
        answers(&reply[..cut], &asked);
        addresses(&reply[..cut]);
        let _ = Question::parse(&reply[..cut]);
    }
    assert!(is_failure(&reply_of(&asked, ResponseCode::Refused, 0)));
    assert!(!is_failure(&reply_of(&asked, ResponseCode::NXDomain, 0)));
}

#[test]
fn long_answers_are_cut_for_those_who_take_no_more() {
    for (edns, want) in [(None, 512), (Some(100), 512), (Some(1232), 1232), (Some(4096), 4096)] {
        let asked = query("example.com.", RecordType::A, edns);
        assert_eq!(Question::parse(&asked).unwrap().max_payload(), want, "{edns:?}");
    }
    let asked = query("example.com.", RecordType::A, None);
    let long = reply_of(&asked, ResponseCode::NoError, 100);
    assert!(long.len() > 512);
    let short = truncate(long.clone(), 512);
    let read = Message::from_vec(&short).unwrap();
    assert!(read.metadata.truncation && read.answers.is_empty() && answers(&short, &asked));
    assert_eq!(truncate(long.clone(), long.len()), long);
}

#[test]
fn mutated_messages_are_read_without_a_panic() {
    use crate::names::zone::Zone;
    use sockeye_core::keys::{Keys, below};
    let asked = query("hello.sockeye.test.", RecordType::A, Some(1232));
    let bases = [
        reply_of(&asked, ResponseCode::NoError, 3),
        query("2.2.0.10.in-addr.arpa.", RecordType::PTR, None),
        asked.clone(),
    ];
    let zone = Zone::new(true, true, &[]);
    let mut rng = Keys::new(1, "dns").stream("mutations");
    let mut draw = |n: usize| below(&mut rng, n as u64) as usize;
    for _ in 0..50_000 {
        let mut bytes = bases[draw(bases.len())].clone();
        for _ in 0..=draw(6) {
            let at = draw(bytes.len());
            match draw(4) {
                0 => bytes[at] = draw(256) as u8,
                1 => bytes[at] = 0xc0,
                2 => bytes.truncate(at + 1),
                _ => bytes.insert(at, 63),
            }
        }
        if let Ok(question) = Question::parse(&bytes) {
            let known = question.kind().and_then(|kind| zone.lookup(question.name(), kind));
            question.answer(&known.unwrap_or(Known::NoSuchName));
            question.fail(Failure::Busy);
        }
        answers(&bytes, &asked);
        addresses(&bytes);
        truncate(bytes, 20);
    }
}
