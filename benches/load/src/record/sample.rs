//! A record made up for tests: the same in every run.

use std::time::Duration;

use corelane_metrics::heat::HeatMap;

use super::*;

/// Requests of a second.
const RATE: u64 = 1_000;
const SECOND_NANOS: u64 = 1_000_000_000;

/// Twelve seconds of 1,000 requests each in the open loop. In second 5 the server stood still for a
/// second: what was to be sent then waited for the rest of it.
pub(crate) fn stalled() -> Record {
    made(12, 120_000, Some(5), 7)
}

/// `seconds` of the open loop around `typical` nanoseconds, by `seed`, perhaps with a stall of 1 s.
pub(crate) fn made(seconds: u64, typical: u64, stall: Option<u64>, seed: u64) -> Record {
    let mut random = Random(seed);
    let mut all = (HistogramSnapshot::default(), HistogramSnapshot::default());
    let mut record = frame(seconds);
    let mut map = HeatMap::default();
    for second in 0..seconds {
        let mut histogram = HistogramSnapshot::default();
        for index in 0..RATE {
            // The sum of three makes a hump, one in 64 a tail.
            let spread = (0..3).map(|_| random.below(typical / 4)).sum::<u64>();
            let tail = if random.below(64) == 0 { random.below(typical * 6) } else { 0 };
            let service = typical / 2 + spread + tail;
            let waited = match stall {
                Some(at) if at == second => SECOND_NANOS - index * (SECOND_NANOS / RATE),
                _ => 0,
            };
            histogram.record_n(service + waited, 1);
            map.record_n(Duration::from_secs(second), service + waited, 1);
            all.0.record_n(service, 1);
        }
        all.1.merge(&histogram);
        let faults = match stall {
            Some(at) if at == second => vec![Fault { kind: "timeouts".to_owned(), count: 3 }],
            _ => Vec::new(),
        };
        record.seconds.push(Second {
            at_seconds: second as f64,
            length_seconds: 1.0,
            intended: RATE,
            sent: RATE,
            late: 0,
            answered: RATE,
            faults,
            bytes_received: RATE * 140,
            response_time: histogram,
        });
    }
    record.heat = Heat::new(&map);
    record.service_time = all.0;
    record.response_time = all.1;
    if stall.is_some() {
        record.faults[1].count = 3;
        let late =
            Sends { late: 999, late_max: SECOND_NANOS, late_mean: 41_708_333.0, ..record.sends };
        record.sends = late;
    }
    record
}

fn frame(seconds: u64) -> Record {
    let count = seconds * RATE;
    let fault = |kind: &str| Fault { kind: kind.to_owned(), count: 0 };
    Record {
        schema: SCHEMA,
        generator: "corelane-load 0.1.0".to_owned(),
        began_unix_ms: 1_800_000_000_000,
        arguments: ["--rate", "1k", "http://127.0.0.1:8080/</script>"].map(str::to_owned).into(),
        load: Load {
            urls: vec!["http://127.0.0.1:8080/</script>".to_owned()],
            weights: Vec::new(),
            method: "GET".to_owned(),
            fields: Vec::new(),
            body: String::new(),
            discipline: Discipline::Open {
                rate: "1,000/s".to_owned(),
                arrivals: "constant".to_owned(),
            },
            connections: 16,
            pipeline: 1,
            keep_alive: true,
            threads: 1,
            spin: false,
            cores: vec![1],
            warm_up_seconds: 1.0,
            timeout_seconds: 5.0,
        },
        end: End::Complete,
        elapsed_seconds: seconds as f64,
        faults: vec![fault("connects"), fault("timeouts"), fault("resets")],
        sends: Sends { intended: count, sent: count, ..Sends::default() },
        answered: count,
        statuses: [(200, count)].into(),
        connections_opened: 16,
        bytes_received: count * 140,
        bytes_sent: count * 42,
        client: Usage { cpu_seconds: 0.3, cores: 0.025, saturation: Some(0.03), waiting: None },
        environment: Environment {
            system: "Linux 6.1.0".to_owned(),
            processor: "A processor".to_owned(),
            cores: 2,
            virtualization: Some("KVM".to_owned()),
            warnings: vec!["client and server share core 1".to_owned()],
        },
        ..Record::default()
    }
}

/// Numbers that look random and are the same each time (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `bound`, nearly evenly.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
