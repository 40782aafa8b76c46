//! Where the programs run: the `sockeye` command, a namespace, the peers' own preparations; and the commands that put them together.

use super::SECONDS;
use super::program::AS_PROGRAM;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Loopback up; congestion control that does not pace, where it may be chosen.
const NAMESPACE: &str = r#"ip link set lo up
sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null || sysctl -qw net.ipv4.tcp_congestion_control=reno 2>/dev/null
exec "$@""#;

/// An interface with a default route, which pasta copies into its own namespace.
const PASTA: &str = r#"ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up
ip addr add 192.0.2.10/24 dev up0 && ip route add default via 192.0.2.1 dev up0
exec "$@""#;

/// A namespace for the client, and slirp4netns between it and this one, until the client has ended.
const SLIRP: &str = r#"unshare -n sleep 30 & there=$!
sleep 0.2
slirp4netns -c -m 1500 $there tap0 >/dev/null 2>&1 & slirp=$!
sleep 1
nsenter -t $there -n "$@"; status=$?
kill $slirp $there
wait $slirp $there 2>/dev/null
exit $status"#;

/// nginx and wrk, until wrk has ended; says how many requests were answered, and in how many seconds.
const WEB: &str = r#"nginx -c "$1/nginx.conf" -e "$1/error.log" & nginx=$!
n=0; while [ $n -lt 100 ] && ! [ -s "$1/nginx.pid" ]; do sleep 0.05; n=$((n+1)); done
wrk -t1 -c16 -d1 http://127.0.0.1:8089/index.html >"$1/wrk"
kill -QUIT $nginx; wait $nginx; rm -f "$1/nginx.pid"
grep -q 'Non-2xx\|Socket errors' "$1/wrk" && exit 1
sed -n 's/ *\([0-9]*\) requests in \([0-9.]*\)s.*/\1 \2/p' "$1/wrk""#;

const NGINX: &str = "worker_processes 1;
daemon off;
pid FOLDER/nginx.pid;
error_log FOLDER/error.log;
events { worker_connections 768; }
http {
    sendfile on;
    tcp_nopush on;
    access_log off;
    keepalive_requests 1000000000;
    server { listen 127.0.0.1:8089; root FOLDER; }
}
";

/// All that is needed to start what is measured.
pub(super) struct Place {
    me: String,
    sockeye: String,
    namespace: Vec<String>,
    /// nginx's files.
    folder: Option<PathBuf>,
}

impl Place {
    /// Builds the command `sockeye`, and sees how a namespace can be had.
    pub(super) fn find() -> Result<Self, String> {
        let me = std::env::current_exe().map_err(|error| error.to_string())?;
        let build = ["build", "--release", "--locked", "--quiet", "-p", "sockeye-cli"];
        let built = Command::new(env!("CARGO"))
            .args(build)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .status();
        if !built.is_ok_and(|status| status.success()) {
            return Err(format!("`cargo {}` fails", build.join(" ")));
        }
        let sockeye = me.ancestors().nth(2).map(|release| release.join("sockeye"));
        let sockeye = sockeye
            .filter(|path| path.exists())
            .ok_or("no sockeye beside this executable")?;
        let text = |path: &Path| path.to_str().map(str::to_owned).ok_or("a path that is no text");
        let ways = [&["unshare", "-n"][..], &["unshare", "-r", "-n"]];
        let way = ways.into_iter().find(|way| {
            let probe = [way, &["sh", "-c", NAMESPACE, "sh", "true"][..]].concat();
            succeeds(&probe)
        });
        // Without one, all share the machine's own loopback and congestion control.
        let namespace = way.map_or(Vec::new(), |way| [way, &["sh", "-c", NAMESPACE, "sh"]].concat());
        Ok(Self {
            me: text(&me)?,
            sockeye: text(&sockeye)?,
            namespace: namespace.into_iter().map(str::to_owned).collect(),
            folder: None,
        })
    }

