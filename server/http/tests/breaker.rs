//! The circuit breaker, compared with a naive model; and with futures that are dropped.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::task::Waker;

use corelane_eventloop::{Nanos, Tasks};
use corelane_http::breaker::{
    Breaker, BreakerConfig, BreakerState, CallError, CallOutcome, CallPermit, CallRefused, Circuit,
};
use proptest::prelude::*;

/// Remembers everything, and counts anew each time.
struct Model {
    config: BreakerConfig,
    state: BreakerState,
    /// What ended since it closed: when, and whether it failed.
    ended: Vec<(u64, bool)>,
    changed: u64,
    running: u32,
    succeeded: u32,
    epoch: u32,
}

impl Model {
    fn enter(&mut self, state: BreakerState, now: u64) {
        self.state = state;
        self.changed = now;
        self.ended.clear();
        (self.running, self.succeeded) = (0, 0);
        self.epoch += 1;
    }

    /// Whether a call may begin.
    fn begin(&mut self, now: u64) -> bool {
        let waited = now - self.changed >= self.config.open_time.0;
        match self.state {
            BreakerState::Closed => return true,
            BreakerState::HalfOpen if self.running + self.succeeded < self.config.trials => {}
            _ if waited => self.enter(BreakerState::HalfOpen, now),
            _ => return false,
        }
        self.running += 1;
        true
    }

