//! The table of settings as a page, and each setting at both ends of what it accepts.

use crate::support::env;
use sockeye_core::Host;
use sockeye_core::settings::{Form, Setting, Settings};
use sockeye_core::sim::{LinkConfig, Sim};
use std::path::Path;

/// The page that the table makes.
fn page() -> String {
    let mut page = String::from(
        "# Settings of a host\n\n\
         The names are those of Linux's sysctls, the values are in Linux's notation. `sockeye sysctl` prints this table; `sockeye run --sysctl\n\
         NAME=VALUE` and `Host::builder().sysctl(name, value)` set what it lists, and refuse what it does not. `tcp_sack`, `net/ipv4/tcp_sack` and\n\
         `net.ipv4.tcp_sack` are the same.\n\n\
         This page is generated: `SOCKEYE_BLESS=1 cargo test -p sockeye-core --test it sysctl`.\n\n\
         | name | default | accepted | unit | meaning | source |\n|---|---|---|---|---|---|\n",
    );
    for setting in Settings::TABLE {
        let default = setting.show(&Settings::default()).replace('\t', " ");
        let (accepted, unit) = (setting.accepted(), setting.form.unit());
        page += &format!(
            "| `{}` | `{default}` | {accepted} | {unit} | {} | {} |\n",
            setting.name,
            setting.meaning.trim(),
            setting.source
        );
    }
    page
}

#[test]
fn the_page_of_settings_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sysctl.md");
    if env("SOCKEYE_BLESS").is_some() {
        std::fs::write(&file, page()).expect("the page can be written");
    }
    let there = std::fs::read_to_string(&file).expect("the page");
    assert!(
        there == page(),
        "docs/sysctl.md is not what the table says: SOCKEYE_BLESS=1 cargo test -p sockeye-core --test it sysctl"
    );
}

/// Both ends of what a setting accepts, and every word.
fn ends(setting: &Setting) -> Vec<String> {
    match &setting.form {
        Form::Flag => vec!["0".into(), "1".into()],
        Form::Word(words) => words.iter().map(|&word| word.to_owned()).collect(),
        Form::Key => vec!["00000000-00000000-00000000-00000000".into()],
        Form::Number { range, .. } => {
            let ends = [range.start(), range.end()];
            ends.map(|end| vec![end.to_string(); setting.numbers].join(" ")).into()
        }
    }
}

/// No accepted value may break a host: with each, a file comes through a link that loses packets, and the connection closes.
#[test]
fn a_host_works_with_every_setting_at_both_ends() {
    let mut wrong = Vec::new();
    for setting in Settings::TABLE {
        for value in ends(setting) {
            let what = format!("{}={value}", setting.name);
            let outcome = std::panic::catch_unwind(|| transfer(setting.name, &value));
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(stuck)) => wrong.push(format!("{what}: {stuck}")),
                Err(_) => wrong.push(format!("{what}: panicked")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn transfer(name: &str, value: &str) -> Result<(), String> {
    let mut sim = Sim::new(3);
    let config = || Host::builder().sysctl(name, value).expect("accepted").config();
    let (a, b) = (sim.host_with("a", config()), sim.host_with("b", config()));
    let link = LinkConfig {
        there: "delay 5ms loss 1%".parse().expect("a good line"),
        back: "delay 5ms".parse().expect("a good line"),
        ..LinkConfig::default()
    };
    let _ = sim.connect(a, b, &link);
    sim.transfer(a, b, 100_000).map(drop).map_err(|stuck| stuck.to_string())
}
