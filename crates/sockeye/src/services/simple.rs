//! The services of the early eighties: echo, discard, daytime, character generator.

use super::clock::Utc;
use super::{Io, Step};
use bytes::Bytes;
use sockeye_core::buf::Rope;
use std::sync::OnceLock;

/// Characters of one line of the generator, and the whole line with its end.
const WIDTH: usize = 72;
const LINE: usize = WIDTH + 2;
/// Lines until the pattern repeats: one for each printable character.
const LINES: usize = 95;

/// RFC 862.
pub(super) fn echo(io: &mut Io<'_>) -> Step {
    while let Some(chunk) = io.input.pop_chunk(io.room()) {
        io.output.push(chunk);
    }
    close_when(io.ended && io.input.is_empty())
}

/// RFC 863.
pub(super) fn discard(io: &mut Io<'_>) -> Step {
    *io.input = Rope::new();
    close_when(io.ended)
}

/// RFC 867: what is sent to it is thrown away.
pub(super) fn daytime(io: &mut Io<'_>) -> Step {
    io.output.append(format!("{}\r\n", Utc::now().daytime()).as_bytes());
    Step::Close
}

/// RFC 864: lines without end, until the client has enough.
pub(super) fn chargen(io: &mut Io<'_>, line: &mut usize) -> Step {
    *io.input = Rope::new();
    if io.ended {
        return Step::Close;
    }
    let pattern = pattern();
    while io.room() >= LINE {
        let lines = (io.room() / LINE).min(LINES - *line);
        io.output.push(pattern.slice(*line * LINE..(*line + lines) * LINE));
        *line = (*line + lines) % LINES;
    }
    Step::Go
}

/// All lines: each begins one character further in the circle of printable ones. RFC 864's example.
fn pattern() -> &'static Bytes {
    static PATTERN: OnceLock<Bytes> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let character = |n: usize| b' ' + (n % LINES) as u8;
        let line = |n: usize| (n..n + WIDTH).map(character).chain(*b"\r\n");
        (0..LINES).flat_map(line).collect()
    })
}

/// The answer to a datagram at a port of the gateway: `None` when nobody is there, `Some(None)` when there is nothing to say.
pub(crate) fn datagram(port: u16, data: &Bytes) -> Option<Option<Bytes>> {
    Some(match port {
        7 => Some(data.clone()),
        9 => None,
        13 => Some(format!("{}\r\n", Utc::now().daytime()).into()),
        // RFC 864 asks for a random number of characters up to 512: as many as the question had, for an answer larger than its
        // question is what amplification attacks live from.
        19 => Some(pattern().slice(..data.len().min(512))),
        _ => return None,
    })
}

fn close_when(over: bool) -> Step {
    if over { Step::Close } else { Step::Go }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::{OUTPUT, Service};
    use sockeye_core::Instant;

    fn step(service: &mut Service, input: &mut Rope, ended: bool, output: &mut Rope) -> Step {
        service.step(&mut Io {
            input,
            ended,
            output,
            now: Instant::ZERO,
            report: &|| unreachable!("only the web server shows the connection"),
        })
    }

    #[test]
    fn each_service_takes_and_gives_what_its_rfc_says() {
        for (port, ended, want, step_wanted) in [
            (7, false, Some("hello"), Step::Go),
            (7, true, Some("hello"), Step::Close),
            (9, false, Some(""), Step::Go),
            (9, true, Some(""), Step::Close),
            (13, false, None, Step::Close),
            (19, true, Some(""), Step::Close),
        ] {
            let (mut input, mut output) = (Rope::new(), Rope::new());
            input.append(b"hello");
            let mut service = Service::at(port).unwrap();
            let got = step(&mut service, &mut input, ended, &mut output);
            let text: Vec<u8> = output.slices().flatten().copied().collect();
            assert_eq!(
                (got, input.len()),
                (step_wanted, if port == 13 { 5 } else { 0 }),
                "{port}"
            );
            assert!(want.is_none_or(|want| want.as_bytes() == text), "{port}");
        }
        assert!(Service::at(17).is_none() && datagram(17, &Bytes::new()).is_none());
    }

    #[test]
    fn the_generator_goes_on_where_it_stopped() {
        let (mut input, mut output, mut all) = (Rope::new(), Rope::new(), Vec::new());
        let mut service = Service::at(19).unwrap();
        for _ in 0..5 {
            assert_eq!(step(&mut service, &mut input, false, &mut output), Step::Go);
            assert!(output.len() <= OUTPUT && output.len() > OUTPUT - LINE);
            all.extend(output.slices().flatten().copied());
            output = Rope::new();
        }
        assert!(
            all.chunks_exact(LINE)
                .enumerate()
                .all(|(n, line)| line[0] == b' ' + (n % LINES) as u8)
        );
    }

    #[test]
    fn echo_takes_no_more_than_it_can_give() {
        let (mut input, mut output) = (Rope::new(), Rope::new());
        input.push(vec![1; OUTPUT + 10].into());
        let mut service = Service::at(7).unwrap();
        assert_eq!(step(&mut service, &mut input, true, &mut output), Step::Go);
        assert_eq!((input.len(), output.len()), (10, OUTPUT));
        output = Rope::new();
        assert_eq!(step(&mut service, &mut input, true, &mut output), Step::Close);
    }
}
