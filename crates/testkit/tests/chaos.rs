//! Each fault of the relay, seen from the client.

#![expect(clippy::unwrap_used, reason = "a test panics")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use lockgate_testkit::{Chaos, Fault};

/// A server that sends back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    addr
}

/// Sends 1,000 bytes through the relay and reads until the end; gives how many came back, and how it ended.
fn exchange(chaos: &Chaos) -> (usize, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(chaos.addr()).unwrap();
    let sent = stream.write_all(&[7; 1000]).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
    let mut count = 0;
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (count, sent.err().map(|error| error.kind())),
            Ok(more) => count += more,
            Err(error) => return (count, Some(error.kind())),
        }
    }
}

#[test]
fn each_fault_does_what_it_says() {
    let chaos = Chaos::start(echo()).unwrap();
    assert_eq!(exchange(&chaos), (1000, None));
    chaos.set(Fault::Reset);
    assert_eq!(exchange(&chaos), (0, Some(ErrorKind::ConnectionReset)));
    chaos.set(Fault::Nonsense(b"what?".to_vec()));
    assert_eq!(exchange(&chaos), (5, None));
    chaos.set(Fault::CutRequest(300));
    let (count, error) = exchange(&chaos);
    assert!(count <= 300 && error.is_some());
    chaos.set(Fault::CutResponse(300));
    let (count, error) = exchange(&chaos);
    assert!(count <= 300 && error.is_some());
    chaos.set(Fault::DelayResponse(Duration::from_millis(1)));
    assert_eq!(exchange(&chaos), (1000, None));
    assert_eq!(chaos.connections(), 6);
}

#[test]
fn silence_and_a_stall_last_until_all_is_cut() {
    let chaos = Chaos::start(echo()).unwrap();
    for (fault, before) in [(Fault::Silence, 0), (Fault::StallResponse(10), 10)] {
        chaos.set(fault);
        let mut stream = TcpStream::connect(chaos.addr()).unwrap();
        stream.write_all(&[7; 1000]).unwrap();
        stream.read_exact(&mut vec![0; before]).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        stream.set_read_timeout(None).unwrap();
        chaos.cut_all();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn the_end_of_the_relay_ends_its_connections() {
    let chaos = Chaos::start(echo()).unwrap();
    let mut stream = TcpStream::connect(chaos.addr()).unwrap();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    drop(chaos);
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
}
