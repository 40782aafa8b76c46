//! The command line: names, units and help of every flag. What the values mean for a run is decided in `run` and `link`.

use crate::sided::{Sided, sided};
use crate::values::{self, Host, InterfaceAddress, Publish, Server, Sysctl};
use clap::builder::styling::Styles;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use sockeye_core::netem::grammar::{parse_duration, parse_percent, parse_queue, parse_rate};
use sockeye_core::netem::{Codel, Distribution, Loss, Step, Window};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const RUN_EXAMPLES: &str = "\
Examples:
  sockeye run --loss 2% --delay 20ms -- curl -sS http://hello.sockeye.test/
  sockeye run --delay 80ms --jitter 20ms --loss 2% --seed 7 -- go test ./client/...
  sockeye run --loss up:5% --loss down:1% --rate down:10mbit -- node app.js
  sockeye run --blackhole 10s..25s --to api:443 -- ./smoke
  sockeye run --pcap trace.pcapng -- python3 script.py
  sockeye run -p 8080:80 -- nginx -g 'daemon off;'
  sockeye run --loss 3% --sysctl net.ipv4.tcp_sack=0 -- curl -O http://example.com/file

Impairments apply to all of the program's traffic, its loopback included; --to narrows them.
up: before a value means packets from the program, down: packets to it, neither means both.
The program is the host 10.0.2.15 and fd00::15; http://hello.sockeye.test/ answers without any server.

Exit status: the program's own, 128+N when signal N ended it; 125 Sockeye failed, 126 cannot execute, 127 not found.";

const SERVICES_EXAMPLES: &str = "\
Examples:
  sockeye services http        which port has a service
  sockeye services 443         which service has a port
  sockeye services 53/udp      with one protocol only
  sockeye services --json ssh";

const SYSCTL_EXAMPLES: &str = "\
Examples:
  sockeye sysctl                         every setting
  sockeye sysctl rto                     those with `rto` in their names
  sockeye sysctl net.ipv4.tcp_sack
  sockeye run --sysctl net.ipv4.tcp_sack=0 --sysctl net.ipv4.tcp_rmem='4096 65536 65536' -- PROGRAM

Without net.ipv4. in front, and with / for . as in /proc/sys, names mean the same.";

const SCRIPT_EXAMPLES: &str = "\
Examples:
  sockeye script open.pkt                     on Sockeye's own TCP/IP, in virtual time
  sockeye script --against linux open.pkt     on this machine's, through a TUN, as root

Exit status: 0 when every statement of every script held, 1 when one did not, 125 when a script cannot be read or run.";

const HOST_EXAMPLES: &str = "\
Examples:
  sudo ip tuntap add dev tun0 mode tun user $USER     once: a device that you may open
  sudo ip addr add 10.9.0.1/24 dev tun0
  sudo ip link set tun0 up
  sockeye host --tun tun0 --addr 10.9.0.2/24          then, without root
  curl http://10.9.0.2/                               as any program of this machine

The device is made if it is not there, which takes root. The addresses are the host's, so they must not be this machine's own.
Services: echo 7, discard 9, daytime 13, chargen 19, over TCP and UDP, and HTTP on 80. The host runs until SIGINT or SIGTERM.

Exit status: 0 when it was told to end, 125 when it cannot begin or its device is gone.";

/// Run any program on a TCP/IP of its own, over a network as bad as you ask for, without root.
#[derive(Parser, Debug)]
#[command(name = "sockeye", version, styles = Styles::plain())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a program on a host of its own
    #[command(after_help = RUN_EXAMPLES, override_usage = "sockeye run [FLAGS] -- PROGRAM [ARGUMENTS]...")]
    Run(Box<RunArgs>),
    /// Run a host with the built-in services on a TUN device, for the programs of this machine
    #[command(after_help = HOST_EXAMPLES)]
    Host(TunHostArgs),
    /// Say what works on this machine, and what to do about the rest
    #[command(after_help = "Exit status: 0 when `sockeye run` works here, 1 when it does not.")]
    Doctor(DoctorArgs),
    /// Look up a service or a port, and the port's class
    #[command(after_help = SERVICES_EXAMPLES)]
    Services(ServicesArgs),
    /// List the settings of a host, called as Linux's sysctls: default, range, unit and meaning
    #[command(after_help = SYSCTL_EXAMPLES)]
    Sysctl(SysctlArgs),
    /// Run packet scripts, in packetdrill's notation
    #[command(after_help = SCRIPT_EXAMPLES)]
    Script(ScriptArgs),
    /// The process that `doctor` looks into
    #[command(hide = true)]
    WaitForEndOfInput,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) host: HostArgs,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    #[command(flatten)]
    pub(crate) names: NameArgs,
    #[command(flatten)]
    pub(crate) ports: PortArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// The program and its arguments; put `--` before it
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true, num_args = 1.., hide = true)]
    pub(crate) program: Vec<OsString>,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Link")]
