//! The router beside others, over 137 routes in the shape of GitHub's API (`github.txt`): 31 of them
//! are whole paths, the others have one to four parameters. Every function looks up each path of its
//! group once and reads what it found; a figure for one look-up is that time by the number of paths,
//! which criterion prints as throughput.
//!
//! Instructions, which nothing moves: `EXECUTABLE count WHO GROUP TIMES` does the same so many times,
//! where `cargo bench -p corelane-benches --bench router --no-run` names the executable, WHO is
//! `corelane`, `matchit`, `path-tree` or `route-recognizer` and GROUP `whole` or `params`. The
//! difference between 3,000 and 1,000 times under `valgrind --tool=callgrind`, by 2,000.

use std::hint::black_box;

use corelane_http::web::Router;
use criterion::{Criterion, Throughput, criterion_group};

const ROUTES: &str = include_str!("github.txt");

fn patterns() -> impl Iterator<Item = &'static str> {
    ROUTES.lines()
}

/// A pattern in the syntax of other routers, who mark a parameter for all that follows so.
fn colons(pattern: &str, before: &str, behind: &str) -> String {
    match pattern.split_once("{*") {
        Some((text, name)) => {
            let text = colons(text, before, behind);
            format!("{text}{before}{}{behind}", name.trim_end_matches('}'))
        }
        None => pattern.replace('{', ":").replace('}', ""),
    }
}

/// A path for every pattern, of those with parameters or of the others.
fn paths(params: bool) -> Vec<String> {
    let value = |segment: &str| match segment.strip_prefix('{') {
        Some(name) if name.starts_with('*') => "heads/main/src".to_owned(),
        Some(name) => format!("{}-42", name.trim_end_matches('}')),
        None => segment.to_owned(),
    };
    patterns()
        .filter(|pattern| pattern.contains('{') == params)
        .map(|pattern| pattern.split('/').map(value).collect::<Vec<_>>().join("/"))
        .collect()
}

/// Looks every path up; the sum is of what was found.
type Lookup = Box<dyn Fn(&[String]) -> usize>;

fn corelane() -> Lookup {
    let mut router = Router::new();
    for (index, pattern) in patterns().enumerate() {
        router.insert(pattern, index).expect("the routes do not collide");
    }
    Box::new(move |paths| {
        let found = |path: &String| black_box(router.at(black_box(path))).map(|found| *found.value);
        paths.iter().filter_map(found).sum()
    })
}

fn matchit() -> Lookup {
    let mut router = matchit::Router::new();
    for (index, pattern) in patterns().enumerate() {
        router.insert(pattern, index).expect("the routes do not collide");
    }
    Box::new(move |paths| {
        let found =
            |path: &String| black_box(router.at(black_box(path))).ok().map(|found| *found.value);
        paths.iter().filter_map(found).sum()
    })
}

fn path_tree() -> Lookup {
    let mut router = path_tree::PathTree::new();
    for (index, pattern) in patterns().enumerate() {
        let _ = router.insert(&colons(pattern, ":", "+"), index);
    }
    Box::new(move |paths| {
        let found =
            |path: &String| black_box(router.find(black_box(path))).map(|(value, _)| *value);
        paths.iter().filter_map(found).sum()
    })
}

fn route_recognizer() -> Lookup {
    let mut router = route_recognizer::Router::new();
    for (index, pattern) in patterns().enumerate() {
        router.add(&colons(pattern, "*", ""), index);
    }
    Box::new(move |paths| {
        let found = |path: &String| {
            black_box(router.recognize(black_box(path))).ok().map(|f| **f.handler())
        };
        paths.iter().filter_map(found).sum()
    })
}

type Make = fn() -> Lookup;

const ROUTERS: [(&str, Make); 4] = [
    ("matchit", matchit),
    ("path-tree", path_tree),
    ("route-recognizer", route_recognizer),
    ("corelane", corelane),
];

const GROUPS: [(&str, bool); 2] = [("whole", false), ("params", true)];

fn routers(c: &mut Criterion) {
    assert_eq!(patterns().count(), 137);
    for (name, params) in GROUPS {
        let paths = paths(params);
        // All of them find the same.
        let sums: Vec<usize> = ROUTERS.iter().map(|(_, make)| make()(&paths)).collect();
        assert!(sums.iter().all(|sum| *sum == sums[0] && *sum > 0), "{name}: {sums:?}");
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(paths.len() as u64));
        for (who, make) in ROUTERS {
            let lookup = make();
            group.bench_function(who, |b| b.iter(|| lookup(black_box(&paths))));
        }
        group.finish();
    }
}

/// For counting instructions: one router and nothing else, so many times.
fn count(who: &str, group: &str, times: usize) {
    let (_, make) = ROUTERS.iter().find(|(name, _)| *name == who).expect("a router's name");
    let (_, params) = GROUPS.iter().find(|(name, _)| *name == group).expect("a group's name");
    let (lookup, paths) = (make(), paths(*params));
    for _ in 0..times {
        black_box(lookup(&paths));
    }
    println!("{} paths, {times} times", paths.len());
}

criterion_group!(benches, routers);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, who, group, times] = arguments.as_slice()
        && mode == "count"
    {
        return count(who, group, times.parse().expect("a number"));
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
