//! The simulation as a whole: what it promises about time, faults, and being the same again.

use super::*;
use crate::net::{TcpListener, TcpStream};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Answers every connection with what it says.
async fn echo() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        spawn(async move {
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await
        });
    }
}

/// Says something to `to` and hears it again.
async fn call(to: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect((to, 80)).await?;
    stream.write_all(b"anybody there?").await?;
    stream.shutdown().await?;
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await?;
    Ok(heard)
}

async fn two(net: Net) -> Result {
    let (a, b) = (net.host("a")?, net.host("b")?);
    net.link(
        &a,
        &b,
        "delay 20ms jitter 10ms loss 10% duplicate 2% reorder 2% corrupt 1%",
    )?;
    a.spawn(echo());
    for _ in 0..5 {
        assert_eq!(b.spawn(call("a")).await??, "anybody there?");
    }
    Ok(())
}

#[test]
fn the_same_seed_gives_the_same_bytes_captured_or_not() {
    let limit = Duration::from_secs(3_600);
    let digests: Vec<u64> = (1..=20)
        .map(|seed| {
            let [plain, again, captured] = [false, false, true].map(|capture| seeds::once(seed, capture, limit, &two));
            assert_eq!(plain.result, Ok(()));
            assert_eq!(
                (plain.digest, plain.elapsed),
                (again.digest, again.elapsed),
                "seed {seed}"
            );
            assert_eq!(
                (plain.digest, plain.elapsed),
                (captured.digest, captured.elapsed),
                "seed {seed}"
            );
            assert!(plain.pcapng.is_empty() && captured.pcapng.len() > 1_000);
            plain.digest
        })
        .collect();
    let mut different = digests.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), digests.len(), "seeds differ");
}

/// Runs `test` under a few seeds; what fails is the whole report.
fn check<F, Fut>(test: F)
where
    F: Fn(Net) -> Fut,
    Fut: Future<Output = Result> + 'static,
{
    let output = tempfile::tempdir().expect("a folder");
    if let Err(failure) = seeds(1..=5).output(output.path()).run(test) {
        panic!("{failure}");
    }
}

/// Runs one seed of a test that fails, and gives the cause.
fn cause<F, Fut>(limit: Duration, test: F) -> Cause
where
    F: Fn(Net) -> Fut,
    Fut: Future<Output = Result> + 'static,
{
    seeds::once(1, true, limit, &test).result.unwrap_err()
}

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn what_tokio_offers_works_and_repeats() {
    async fn mixed(net: Net) -> Result {
        let (a, b) = (net.host("a")?, net.host("b")?);
        net.link(&a, &b, "delay 3ms jitter 1ms loss 5%")?;
        a.spawn(echo());
        let (tell, mut hear) = tokio::sync::mpsc::channel(4);
        for nth in 0..3 {
            let tell = tell.clone();
            b.spawn(async move {
                let mut ticks = tokio::time::interval(Duration::from_millis(10 + nth));
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                    tokio::select! {
                        biased;
                        heard = call("a") => drop(tell.send(heard).await),
                        _ = ticks.tick() => {}
                    }
                }
            });
        }
        let slow = tokio::spawn(async { tokio::time::sleep(Duration::from_millis(500)).await });
        drop(tell);
        while let Some(heard) = hear.recv().await {
            let _lost_against_the_clock = heard;
        }
        slow.await?;
        assert!(net.elapsed() >= Duration::from_millis(500));
        let late = tokio::time::timeout(Duration::from_secs(9), std::future::pending::<()>()).await;
        assert!(late.is_err());
        Ok(())
    }
    for seed in 1..=10 {
        let [one, other] = [false, true].map(|capture| seeds::once(seed, capture, HOUR, &mixed));
        assert_eq!(one.result, Ok(()));
        assert_eq!((one.digest, one.elapsed), (other.digest, other.elapsed), "seed {seed}");
    }
}

