//! The thread that asks the server, so that the keyboard never waits for it.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};

use crate::client::{Client, ClientError};
use crate::heat::HeatAnswer;
use crate::model::News;
use crate::sample::Sample;

/// How far apart attempts are while the server does not answer, first and at most.
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// News that nobody has taken yet: then the thread waits.
const NEWS_MAX: usize = 4;
/// Commands that the thread has not obeyed yet: more are dropped.
const COMMANDS_MAX: usize = 64;

/// What the thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ask this often.
    Interval(Duration),
    /// Ask nothing, or go on.
    Pause(bool),
}

/// A thread that asks a server. It ends by itself soon after this is dropped.
#[derive(Debug)]
pub struct Poller {
    commands: Sender<Command>,
    news: Receiver<News>,
}

impl Poller {
    /// Starts asking.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(client: Client, interval: Duration) -> io::Result<Poller> {
        let (commands, told) = channel::bounded(COMMANDS_MAX);
        let (tell, news) = channel::bounded(NEWS_MAX);
        let worker = Worker { client, interval, told, tell, is_paused: false, since: None };
        thread::Builder::new().name("poller".to_owned()).spawn(move || worker.run())?;
        Ok(Poller { commands, news })
    }

    /// What the server answered, in order.
    pub fn news(&self) -> &Receiver<News> {
        &self.news
    }

    /// Tells the thread something. Never waits.
    pub fn tell(&self, command: Command) {
        // It is full if someone leans on a key while the thread waits for the server.
        let _ = self.commands.try_send(command);
    }
}

struct Worker {
    client: Client,
    interval: Duration,
    told: Receiver<Command>,
    tell: Sender<News>,
    is_paused: bool,
    /// The time of the columns of the heat map that are known.
    since: Option<u64>,
}

/// Nobody is there any more to tell, or to be told by.
struct Alone;

impl Worker {
    fn run(mut self) {
        let mut due = Instant::now();
        let mut failures = 0;
        while self.wait(&mut due).is_ok() {
            let began = Instant::now();
            match self.ask() {
                Ok(Ok(())) => {
                    failures = 0;
                    due = began + self.interval;
                }
                Ok(Err(why)) => {
                    let retry = backoff(failures);
                    failures += 1;
                    self.since = None;
                    due = Instant::now() + retry;
                    if self.tell.send(News::Trouble { why, retry }).is_err() {
                        return;
                    }
                }
                Err(Alone) => return,
            }
        }
    }

    /// Waits until it is time, and does what it is told meanwhile.
    fn wait(&mut self, due: &mut Instant) -> Result<(), Alone> {
        loop {
            let command = match self.is_paused {
                true => self.told.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => self.told.recv_deadline(*due),
            };
            match command {
                Ok(Command::Interval(interval)) => {
                    self.interval = interval;
                    *due = (*due).min(Instant::now() + interval);
                }
                Ok(Command::Pause(pause)) => {
                    self.is_paused = pause;
                    *due = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(Alone),
            }
        }
    }

    /// Asks for everything once, and tells it; or what went wrong.
    fn ask(&mut self) -> Result<Result<(), String>, Alone> {
        let body = match self.client.get("/metrics.json") {
            Ok(body) => body,
            Err(error) => return Ok(Err(error.to_string())),
        };
        match Sample::read(&body) {
            Ok(sample) => self.tell.send(News::Sample(Box::new(sample))).map_err(|_| Alone)?,
            Err(error) => return Ok(Err(error.to_string())),
        }
        let path = match self.since {
            Some(since) => format!("/heat.json?since={since}"),
            None => "/heat.json".to_owned(),
        };
        let news = match self.client.get(&path) {
            Ok(body) => match HeatAnswer::read(&body) {
                Ok(answer) => {
                    self.since = answer.next_since().or(self.since);
                    News::Heat(Box::new(answer))
                }
                Err(error) => News::NoHeat(error.to_string()),
            },
            Err(ClientError::Status { status: 404, .. }) => {
                News::NoHeat("this server keeps no heat map".to_owned())
            }
            Err(error) => return Ok(Err(error.to_string())),
        };
        self.tell.send(news).map_err(|_| Alone)?;
        Ok(Ok(()))
    }
}

/// How long to wait after so many failures in a row.
fn backoff(failures: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1 << failures.min(10)).min(BACKOFF_MAX)
}
