//! The access log as a library: rotation, targets that stall or fail, idle lanes. Threads play lanes.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corelane::logs::{AccessConfig, AccessLane, AccessLog, AccessRecord, AccessTarget};
use rustix::fs::{FileType, Mode};

const PATIENCE: Duration = Duration::from_secs(20);

/// A folder of a test's own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let folder = format!("{}-{name}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn log(&self) -> AccessLog {
        open(&self.path("access.log"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A log of lines `lane number`; the number of a listener plays that of a lane.
fn open(path: &Path) -> AccessLog {
    let target = AccessTarget::File(path.to_owned());
    let format = "$listener $body_bytes_sent".parse().unwrap();
    AccessLog::open(AccessConfig { format, ..AccessConfig::new(target) }).unwrap()
}

fn record(lane: &mut AccessLane, listener: u16, body_bytes: u64) {
    lane.record(&AccessRecord { listener, body_bytes, ..AccessRecord::default() });
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The numbers of each lane, in the order of their lines.
fn numbers(text: &str, lanes: usize) -> Vec<Vec<u64>> {
    let mut numbers = vec![Vec::new(); lanes];
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
    for line in text.lines() {
        let (lane, number) = line.split_once(' ').unwrap_or_else(|| panic!("torn: {line:?}"));
        numbers[lane.parse::<usize>().unwrap()].push(number.parse().unwrap());
    }
    numbers
}

/// A reload puts another log in the place of one that lanes still write to.
#[test]
fn lanes_outlive_the_handle_of_their_log() {
    let scratch = Scratch::new("outlive");
    let log = scratch.log();
    let mut lanes = [log.lane(), log.lane()];
    record(&mut lanes[0], 0, 1);
    drop(log);
    // Both logs write to the same file for a while.
    let next = scratch.log();
    let mut late = next.lane();
    for number in 2..2000 {
        record(&mut lanes[0], 0, number);
        record(&mut late, 1, number);
        lanes[0].flush();
        late.flush();
    }
    let [busy, idle] = lanes;
    drop(busy);
    assert!(next.flush(PATIENCE));
    let text = || fs::read_to_string(scratch.path("access.log")).unwrap();
    wait_until("the old log is written out", || text().lines().count() == 1999 + 1998);
    drop(idle);
    assert_eq!(numbers(&text(), 2), [(1..2000).collect(), (2..2000).collect::<Vec<_>>()]);
}

#[test]
fn rotation_under_load_loses_and_doubles_no_line() {
    const LANES: usize = 3;
    const RECORDS: u64 = 40_000;
    const ROTATIONS: u64 = 20;
    let scratch = Scratch::new("rotation");
    let log = scratch.log();
    // Records so far, and files so far: lanes go on while a file is moved, and stay close behind.
    let (recorded, rotated) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let lanes: Vec<_> = (0..LANES as u16)
        .map(|number| {
            let (mut lane, recorded, rotated) = (log.lane(), recorded.clone(), rotated.clone());
            std::thread::spawn(move || {
                for turn in 0..RECORDS / 16 {
                    (0..16).for_each(|of_turn| record(&mut lane, number, turn * 16 + of_turn));
                    lane.flush();
                    recorded.fetch_add(16, Ordering::Relaxed);
                    wait_until("the files follow", || {
                        turn * 16 < (rotated.load(Ordering::Relaxed) + 2) * RECORDS / ROTATIONS
                    });
                }
            })
        })
        .collect();
    for rotation in 1..=ROTATIONS {
        let due = RECORDS * LANES as u64 * rotation / (ROTATIONS + 1);
        wait_until("some are recorded", || recorded.load(Ordering::Relaxed) >= due);
        fs::rename(scratch.path("access.log"), scratch.path(&format!("{rotation:02}"))).unwrap();
        log.reopen();
        wait_until("there is a new file", || scratch.path("access.log").exists());
        rotated.store(rotation, Ordering::Relaxed);
    }
    lanes.into_iter().for_each(|lane| lane.join().unwrap());
    assert!(log.flush(PATIENCE));
    assert_eq!((log.written(), log.dropped()), (RECORDS * LANES as u64, 0));

    fs::rename(scratch.path("access.log"), scratch.path("99")).unwrap();
    let mut files: Vec<_> = fs::read_dir(&scratch.0).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len() as u64, ROTATIONS + 1);
    let texts: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let filled = texts.iter().filter(|text| !text.is_empty()).count();
    assert!(filled > 5, "spread over files: {filled}");
    texts.iter().for_each(|text| drop(numbers(text, LANES)));
    for numbers in numbers(&texts.concat(), LANES) {
        assert!(numbers.into_iter().eq(0..RECORDS), "every line once, in order");
    }
}

#[test]
fn a_target_that_nobody_reads_costs_records_and_no_time() {
    const RECORDS: u64 = 300_000;
    let scratch = Scratch::new("stalled");
    let path = scratch.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .unwrap();
    // Open for both, so that neither side waits for the other to open it.
    let mut fifo = File::options().read(true).write(true).open(&path).unwrap();
    let log = open(&path);
    let mut lane = log.lane();
    for number in 0..RECORDS {
        record(&mut lane, 0, number);
        lane.flush();
    }
    let dropped = log.dropped();
    assert!(dropped > 0, "more than the ring and the pipe hold");
    assert!(!log.flush(Duration::from_millis(10)));

    // What was kept arrives once somebody reads.
    let end = std::thread::spawn(move || {
        let (mut text, mut page) = (Vec::new(), [0; 65_536]);
        while !text.ends_with(b"1 1\n") {
            let n = fifo.read(&mut page).unwrap();
            text.extend_from_slice(&page[..n]);
        }
        String::from_utf8(text).unwrap()
    });
    assert!(log.flush(PATIENCE));
    record(&mut lane, 1, 1);
    lane.flush();
    let numbers = numbers(&end.join().unwrap(), 2);
    assert_eq!(numbers[0].len() as u64, RECORDS - dropped);
    assert!(numbers[0].is_sorted(), "in order, with gaps");
    wait_until("the last is counted", || log.written() == RECORDS - dropped + 1);
    assert_eq!((log.dropped(), log.errors()), (dropped, 0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_tried_again() {
    let scratch = Scratch::new("full");
    let path = scratch.path("access.log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let log = open(&path);
    let mut lane = log.lane();
    for number in 0..1000 {
        record(&mut lane, 0, number);
    }
    lane.flush();
    wait_until("a write has failed twice", || log.errors() >= 2);
    assert_eq!((log.written(), log.dropped()), (0, 0));

    // There is room elsewhere.
    fs::remove_file(&path).unwrap();
    log.reopen();
    wait_until("all is written", || log.written() == 1000);
    assert!(log.flush(PATIENCE));
    let text = fs::read_to_string(&path).unwrap();
    assert!(numbers(&text, 1)[0].iter().copied().eq(0..1000));
}

#[test]
fn records_of_an_idle_lane_do_not_linger() {
    let scratch = Scratch::new("idle");
    let log = scratch.log();
    let mut lane = log.lane();
    for number in 1..=3 {
        record(&mut lane, 0, number);
        lane.flush();
        // Nothing more happens in the lane.
        wait_until("it is written", || log.written() == number);
        let line = format!("0 {number}\n");
        wait_until("it is in the file", || {
            fs::read_to_string(scratch.path("access.log")).unwrap().ends_with(&line)
        });
    }
    // The last words of a lane that ends are written, and of a log that ends.
    record(&mut lane, 0, 4);
    drop(lane);
    wait_until("a lane that ended is written", || log.written() == 4);
    let mut lane = log.lane();
    record(&mut lane, 0, 5);
    drop(log);
    assert!(fs::read_to_string(scratch.path("access.log")).unwrap().ends_with("0 5\n"));
}

#[test]
fn a_target_that_cannot_be_opened() {
    let scratch = Scratch::new("nowhere");
    let path = scratch.path("no/such/folder");
    let error = AccessLog::open(AccessConfig::new(AccessTarget::File(path.clone()))).err().unwrap();
    assert!(error.to_string().starts_with(&format!("access log {}: No such", path.display())));

    // Where reopening fails, the old file is kept.
    let log = scratch.log();
    let mut lane = log.lane();
    fs::rename(scratch.path("access.log"), scratch.path("old")).unwrap();
    fs::create_dir(scratch.path("access.log")).unwrap();
    log.reopen();
    record(&mut lane, 0, 7);
    assert!(log.flush(PATIENCE));
    assert_eq!(fs::read_to_string(scratch.path("old")).unwrap(), "0 7\n");
}