#[test]
fn time_leaps_to_the_nanosecond() {
    check(|net| async move {
        let (a, b) = (net.host("a")?, net.host("b")?);
        net.link(&a, &b, "delay 10300us")?;
        let socket = a.host()?.udp_bind("0.0.0.0:9").await?;
        let sender = b.host()?.udp_bind("0.0.0.0:0").await?;
        tokio::time::sleep(Duration::from_secs(86)).await;
        let before = net.elapsed();
        assert_eq!(before, Duration::from_secs(86));
        sender.send_to(b"x", "10.0.0.1:9").await?;
        socket.recv_from(&mut [0; 9]).await?;
        assert_eq!(net.elapsed() - before, Duration::from_micros(10_300));
        Ok(())
    });
}

#[test]
fn a_partition_holds_and_heals() {
    check(|net| async move {
        let (a, b) = (net.host("a")?, net.host("b")?);
        net.link(&a, &b, "delay 20ms")?;
        a.spawn(echo());
        net.partition(&[&a], &[&b])?;
        let call = b.spawn(call("a"));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(!call.is_finished() && net.counters("a", "b")?.packets == 0);
        net.heal();
        assert_eq!(call.await??, "anybody there?");
        Ok(())
    });
}

#[test]
fn a_black_hole_has_one_direction() {
    check(|net| async move {
        let (a, b) = (net.host("a")?, net.host("b")?);
        net.link(&a, &b, "delay 20ms")?;
        a.spawn(echo());
        net.black_hole("a", "b")?;
        let call = b.spawn(call("a"));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!call.is_finished());
        assert!(net.counters("b", "a")?.packets >= 2, "SYNs go");
        assert_eq!(net.counters("a", "b")?.packets, 0, "nothing comes back");
        net.heal();
        call.await??;
        Ok(())
    });
}

