//! Characters to tokens. Comments are dropped here, but for the ones at the head of a script, which say what it shows.

use super::fault::{At, Wrong, wrong};

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) at: At,
    pub(super) kind: Kind,
    /// As it was written: a cookie such as `0011` is more than its number.
    pub(super) text: String,
    /// Where it begins and ends, in characters.
    pub(super) span: (usize, usize),
    /// Follows the token before without a space.
    pub(super) joined: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Int(i64),
    Float(f64),
    Word,
    /// Between double quotes, escapes resolved.
    Text(Vec<u8>),
    /// `...`
    Ellipsis,
    /// Between back quotes.
    Command,
    /// Between `%{` and `}%`.
    Code,
    /// `--name=value`
    Flag,
    /// Any other character.
    Sign(char),
    End,
}

/// All tokens, with an `End` last.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Wrong> {
    let mut cursor = Cursor::new(text);
    let mut tokens = Vec::new();
    loop {
        let before = cursor.here;
        cursor.skip_blanks()?;
        let joined = before == cursor.here;
        let (at, start) = (cursor.place, cursor.here);
        let kind = cursor.token()?;
        let end = kind == Kind::End;
        tokens.push(Token {
            at,
            text: cursor.between(start),
            span: (start, cursor.here),
            kind,
            joined,
        });
        if end {
            return Ok(tokens);
        }
    }
}

