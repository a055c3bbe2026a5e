//! A client whose input or output is no terminal.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::session::{End, Received, Session};
use super::text::Escaper;
use super::{Failure, note};

/// How long the input may take to end once the connection has. Who sends `QUIT` and ends has ended it in
/// this time; who waits for the answer has not.
const GRACE: Duration = Duration::from_millis(500);

/// Sends standard input and writes what comes back, until one of both sides ends.
pub(super) fn run(session: &Arc<Session>, raw: bool) -> Result<(), Failure> {
    let (sent, sending) = mpsc::sync_channel(1);
    let sender = Arc::clone(session);
    // It may be reading when this returns: the end of the process ends it.
    std::thread::spawn(move || sent.send(sender.send_all(&mut io::stdin().lock())));
    let mut output = Output::new(raw);
    let end = session.receive(|received| match received {
        Received::Bytes(bytes) => output.write(bytes),
        Received::Quiet => Ok(()),
    });
    match end {
        End::Lost(error) => Err(anyhow::anyhow!("{}: {error}", session.target).into()),
        // Nobody reads it: `| head` for instance.
        End::Output(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        End::Output(error) => Err(anyhow::anyhow!("standard output: {error}").into()),
        End::Closed | End::Silent | End::Stopped => {
            output.finish();
            match sending.recv_timeout(GRACE) {
                Ok(Ok(())) => Ok(()),
                Ok(Err(why)) => Err(anyhow::anyhow!("{}: {why}", session.target).into()),
                Err(_) => {
                    note("the server closed the connection before the input ended");
                    Ok(())
                }
            }
        }
    }
}

/// Standard output, with nothing in it that controls a terminal if it is one.
struct Output {
    escaper: Option<Escaper>,
    stdout: io::Stdout,
}

impl Output {
    fn new(raw: bool) -> Output {
        let stdout = io::stdout();
        let escaper = (!raw && stdout.is_terminal()).then(|| Escaper::new(false));
        Output { escaper, stdout }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.escaper {
            None => self.stdout.write_all(bytes)?,
            Some(escaper) => {
                let mut text = String::new();
                escaper.push(bytes, &mut text);
                self.stdout.write_all(text.as_bytes())?;
            }
        }
        self.stdout.flush()
    }

    fn finish(&mut self) {
        if let Some(escaper) = &mut self.escaper {
            let mut text = String::new();
            escaper.finish(&mut text);
            let _ = self.stdout.write_all(text.as_bytes()).and_then(|()| self.stdout.flush());
        }
    }
}
