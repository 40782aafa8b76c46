//! Shell commands of a script, as far as they set sysctls, read counters or would change nothing here. No shell is ever started.
//!
//! The scripts that come with packetdrill and with Linux begin with `defaults.sh`, which is a list of settings; end with a script that sets them
//! back, for which nobody is left here; and look at counters by `nstat | grep NAME | grep -q " 3 "`. What is not understood is refused.

/// One thing that a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Set(Setting),
    /// `nstat`: what counters grew by since it was asked last.
    Counters {
        /// What it shows is the new beginning.
        remember: bool,
        /// Of its lines those stay that hold all of these; with any, one line must stay.
        holding: Vec<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// With dots: `net.ipv4.tcp_sack`.
    pub(super) name: String,
    pub(super) value: String,
    /// Nobody minds when it is not there.
    pub(super) optional: bool,
}

/// What Linux's and packetdrill's `defaults.sh` set.
const DEFAULTS: &[(&str, &str)] = &[
    ("net.ipv4.tcp_rmem", "4096 540000 15728640"),
    ("net.ipv4.tcp_wmem", "4096 262144 4194304"),
    ("net.ipv4.tcp_timestamps", "1"),
    ("net.ipv4.tcp_syn_retries", "5"),
    ("net.ipv4.tcp_synack_retries", "5"),
    ("net.ipv4.tcp_frto", "2"),
    ("net.ipv4.tcp_sack", "1"),
    ("net.ipv4.tcp_dsack", "1"),
    ("net.ipv4.tcp_reordering", "3"),
    ("net.ipv4.tcp_congestion_control", "cubic"),
    ("net.ipv4.tcp_slow_start_after_idle", "0"),
    ("net.ipv4.tcp_early_retrans", "4"),
    ("net.ipv4.tcp_recovery", "1"),
    ("net.ipv4.tcp_ecn", "0"),
    ("net.ipv4.tcp_fastopen", "3"),
    ("net.ipv4.tcp_fastopen_key", "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4"),
    ("net.ipv4.tcp_syncookies", "1"),
    // A queue that does not pace, and a kernel's path MTU that is not searched for.
    ("net.ipv4.tcp_pacing_ss_ratio", "0"),
    ("net.ipv4.tcp_pacing_ca_ratio", "0"),
    ("net.ipv4.tcp_mtu_probing", "0"),
];

/// Settings of Linux that decide how it cuts work into pieces, which no peer can tell; and one of an algorithm that it no longer has.
const WITHOUT_EFFECT: &[&str] = &[
    "net.ipv4.tcp_tso_win_divisor",
    "net.ipv4.tcp_tso_rtt_log",
    "net.ipv4.tcp_limit_output_bytes",
    "net.ipv4.tcp_low_latency",
    "net.ipv4.tcp_no_metrics_save",
    "net.ipv4.tcp_fack",
];

/// What a command asks for. The error says what is not understood.
pub(super) fn steps(command: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for pipeline in pipelines(command)? {
        let Some((first, filters)) = pipeline.split_first() else {
            continue;
        };
        one(first, filters, &mut steps)?;
    }
    Ok(steps)
}

fn one(words: &[String], filters: &[Vec<String>], steps: &mut Vec<Step>) -> Result<(), String> {
    let (first, rest) = words.split_first().ok_or("a command is missing")?;
    let program = first.rsplit('/').next().unwrap_or_default();
    if program != "nstat" && !filters.is_empty() {
        return Err(format!("what `{first}` says is not read: only nstat's is"));
    }
    match (program, rest.first().map(String::as_str)) {
        ("sysctl" | "set_sysctls.py", _) => {
            let optional = rest.iter().any(|word| word.starts_with('-') && word.contains('e'));
            for word in rest.iter().filter(|word| !word.starts_with('-')) {
                let setting = setting(word, optional)?;
                if !WITHOUT_EFFECT.contains(&setting.name.as_str()) {
                    steps.push(Step::Set(setting));
                }
            }
        }
        ("defaults.sh", None) => steps.extend(DEFAULTS.iter().map(|(name, value)| {
            Step::Set(Setting {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
                optional: true,
            })
        })),
        ("nstat", _) => steps.push(counters(rest, filters)?),
        // Of routes that are not there, of how a device would cut, of what comes after the script.
        ("ip", Some("tcp_metrics")) | ("ethtool", Some("-K")) | ("true" | ":", None) => {}
        ("tc", Some("qdisc")) if is_plain_queue(rest) => {}
        (program, None) if program.starts_with("sysctl_restore_") => {}
        _ => {
            let known = "sysctl NAME=VALUE, set_sysctls.py, defaults.sh, `nstat | grep NAME | grep -q VALUE`";
            return Err(format!("`{}` is not run: {known} are understood", words.join(" ")));
        }
    }
    Ok(())
}

