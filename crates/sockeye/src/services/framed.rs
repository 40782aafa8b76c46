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

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_core::buf::Rope;

    fn step(framed: &mut Framed, input: &mut Rope, ended: bool, output: &mut Rope, now: Instant) -> Step {
        framed.step(&mut Io {
            input,
            ended,
            output,
            now,
            report: &|| unreachable!("only the web server shows the connection"),
        })
    }

    #[test]
    fn messages_come_out_whole_however_they_came_in() {
        let (mut framed, mut input, mut output) = (Framed::default(), Rope::new(), Rope::new());
        for byte in [0, 3, 1, 2, 3, 0, 0, 0, 2, 9] {
            input.append(&[byte]);
            step(&mut framed, &mut input, false, &mut output, Instant::ZERO);
        }
        assert_eq!(framed.poll_question(), Some(vec![1, 2, 3]));
        assert_eq!(framed.poll_question(), Some(vec![]));
        assert_eq!(framed.poll_question(), None);
        framed.on_answer(vec![7; 300]);
        // The second answer is still to come, so the end of the questions is not the end.
        assert_eq!(
            step(&mut framed, &mut input, true, &mut output, Instant::ZERO),
            Step::Go
        );
        assert_eq!(
            (output.len(), output.slices().next().map(|slice| slice[..3].to_vec())),
            (302, Some(vec![1, 44, 7]))
        );
        framed.on_answer(vec![8]);
        assert_eq!(
            step(&mut framed, &mut input, true, &mut output, Instant::ZERO),
            Step::Close
        );
    }

    #[test]
    fn a_silent_client_is_let_go_and_a_greedy_one_waits() {
        let (mut framed, mut input, mut output) = (Framed::default(), Rope::new(), Rope::new());
        let Step::GoUntil(at) = step(&mut framed, &mut input, false, &mut output, Instant::ZERO) else {
            panic!("no patience set");
        };
        assert_eq!(step(&mut framed, &mut input, false, &mut output, at), Step::Close);
        input.append(&[0; 200]);
        assert_eq!(step(&mut framed, &mut input, false, &mut output, at), Step::Go);
        assert_eq!((framed.pending, input.len()), (PENDING, 200 - 2 * PENDING));
    }
}
