//! A responder to which more come than it may have files open.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

use crate::harness::Responder;

/// So many connections, and which of them are answered within a moment.
fn crowd(responder: &Responder, connections: usize) -> (Vec<TcpStream>, usize) {
    let connect = |_| {
        let mut stream = TcpStream::connect(responder.address).expect("the kernel takes it");
        stream.write_all(b"GET /payload?size=1 HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is open");
        stream
    };
    let streams: Vec<_> = (0..connections).map(connect).collect();
    let answered = streams.iter().filter(|stream| is_answered(stream, Duration::from_millis(300)));
    let answered = answered.count();
    (streams, answered)
}

fn is_answered(mut stream: &TcpStream, wait: Duration) -> bool {
    stream.set_read_timeout(Some(wait)).expect("a socket");
    stream.read(&mut [0; 512]).is_ok_and(|length| length > 0)
}

/// Processor time a process took, in hundredths of a second.
fn cpu(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let fields = fields.split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

#[test]
fn more_connections_than_files_wait_without_work_until_some_go() {
    let responder = Responder::with_files(24, 24);
    let (mut streams, answered) = crowd(&responder, 40);
    assert!((1..40).contains(&answered), "{answered} answered");
    let before = cpu(responder.child.id());
    thread::sleep(Duration::from_secs(1));
    let took = cpu(responder.child.id()) - before;
    assert!(took <= 10, "{took} hundredths of a second for nothing");
    let last = streams.pop().expect("the last to come");
    drop(streams);
    assert!(is_answered(&last, Duration::from_secs(10)));
}

#[test]
fn as_many_files_are_used_as_are_allowed() {
    let responder = Responder::with_files(24, 200);
    let (_streams, answered) = crowd(&responder, 40);
    assert_eq!(answered, 40);
}