/// A queue that holds what it is given and paces nothing, or the end of one.
fn is_plain_queue(words: &[String]) -> bool {
    let has = |word: &str| words.iter().any(|known| known == word);
    !has("limit") && (has("pfifo") || has("pfifo_fast") || has("del") || has("delete"))
}

fn counters(options: &[String], filters: &[Vec<String>]) -> Result<Step, String> {
    let (mut remember, mut holding) = (true, Vec::new());
    for option in options {
        match option.as_str() {
            "-n" | "-a" | "-z" => {}
            "-s" => remember = false,
            name if !name.starts_with('-') => holding.push(name.to_owned()),
            other => return Err(format!("nstat {other} is not understood: -n, -s and names are")),
        }
    }
    for filter in filters {
        match filter.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["grep", text] | ["grep", "-q" | "-F", text] => holding.push(text.to_owned()),
            _ => return Err(format!("`{}` is not understood: grep TEXT is", filter.join(" "))),
        }
    }
    Ok(Step::Counters { remember, holding })
}

fn setting(word: &str, optional: bool) -> Result<Setting, String> {
    let Some((name, value)) = word.split_once('=') else {
        return Err(format!("`{word}` sets nothing: NAME=VALUE would"));
    };
    let name = name.strip_prefix("/proc/sys/").unwrap_or(name).replace('/', ".");
    Ok(Setting {
        name,
        value: value.trim().to_owned(),
        optional,
    })
}

/// Commands with what their output goes through, each a list of words.
fn pipelines(command: &str) -> Result<Vec<Vec<Vec<String>>>, String> {
    let command = command.replace("\\\n", " ");
    let mut all = Vec::new();
    let mut pipeline: Vec<Vec<String>> = vec![Vec::new()];
    let mut text = Text {
        chars: command.chars().collect(),
        here: 0,
    };
    let mut dropped = false;
    while let Some(token) = text.token()? {
        match token {
            Token::Word(_) if std::mem::take(&mut dropped) => {}
            Token::Word(word) => pipeline.last_mut().expect("never empty").push(word),
            // Where output goes is nobody's business here.
            Token::Sign(">") => dropped = true,
            Token::Sign("|") => pipeline.push(Vec::new()),
            Token::Sign(_) => all.push(std::mem::replace(&mut pipeline, vec![Vec::new()])),
        }
    }
    all.push(pipeline);
    all.retain(|pipeline| pipeline.iter().any(|words| !words.is_empty()));
    Ok(all)
}

