//! Names over TCP: messages with their length in front. Answers go out in the order in which they become known. RFC 1035 §4.2.2, RFC 7766.

use super::{INPUT, Io, Step};
use sockeye_core::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a client may keep its connection without a question. RFC 7766 §6.2.3 asks for a few seconds at least.
const IDLE: Duration = Duration::from_secs(30);
/// Questions of one connection on their way at a time.
const PENDING: usize = 32;

/// One connection's framing.
#[derive(Debug, Default)]
pub(crate) struct Framed {
    questions: VecDeque<Vec<u8>>,
    answers: VecDeque<Vec<u8>>,
    pending: usize,
    last: Option<Instant>,
}

impl Framed {
    /// A question that was received.
    pub(crate) fn poll_question(&mut self) -> Option<Vec<u8>> {
        self.questions.pop_front()
    }

    /// The answer to one of them.
    pub(crate) fn on_answer(&mut self, answer: Vec<u8>) {
        self.pending = self.pending.saturating_sub(1);
        self.answers.push_back(answer);
    }

    pub(super) fn step(&mut self, io: &mut Io<'_>) -> Step {
        for answer in self.answers.drain(..) {
            let length = answer.len().min(usize::from(u16::MAX));
            io.output.append(&(length as u16).to_be_bytes());
            io.output.append(&answer[..length]);
        }
        self.last.get_or_insert(io.now);
        while self.pending < PENDING && io.room() > INPUT {
            let mut length = [0; 2];
            let have = io.input.peek(&mut length) == 2;
            let length = usize::from(u16::from_be_bytes(length));
            if !have || io.input.len() < 2 + length {
                break;
            }
            io.input.drop_front(2);
            let mut message = vec![0; length];
            io.input.read(&mut message);
            self.questions.push_back(message);
            self.pending += 1;
            self.last = Some(io.now);
        }
        let patience = self.last.unwrap_or(io.now) + IDLE;
        match self.pending {
            0 if io.ended || patience <= io.now => Step::Close,
            0 => Step::GoUntil(patience),
            // An answer is on its way, if only one that says that there is none.
            _ => Step::Go,
        }
    }
}