    /// The same, if `peer` can give a program a tap device here.
    pub(super) fn with_tap(self, peer: &str) -> Result<Self, String> {
        if !succeeds(&["sh", "-c", &format!("command -v {peer}")]) {
            let package = if peer == "pasta" { "passt" } else { peer };
            return Err(format!("no {peer} here: apt-get install {package}"));
        }
        let root = rustix::process::geteuid().is_root();
        if root && self.namespace.first().is_some_and(|word| word == "unshare") && Path::new("/dev/net/tun").exists() {
            Ok(self)
        } else {
            Err(format!("{peer} needs root, a namespace and /dev/net/tun here"))
        }
    }

    /// The same with files for nginx to serve.
    pub(super) fn with_web(mut self) -> Result<Self, String> {
        for program in ["nginx", "wrk"] {
            if !succeeds(&["sh", "-c", &format!("PATH=$PATH:/usr/sbin command -v {program}")]) {
                return Err(format!("no {program} here: apt-get install {program}"));
            }
        }
        let folder = std::env::temp_dir().join(format!("sockeye-peers-{}", std::process::id()));
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text);
        std::fs::create_dir_all(&folder)
            .and_then(|()| write("nginx.conf", &NGINX.replace("FOLDER", &folder.to_string_lossy())))
            .and_then(|()| write("index.html", &"x".repeat(1_024)))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        self.folder = Some(folder);
        Ok(self)
    }

    fn command(&self, words: &[&str]) -> Vec<String> {
        let words = words.iter().map(|word| (*word).to_owned());
        self.namespace.iter().cloned().chain(words).collect()
    }

    /// Client and server on the kernel's loopback.
    pub(super) fn pair(&self, mode: &str) -> Vec<String> {
        self.command(&[&self.me, AS_PROGRAM, "with-server", mode, SECONDS])
    }

    /// Both under `sockeye run`.
    pub(super) fn inside(&self, mode: &str) -> Vec<String> {
        let program = [&self.me, AS_PROGRAM, "with-server", mode, SECONDS];
        self.command(&[&[&self.sockeye, "run", "-q", "--"][..], &program].concat())
    }

    /// The client alone under `sockeye run`; the server is the kernel's.
    pub(super) fn far(&self, mode: &str) -> Vec<String> {
        let client = [&self.sockeye, "run", "-q", "--"];
        self.command(&[&[&self.me, AS_PROGRAM, "with-server", mode, SECONDS][..], &client].concat())
    }

    /// The client behind a tap device of `peer`; the server is the kernel's, on the machine's loopback.
    pub(super) fn behind(&self, peer: &str, mode: &str) -> Vec<String> {
        let server = [&self.me, AS_PROGRAM, "with-server", mode, SECONDS];
        let words = if peer == "pasta" {
            let pasta = "host=192.0.2.1 pasta --config-net -f -q --runas 0 -t none -u none -T none -U none --";
            let client: Vec<&str> = pasta.split(' ').collect();
            [&["sh", "-c", PASTA, "sh"][..], &server, &client].concat()
        } else {
            [&server[..], &["host=10.0.2.2", "sh", "-c", SLIRP, "sh"]].concat()
        };
        self.command(&words)
    }

    /// nginx and wrk, both under `sockeye run` or neither.
    pub(super) fn web(&self, inside: bool) -> Vec<String> {
        let folder = self.folder.as_deref().map(Path::to_string_lossy).unwrap_or_default();
        let run = [&self.sockeye, "run", "-q", "-p", "none", "--"];
        let run = if inside { &run[..] } else { &[] };
        self.command(&[run, &["sh", "-c", WEB, "sh", &folder]].concat())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn succeeds(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a command, at most 30 seconds; the two numbers that it says in the end. Not a number, when it fails.
pub(super) fn output(command: &[String]) -> (f64, f64) {
    let run = Command::new("timeout")
        .arg("30")
        .args(command)
        .env(
            "PATH",
            format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()),
        )
        .output();
    let said = match run {
        Ok(run) if run.status.success() => String::from_utf8_lossy(&run.stdout).into_owned(),
        Ok(run) => {
            eprintln!("{command:?}: {}: {}", run.status, String::from_utf8_lossy(&run.stderr));
            String::new()
        }
        Err(error) => {
            eprintln!("{command:?}: {error}");
            String::new()
        }
    };
    let mut numbers = said.split_whitespace().map(|word| word.parse().unwrap_or(f64::NAN));
    (numbers.next().unwrap_or(f64::NAN), numbers.next().unwrap_or(f64::NAN))
}
