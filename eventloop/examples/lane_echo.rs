//! The smallest server: one lane on real sockets that sends back every byte.
//!
//! `cargo run --example lane_echo` serves one client of its own making, and exits;
//! `cargo run --example lane_echo -- 127.0.0.1:7000` serves until it is killed.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use corelane_eventloop::{
    Closed, Driver, Event, Flow, Io, Lane, LaneConfig, ListenOptions, Mio, Nanos, Post, Protocol,
};

struct Echo;

impl Protocol for Echo {
    type Conn = ();
    type Mail = ();

    fn open(&mut self, io: &mut Io<'_, ()>) -> Option<()> {
        println!("{} connected", io.peer());
        Some(())
    }

    fn step(&mut self, _conn: &mut (), event: Event<()>, io: &mut Io<'_, ()>) -> Flow {
        let input = io.input();
        io.out().put(input);
        io.consume(input.len());
        match event {
            Event::Eof | Event::Stopping => Flow::Finish,
            _ => Flow::Read,
        }
    }

    fn close(&mut self, _conn: (), why: Closed, io: &mut Io<'_, ()>) {
        println!("{} {why} after {} bytes", io.peer(), io.received());
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0"))?;
    let bound = listener.local_addr()?;
    println!("listening on {bound}");

    let mut driver = Mio::new()?;
    driver.listen(listener, 0, ListenOptions::default())?;
    let mut lane = Lane::new(Echo, LaneConfig::default(), Post::mesh(1, 16).remove(0));
    if address.is_some() {
        return driver.run(&mut lane);
    }

    let handle = lane.handle();
    let client = std::thread::spawn(move || -> io::Result<String> {
        let mut socket = TcpStream::connect(bound)?;
        socket.write_all(b"hello, lane")?;
        socket.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        handle.stop(Nanos::from_secs(1));
        Ok(answer)
    });
    driver.run(&mut lane)?;
    match client.join() {
        Ok(answer) => println!("the client got back: {}", answer?),
        Err(_) => return Err(io::Error::other("the client panicked")),
    }
    Ok(())
}