    fn finish(&mut self, epoch: u32, outcome: CallOutcome, now: u64) {
        if epoch != self.epoch {
            return;
        }
        match (self.state, outcome) {
            (BreakerState::Open, _) | (BreakerState::Closed, CallOutcome::Abandoned) => {}
            (BreakerState::Closed, outcome) => {
                self.ended.push((now, outcome == CallOutcome::Failure));
                let slice = |time: u64| time / (self.config.window.0 / 10);
                let recent = |(time, _): &&(u64, bool)| slice(*time) + 10 > slice(now);
                let recent: Vec<_> = self.ended.iter().filter(recent).collect();
                let failures = recent.iter().filter(|(_, failed)| *failed).count();
                if outcome == CallOutcome::Failure
                    && recent.len() >= self.config.calls_min as usize
                    && failures as f64 / recent.len() as f64
                        >= f64::from(self.config.failure_percent) / 100.0
                {
                    self.enter(BreakerState::Open, now);
                }
            }
            (BreakerState::HalfOpen, CallOutcome::Failure) => self.enter(BreakerState::Open, now),
            (BreakerState::HalfOpen, outcome) => {
                self.running -= 1;
                self.succeeded += u32::from(outcome == CallOutcome::Success);
                if self.succeeded == self.config.trials {
                    self.enter(BreakerState::Closed, now);
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Begin,
    /// The call that has been under way longest but so many.
    Finish(usize, CallOutcome),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        3 => Just(CallOutcome::Failure),
        3 => Just(CallOutcome::Success),
        1 => Just(CallOutcome::Abandoned),
    ];
    prop_oneof![
        2 => (0..400_u64).prop_map(Step::Pass),
        4 => Just(Step::Begin),
        4 => (0..3_usize, outcome).prop_map(|(which, outcome)| Step::Finish(which, outcome)),
    ]
}

proptest! {
    #[test]
    fn as_the_model(
        calls_min in 1..6_u32,
        // Fractions that floating point has exactly.
        failure_percent in prop::sample::select(vec![25, 50, 75, 100]),
        trials in 1..4_u32,
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let config = BreakerConfig {
            window: Nanos(1000),
            calls_min,
            failure_percent,
            open_time: Nanos(500),
            jitter_percent: 0,
            trials,
        };
        let mut circuit = Circuit::new(config.clone(), 1);
        let state = BreakerState::Closed;
        let (ended, changed, running) = (Vec::new(), 0, 0);
        let mut model = Model { config, state, ended, changed, running, succeeded: 0, epoch: 0 };
        let mut now = 0;
        let mut under_way: Vec<(CallPermit, u32)> = Vec::new();
        let mut refused = 0;
        for step in steps {
            match step {
                Step::Pass(time) => now += time,
                Step::Begin => match (circuit.begin(Nanos(now)), model.begin(now)) {
                    (Ok(permit), true) => under_way.push((permit, model.epoch)),
                    (Err(CallRefused { retry_after }), false) => {
                        refused += 1;
                        let wait = match model.state {
                            BreakerState::Open => model.changed + 500 - now,
                            _ => 0,
                        };
                        prop_assert_eq!(retry_after, Nanos(wait));
                    }
                    (circuit, model) => prop_assert!(false, "{:?} instead of {}", circuit, model),
                },
                Step::Finish(which, outcome) if which < under_way.len() => {
                    let (permit, epoch) = under_way.remove(which);
                    circuit.finish(permit, outcome, Nanos(now));
                    model.finish(epoch, outcome, now);
                }
                Step::Finish(..) => {}
            }
            prop_assert_eq!(circuit.state(), model.state);
            prop_assert_eq!(circuit.counts().refused, refused);
        }
    }

    #[test]
    fn jitter_stays_within_its_bounds(seed in any::<u64>(), percent in 0..300_u32) {
        let open_time = Nanos(1_000_000);
        let config = BreakerConfig {
            calls_min: 1, jitter_percent: percent, open_time, ..BreakerConfig::default()
        };
        let mut circuit = Circuit::new(config, seed);
        let permit = circuit.begin(Nanos(7)).unwrap();
        circuit.finish(permit, CallOutcome::Failure, Nanos(7));
        let wait = circuit.begin(Nanos(7)).unwrap_err().retry_after.0;
        prop_assert!((1_000_000..=1_000_000 + 10_000 * u64::from(percent)).contains(&wait), "{}", wait);
    }
}

#[test]
fn calls_of_lanes_with_different_seeds_come_back_at_different_times() {
    let wait = |seed| {
        let config = BreakerConfig { calls_min: 1, ..BreakerConfig::default() };
        let mut circuit = Circuit::new(config, seed);
        let permit = circuit.begin(Nanos::ZERO).unwrap();
        circuit.finish(permit, CallOutcome::Failure, Nanos::ZERO);
        circuit.begin(Nanos::ZERO).unwrap_err().retry_after
    };
    assert_ne!(wait(1), wait(2));
    assert_eq!(wait(3), wait(3));
}

#[test]
fn futures_report_and_what_is_dropped_holds_no_trial() {
    let config =
        BreakerConfig { calls_min: 3, trials: 1, jitter_percent: 0, ..BreakerConfig::default() };
    let breaker = Breaker::new("upstream", config, 1);
    let changes = Rc::new(RefCell::new(Vec::new()));
    let seen = changes.clone();
    breaker.on_change(move |change| {
        assert_eq!(change.name, "upstream");
        seen.borrow_mut().push((change.to, change.at));
    });
    let mut tasks: Tasks<Result<u32, CallError<&str>>> = Tasks::new(10, Waker::noop());
    let local = tasks.local().clone();
    let mut now = Nanos::from_secs(1);
    let run = |tasks: &mut Tasks<_>, now, result: Option<Result<u32, &'static str>>| {
        let (breaker, local) = (breaker.clone(), local.clone());
        let call = async move {
            let upstream = async {
                match result {
                    Some(result) => result,
                    None => pending().await,
                }
            };
            breaker.call(&local, upstream).await
        };
        let task = tasks.spawn(call).ok().unwrap();
        (task, tasks.poll(task, now).map(|outcome| outcome.unwrap()))
    };
    tasks.advance(now);
    assert_eq!(run(&mut tasks, now, Some(Ok(7))).1, Some(Ok(7)));
    for _ in 0..2 {
        assert_eq!(run(&mut tasks, now, Some(Err("down"))).1, Some(Err(CallError::Failed("down"))));
    }
    let retry_after = Nanos::from_secs(5);
    let refused = Some(Err(CallError::Refused(CallRefused { retry_after })));
    assert_eq!(run(&mut tasks, now, Some(Ok(1))).1, refused);

    now += retry_after;
    tasks.advance(now);
    let (hanging, outcome) = run(&mut tasks, now, None);
    assert_eq!(outcome, None, "on trial");
    let retry_after = Nanos::ZERO;
    let refused = Some(Err(CallError::Refused(CallRefused { retry_after })));
    assert_eq!(run(&mut tasks, now, Some(Ok(1))).1, refused, "one trial at a time");
    tasks.cancel(hanging).unwrap();
    assert_eq!(run(&mut tasks, now, Some(Ok(1))).1, Some(Ok(1)));
    assert_eq!(breaker.state(), BreakerState::Closed);
    let expected = [
        (BreakerState::Open, Nanos::from_secs(1)),
        (BreakerState::HalfOpen, now),
        (BreakerState::Closed, now),
    ];
    assert_eq!(*changes.borrow(), expected);
    let counts = breaker.counts();
    assert_eq!((counts.successes, counts.failures, counts.abandoned), (2, 2, 1));
    assert_eq!((counts.refused, counts.opened, counts.window_calls), (2, 1, 0));
}

#[test]
fn trials_that_hang_do_not_keep_it_shut_for_ever() {
    let config =
        BreakerConfig { calls_min: 1, trials: 1, jitter_percent: 0, ..BreakerConfig::default() };
    let open_time = config.open_time;
    let mut circuit = Circuit::new(config, 1);
    let permit = circuit.begin(Nanos::ZERO).unwrap();
    circuit.finish(permit, CallOutcome::Failure, Nanos::ZERO);
    let hanging = circuit.begin(open_time).unwrap();
    assert!(circuit.begin(open_time).is_err());
    let second = circuit.begin(open_time + open_time).unwrap();
    circuit.finish(hanging, CallOutcome::Failure, open_time + open_time);
    assert_eq!(circuit.state(), BreakerState::HalfOpen, "what is stale changes nothing");
    circuit.finish(second, CallOutcome::Success, open_time + open_time);
    assert_eq!(circuit.state(), BreakerState::Closed);
}
