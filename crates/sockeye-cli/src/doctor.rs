//! `sockeye doctor`: what works on this machine, and what to do about the rest.

use crate::args::DoctorArgs;
use crate::failure::Failure;
use serde_json::json;
use sockeye_run::{Finding, probe};
use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::process::Command;

/// Prints what was found. Returns the exit status: 0 when `sockeye run` works here.
pub(crate) fn doctor(args: &DoctorArgs) -> Result<u8, Failure> {
    let itself = std::env::current_exe();
    let itself = itself.map_err(|error| Failure::ours(format!("doctor: cannot find this program: {error}")))?;
    let mut waiting = Command::new(itself);
    waiting.arg("wait-for-end-of-input");
    let findings = probe(waiting);
    let text = if args.json {
        as_json(&findings)
    } else {
        as_text(&findings)
    };
    // Nobody listens: nobody to tell.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(u8::from(!works(&findings)))
}

/// The process that the doctor looks into: it ends with its standard input.
pub(crate) fn wait_for_end_of_input() -> u8 {
    let mut nothing = Vec::new();
    u8::from(io::stdin().lock().read_to_end(&mut nothing).is_err())
}

fn works(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.ok)
}

fn as_text(findings: &[Finding]) -> String {
    let missing: Vec<&str> = findings.iter().filter(|finding| !finding.ok).map(|f| f.name).collect();
    let mut text = if works(findings) {
        line(
            "run",
            true,
            "unmodified programs, by seccomp user notification, without root",
        )
    } else {
        line(
            "run",
            false,
            &format!("does not work here because of: {}", missing.join(", ")),
        )
    };
    for finding in findings {
        text.push_str(&line(&format!("  {}", finding.name), finding.ok, &finding.text));
        if let Some(advice) = &finding.advice {
            let _ = writeln!(text, "{:<20}-> {advice}", "");
        }
    }
    text
}

fn line(name: &str, ok: bool, text: &str) -> String {
    format!("{name:<15} {:<3} {text}\n", if ok { "ok" } else { "no" })
}

fn as_json(findings: &[Finding]) -> String {
    let object = |finding: &Finding| json!({ "name": finding.name, "ok": finding.ok, "text": finding.text, "advice": finding.advice });
    let findings_json: Vec<_> = findings.iter().map(object).collect();
    format!("{}\n", json!({ "run": works(findings), "findings": findings_json }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_missing_thing_is_named_with_its_remedy() {
        let good = Finding {
            name: "kernel",
            ok: true,
            text: "Linux 6.8".into(),
            advice: None,
        };
        let bad = Finding {
            name: "yama",
            ok: false,
            text: "ptrace_scope 3".into(),
            advice: Some("reboot".into()),
        };
        assert!(as_text(std::slice::from_ref(&good)).starts_with("run             ok  unmodified"));
        let text = as_text(&[good, bad]);
        assert!(
            text.starts_with("run             no  does not work here because of: yama\n"),
            "{text}"
        );
        assert!(text.ends_with("-> reboot\n"), "{text}");
    }
}
