//! A chat of lines: what one says, everyone else hears. A terminal and `nc` are all that it takes.

mod room;
#[cfg(test)]
mod tests;
mod text;

use std::fmt::Write;
use std::sync::Arc;

use corelane_eventloop::{Closed, Nanos};
use corelane_mempool::Shared;

use self::room::{Room, Seat, Taken};
use crate::handler::{Action, Context, EventHandler, FrameError, Framing, Payload, Slow, To};

/// Names that `/who` lists at most.
const WHO: usize = 100;

const HELP: &str = "\
* What you write, everyone else reads. Commands:
*   /nick NAME  another name, of 1 to 24 characters
*   /who        who is here
*   /quit       leave
*   //...       say a line that begins with a slash";

/// How a chat is.
///
/// ```
/// use corelane::apps::broadcast::ChatConfig;
/// use corelane::handler::Slow;
///
/// let config = ChatConfig { slow: Slow::Disconnect, ..ChatConfig::default() };
/// assert_eq!(config.history, 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatConfig {
    /// The most bytes of a line; who sends a longer one is told so, and disconnected. Default 4,096.
    pub line_max: usize,
    /// The last lines, which newcomers are shown: so many at most, and at most 32 KiB of them.
    /// Default 20.
    pub history: usize,
    /// Arrivals, departures and new names are told as long as no more people than this are here: told to
    /// everyone, they cost the square of their number. Default 200.
    pub notices: usize,
    /// What becomes of a line whose receiver does not keep up. Default: it misses the line.
    pub slow: Slow,
    /// Who says nothing for so long is disconnected. Default: nobody is.
    pub idle_time: Option<Nanos>,
}

impl Default for ChatConfig {
    fn default() -> ChatConfig {
        ChatConfig { line_max: 4096, history: 20, notices: 200, slow: Slow::Drop, idle_time: None }
    }
}

/// A chat of lines. Its clones are the same chat: each lane has one.
///
/// Everyone has a name at once and can take another one. Lines come as `NAME: TEXT`; what begins with
/// `* ` is from the server. Nothing that one writes can command the terminal of another: control
/// characters are made visible.
///
/// What lanes share is who is here and what was said last; a line takes that lock once, however many
/// hear it. A line said while somebody joins on another lane may be shown to them twice: as history, and
/// live.
///
/// ```
/// use corelane::apps::broadcast::{Chat, ChatConfig};
/// use corelane::handler::EventServer;
///
/// let chat = Chat::new(ChatConfig::default());
/// let server = EventServer::new("127.0.0.1:0", move || chat.clone())?.start()?;
/// // nc 127.0.0.1 PORT
/// server.stop()?;
/// # Ok::<(), corelane::handler::ServerError>(())
/// ```
#[derive(Clone)]
pub struct Chat {
    config: ChatConfig,
    room: Arc<Room>,
}

/// Who takes part.
pub struct Person {
    /// `None` once they have left, while their connection still ends.
    seat: Option<Seat>,
}

impl Chat {
    /// A chat that nobody is in.
    pub fn new(config: ChatConfig) -> Chat {
        Chat { config, room: Arc::new(Room::new(config.history)) }
    }

