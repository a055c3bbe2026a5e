//! A broadcast costs a few allocations for the message, and none for its receivers.
//!
//! The lane runs in the test's own thread, whose allocations are counted; the clients have another.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

mod counting;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use corelane::handler::{Action, Context, EventHandler, Framing, InlineServer};
use corelane_eventloop::Nanos;

/// Messages until everything has the size it needs, and those that are counted.
const WARM: usize = 50;
const COUNTED: usize = 200;

/// Tells lines to everyone else, and notes what was taken from the heap by then.
struct Broadcast(Rc<RefCell<Vec<u64>>>);

impl EventHandler for Broadcast {
    type Conn = ();
    fn framing(&self) -> Framing {
        Framing::lines(4096)
    }
    fn on_connection(&mut self, cx: &mut Context<'_>) -> Option<()> {
        cx.reply("welcome");
        Some(())
    }
    fn on_message<'m>(&mut self, _: &mut (), line: &'m [u8], _: &mut Context<'_>) -> Action<'m> {
        self.0.borrow_mut().push(counting::taken());
        Action::broadcast(line)
    }
}

/// Has one of so many clients say lines of this length, each when all others have the one before.
fn talk(address: SocketAddr, receivers: usize, length: usize) {
    let connect = |_| {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // It is there, and hears what is said from now on.
        client.read_exact(&mut [0; b"welcome\n".len()]).unwrap();
        client
    };
    let clients: Vec<TcpStream> = (0..receivers).map(connect).collect();
    let mut sender = connect(0);
    let line = [vec![b'x'; length - 1], b"\n".to_vec()].concat();
    let mut page = vec![0; length];
    for _ in 0..WARM + COUNTED {
        sender.write_all(&line).unwrap();
        for mut client in &clients {
            client.read_exact(&mut page).unwrap();
        }
    }
}

/// Allocations per message.
fn allocations(receivers: usize, length: usize) -> u64 {
    let noted = Rc::new(RefCell::new(Vec::with_capacity(WARM + COUNTED)));
    let server = InlineServer::new("127.0.0.1:0", Broadcast(noted.clone())).unwrap();
    let (address, stopper) = (server.addresses()[0].tcp().unwrap(), server.stopper());
    let clients = std::thread::spawn(move || {
        let talked = std::panic::catch_unwind(|| talk(address, receivers, length));
        stopper.stop(Nanos::from_secs(1));
        talked
    });
    server.run(&AtomicBool::new(false)).unwrap();
    clients.join().unwrap().unwrap();
    let noted = noted.borrow();
    (noted[WARM + COUNTED - 1] - noted[WARM - 1]) / COUNTED as u64
}

#[test]
fn receivers_cost_nothing() {
    for length in [64, 3000] {
        let (few, many) = (allocations(2, length), allocations(40, length));
        assert_eq!(few, many, "{length} bytes");
        assert!(many <= 8, "{many} allocations for a message of {length} bytes");
    }
}
