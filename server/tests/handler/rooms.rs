//! A handler that does whatever it is told: the one that is tested.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use corelane::handler::{Action, Context, EventHandler, FrameError, Framing, Slow, To, Topic};
use corelane_eventloop::{Closed, ConnId};

/// Which connection goes by which name, on all lanes.
pub(crate) type Names = Arc<Mutex<HashMap<String, ConnId>>>;

/// Obeys lines:
///
/// - `name N`: goes by this name. Answers `named`.
/// - `join T`, `leave T`: answers `joined T`, `left T`.
/// - `say P TO TEXT`: sends `m NAME TO TEXT` to `all`, to `#T`, or to `@NAME`, under the policy `drop`,
///   `disconnect` or `hold`.
/// - `bye`: answers `bye`, and closes.
#[derive(Default)]
pub(crate) struct Rooms {
    pub(crate) names: Names,
}

pub(crate) const LINE_MAX: usize = 8 * 1024;

impl EventHandler for Rooms {
    type Conn = String;

    fn framing(&self) -> Framing {
        Framing::lines(LINE_MAX)
    }

    fn on_connection(&mut self, _: &mut Context<'_>) -> Option<String> {
        Some(String::new())
    }

    fn on_message<'m>(
        &mut self,
        name: &mut String,
        line: &'m [u8],
        cx: &mut Context<'_>,
    ) -> Action<'m> {
        let line = std::str::from_utf8(line).unwrap();
        let (order, rest) = line.split_once(' ').unwrap_or((line, ""));
        match order {
            "name" => {
                *name = rest.to_owned();
                self.names.lock().unwrap().insert(rest.to_owned(), cx.id());
                Action::reply("named")
            }
            "join" => {
                assert!(cx.join(Topic::new(rest).unwrap()));
                Action::reply(format!("joined {rest}"))
            }
            "leave" => {
                cx.leave(Topic::new(rest).unwrap());
                Action::reply(format!("left {rest}"))
            }
            "say" => {
                let mut words = rest.splitn(3, ' ');
                let slow = match words.next() {
                    Some("drop") => Slow::Drop,
                    Some("disconnect") => Slow::Disconnect,
                    _ => Slow::Hold,
                };
                let (to, text) = (words.next().unwrap(), words.next().unwrap_or_default());
                let message = format!("m {name} {to} {text}");
                let to = match to.split_at(1) {
                    ("#", topic) => To::Topic(Topic::new(topic).unwrap()),
                    ("@", name) => match self.names.lock().unwrap().get(name) {
                        Some(id) => To::Conn(*id),
                        None => return Action::Nothing,
                    },
                    _ => To::All,
                };
                let _ = cx.send_with(to, message, slow);
                Action::Nothing
            }
            "bye" => Action::CloseWith("bye".into()),
            _ => Action::reply(format!("what is \"{order}\"?")),
        }
    }

    fn on_refused(
        &mut self,
        _: &mut String,
        error: FrameError,
        _: &mut Context<'_>,
    ) -> Action<'static> {
        Action::CloseWith(error.to_string().into())
    }

    fn on_disconnect(&mut self, name: String, _: Closed, cx: &mut Context<'_>) {
        let mut names = self.names.lock().unwrap();
        if names.get(&name) == Some(&cx.id()) {
            names.remove(&name);
        }
    }
}