enum Token {
    Word(String),
    /// `|`, `>`, or what ends a command.
    Sign(&'static str),
}

struct Text {
    chars: Vec<char>,
    here: usize,
}

impl Text {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.here).copied()
    }

    fn looking_at(&mut self, text: &str) -> bool {
        let there = text
            .chars()
            .enumerate()
            .all(|(n, c)| self.chars.get(self.here + n) == Some(&c));
        self.here += if there { text.chars().count() } else { 0 };
        there
    }

    fn token(&mut self) -> Result<Option<Token>, String> {
        while self.peek().is_some_and(|c| c.is_whitespace() && c != '\n') {
            self.here += 1;
        }
        if self.peek() == Some('#') {
            while self.peek().is_some_and(|c| c != '\n') {
                self.here += 1;
            }
        }
        if self.peek().is_none() {
            return Ok(None);
        }
        for silent in ["2>&1", "&>/dev/null", "2>/dev/null", "2> /dev/null"] {
            if self.looking_at(silent) {
                return self.token();
            }
        }
        if self.looking_at("||") {
            return Err("`||` is not understood".into());
        }
        for (written, sign) in [
            ("&&", ";"),
            ("\n", ";"),
            (";", ";"),
            ("|", "|"),
            (">>", ">"),
            (">", ">"),
        ] {
            if self.looking_at(written) {
                return Ok(Some(Token::Sign(sign)));
            }
        }
        self.word().map(|word| Some(Token::Word(word)))
    }

    /// A word, with quotes keeping it together and `$((...))` worked out.
    fn word(&mut self) -> Result<String, String> {
        let (mut word, mut quote) = (String::new(), None);
        while let Some(c) = self.peek() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (None, c) if c.is_whitespace() || ";|>&".contains(c) => break,
                (None | Some('"'), '$') if self.looking_at("$((") => {
                    word.push_str(&self.sum()?.to_string());
                    if !self.looking_at("))") {
                        return Err("`))` is missing".into());
                    }
                    continue;
                }
                (_, c) => word.push(c),
            }
            self.here += 1;
        }
        match quote {
            Some(quote) => Err(format!("a {quote} is missing")),
            None => Ok(word),
        }
    }

    fn sum(&mut self) -> Result<i64, String> {
        let mut value = self.product()?;
        loop {
            let plus = self.looking_at("+");
            if !plus && !self.looking_at("-") {
                return Ok(value);
            }
            let right = self.product()?;
            let result = if plus {
                value.checked_add(right)
            } else {
                value.checked_sub(right)
            };
            value = result.ok_or("a number is too large")?;
        }
    }

    fn product(&mut self) -> Result<i64, String> {
        let mut value = self.operand()?;
        loop {
            let times = self.looking_at("*");
            if !times && !self.looking_at("/") {
                return Ok(value);
            }
            let right = self.operand()?;
            let result = if times {
                value.checked_mul(right)
            } else {
                value.checked_div(right)
            };
            value = result.ok_or("a number is too large, or divided by 0")?;
        }
    }

    fn operand(&mut self) -> Result<i64, String> {
        self.blanks();
        let start = self.here;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.here += 1;
        }
        let digits: String = self.chars[start..self.here].iter().collect();
        self.blanks();
        digits
            .parse()
            .map_err(|_| "$((...)) takes numbers and + - * /".to_owned())
    }

    fn blanks(&mut self) {
        while self.peek() == Some(' ') {
            self.here += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(command: &str) -> Vec<(String, String)> {
        let settings = steps(command).unwrap().into_iter().filter_map(|step| match step {
            Step::Set(setting) => Some((setting.name, setting.value)),
            Step::Counters { .. } => None,
        });
        settings.collect()
    }

    #[test]
    fn settings_are_understood() {
        let want = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs("sysctl -q net.ipv4.tcp_sack=0"), [want("net.ipv4.tcp_sack", "0")]);
    }

    #[test]
    fn sums_quotes_and_lines_are_understood() {
        let want = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            pairs(
                "sysctl -q net/ipv4/tcp_rmem=\"4096 5000 $((15*1024*1024 - 1))\" net.ipv4.tcp_ecn=1\nsysctl -w a.b='c'"
            ),
            [
                want("net.ipv4.tcp_rmem", "4096 5000 15728639"),
                want("net.ipv4.tcp_ecn", "1"),
                want("a.b", "c")
            ]
        );
        let all = pairs("../common/defaults.sh\n../common/set_sysctls.py /proc/sys/net/ipv4/tcp_sack=0 \\\n a.b=1");
        assert_eq!(all.len(), DEFAULTS.len() + 2);
        assert_eq!(all[all.len() - 2..], [want("net.ipv4.tcp_sack", "0"), want("a.b", "1")]);
        assert_eq!(pairs("sysctl -q net.ipv4.tcp_tso_win_divisor=4 > /dev/null 2>&1"), []);
        assert_eq!(
            pairs("tc qdisc replace dev tun0 root pfifo; ip tcp_metrics flush all\n/tmp/sysctl_restore_${PPID}.sh"),
            []
        );
    }

    #[test]
    fn counters_are_asked_for() {
        let asked = |remember, holding: &[&str]| {
            let holding = holding.iter().map(|text| (*text).to_owned()).collect();
            Ok(vec![Step::Counters { remember, holding }])
        };
        assert_eq!(steps("nstat -n"), asked(true, &[]));
        assert_eq!(steps("nstat > /dev/null"), asked(true, &[]));
        let both = asked(false, &["TcpExtBeyondWindow", " 3 "]);
        assert_eq!(steps("nstat -s | grep TcpExtBeyondWindow| grep -q \" 3 \""), both);
    }

    #[test]
    fn the_rest_is_refused() {
        for bad in [
            "rm -rf /",
            "sysctl -q net.ipv4.tcp_sack",
            "sleep 1",
            "tc qdisc replace dev tun0 root fq",
            "tc qdisc add dev tun0 root pfifo limit 0",
            "grep 0A /proc/net/tcp | grep 1F90",
            "nstat | wc -l",
            "sysctl a.b=$((1/0))",
            "sysctl a.b='c",
            "true || true",
        ] {
            assert!(steps(bad).is_err(), "{bad}");
        }
    }
}