#[test]
fn a_reset_tells_both_ends() {
    check(|net| async move {
        let (a, b) = (net.host("a")?, net.host("b")?);
        net.link(&a, &b, "delay 20ms")?;
        let listener = a.host()?.tcp_listen("0.0.0.0:80").await?;
        let mut client = b.host()?.tcp_connect("a:80").await?;
        let (mut server, _) = listener.accept().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(net.reset(&a, &b)?, 2);
        for end in [&mut client, &mut server] {
            let error = end.read(&mut [0; 1]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        Ok(())
    });
}

#[test]
fn a_crash_is_silent_and_a_restart_answers_with_rst() {
    check(|net| async move {
        let (a, b) = (net.host("a")?, net.host("b")?);
        net.link(&a, &b, "delay 20ms")?;
        let server = a.spawn(echo());
        let mut stream = b.host()?.tcp_connect("a:80").await?;
        stream.write_all(b"one").await?;
        stream.read_exact(&mut [0; 3]).await?;
        let held = a.host()?;
        a.crash()?;
        assert_eq!(server.await.unwrap_err(), Gone);
        assert!(a.spawn(async {}).await.is_err() && !a.is_up());
        assert!(
            held.tcp_connect("b:80").await.is_err(),
            "a handle of the earlier life is dead"
        );
        stream.write_all(b"two").await?;
        let silence = tokio::time::timeout(Duration::from_secs(3), stream.read(&mut [0; 3])).await;
        assert!(silence.is_err(), "no word from the dead");
        a.restart()?;
        let error = stream.read(&mut [0; 3]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(
            b.spawn(call("a")).await?.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused,
            "its programs do not start by themselves"
        );
        a.spawn(echo());
        assert_eq!(b.spawn(call("a")).await??, "anybody there?");
        Ok(())
    });
}

#[test]
fn a_task_may_crash_its_own_machine() {
    check(|net| async move {
        let a = net.host("a")?;
        let suicide = a.spawn({
            let a = a.clone();
            async move {
                a.crash().expect("it is up");
                std::future::pending::<()>().await;
            }
        });
        assert_eq!(suicide.await, Err(Gone));
        Ok(())
    });
}

#[test]
fn clocks_differ() {
    check(|net| async move {
        let (a, b) = (net.host("a")?, net.host("b")?);
        a.set_clock(-1_500, 0);
        b.set_clock(0, 1_000);
        tokio::time::sleep(Duration::from_secs(100)).await;
        let right = wall_clock();
        let [on_a, on_b] = [
            a.spawn(async { wall_clock() }).await?,
            b.spawn(async { wall_clock() }).await?,
        ];
        assert_eq!(right.duration_since(on_a)?, Duration::from_millis(1_500));
        assert_eq!(on_b.duration_since(right)?, Duration::from_millis(100));
        Ok(())
    });
}

#[test]
fn names_are_looked_up_and_links_are_needed() {
    check(|net| async move {
        let (a, b) = (net.host("a")?, net.host("b")?);
        let found = a.spawn(async { Ok::<_, io::Error>(crate::net::lookup_host("B:80").await?.collect::<Vec<_>>()) });
        assert_eq!(
            found.await??.iter().map(std::net::SocketAddr::ip).collect::<Vec<_>>(),
            b.addresses()
        );
        let unknown = a.spawn(TcpStream::connect("nobody:80")).await?.unwrap_err();
        assert!(unknown.to_string().contains("`nobody`"), "{unknown}");
        let apart = a.spawn(TcpStream::connect("b:80")).await?.unwrap_err();
        assert_eq!(apart.kind(), io::ErrorKind::HostUnreachable, "{apart}");
        assert_eq!(
            a.spawn(async { machine().map(|a| a.name().to_owned()) }).await?,
            Some("a".to_owned())
        );
        Ok(())
    });
}

#[test]
fn wrong_input_is_named() {
    check(|net| async move {
        let a = net.host("a")?;
        let _b = net.host("b")?;
        net.link("a", "b", "none")?;
        let wrong = [
            (net.host("a").unwrap_err(), "`a` already"),
            (net.host("10.0.0.1").unwrap_err(), "`10.0.0.1` is no name"),
            (net.host("").unwrap_err(), "`` is no name"),
            (net.machine("x").unwrap_err(), "`x`"),
            (net.host_with("c", &[("net.ipv4.no_such", "1")]).unwrap_err(), "no_such"),
            (net.link("b", "a", "none").unwrap_err(), "linked already"),
            (net.link("a", "a", "none").unwrap_err(), "both sides"),
            (net.link("a", "x", "none").unwrap_err(), "`x`"),
            (net.link("a", "b", "loss 5").unwrap_err(), "5"),
            (net.partition(&["a"], &["x"]).unwrap_err(), "`x`"),
            (net.reset("x", "a").unwrap_err(), "`x`"),
            (a.restart().unwrap_err(), "`a` is up"),
        ];
        for (error, says) in wrong {
            assert!(error.to_string().contains(says), "{error}: {says}");
        }
        let foreign = tokio::spawn(std::future::pending::<()>());
        assert_eq!(a.crash().unwrap_err(), Error::ForeignTasks("a".to_owned(), 1));
        foreign.abort();
        assert!(foreign.await.is_err());
        a.crash()?;
        assert_eq!(a.crash().unwrap_err(), Error::Down("a".to_owned()));
        assert_eq!(a.host().unwrap_err(), Error::Down("a".to_owned()));
        net.host("d")?;
        assert!(
            net.impair("a", "d", "none")
                .unwrap_err()
                .to_string()
                .contains("not linked")
        );
        Ok(())
    });
    let empty = seeds(5..5).run(two).unwrap_err();
    assert_eq!((empty.seed, &empty.cause), (None, &Cause::Input(Error::NoSeeds)));
    assert!(empty.to_string().contains("range of seeds is empty"), "{empty}");
}

#[test]
fn a_run_that_does_not_end_says_who_waits() {
    let stuck = cause(HOUR, |net| async move {
        let (a, b) = (net.host("a")?, net.host("b")?);
        net.link(&a, &b, "delay 1ms")?;
        a.spawn(echo());
        b.spawn(std::future::pending::<()>()).await?;
        Ok(())
    });
    let text = stuck.to_string();
    assert!(matches!(&stuck, Cause::Stuck(who) if who.len() == 3), "{text}");
    assert!(
        text.contains("`b`: task 1 (") && text.contains("tests.rs:") && text.contains("the test itself"),
        "{text}"
    );
    let busy = cause(Duration::from_secs(10), |net| async move {
        net.host("a")?
            .spawn(async {
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            })
            .await?;
        Ok(())
    });
    assert!(
        matches!(&busy, Cause::Limit(_, who) if who[1].contains("`a`: task 1")),
        "{busy}"
    );
    let panicked = cause(HOUR, |net| async move {
        net.host("a")?.spawn(async { panic!("seven") });
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    assert!(
        matches!(&panicked, Cause::Panic(what) if what.contains("seven")),
        "{panicked}"
    );
    let restless = cause(HOUR, |net| async move {
        net.host("a")?
            .spawn(std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                std::task::Poll::<()>::Pending
            }))
            .await?;
        Ok(())
    });
    assert!(
        matches!(&restless, Cause::Busy(who) if who.contains("`a`: task 1")),
        "{restless}"
    );
}

/// A counter of two replicas with a planted bug: what is counted while an answer is under way is forgotten.
async fn forgetful(net: Net) -> Result {
    async fn merge(stream: &mut TcpStream, count: &std::cell::Cell<u64>) -> io::Result<()> {
        stream.write_u64(count.get()).await?;
        count.set(count.get().max(stream.read_u64().await?)); // the count is read before the wait
        Ok(())
    }
    let (a, b) = (net.host("a")?, net.host("b")?);
    net.link(&a, &b, "delay 30ms jitter 20ms loss 3%")?;
    let count = std::rc::Rc::new(std::cell::Cell::new(0));
    a.spawn(async {
        let listener = TcpListener::bind("0.0.0.0:80").await.expect("the port is free");
        while let Ok((mut stream, _)) = listener.accept().await {
            let _next_time = merge(&mut stream, &std::cell::Cell::new(0)).await;
        }
    });
    let gossip = std::rc::Rc::clone(&count);
    b.spawn(async move {
        while let Ok(mut stream) = TcpStream::connect("a:80").await {
            let _next_time = merge(&mut stream, &gossip).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(net.random(700))).await;
        count.set(count.get() + 1);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    match count.get() {
        4 => Ok(()),
        other => Err(format!("counted {other} of 4").into()),
    }
}

#[test]
fn a_planted_bug_is_found_and_replayed_bit_for_bit_in_a_fresh_process() {
    const NAME: &str = "sim::tests::a_planted_bug_is_found_and_replayed_bit_for_bit_in_a_fresh_process";
    const INTO: &str = "SOCKEYE_TEST_REPLAY_INTO";
    let again = std::env::var_os(INTO);
    let here = tempfile::tempdir().expect("a folder");
    let folder = again
        .clone()
        .map_or_else(|| here.path().to_path_buf(), std::path::PathBuf::from);
    let failure = seeds(1..=100).name(NAME).output(folder).run(forgetful).unwrap_err();
    let seed = failure.seed.expect("a seed failed");
    assert!(failure.repeats && failure.to_string().contains("counted "), "{failure}");
    if again.is_some() {
        return;
    }
    assert!(
        seed > 1 && failure.passed == seed - 1,
        "not every network shows it: {failure}"
    );
    assert!(
        failure.replay.starts_with(&format!("SOCKEYE_SEED={seed} ")) && failure.replay.ends_with(NAME),
        "{failure}"
    );
    let there = tempfile::tempdir().expect("a folder");
    let replay = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", NAME])
        .env("SOCKEYE_SEED", seed.to_string())
        .env(INTO, there.path())
        .output()
        .expect("it runs");
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stdout));
    for file in [&failure.timeline, &failure.capture] {
        let file = file.as_ref().expect("it was written");
        let same = there.path().join(file.file_name().expect("a file"));
        let (first, second) = (std::fs::read(file).unwrap(), std::fs::read(same).unwrap());
        assert!(first.len() > 1_000 && first == second, "{}", file.display());
    }
    let timeline = std::fs::read_to_string(failure.timeline.as_ref().unwrap()).unwrap();
    assert!(
        timeline.contains(&format!("digest {:016x}", failure.digest)) && timeline.contains("netem: "),
        "{timeline}"
    );
}
