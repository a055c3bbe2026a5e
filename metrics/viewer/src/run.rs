//! The viewer on a real terminal, or printing one page where there is none.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::style;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::client::{Client, Patience};
use crate::model::{Model, News};
use crate::options::Options;
use crate::poller::{Command, Poller};
use crate::report;
use crate::ui::{Ui, Wish};
use crate::view;

/// How long a key may wait for the screen, and news for a key.
const TICK: Duration = Duration::from_millis(50);
/// How much longer than an answer may take one page is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// Why the viewer ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The options cannot be followed.
    #[error("{0}")]
    Options(String),
    /// The thread that asks cannot be started.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    /// The terminal does not do as it is told.
    #[error("the terminal: {0}")]
    Terminal(#[source] io::Error),
    /// The server does not answer.
    #[error("{address}: {why}")]
    Server {
        /// Where it should be.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// What was to be printed was not.
    #[error("cannot print: {0}")]
    Output(#[source] io::Error),
}

/// Shows a server until the user has seen enough; or prints one page, if that is asked for or there is no
/// terminal.
///
/// # Errors
/// See [`RunError`]. The terminal is as it was in any case.
pub fn run(options: &Options) -> Result<(), RunError> {
    let variable = |name: &str| std::env::var(name).ok();
    let token = options.token(variable).map_err(RunError::Options)?;
    let client = Client::new(options.address.clone(), token, Patience::default());
    let poller = Poller::start(client, options.interval).map_err(RunError::Start)?;
    let is_dumb = variable("TERM").is_some_and(|terminal| terminal == "dumb");
    let has_terminal = io::stdout().is_terminal() && io::stdin().is_terminal() && !is_dumb;
    if options.once || options.json || !has_terminal {
        return print(options, &poller);
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(RunError::Start)?;
    }
    // It restores the terminal after a panic, too.
    let terminal = ratatui::try_init().map_err(RunError::Terminal)?;
    let _restored = Restored;
    show(terminal, options, variable, &poller, &stop).map_err(RunError::Terminal)
}

/// Restores the terminal when it goes.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        // It fails if the terminal has gone.
        let _ = ratatui::try_restore();
    }
}

fn show(
    mut terminal: DefaultTerminal,
    options: &Options,
    variable: impl Fn(&str) -> Option<String>,
    poller: &Poller,
    stop: &AtomicBool,
) -> io::Result<()> {
    let theme = options.theme(variable);
    // The library beneath follows NO_COLOR by itself, also where an option says otherwise.
    style::force_color_output(theme.color);
    let address = crate::text::clean(&options.address.to_string());
    let mut model = Model::default();
    let mut ui = Ui::new(options.interval);
    while !stop.load(Ordering::Relaxed) {
        terminal.draw(|frame| {
            ui.scroll = view::draw(frame.area(), frame.buffer_mut(), &model, &ui, theme, &address);
        })?;
        // Until a key or news: the screen is drawn only when something has changed.
        let mut changed = false;
        while !changed && !stop.load(Ordering::Relaxed) {
            if event::poll(TICK)? {
                changed = true;
                match event::read()? {
                    Event::Key(key) => match ui.key(key) {
                        Wish::Quit => return Ok(()),
                        Wish::None => {}
                        Wish::Redraw => terminal.clear()?,
                        Wish::Interval(interval) => poller.tell(Command::Interval(interval)),
                        Wish::Pause(paused) => poller.tell(Command::Pause(paused)),
                        Wish::Export(format) => {
                            let written = report::export(&model, format, Path::new("."));
                            ui.note = Some(match written {
                                Ok(path) => format!("written: {}", path.display()),
                                Err(error) => format!("not written: {error}"),
                            });
                        }
                    },
                    Event::Resize(..) => {}
                    _ => changed = false,
                }
            }
            while let Ok(news) = poller.news().try_recv() {
                // What was on its way when the user paused is dropped.
                if !ui.paused {
                    model.add(news);
                    changed = true;
                }
            }
        }
    }
    Ok(())
}

/// Prints what is known after two answers.
fn print(options: &Options, poller: &Poller) -> Result<(), RunError> {
    let address = crate::text::clean(&options.address.to_string());
    let mut model = Model::default();
    let patience = Patience::default();
    let deadline = Instant::now() + options.interval + patience.connect + patience.answer + GRACE;
    let (mut samples, mut heat) = (0, false);
    while samples < 2 || !heat {
        let news = poller.news().recv_deadline(deadline).map_err(|_| RunError::Server {
            address: address.clone(),
            why: "no answer in time".to_owned(),
        })?;
        match &news {
            News::Sample(_) => (samples, heat) = (samples + 1, false),
            News::Heat(_) | News::NoHeat(_) => heat = true,
            News::Trouble { why, .. } => {
                return Err(RunError::Server { address, why: why.clone() });
            }
        }
        model.add(news);
    }
    let text = match options.json {
        true => format!("{:#}\n", report::json(&model)),
        false => report::text(&model, &address),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever closed the pipe wants no more of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(RunError::Output),
    }
}