/// The comment lines before the first statement, without their marks.
pub(super) fn head_comments(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    let head = lines.take_while(|line| line.is_empty() || line.starts_with("//") || line.starts_with('#'));
    head.map(|line| line.trim_start_matches(['/', '#']).trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

struct Cursor {
    chars: Vec<char>,
    here: usize,
    place: At,
}

impl Cursor {
    fn new(text: &str) -> Self {
        Self {
            chars: text.chars().collect(),
            here: 0,
            place: At { line: 1, column: 1 },
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.here + ahead).copied()
    }

    fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(n, c)| self.peek(n) == Some(c))
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.here += 1;
        if c == '\n' {
            self.place.line += 1;
            self.place.column = 1;
        } else {
            self.place.column += 1;
        }
        Some(c)
    }

    fn skip(&mut self, n: usize) {
        for _ in 0..n {
            let _ = self.next();
        }
    }

    fn between(&self, start: usize) -> String {
        self.chars[start..self.here].iter().collect()
    }

    fn skip_blanks(&mut self) -> Result<(), Wrong> {
        loop {
            if self.looking_at("/*") {
                self.closed_by("*/", "a comment")?;
            } else if self.looking_at("//") || self.looking_at("#") {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.skip(1);
                }
            } else if self.peek(0).is_some_and(char::is_whitespace) {
                self.skip(1);
            } else {
                return Ok(());
            }
        }
    }

    /// Skips what opens here (two characters) up to and including `close`.
    fn closed_by(&mut self, close: &str, what: &str) -> Result<(), Wrong> {
        let at = self.place;
        self.skip(2);
        while !self.looking_at(close) {
            if self.next().is_none() {
                return wrong(at, format!("{what} that begins here never ends: `{close}` is missing"));
            }
        }
        self.skip(close.len());
        Ok(())
    }

    fn token(&mut self) -> Result<Kind, Wrong> {
        let Some(c) = self.peek(0) else {
            return Ok(Kind::End);
        };
        match c {
            '"' => self.quoted('"').map(Kind::Text),
            '`' => self.command().map(|()| Kind::Command),
            _ if self.looking_at("%{") => self.closed_by("}%", "code").map(|()| Kind::Code),
            _ if self.looking_at("...") => {
                self.skip(3);
                Ok(Kind::Ellipsis)
            }
            '-' if self.peek(1) == Some('-') => {
                while self.peek(0).is_some_and(|c| !c.is_whitespace()) {
                    self.skip(1);
                }
                Ok(Kind::Flag)
            }
            '.' if self.peek(1).is_some_and(|c| c.is_ascii_digit()) => self.number(),
            _ if c.is_alphanumeric() || c == '_' => self.number(),
            _ => {
                self.skip(1);
                Ok(Kind::Sign(c))
            }
        }
    }

    /// Skips a command: what the shell makes of its escapes is the shell's.
    fn command(&mut self) -> Result<(), Wrong> {
        let at = self.place;
        self.skip(1);
        while let Some(c) = self.next() {
            match c {
                '`' => return Ok(()),
                '\\' => self.skip(1),
                _ => {}
            }
        }
        wrong(at, "a command that begins here never ends: ` is missing")
    }

    /// What is between two quotes, escapes resolved.
    fn quoted(&mut self, quote: char) -> Result<Vec<u8>, Wrong> {
        let at = self.place;
        self.skip(1);
        let mut text = String::new();
        let mut bytes = Vec::new();
        loop {
            match self.next() {
                Some(c) if c == quote => break,
                Some('\\') => {
                    bytes.extend(std::mem::take(&mut text).into_bytes());
                    bytes.push(self.escape()?);
                }
                Some(c) => text.push(c),
                None => return wrong(at, format!("text that begins here never ends: {quote} is missing")),
            }
        }
        bytes.extend(text.into_bytes());
        Ok(bytes)
    }

    fn escape(&mut self) -> Result<u8, Wrong> {
        let at = self.place;
        match self.next() {
            Some('n') => Ok(b'\n'),
            Some('r') => Ok(b'\r'),
            Some('t') => Ok(b'\t'),
            Some('x') => {
                let digits: Option<String> = [self.next(), self.next()].into_iter().collect();
                let value = digits.and_then(|digits| u8::from_str_radix(&digits, 16).ok());
                value.ok_or((at, "two hexadecimal digits belong after \\x".to_owned()))
            }
            Some(c @ '0'..='7') => {
                let mut value = c as u32 - '0' as u32;
                while let Some(c @ '0'..='7') = self.peek(0)
                    && value < 32
                {
                    value = value * 8 + (c as u32 - '0' as u32);
                    self.skip(1);
                }
                Ok(value as u8)
            }
            Some(c) if c.is_ascii_punctuation() => Ok(c as u8),
            _ => wrong(at, "this escape is not known; \\n, \\r, \\t, \\xHH and \\OOO are"),
        }
    }

    /// A number, or a word: whatever letters and digits say.
    fn number(&mut self) -> Result<Kind, Wrong> {
        let (at, start) = (self.place, self.here);
        let word = |c: char| c.is_alphanumeric() || c == '_';
        while self.peek(0).is_some_and(word) {
            self.skip(1);
        }
        let digits = self.chars[start..self.here].iter().all(char::is_ascii_digit);
        if digits && self.peek(0) == Some('.') && self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
            self.skip(1);
            while self.peek(0).is_some_and(|c| c.is_ascii_digit()) {
                self.skip(1);
            }
            let text = self.between(start);
            let text = if text.starts_with('.') {
                format!("0{text}")
            } else {
                text
            };
            return Ok(Kind::Float(text.parse().unwrap_or_default()));
        }
        let text = self.between(start);
        let hex = text.strip_prefix("0x").or(text.strip_prefix("0X"));
        match hex {
            Some(hex) if hex.len() <= 16 && !hex.is_empty() && hex.chars().all(|c| c.is_ascii_hexdigit()) => Ok(
                Kind::Int(u64::from_str_radix(hex, 16).unwrap_or_default().cast_signed()),
            ),
            // A long one is bytes, not a number.
            _ if digits && text.len() <= 20 => match text.parse() {
                Ok(value) => Ok(Kind::Int(value)),
                Err(_) => wrong(at, format!("{text} is too large a number")),
            },
            _ => Ok(Kind::Word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn times_numbers_and_words_part_where_they_should() {
        use Kind::*;
        assert_eq!(
            kinds("+.1...0.200 S. 0x10 1:1461(0) // no"),
            [
                Sign('+'),
                Float(0.1),
                Ellipsis,
                Float(0.2),
                Word,
                Sign('.'),
                Int(16),
                Int(1),
                Sign(':'),
                Int(1461),
                Sign('('),
                Int(0),
                Sign(')'),
                End
            ]
        );
        assert_eq!(kinds("+0...0.1")[..3], [Sign('+'), Int(0), Ellipsis]);
        assert_eq!(
            kinds(r#""a\x41\n" /* c */ `x`"#),
            [Text(b"aA\n".to_vec()), Command, End]
        );
        assert_eq!(kinds("--mss=1000 # end"), [Flag, End]);
        assert_eq!(kinds("%{ assert 1 }% 0011aa"), [Code, Word, End]);
    }

    #[test]
    fn what_never_ends_is_named_by_its_beginning() {
        for text in ["1\n  \"abc", "1\n  `abc", "1\n  %{ abc", "1\n  /* abc"] {
            let (at, said) = tokens(text).unwrap_err();
            assert_eq!(at, At { line: 2, column: 3 }, "{text}");
            assert!(said.contains("missing"), "{said}");
        }
    }
}
