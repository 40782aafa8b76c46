//! `sockeye sysctl`: the table of settings.

use crate::args::SysctlArgs;
use crate::failure::Failure;
use serde_json::json;
use sockeye_core::settings::{Setting, Settings, find};
use std::io::{self, Write};

/// Prints the settings whose names contain what was asked for. Returns the exit status: 1 when there are none.
pub(crate) fn sysctl(args: &SysctlArgs) -> Result<u8, Failure> {
    let settings = match find(&args.name) {
        Ok(setting) => vec![setting],
        Err(unknown) => {
            let with = |setting: &&Setting| setting.name.contains(&args.name);
            let settings: Vec<_> = Settings::TABLE.iter().filter(with).collect();
            if settings.is_empty() {
                let text = unknown.to_string();
                return Err(Failure { status: 1, text });
            }
            settings
        }
    };
    let text = if args.json {
        let objects: Vec<_> = settings.into_iter().map(object).collect();
        format!("{}\n", json!({ "settings": objects }))
    } else {
        settings.into_iter().map(line).collect()
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::ours(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(0),
    }
}

/// `net.ipv4.tcp_sack = 1` as `sysctl` prints it, then what is accepted, and what it is for.
fn line(setting: &Setting) -> String {
    let default = setting.show(&Settings::default()).replace('\t', " ");
    let set = format!("{} = {default}", setting.name);
    let accepted = format!("({} {}", setting.accepted(), setting.form.unit());
    format!("{set:<44} {}) {}\n", accepted.trim_end(), setting.meaning.trim())
}

fn object(setting: &'static Setting) -> serde_json::Value {
    json!({
        "name": setting.name,
        "default": setting.show(&Settings::default()),
        "accepted": setting.accepted(),
        "unit": setting.form.unit(),
        "meaning": setting.meaning.trim(),
        "source": setting.source,
    })
}
