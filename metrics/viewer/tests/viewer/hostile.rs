//! Answers that no server should give, and screens that no terminal should have.

use std::time::Duration;

use crate::played::Played;
use corelane_viewer::model::News;
use corelane_viewer::report;
use corelane_viewer::ui::Sort;
use corelane_viewer::{HeatAnswer, Model, Sample, Theme, Ui, View, view};
use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::{Value, json};

fn sample(answer: &Value) -> News {
    News::Sample(Box::new(Sample::read(answer.to_string().as_bytes()).unwrap()))
}

/// Draws, and sees that nothing but text got on the screen.
fn draw(model: &Model, ui: &Ui, theme: Theme, width: u16, height: u16) {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    view::draw(area, &mut buffer, model, ui, theme, "127.0.0.1:9080");
    for cell in &buffer.content {
        assert!(!cell.symbol().contains(|c: char| c.is_control() || c == '\u{202e}'), "{cell:?}");
        assert!(theme.unicode || cell.symbol().is_ascii(), "{cell:?}");
    }
}

/// A large server with names that mean harm.
fn large() -> Model {
    let mut routes: Vec<_> = (0..198).map(|route| format!("/route/{route}/{{id}}")).collect();
    routes.push("\x1b]0;owned\x07\x1b[2J\u{9b}31m".to_owned());
    routes.push(format!("\u{202e}{}", "x\u{300}東".repeat(500)));
    let played = Played { loops: 64, routes, instance: "\x1b[31m".to_owned(), is_tidal: true };
    let mut model = Model::default();
    for seconds in [3, 4] {
        model.add(sample(&played.metrics(seconds)));
    }
    let heat = played.heat(4, None).to_string();
    model.add(News::Heat(Box::new(HeatAnswer::read(heat.as_bytes()).unwrap())));
    model
}

fn views() -> impl Strategy<Value = (Ui, Theme)> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let scroll = prop_oneof![0..300_usize, Just(usize::MAX)];
    let zoom = prop_oneof![1..40_u64, Just(u64::MAX)];
    (0..4_usize, 0..6_usize, scroll, zoom, flags).prop_map(|(view, sort, scroll, zoom, flags)| {
        let (help, reversed, color, unicode) = flags;
        let ui = Ui {
            view: View::ALL[view],
            sort: Sort::ALL[sort],
            scroll,
            zoom,
            help,
            reversed,
            ..Ui::new(Duration::from_secs(1))
        };
        (ui, Theme { color, unicode })
    })
}

/// JSON that is nearly of the right form, or not at all.
fn answers() -> impl Strategy<Value = Value> {
    const KEYS: [&str; 24] = [
        "name",
        "version",
        "instance",
        "at_unix_ms",
        "uptime_seconds",
        "addresses",
        "connections",
        "open",
        "limit",
        "stopping",
        "loops",
        "counters",
        "gauges",
        "histograms",
        "labels",
        "route",
        "total",
        "per_loop",
        "buckets",
        "process",
        "columns",
        "rows",
        "counts",
        "column_ms",
    ];
    const NAMES: [&str; 6] = [
        "corelane_http_requests_total",
        "corelane_http_route_requests_total",
        "corelane_http_latency_nanoseconds",
        "corelane_loop_busy_nanoseconds_total",
        "corelane_http_responses_total",
        "\x1b[2J",
    ];
    let number = prop_oneof![Just(0), Just(1), Just(i64::MAX), Just(-1), any::<i64>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number.prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(&NAMES[..]).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let key = prop::sample::select(&KEYS[..]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..8).prop_map(|pairs| {
                pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            }),
        ]
    })
}

/// Puts `value` somewhere into `answer`: which place is chosen by `seed`.
fn plant(answer: &mut Value, value: Value, mut seed: u64) {
    let mut place = answer;
    loop {
        let length = match &place {
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            _ => 0,
        };
        if length == 0 || seed.is_multiple_of(5) {
            *place = value;
            return;
        }
        let index = (seed % length as u64) as usize;
        seed /= 7;
        place = match place {
            Value::Array(items) => &mut items[index],
            Value::Object(fields) => fields.values_mut().nth(index).unwrap(),
            _ => unreachable!("it has no length"),
        };
    }
}