pub(crate) struct LinkArgs {
    /// Time under way in one direction: 50ms
    #[arg(long, allow_hyphen_values = true, value_name = "TIME", value_parser = sided(parse_duration), conflicts_with = "rtt")]
    pub(crate) delay: Vec<Sided<Duration>>,
    /// Time there and back, half of it each way: 100ms
    #[arg(long, allow_hyphen_values = true, value_name = "TIME", value_parser = values::round_trip)]
    pub(crate) rtt: Option<Duration>,
    /// Spread of the delay: 10ms
    #[arg(long, allow_hyphen_values = true, value_name = "TIME", value_parser = sided(parse_duration))]
    pub(crate) jitter: Vec<Sided<Duration>>,
    /// Shape of the spread: uniform, normal, pareto, paretonormal
    #[arg(long, allow_hyphen_values = true, value_name = "SHAPE", value_parser = sided(str::parse::<Distribution>))]
    pub(crate) distribution: Vec<Sided<Distribution>>,
    /// Packets lost: 2% or 0.02; "gemodel 1% 10%" loses in bursts
    #[arg(long, allow_hyphen_values = true, value_name = "SHARE", value_parser = sided(str::parse::<Loss>))]
    pub(crate) loss: Vec<Sided<Loss>>,
    /// Bits a second: 10mbit, 800kbit, 1.5gbit
    #[arg(long, allow_hyphen_values = true, value_name = "RATE", value_parser = sided(parse_rate))]
    pub(crate) rate: Vec<Sided<u64>>,
    /// Packets that wait for --rate at most [default: 1000]
    #[arg(long, allow_hyphen_values = true, value_name = "PACKETS", value_parser = sided(parse_queue))]
    pub(crate) queue: Vec<Sided<usize>>,
    /// Mark packets (ECN) that find the queue so long: 20 packets, or a wait of 5ms
    #[arg(long, allow_hyphen_values = true, value_name = "STEP", value_parser = sided(str::parse::<Step>), requires = "rate")]
    pub(crate) ecn: Vec<Sided<Step>>,
    /// Keep the queue short by dropping packets, RFC 8289; --codel=ecn marks those that understand it
    #[arg(long, value_name = "OPTIONS", value_parser = sided(str::parse::<Codel>), requires = "rate", conflicts_with = "ecn",
        num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) codel: Vec<Sided<Codel>>,
    /// Packets that overtake others: 5%
    #[arg(long, allow_hyphen_values = true, value_name = "SHARE", value_parser = sided(parse_percent))]
    pub(crate) reorder: Vec<Sided<f64>>,
    /// Packets that arrive twice: 1%
    #[arg(long, allow_hyphen_values = true, value_name = "SHARE", value_parser = sided(parse_percent))]
    pub(crate) duplicate: Vec<Sided<f64>>,
    /// Packets with one bit flipped: 0.1%
    #[arg(long, allow_hyphen_values = true, value_name = "SHARE", value_parser = sided(parse_percent))]
    pub(crate) corrupt: Vec<Sided<f64>>,
    /// Longest IP packet, in bytes: 1400; "1400 silent" drops longer ones without a word
    #[arg(long, allow_hyphen_values = true, value_name = "BYTES", value_parser = sided(values::longest))]
    pub(crate) mtu: Vec<Sided<values::Longest>>,
    /// Nothing passes from T1 to T2 after the start: 10s..25s; may be given again
    #[arg(long, allow_hyphen_values = true, value_name = "T1..T2", value_parser = sided(str::parse::<Window>))]
    pub(crate) blackhole: Vec<Sided<Window>>,
    /// Impair only traffic with this host or name, and port; may be given again
    #[arg(long, allow_hyphen_values = true, value_name = "HOST[:PORT]", value_parser = values::target)]
    pub(crate) to: Vec<sockeye_run::Target>,
    /// All chance follows from this number: the same number, the same chances [default: a new one each run]
    #[arg(long, allow_hyphen_values = true, value_name = "N", value_parser = values::seed)]
    pub(crate) seed: Option<u64>,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "TCP/IP")]
