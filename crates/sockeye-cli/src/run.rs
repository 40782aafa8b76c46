//! `sockeye run`: from flags to a run, and from its outcome to a status and a footer.

use crate::args::RunArgs;
use crate::failure::{Failure, say};
use crate::footer;
use crate::link::Link;
use crate::values::Publish;
use sockeye::gateway::{GatewayConfig, PublishPolicy};
use sockeye_run::{Run, RunConfig};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::Path;

/// Runs a program to its end. Returns the program's exit status.
pub(crate) fn run(args: &RunArgs) -> Result<u8, Failure> {
    log_to_stderr(args.output.verbose);
    let link = Link::from_args(&args.link);
    // Where chance has to come from somewhere, it comes from the keys that the standard library draws for its tables.
    let seed = args
        .link
        .seed
        .unwrap_or_else(|| RandomState::new().hash_one(0) % 1_000_000);
    let base = RunConfig::new(args.program.clone());
    let mut settings = base.settings.clone();
    for sysctl in &args.host.sysctl {
        let set = settings.set(&sysctl.name, &sysctl.value);
        set.map_err(|error| Failure::ours(format!("--sysctl: {error}")))?;
    }
    let config = RunConfig {
        seed,
        up: link.up.clone(),
        down: link.down.clone(),
        only: args.link.to.clone(),
        gateway: gateway(args, &link, seed),
        settings,
        pcap: args.capture.pcap.as_deref().map(open_capture).transpose()?,
        verbose: args.output.verbose > 0,
        ..base
    };
    let outcome = Run::spawn(config)?.wait();
    if let (Some(error), Some(path)) = (&outcome.pcap_error, &args.capture.pcap) {
        say(&format!(
            "--pcap {}: {error}; the capture is not complete",
            path.display()
        ));
    }
    if args.output.json {
        let _ = writeln!(io::stderr(), "{}", footer::json(&outcome, &link));
    } else if !args.output.quiet {
        for line in footer::text(&outcome, &link) {
            say(&line);
        }
    }
    Ok(outcome.status)
}

fn gateway(args: &RunArgs, link: &Link, seed: u64) -> GatewayConfig {
    let default = GatewayConfig::default();
    let rules = args.ports.publish.iter().filter_map(|publish| match publish {
        Publish::Rule(rule) => Some(*rule),
        Publish::None => None,
    });
    let rules: Vec<_> = rules.collect();
    let publish = match (rules.is_empty(), args.ports.publish.is_empty()) {
        (true, true) => PublishPolicy::Auto,
        (true, false) => PublishPolicy::None,
        (false, _) => PublishPolicy::Explicit(rules),
    };
    let servers: Vec<_> = args.names.dns.iter().map(|server| server.0).collect();
    GatewayConfig {
        // The two ends of the link must not draw the same numbers.
        seed: seed.wrapping_add(1),
        mtu: link.mtu.unwrap_or(default.mtu),
        ipv4: !args.names.ipv6,
        ipv6: !args.names.ipv4,
        host_loopback: !args.ports.no_host_loopback,
        dns: (!servers.is_empty()).then_some(servers),
        hosts: args
            .names
            .host
            .iter()
            .map(|host| (host.name.clone(), host.address))
            .collect(),
        publish,
        link: link.in_words(),
        ..default
    }
}

fn open_capture(path: &Path) -> Result<Box<dyn Write + Send>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout()));
    }
    let file = File::create(path);
    let file = file.map_err(|error| Failure::ours(format!("--pcap: cannot write {}: {error}", path.display())))?;
    Ok(Box::new(file))
}

/// `-v` asks for warnings, more of it for more. `SOCKEYE_LOG` says it finely: `sockeye_core=trace`.
pub(crate) fn log_to_stderr(verbose: u8) {
    use tracing_subscriber::EnvFilter;
    let level = match verbose {
        0 => "off",
        1 => "warn",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("SOCKEYE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let ansi = io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(ansi)
        .init();
}