/// What the viewer does with answers, whatever they are.
fn show(bodies: &[Vec<u8>]) {
    let mut model = Model::default();
    for body in bodies {
        if let Ok(sample) = Sample::read(body) {
            model.add(News::Sample(Box::new(sample)));
        }
        if let Ok(answer) = HeatAnswer::read(body) {
            let _ = answer.next_since();
            model.add(News::Heat(Box::new(answer)));
        }
        for view in View::ALL {
            let ui = Ui { view, ..Ui::new(Duration::from_secs(1)) };
            draw(&model, &ui, Theme { color: true, unicode: true }, 80, 24);
        }
        let report = report::json(&model);
        assert!(!report::csv(&report).contains('\x1b'));
        assert!(!report::text(&model, "x").contains('\x1b'));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_size_and_no_choice_panics(
        width in 0..260_u16, height in 0..100_u16, (ui, theme) in views()
    ) {
        thread_local!(static LARGE: Model = large());
        LARGE.with(|model| draw(model, &ui, theme, width, height));
        draw(&Model::default(), &ui, theme, width, height);
    }

    #[test]
    fn no_json_panics(answers in prop::collection::vec(answers(), 1..4)) {
        let bodies: Vec<_> = answers.iter().map(|answer| answer.to_string().into_bytes()).collect();
        show(&bodies);
    }

    #[test]
    fn no_change_to_a_right_answer_panics(
        plants in prop::collection::vec((answers(), any::<u64>(), any::<bool>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let played = Played::default();
        let mut bodies = vec![played.metrics(3).to_string().into_bytes()];
        for (value, seed, in_heat) in plants {
            let mut answer = if in_heat { played.heat(4, None) } else { played.metrics(4) };
            plant(&mut answer, value, seed);
            bodies.push(answer.to_string().into_bytes());
        }
        let mut short = played.heat(2, None).to_string().into_bytes();
        short.truncate(cut.index(short.len()));
        bodies.push(short);
        show(&bodies);
    }
}

#[test]
fn answers_out_of_order_repeated_and_of_other_servers() {
    let played = Played::default();
    let rates = |model: &Model| model.rates().collect::<Vec<_>>();
    let mut model = Model::default();
    for seconds in [10, 12, 11, 12] {
        model.add(sample(&played.metrics(seconds)));
    }
    // The third is older, the fourth is known.
    assert_eq!(rates(&model), [400.0]);
    let second = Played { instance: "second".to_owned(), ..Played::default() };
    model.add(sample(&second.metrics(5)));
    assert_eq!((model.restarts(), model.interval().is_none(), rates(&model)), (1, true, vec![]));
    model.add(sample(&second.metrics(6)));
    assert_eq!(rates(&model), [400.0]);
}

#[test]
fn what_is_missing_or_goes_down_is_zero() {
    let mut model = Model::default();
    model.add(sample(&json!({})));
    model.add(sample(&json!({"at_unix_ms": 1_000})));
    assert_eq!(
        model.interval().map(|interval| (interval.seconds, interval.requests)),
        Some((1.0, 0.0))
    );
    let counter = |total: u64| json!([{"name": "corelane_http_requests_total", "total": total, "per_loop": [total]}]);
    model.add(sample(&json!({"at_unix_ms": 2_000, "loops": 2, "counters": counter(50)})));
    let interval = model.interval().unwrap();
    assert_eq!((interval.requests, interval.loops[0].requests), (50.0, 50.0));
    assert_eq!((interval.loops[1].requests, interval.loops[1].busy), (0.0, None));
    model.add(sample(&json!({"at_unix_ms": 3_000, "loops": 2, "counters": counter(20)})));
    assert_eq!(model.interval().map(|interval| interval.requests), Some(0.0));
}

#[test]
fn too_much_is_refused() {
    let counters = vec![json!({"name": "x"}); 10_001];
    let error = Sample::read(json!({ "counters": counters }).to_string().as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the answer has too many counters: 10001, at most 10000 are read"
    );
    assert!(Sample::read(br#"{"loops": 5000}"#).is_err());
    assert!(Sample::read(br#"{"loops": -1}"#).is_err());
}