pub(crate) struct HostArgs {
    /// Set what `sockeye sysctl` lists, by Linux's names: net.ipv4.tcp_congestion_control=reno; may be given again
    #[arg(long, allow_hyphen_values = true, value_name = "NAME=VALUE", value_parser = values::sysctl)]
    pub(crate) sysctl: Vec<Sysctl>,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Capture")]
pub(crate) struct CaptureArgs {
    /// Write the program's packets as pcapng, for Wireshark and tshark; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Names")]
pub(crate) struct NameArgs {
    /// Ask this name server instead of the machine's; may be given again
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = values::server)]
    pub(crate) dns: Vec<Server>,
    /// Give a name an address: db.example=192.0.2.7; may be given again
    #[arg(long, value_name = "NAME=ADDR", value_parser = values::host)]
    pub(crate) host: Vec<Host>,
    /// IPv4 only
    #[arg(short = '4', conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[arg(short = '6')]
    pub(crate) ipv6: bool,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Ports")]
pub(crate) struct PortArgs {
    /// Make the program's port CONT the machine's port HOST; `none` publishes nothing [default: every port the program
    /// listens on, under the same number on the machine's loopback]
    #[arg(short, long, value_name = "[ADDR:]HOST:CONT[/udp]", value_parser = values::publish)]
    pub(crate) publish: Vec<Publish>,
    /// Refuse connections to the machine's own 127.0.0.1 and ::1
    #[arg(long)]
    pub(crate) no_host_loopback: bool,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// No footer on standard error
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// Say what could not be served; -vv logs state changes, -vvv every packet
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The footer as one JSON object, on standard error
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct TunHostArgs {
    /// The TUN device: tun0
    #[arg(long, value_name = "NAME")]
    pub(crate) tun: String,
    /// The host's addresses, with the prefix lengths of their networks: 10.9.0.2/24 fd09::2/64; may be given again
    #[arg(long, value_name = "ADDR/PREFIX", required = true, num_args = 1.., value_parser = values::interface_address)]
    pub(crate) addr: Vec<InterfaceAddress>,
    /// Open so many queues of a device that was made with multi_queue
    #[arg(long, value_name = "N", value_parser = values::queues)]
    pub(crate) queues: Option<usize>,
    /// Every packet as a wire would carry it: no segmentation offload, no checksum offload
    #[arg(long)]
    pub(crate) no_offload: bool,
    /// All chance follows from this number [default: a new one each time]
    #[arg(long, value_name = "N", value_parser = values::seed)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) host: HostArgs,
    /// Say nothing but what went wrong
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Log warnings; -vv logs state changes, -vvv every packet
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// The same as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct SysctlArgs {
    /// Only settings with this in their names
    #[arg(value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) name: String,
    /// The same as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ScriptArgs {
    /// What the scripts are run against
    #[arg(long, value_enum, default_value_t = Against::Sockeye, value_name = "WHAT")]
    pub(crate) against: Against,
    /// Say nothing of scripts that held
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// The scripts
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// A TCP/IP that scripts can be run against.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// Sockeye's own, in virtual time
    Sockeye,
    /// This machine's, through a TUN device, in real time; needs root
    Linux,
}

#[derive(Args, Debug)]
pub(crate) struct ServicesArgs {
    /// A service's name or a port, with /tcp or /udp for one protocol only
    #[arg(value_name = "NAME|PORT")]
    pub(crate) what: String,
    /// The same as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }
}