    /// Tells everyone else.
    fn tell<'p>(&self, words: impl Into<Payload<'p>>, cx: &mut Context<'_>) {
        // Only a single receiver can be gone.
        let _ = cx.send_with(To::All, words, self.config.slow);
    }

    /// Tells everyone else of somebody, unless there is nobody else, or there are too many for that.
    fn notice(&self, people: usize, words: String, cx: &mut Context<'_>) {
        if people > 1 && people <= self.config.notices && !cx.stopping() {
            self.tell(words, cx);
        }
    }

    fn put_off(&self, cx: &mut Context<'_>) {
        if let Some(time) = self.config.idle_time {
            cx.wake_in(time);
        }
    }

    fn say(&self, seat: &Seat, text: &str, cx: &mut Context<'_>) {
        let line = Shared::from(format!("{}: {text}", seat.name()).into_bytes());
        self.room.remember(&line);
        self.tell(line, cx);
    }

    fn command(&self, person: &mut Person, text: &str, cx: &mut Context<'_>) -> Action<'static> {
        let (command, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match command {
            "/nick" => self.rename(person, rest.trim(), cx),
            "/who" => Action::reply(self.who()),
            "/help" => Action::reply(HELP),
            "/quit" => {
                self.leave(person, "", cx);
                Action::CloseWith("* bye".into())
            }
            _ => Action::reply(format!("* there is no command {command}; /help lists them")),
        }
    }

    fn rename(&self, person: &mut Person, name: &str, cx: &mut Context<'_>) -> Action<'static> {
        let Some(seat) = &mut person.seat else { return Action::Nothing };
        if let Err(why) = text::check_name(name) {
            return Action::reply(format!("* a name {why}"));
        }
        match seat.rename(name) {
            Err(Taken) => Action::reply(format!("* {name} is taken")),
            Ok((old, people)) => {
                self.notice(people, format!("* {old} is now {name}"), cx);
                Action::reply(format!("* you are now {name}"))
            }
        }
    }

    fn who(&self) -> String {
        let (names, people) = self.room.who(WHO);
        let mut list = format!("* {people} here: {}", names.join(", "));
        if people > names.len() {
            let _ = write!(list, " and {} more", people - names.len());
        }
        list
    }

    /// Somebody leaves, now or a while ago.
    fn leave(&self, person: &mut Person, why: &str, cx: &mut Context<'_>) {
        if let Some(seat) = person.seat.take() {
            let name = seat.name().clone();
            let people = seat.leave();
            self.notice(people, format!("* {name} has left{why}"), cx);
        }
    }
}

impl EventHandler for Chat {
    type Conn = Person;

    fn framing(&self) -> Framing {
        Framing::lines(self.config.line_max)
    }

    fn on_connection(&mut self, cx: &mut Context<'_>) -> Option<Person> {
        let (seat, people) = Seat::take(&self.room);
        cx.reply(match people {
            1 => format!("* you are {}, and alone here; /help lists the commands", seat.name()),
            _ => {
                format!("* you are {}, one of {people} here; /help lists the commands", seat.name())
            }
        });
        for line in self.room.history() {
            cx.reply(line);
        }
        self.notice(people, format!("* {} has joined", seat.name()), cx);
        self.put_off(cx);
        Some(Person { seat: Some(seat) })
    }

    fn on_message<'m>(
        &mut self,
        person: &mut Person,
        line: &'m [u8],
        cx: &mut Context<'_>,
    ) -> Action<'m> {
        self.put_off(cx);
        let text = text::visible(line);
        let text = text.trim();
        match (text.strip_prefix('/'), &person.seat) {
            (None, Some(seat)) if !text.is_empty() => self.say(seat, text, cx),
            (Some(rest), Some(seat)) if rest.starts_with('/') => self.say(seat, rest, cx),
            (Some(_), _) => return self.command(person, text, cx),
            _ => {}
        }
        Action::Nothing
    }

    fn on_refused(
        &mut self,
        person: &mut Person,
        error: FrameError,
        cx: &mut Context<'_>,
    ) -> Action<'static> {
        self.leave(person, " (a line was too long)", cx);
        match error {
            FrameError::TooLong { limit } => {
                Action::CloseWith(format!("* a line has at most {limit} bytes; bye").into())
            }
            _ => Action::Close,
        }
    }

    fn on_timer(&mut self, person: &mut Person, cx: &mut Context<'_>) -> Action<'static> {
        self.leave(person, " (was silent for too long)", cx);
        Action::CloseWith("* you were silent for too long; bye".into())
    }

    fn on_end(&mut self, person: &mut Person, cx: &mut Context<'_>) -> Action<'static> {
        self.leave(person, "", cx);
        Action::Close
    }

    fn on_stopping(&mut self, _: &mut Person, _: &mut Context<'_>) -> Action<'static> {
        Action::CloseWith("* the server stops; bye".into())
    }

    fn on_disconnect(&mut self, mut person: Person, why: Closed, cx: &mut Context<'_>) {
        let why = match why {
            Closed::Finished => "",
            Closed::Aborted | Closed::SlowReader => " (did not keep up)",
            _ => " (the connection was lost)",
        };
        self.leave(&mut person, why, cx);
    }
}
