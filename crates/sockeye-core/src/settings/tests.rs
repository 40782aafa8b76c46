//! Tests of the table and of its texts.

use super::*;
use std::collections::BTreeSet;

/// Sets and shows again.
fn set(name: &str, value: &str) -> Result<String, String> {
    let mut settings = Settings::default();
    settings.set(name, value).map_err(|error| error.to_string())?;
    settings.show(name).map_err(|error| error.to_string())
}

#[test]
fn values_are_in_linuxs_notation() {
    for (name, value, shown) in [
        ("net.ipv4.tcp_sack", "0", "0"),
        ("net.ipv4.tcp_sack", " 1\n", "1"),
        ("net.ipv4.tcp_ecn", "1", "1"),
        ("net.ipv4.tcp_fastopen", "0x403", "1027"),
        ("net.ipv4.tcp_congestion_control", "reno", "reno"),
        ("net.ipv4.tcp_rmem", "4096 87380\t6291456", "4096\t87380\t6291456"),
        ("net.ipv4.ip_local_port_range", "32768 60999", "32768\t60999"),
        ("net.ipv4.tcp_keepalive_time", "600", "600"),
        ("net.ipv4.tcp_invalid_ratelimit", "250", "250"),
        ("net.ipv4.tcp_rto_min_us", "5000", "5000"),
        ("net.core.somaxconn", "128", "128"),
    ] {
        assert_eq!(set(name, value), Ok(shown.to_owned()), "{name}={value}");
    }
    let mut settings = Settings::default();
    settings.set("net.ipv4.tcp_fin_timeout", "30").expect("in range");
    settings.set("net.ipv4.tcp_rto_max_ms", "2000").expect("in range");
    settings.set("net.ipv4.tcp_delack_min_us", "1500").expect("in range");
    assert_eq!(settings.tcp_fin_timeout, Duration::from_secs(30));
    assert_eq!(settings.tcp_rto_max, Duration::from_secs(2));
    assert_eq!(settings.tcp_delack, Duration::from_micros(1_500));
}

