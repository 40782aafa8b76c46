//! Shell commands of a script, as far as they set sysctls. No shell is ever started.

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// With dots: `net.ipv4.tcp_sack`.
    pub(super) name: String,
    pub(super) value: String,
}

/// The settings of a command. The error says what is not understood.
pub(super) fn settings(command: &str) -> Result<Vec<Setting>, String> {
    let command = command.replace("\\\n", " ");
    let mut settings = Vec::new();
    for line in command.split(['\n', ';']).flat_map(|line| line.split("&&")) {
        let words = words(line.split_once('#').map_or(line, |(code, _)| code));
        let Some((first, rest)) = words.split_first() else {
            continue;
        };
        let program = first.rsplit('/').next().unwrap_or_default();
        match program {
            "sysctl" | "set_sysctls.py" => {
                for word in rest.iter().filter(|word| !word.starts_with('-')) {
                    settings.push(setting(word)?);
                }
            }
            // The tests that come with packetdrill begin by setting what is Linux's default anyway.
            "defaults.sh" if rest.is_empty() => {}
            _ => {
                return Err(format!(
                    "`{first}` is not run: only `sysctl -q NAME=VALUE` is understood"
                ));
            }
        }
    }
    Ok(settings)
}

fn setting(word: &str) -> Result<Setting, String> {
    let Some((name, value)) = word.split_once('=') else {
        return Err(format!("`{word}` sets nothing: NAME=VALUE would"));
    };
    let name = name.strip_prefix("/proc/sys/").unwrap_or(name).replace('/', ".");
    Ok(Setting {
        name,
        value: value.trim().to_owned(),
    })
}

/// Words, with quotes keeping them together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                begun = true;
            }
            (None, c) if c.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (_, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_are_understood() {
        let pairs = |command: &str| -> Vec<(String, String)> {
            let all = settings(command).unwrap();
            all.into_iter().map(|setting| (setting.name, setting.value)).collect()
        };
        let want = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs("sysctl -q net.ipv4.tcp_sack=0"), [want("net.ipv4.tcp_sack", "0")]);
        assert_eq!(
            pairs("sysctl -q net/ipv4/tcp_rmem=\"4096 5000 6000\" net.ipv4.tcp_ecn=1\nsysctl -w a.b='c'"),
            [
                want("net.ipv4.tcp_rmem", "4096 5000 6000"),
                want("net.ipv4.tcp_ecn", "1"),
                want("a.b", "c")
            ]
        );
        assert_eq!(
            pairs("../common/defaults.sh\n../common/set_sysctls.py /proc/sys/net/ipv4/tcp_sack=1"),
            [want("net.ipv4.tcp_sack", "1")]
        );
        for bad in ["rm -rf /", "sysctl -q net.ipv4.tcp_sack", "sleep 1"] {
            assert!(settings(bad).is_err(), "{bad}");
        }
    }
}
