//! What is on the screen, compared with files: `screens/*.txt`. To write them anew:
//! `CORELANE_SCREENS=write cargo test -p corelane-viewer screens`.

use std::path::PathBuf;
use std::time::Duration;

use crate::played::Played;
use crate::svg::svg;
use corelane_viewer::model::News;
use corelane_viewer::ui::Sort;
use corelane_viewer::{HeatAnswer, Model, Sample, Theme, Ui, View, view};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Value;

const ADDRESS: &str = "127.0.0.1:9080";
const PLAIN: Theme = Theme { color: false, unicode: false };

fn sample(answer: &Value) -> News {
    News::Sample(Box::new(Sample::read(answer.to_string().as_bytes()).unwrap()))
}

fn heat(answer: &Value) -> News {
    News::Heat(Box::new(HeatAnswer::read(answer.to_string().as_bytes()).unwrap()))
}

/// What is known after a minute and a half of a server that is played.
fn model(played: &Played) -> Model {
    let mut model = Model::default();
    for seconds in (80..=90).step_by(2) {
        model.add(sample(&played.metrics(seconds)));
    }
    model.add(heat(&played.heat(90, None)));
    model
}

fn ui() -> Ui {
    Ui::new(Duration::from_secs(2))
}

/// Draws as the program does: what is beyond the end of a list is taken back.
fn draw(model: &Model, ui: &mut Ui, theme: Theme, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let draw = |frame: &mut ratatui::Frame<'_>| {
        ui.scroll = view::draw(frame.area(), frame.buffer_mut(), model, ui, theme, ADDRESS);
    };
    let buffer = terminal.draw(draw).unwrap().buffer;
    let mut text = String::new();
    for y in 0..height {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Compares a screen with its file.
fn check(name: &str, screen: &str) {
    check_file(&format!("tests/viewer/screens/{name}.txt"), screen);
}

/// Compares what would be written with what is.
fn check_file(name: &str, screen: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("CORELANE_SCREENS").is_some() {
        std::fs::write(&path, screen).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(screen == expected, "{name} is now:\n{screen}");
}

#[test]
fn each_view_at_two_sizes() {
    let model = model(&Played::default());
    for (width, height) in [(80, 24), (120, 40)] {
        for view in View::ALL {
            let name = format!("{:?}-{width}x{height}", view).to_lowercase();
            let mut ui = Ui { view, ..ui() };
            check(&name, &draw(&model, &mut ui, PLAIN, width, height));
        }
    }
    let mut ui = Ui { help: true, view: View::Routes, sort: Sort::P99, ..ui() };
    check("help-80x24", &draw(&model, &mut ui, PLAIN, 80, 24));
}

#[test]
fn a_long_list_scrolls_to_its_end_and_back_at_once() {
    let routes = (1..=40).map(|route| format!("/route/{route:02}")).collect();
    let model = model(&Played { routes, loops: 30, ..Played::default() });
    let mut screens = String::new();
    for (view, above) in [(View::Routes, 41 - 20), (View::Loops, 30 + 1 - 20)] {
        let mut ui = Ui { view, sort: Sort::Name, ..ui() };
        for (key, expected) in [
            (KeyCode::End, above),
            (KeyCode::Up, above - 1),
            (KeyCode::PageDown, above),
            (KeyCode::Home, 0),
            (KeyCode::End, above),
        ] {
            ui.key(KeyEvent::new(key, KeyModifiers::NONE));
            let screen = draw(&model, &mut ui, PLAIN, 80, 24);
            assert_eq!(ui.scroll, expected, "{view:?} {key}:\n{screen}");
            if key == KeyCode::Up {
                screens += &screen;
            }
        }
        // A taller screen has room for more above.
        draw(&model, &mut ui, PLAIN, 80, 30);
        assert_eq!(ui.scroll, above - 6);
    }
    check("scrolled-80x24", &screens);
}

#[test]
fn before_and_after_the_server_is_there() {
    let mut model = Model::default();
    let mut screens = draw(&model, &mut ui(), PLAIN, 80, 24);
    let trouble = News::Trouble {
        why: "cannot connect: Connection refused (os error 111)".to_owned(),
        retry: Duration::from_millis(500),
    };
    model.add(trouble.clone());
    screens += &draw(&model, &mut ui(), PLAIN, 80, 24);
    model = self::model(&Played::default());
    model.add(trouble.clone());
    model.add(trouble);
    screens += &draw(&model, &mut ui(), PLAIN, 80, 24);
    let second = Played { instance: "second".to_owned(), ..Played::default() };
    model.add(sample(&second.metrics(3)));
    screens += &draw(&model, &mut ui(), PLAIN, 80, 24);
    screens += &draw(&model, &mut ui(), PLAIN, 79, 24);
    check("links-80x24", &screens);
}

#[test]
fn the_picture_in_the_book() {
    let played = Played { is_tidal: true, ..Played::default() };
    let mut model = Model::default();
    for seconds in 40..=90 {
        model.add(sample(&played.metrics(seconds)));
    }
    model.add(heat(&played.heat(90, None)));
    let ui = Ui::new(Duration::from_secs(1));
    let mut terminal = Terminal::new(TestBackend::new(104, 36)).unwrap();
    let theme = Theme { color: true, unicode: true };
    let draw = |frame: &mut ratatui::Frame<'_>| {
        view::draw(frame.area(), frame.buffer_mut(), &model, &ui, theme, ADDRESS);
    };
    let picture = svg(terminal.draw(draw).unwrap().buffer);
    check_file("../../docs/book/images/top.svg", &picture);
}
