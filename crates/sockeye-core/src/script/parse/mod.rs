//! Tokens to a tree. Every complaint names a place, what stands there, and what could.

mod call;
mod packet;

use super::fault::{At, Fault, Wrong, wrong};
use super::lexer::{Kind, Token, head_comments, tokens};
use super::python;
use super::tree::{Action, Event, Flag, Script, When};
use crate::time::Duration;

impl Script {
    /// Reads a script; `name` is for messages.
    ///
    /// # Errors
    /// The first thing that cannot be read, with its place.
    pub fn parse(name: &str, text: &str) -> Result<Self, Fault> {
        let read = || -> Result<Self, Wrong> {
            let mut parser = Parser {
                source: text.chars().collect(),
                tokens: tokens(text)?,
                here: 0,
                depth: 0,
                v6: false,
            };
            let flags = parser.flags()?;
            let is_v6 = |flag: &Flag| flag.name == "ip_version" && flag.value == "ipv6";
            parser.v6 = flags.iter().any(is_v6);
            Ok(Self {
                name: name.to_owned(),
                head: head_comments(text),
                flags,
                events: parser.events()?,
            })
        };
        read().map_err(|(at, text)| Fault {
            file: name.to_owned(),
            at,
            text,
            around: Vec::new(),
        })
    }
}

struct Parser {
    source: Vec<char>,
    tokens: Vec<Token>,
    here: usize,
    /// Brackets open, so that nobody drives us out of stack.
    depth: u32,
    /// `--ip_version=ipv6`
    v6: bool,
}

impl Parser {
    fn token(&self) -> &Token {
        &self.tokens[self.here.min(self.tokens.len() - 1)]
    }

    fn ahead(&self, n: usize) -> &Token {
        &self.tokens[(self.here + n).min(self.tokens.len() - 1)]
    }

    fn at(&self) -> At {
        self.token().at
    }

    fn step(&mut self) {
        self.here += 1;
    }

    fn is(&self, sign: char) -> bool {
        self.token().kind == Kind::Sign(sign)
    }

    fn is_word(&self, word: &str) -> bool {
        self.token().kind == Kind::Word && self.token().text == word
    }

    /// Takes a sign if it is there.
    fn take(&mut self, sign: char) -> bool {
        let there = self.is(sign);
        self.here += usize::from(there);
        there
    }

    /// Takes a word if it is there.
    fn take_word(&mut self, word: &str) -> bool {
        let there = self.is_word(word);
        self.here += usize::from(there);
        there
    }

    /// Complains about the next token.
    fn expected<T>(&self, what: &str) -> Result<T, Wrong> {
        let token = self.token();
        let found = match &token.kind {
            Kind::End => "the end of the script".to_owned(),
            _ => format!("`{}`", token.text.chars().take(40).collect::<String>()),
        };
        wrong(token.at, format!("{what} is expected here, not {found}"))
    }

    fn expect(&mut self, sign: char) -> Result<(), Wrong> {
        if self.take(sign) {
            Ok(())
        } else {
            self.expected(&format!("`{sign}`"))
        }
    }

    fn word(&mut self, what: &str) -> Result<String, Wrong> {
        if self.token().kind != Kind::Word {
            return self.expected(what);
        }
        let text = self.token().text.clone();
        self.step();
        Ok(text)
    }

    /// A number that fits `T`.
    fn number<T: TryFrom<i64>>(&mut self, what: &str) -> Result<T, Wrong> {
        let Kind::Int(value) = self.token().kind else {
            return self.expected(what);
        };
        let fits = T::try_from(value);
        let at = self.at();
        self.step();
        fits.map_err(|_| (at, format!("{value} is out of range for {what}")))
    }

    fn flags(&mut self) -> Result<Vec<Flag>, Wrong> {
        let mut flags = Vec::new();
        while self.token().kind == Kind::Flag {
            let Token { at, text, .. } = self.token().clone();
            let text = text.trim_start_matches('-');
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            flags.push(Flag {
                at,
                name: name.to_owned(),
                value: value.trim_matches('"').to_owned(),
            });
            self.step();
        }
        Ok(flags)
    }

    fn events(&mut self) -> Result<Vec<Event>, Wrong> {
        let mut events = Vec::new();
        while self.token().kind != Kind::End {
            events.push(self.event()?);
        }
        Ok(events)
    }

    fn event(&mut self) -> Result<Event, Wrong> {
        let (at, first) = (self.at(), self.here);
        // Commands that come before and after all others have no time.
        let when = match self.token().kind {
            Kind::Command => When::After(Duration::ZERO),
            _ => self.when()?,
        };
        let action = match &self.token().kind {
            Kind::Sign('<' | '>') => Action::Packet(self.packet()?),
            Kind::Command => self.command(),
            Kind::Code => {
                let token = self.token().clone();
                self.step();
                Action::Code(python::parse(token.at, &token.text)?)
            }
            Kind::Ellipsis | Kind::Word => Action::Call(self.call()?),
            _ => return self.expected("a packet (`<` or `>`), a call, a `command` or %{ code }%"),
        };
        let text = self.written(first);
        Ok(Event { at, text, when, action })
    }

    /// What was written from token `first` up to here, in one line.
    fn written(&self, first: usize) -> String {
        let (from, to) = (self.tokens[first].span.0, self.tokens[self.here - 1].span.1);
        let text: String = self.source[from..to].iter().collect();
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").chars().take(200).collect()
    }

    fn command(&mut self) -> Action {
        let text = self.token().text.trim_matches('`').trim().to_owned();
        self.step();
        Action::Command(text)
    }

    fn when(&mut self) -> Result<When, Wrong> {
        if self.take('*') {
            return Ok(When::Anytime);
        }
        let relative = self.take('+');
        let from = self.time()?;
        if !self.take('~') {
            return Ok(if relative { When::After(from) } else { When::At(from) });
        }
        let at = self.at();
        if self.take('+') != relative {
            return wrong(at, "both ends of a range are relative (`+1~+2`) or neither is (`1~2`)");
        }
        let to = self.time()?;
        if to < from {
            return wrong(at, "the range ends before it begins");
        }
        Ok(if relative {
            When::AfterBetween(from, to)
        } else {
            When::Between(from, to)
        })
    }

    /// Seconds.
    fn time(&mut self) -> Result<Duration, Wrong> {
        let seconds = match self.token().kind {
            Kind::Int(whole) => whole as f64,
            Kind::Float(seconds) => seconds,
            _ => return self.expected("a time in seconds (`0.1`, `+.1`, `*`)"),
        };
        // Beyond a year nobody waits; below it, all sums fit.
        if !(0.0..=31_536_000.0).contains(&seconds) {
            return self.expected("a time between 0 and a year, in seconds,");
        }
        self.step();
        Ok(Duration::from_nanos((seconds * 1e9).round() as u64))
    }

    /// Counts one more bracket open.
    fn deeper(&mut self) -> Result<(), Wrong> {
        self.depth += 1;
        if self.depth > 64 {
            return wrong(self.at(), "brackets are nested too deeply: 64 is the most");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