#[test]
fn a_wrong_value_says_what_is_accepted_and_changes_nothing() {
    for (name, value, says) in [
        (
            "net.ipv4.tcp_sack",
            "2",
            "net.ipv4.tcp_sack: `2` is not accepted; 0 or 1 is",
        ),
        ("net.ipv4.tcp_sack", "yes", "0 or 1"),
        ("net.ipv4.tcp_sack", "+1", "0 or 1"),
        ("net.ipv4.tcp_sack", "", "0 or 1"),
        ("net.ipv4.tcp_sack", "0x", "0 or 1"),
        ("net.ipv4.tcp_sack", "0x+1", "0 or 1"),
        ("net.ipv4.tcp_ecn", "3", "0 to 2"),
        ("net.ipv4.ip_default_ttl", "0", "1 to 255 hops"),
        ("net.ipv4.ip_default_ttl", "256", "1 to 255 hops"),
        ("net.ipv4.tcp_fin_timeout", "30s", "0 to 2147483647 seconds"),
        ("net.ipv4.tcp_fin_timeout", "99999999999999999999999", "seconds"),
        ("net.ipv4.tcp_rmem", "4096", "3 rising numbers"),
        ("net.ipv4.tcp_rmem", "4096 87380 6291456 1", "3 rising numbers"),
        ("net.ipv4.tcp_rmem", "6291456 87380 4096", "3 rising numbers"),
        (
            "net.ipv4.ip_local_port_range",
            "60999 32768",
            "2 rising numbers, 1 to 65535 ports",
        ),
        ("net.ipv4.tcp_congestion_control", "vegas", "cubic"),
        ("net.ipv4.tcp_congestion_control", "0", "cubic"),
    ] {
        let mut settings = Settings::default();
        let before = format!("{settings:?}");
        let error = settings.set(name, value).expect_err(value).to_string();
        assert!(error.contains(says), "{name}={value}: {error}");
        assert_eq!(format!("{settings:?}"), before, "{name}={value}");
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    for (name, nearest) in [
        ("net.ipv4.tcp_sac", "net.ipv4.tcp_sack"),
        ("tcp_rmen", "net.ipv4.tcp_rmem"),
        ("net.ipv4.tcp_congestion", "net.ipv4.tcp_congestion_control"),
        ("net.core.rmem", "net.core.rmem_max"),
        ("net.ipv4.tcp_keepalive_interval", "net.ipv4.tcp_keepalive_intvl"),
        ("somaxcon", "net.core.somaxconn"),
        // What Linux has and we have not is not quietly taken.
        ("net.ipv4.tcp_low_latency", ""),
        ("", ""),
    ] {
        let SysctlError::Unknown {
            name: given,
            nearest: found,
        } = find(name).expect_err(name)
        else {
            panic!("{name}: the name is what is wrong");
        };
        assert_eq!(given, name);
        assert!(find(found).is_ok(), "{name}: `{found}` is not known either");
        assert!(nearest.is_empty() || found == nearest, "{name}: {found}, not {nearest}");
    }
    let error = find(&"tcp_".repeat(100_000)).expect_err("no such name");
    assert!(matches!(error, SysctlError::Unknown { .. }));
}

#[test]
fn a_name_may_be_written_in_each_of_linuxs_ways() {
    for name in [
        "net.ipv4.tcp_sack",
        "tcp_sack",
        "net/ipv4/tcp_sack",
        "/proc/sys/net/ipv4/tcp_sack",
    ] {
        assert_eq!(find(name).expect(name).name, "net.ipv4.tcp_sack");
    }
    assert_eq!(
        find("conf.all.route_localnet").expect("short").name,
        "net.ipv4.conf.all.route_localnet"
    );
    assert_eq!(find("net/core/somaxconn").expect("long").name, "net.core.somaxconn");
    assert!(find("TCP_SACK").is_err() && find("ipv4.tcp_sack").is_err() && find("somaxconn").is_err());
}

#[test]
fn every_line_of_the_table_holds_together() {
    let mut names = BTreeSet::new();
    for setting in Settings::TABLE {
        let name = setting.name;
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.starts_with("net."), "{name}: as Linux's names");
        assert!(setting.meaning.ends_with('.'), "{name}: a sentence");
        assert!(
            setting.source.contains("RFC ") || setting.source.contains("Linux"),
            "{name}: from where?"
        );
        // The default is accepted, and so are both ends of the range: what is shown sets the same again.
        let default = setting.show(&Settings::default());
        let mut values = vec![default];
        match &setting.form {
            Form::Flag => values.extend(["0".into(), "1".into()]),
            Form::Word(words) => values.extend(words.iter().map(|&word| word.to_owned())),
            Form::Key => {
                values.push("a1a1a1a1-b2b2b2b2-c3c3c3c3-0000000f".into());
                for wrong in ["1", "a1a1a1a1-b2b2b2b2-c3c3c3c3", "a1a1a1a1-b2b2b2b2-c3c3c3c3-+2345678"] {
                    assert!(set(name, wrong).is_err(), "{name}={wrong}");
                }
            }
            Form::Number { range, .. } => {
                for end in [range.start(), range.end()] {
                    values.push(vec![end.to_string(); setting.numbers].join("\t"));
                }
                let beyond = vec![(range.end() + 1).to_string(); setting.numbers].join("\t");
                assert!(set(name, &beyond).is_err(), "{name}={beyond}");
            }
        }
        for value in values {
            assert_eq!(set(name, &value), Ok(value.clone()), "{name}");
        }
    }
}

#[test]
fn a_name_sets_its_own_field_and_no_other() {
    for setting in Settings::TABLE {
        let mut changed = Settings::default();
        let default = setting.show(&changed);
        let other = match &setting.form {
            Form::Flag => ["0", "1"].map(str::to_owned).to_vec(),
            Form::Word(words) => words.iter().map(|&word| word.to_owned()).collect(),
            Form::Key => vec!["0000000a-0000000b-0000000c-0000000d".to_owned()],
            Form::Number { range, .. } => {
                let ends = [range.start(), range.end()];
                ends.map(|end| vec![end.to_string(); setting.numbers].join("\t"))
                    .to_vec()
            }
        };
        let other = other.into_iter().find(|value| *value != default).expect("two values");
        changed.set(setting.name, &other).expect("in range");
        let differ = |line: &&Setting| line.show(&changed) != line.show(&Settings::default());
        let names: Vec<_> = Settings::TABLE.iter().filter(differ).map(|line| line.name).collect();
        assert_eq!(names, [setting.name]);
    }
}
