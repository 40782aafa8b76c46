//! The programs that are measured: this executable again, as a client or as a server. They say how much was done, and in how many seconds.

use crate::kernel::plain;
use rustix::net::{AddressFamily, SocketType, connect, socket};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The first argument of a program.
pub(crate) const AS_PROGRAM: &str = "--as-program";

/// Bytes of a read or a write.
const CHUNK: usize = 128 << 10;

/// `client MODE SECONDS ADDRESS`; or `with-server MODE SECONDS [COMMAND]...`: a server, and a client of it that the command starts.
pub(crate) fn program(arguments: &[String]) -> ExitCode {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["server"] => server(),
        ["client", mode, seconds, address] => {
            let seconds = Duration::from_secs_f64(seconds.parse().expect("seconds"));
            client(mode, seconds, address.parse().expect("an address and a port"));
        }
        ["with-server", mode, seconds, ref command @ ..] => with_server(mode, seconds, command),
        _ => panic!("no such program: {arguments:?}"),
    }
    ExitCode::SUCCESS
}

/// Tells its address, and serves one client.
fn server() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    plain(&listener);
    println!("{}", listener.local_addr().expect("it is bound"));
    let (mut stream, _) = listener.accept().expect("a client comes");
    stream.set_nodelay(true).expect("TCP_NODELAY is known");
    let (mut mode, mut buf) = ([0], vec![1; CHUNK]);
    stream.read_exact(&mut mode).expect("it says what it wants");
    match mode[0] {
        b's' => {
            let mut total = 0;
            while let Ok(n @ 1..) = stream.read(&mut buf) {
                total += n as u64;
            }
            stream.write_all(&total.to_be_bytes()).expect("it waits for the sum");
        }
        b'r' => while stream.write_all(&buf).is_ok() {},
        _ => {
            while let Ok(n @ 1..) = stream.read(&mut buf) {
                if stream.write_all(&buf[..n]).is_err() {
                    break;
                }
            }
        }
    }
}

fn client(mode: &str, seconds: Duration, address: SocketAddrV4) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("there is TCP");
    plain(&socket);
    connect(&socket, &SocketAddr::V4(address)).expect("the server is there");
    let mut stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("TCP_NODELAY is known");
    let mut buf = vec![1; CHUNK];
    let wish: &[u8] = match mode {
        "send" => b"s",
        "recv" => b"r",
        _ => b"e",
    };
    stream.write_all(wish).expect("the server reads");
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < seconds {
        match mode {
            "send" => {
                stream.write_all(&buf).expect("the server reads");
                done += CHUNK as u64;
            }
            "recv" => done += stream.read(&mut buf).expect("the server writes") as u64,
            _ => {
                stream.write_all(&buf[..1]).expect("the server reads");
                stream.read_exact(&mut buf[..1]).expect("the server answers");
                done += 1;
            }
        }
    }
    if mode == "send" {
        // Sent is what arrived.
        stream.shutdown(Shutdown::Write).expect("it is connected");
        let mut sum = [0; 8];
        stream.read_exact(&mut sum).expect("the server counts");
        assert_eq!(u64::from_be_bytes(sum), done, "all of it arrived");
    }
    println!("{done} {}", start.elapsed().as_secs_f64());
}

fn with_server(mode: &str, seconds: &str, command: &[&str]) {
    let me = std::env::current_exe().expect("this is a file");
    let mut server = Command::new(&me)
        .args([AS_PROGRAM, "server"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this starts again");
    let mut address = String::new();
    let stdout = server.stdout.take().expect("it was asked for");
    BufReader::new(stdout)
        .read_line(&mut address)
        .expect("it tells its address");
    let me = me.to_str().expect("a path of text");
    // Behind a tap device the machine's loopback has another name.
    let host = |word: &str| word.strip_prefix("host=").map(str::to_owned);
    let (hosts, command): (Vec<&str>, Vec<&str>) = command.iter().partition(|word| host(word).is_some());
    let port = address.trim().rsplit(':').next().expect("address:port");
    let at = hosts.first().map_or(address.trim().to_owned(), |word| {
        format!("{}:{port}", host(word).unwrap_or_default())
    });
    let words = [&command[..], &[me, AS_PROGRAM, "client", mode, seconds, &at]].concat();
    let status = Command::new(words[0])
        .args(&words[1..])
        .status()
        .expect("the client starts");
    assert!(status.success(), "{words:?}: {status}");
    if hosts.is_empty() {
        assert!(server.wait().expect("our own child").success(), "the server served");
    } else {
        // A client that is gone may not have said goodbye through its device.
        let _ = server.kill();
        let _ = server.wait();
    }
}
