//! A result as one page: everything it needs is in it, and it asks nobody for anything.
//!
//! What must be read stands in it as text and tables; its script draws the charts from the data at its
//! end. The policy in its head lets only that script and that style sheet run, by their hashes, so that
//! nothing that came from a command line or a server could become code.

use std::fmt::Write;

use corelane_metrics::HistogramSnapshot;
use serde_json::{Value, json};

use super::text::{self, Problem};
use crate::record::{Record, Second, per};
use crate::units;

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");
/// SHA-256 of the two in base64; a test compares, and says the right ones.
const STYLE_HASH: &str = "mFPnF/brBv6YghUmvSXd7Uen1JRN/XltWTeb3G0NDKE=";
const SCRIPT_HASH: &str = "RHwATwoRkS6T9/d1hJHRBfZpZIN/HISdRJir1Lz+omg=";
/// More rows than this make a table that nobody reads: neighbours are then left to the CSV.
const TABLE_ROWS_MAX: usize = 600;

/// The result as a page of HTML.
#[must_use]
pub fn html(record: &Record) -> String {
    let title = escape(&format!("Load test of {}", record.load.urls.join(", ")));
    let mut body = header(record);
    body += &found(record);
    body += &tiles(record);
    body += &charts(record);
    body += &latencies(record);
    body += &steps(record);
    body += &targets(record);
    body += &about(record);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'sha256-{STYLE_HASH}'; script-src 'sha256-{SCRIPT_HASH}'; base-uri 'none'; \
         form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{body}\
         <script type=\"application/json\" id=\"data\">{}</script>\n<script>{SCRIPT}</script>\n\
         </body>\n</html>\n",
        harmless(&data(record)),
    )
}

/// JSON in which no `<` stands, so that nothing in it can end the element around it.
fn harmless(data: &Value) -> String {
    data.to_string().replace('<', "\\u003c")
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn header(record: &Record) -> String {
    format!(
        "<header>\n<h1>{}</h1>\n<p>{}</p>\n<p>{} · {}</p>\n</header>\n<main>\n",
        escape(&record.load.urls.join(", ")),
        escape(&text::load(record)),
        units::utc(record.began_unix_ms),
        escape(&record.generator),
    )
}

fn found(record: &Record) -> String {
    let problems = text::problems(record);
    if problems.is_empty() {
        return format!("<section class=\"clean\"><p>{}</p></section>\n", text::CLEAN);
    }
    let mut out = "<section class=\"problems\">\n<h2>Problems</h2>\n<dl>\n".to_owned();
    for Problem { what, detail } in problems {
        let _ = writeln!(out, "<dt>{what}</dt><dd>{}</dd>", escape(&detail));
    }
    out + "</dl>\n</section>\n"
}

fn tiles(record: &Record) -> String {
    let time = |quantile| text::time_at(&record.response_time, quantile);
    let faults = record.fault_count();
    let tiles = [
        ("answered per second", units::rate(record.rate()), ""),
        ("median response", time(0.5), ""),
        ("p99", time(0.99), ""),
        ("p99.9", time(0.999), ""),
        ("longest", time(1.0), ""),
        ("faults", units::count(faults), if faults > 0 { " class=\"bad\"" } else { "" }),
    ];
    let mut out = "<section class=\"tiles\" aria-label=\"Key figures\">\n".to_owned();
    for (name, value, class) in tiles {
        let _ = writeln!(out, "<div><dl><dt>{name}</dt><dd{class}>{value}</dd></dl></div>");
    }
    out + "</section>\n"
}

fn charts(record: &Record) -> String {
    let (response, faults) = (&record.response_time, record.fault_count());
    let label = format!(
        "Heat map of {} response times over {:.0} seconds, from {} to {}; half took at most {}.",
        units::count(response.count()),
        record.elapsed_seconds,
        units::time(response.min() as f64),
        units::time(response.max() as f64),
        units::time(response.quantile(0.5) as f64),
    );
    let by = if record.load.discipline.is_open() { "should have been sent" } else { "was sent" };
    let asked =
        if record.load.discipline.is_open() { "<li><i class=\"asked\"></i>asked</li>" } else { "" };
    format!(
        "<section id=\"heat\" data-label=\"{label}\">\n<h2>Response times over time</h2>\n\
         <p class=\"note\">Each column is {} s of the run, each row a band of latency; the colour says how \
         many requests fell there. A column stands where a request {by}. Point at a cell, or use the \
         arrow keys.</p>\n<div class=\"chart\"></div>\n\
         <div class=\"legend\"><span>1 response</span><span class=\"ramp\"></span>\
         <span><span id=\"peak\"></span> responses in a cell, logarithmic</span></div>\n</section>\n\
         <section id=\"rate\" data-label=\"Rate of answers over time, {} per second on average.\">\n\
         <h2>Requests per second</h2>\n<ul class=\"keys\">{asked}<li><i class=\"response\"></i>answered</li>\
         </ul>\n<div class=\"chart\"></div>\n</section>\n\
         <section{}>\n<h2>Faults</h2>\n{}\n{}</section>\n",
        record.heat.column_ms as f64 / 1e3,
        units::rate(record.rate()),
        if faults > 0 { " id=\"faults\" data-label=\"Faults over time.\"" } else { "" },
        if faults > 0 { "<div class=\"chart\"></div>" } else { "<p class=\"note\">None.</p>" },
        seconds(record),
    )
}

/// The same as a table, for those who read rather than look.
fn seconds(record: &Record) -> String {
    let mut out = "<details>\n<summary>As a table</summary>\n<div class=\"scroll\"><table>\n\
        <caption>Latencies are response times of what was answered in the time shown.</caption>\n\
        <thead><tr><th scope=\"col\">from</th><th scope=\"col\">asked</th><th scope=\"col\">answered</th>\
        <th scope=\"col\">faults</th><th scope=\"col\">p50</th><th scope=\"col\">p99</th>\
        <th scope=\"col\">longest</th></tr></thead>\n<tbody>\n"
        .to_owned();
    for second in record.seconds.iter().take(TABLE_ROWS_MAX) {
        let times = &second.response_time;
        let time = |nanos: u64| match times.is_empty() {
            true => "–".to_owned(),
            false => units::time(nanos as f64),
        };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{} s</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td></tr>",
            second.at_seconds,
            units::count(second.intended),
            units::count(second.answered),
            units::count(second.fault_count()),
            time(times.quantile(0.5)),
            time(times.quantile(0.99)),
            time(times.max()),
        );
    }
    out += "</tbody>\n</table></div>\n";
    if record.seconds.len() > TABLE_ROWS_MAX {
        let _ = writeln!(out, "<p>The first {TABLE_ROWS_MAX} rows; the CSV has all.</p>");
    }
    out + "</details>\n"
}

/// What is drawn and tabled of latency: a class for its colour, a name, the values.
fn curves(record: &Record) -> Vec<(&'static str, &'static str, &HistogramSnapshot)> {
    let mut curves = vec![("service", "service time", &record.service_time)];
    if text::has_response_time(record) {
        curves.push(("response", "response time", &record.response_time));
    }
    if let Some(side) = &record.server_side {
        curves.push(("server", "in the server", &side.latency));
    }
    curves
}

fn latencies(record: &Record) -> String {
    let curves = curves(record);
    let mut keys = String::new();
    let mut heads = String::new();
    for (class, title, _) in &curves {
        let _ = write!(keys, "<li><i class=\"{class}\"></i>{title}</li>");
        let _ = write!(heads, "<th scope=\"col\">{title}</th>");
    }
    let mut rows = String::new();
    for (name, value) in text::rows() {
        let _ = write!(rows, "<tr><th scope=\"row\">{name}</th>");
        for (_, _, distribution) in &curves {
            let cell = value(distribution).map_or("–".to_owned(), units::time);
            let _ = write!(rows, "<td>{cell}</td>");
        }
        rows += "</tr>\n";
    }
    let mut notes = format!("<p class=\"note\">{}</p>\n", escape(&text::lesson(record)));
    if let Some(side) = &record.server_side {
        let _ = writeln!(notes, "<p class=\"note\">{}</p>", escape(&text::overlay(record)));
        for note in &side.notes {
            let _ = writeln!(notes, "<p class=\"note\">{}</p>", escape(note));
        }
    }
    format!(
        "<section id=\"quantiles\" data-label=\"Latency by quantile, the same figures as in the table beside \
         it.\">\n<h2>How long it took</h2>\n{notes}<div class=\"pair\"><div><ul class=\"keys\">{keys}</ul>\n\
         <div class=\"chart\"></div>\n<p class=\"note\">Across: the share of requests that took no longer; each \
         mark is ten times rarer.</p></div>\n\
         <table>\n<caption>– means fewer than ten values beyond it</caption>\n<thead><tr><td></td>{heads}</tr>\
         </thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n",
    )
}

fn steps(record: &Record) -> String {
    if record.steps.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for step in &record.steps {
        let time = |quantile| text::time_at(&step.response_time, quantile);
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            units::rate(step.rate),
            units::rate(step.answered_rate()),
            time(0.5),
            time(0.99),
            time(1.0),
            units::count(step.fault_count),
            units::count(step.late),
        );
    }
    format!(
        "<section>\n<h2>By rate</h2>\n<p class=\"note\">{}</p>\n<div class=\"scroll\"><table>\n<thead><tr>\
         <th scope=\"col\">asked per second</th><th scope=\"col\">answered</th><th scope=\"col\">p50</th>\
         <th scope=\"col\">p99</th><th scope=\"col\">longest</th><th scope=\"col\">faults</th>\
         <th scope=\"col\">late</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n",
        escape(&text::knee(record)),
    )
}

fn targets(record: &Record) -> String {
    if record.targets.len() < 2 {
        return String::new();
    }
    let mut rows = String::new();
    for target in &record.targets {
        let time = |quantile| text::time_at(&target.response_time, quantile);
        let _ = writeln!(
            rows,
            "<tr><td class=\"url\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&target.url),
            target.weight,
            units::count(target.answered),
            units::count(target.wrong),
            time(0.5),
            time(0.99),
        );
    }
    format!(
        "<section>\n<h2>By URL</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">URL</th>\
         <th scope=\"col\">weight</th><th scope=\"col\">answered</th><th scope=\"col\">wrong</th>\
         <th scope=\"col\">p50</th><th scope=\"col\">p99</th></tr></thead>\n<tbody>\n{rows}</tbody>\n\
         </table></div>\n</section>\n",
    )
}

fn about(record: &Record) -> String {
    let environment = &record.environment;
    let virtualization = environment.virtualization.as_deref().unwrap_or("none found");
    let sends = &record.sends;
    let mut facts = vec![
        (
            "requests",
            format!(
                "{} intended, {} sent, {} answered, {} lost; {} opened",
                units::count(sends.intended),
                units::count(sends.sent),
                units::count(record.answered),
                units::count(record.lost),
                units::several(record.connections_opened, "connection"),
            ),
        ),
        ("CPU time of the generator", text::used(record.client, record.answered)),
        ("system", environment.system.clone()),
        ("processor", format!("{}, {} cores", environment.processor, environment.cores)),
        ("virtual machine", virtualization.to_owned()),
    ];
    if let Some(server) = record.server {
        facts.insert(1, ("CPU time of the server", text::used(server, record.answered)));
    }
    let mut list = String::new();
    for (name, value) in facts {
        let _ = writeln!(list, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
    }
    for warning in &environment.warnings {
        let _ = writeln!(list, "<dt>mind</dt><dd>{}</dd>", escape(warning));
    }
    let command = escape(&text::command(record));
    format!(
        "<section>\n<h2>Where and how</h2>\n<dl class=\"facts\">\n<dt>command</dt><dd><code>{command}</code>\
         </dd>\n{list}</dl>\n</section>\n</main>\n",
    )
}

/// What the script draws.
fn data(record: &Record) -> Value {
    let curve = |(class, title, distribution): (&str, &str, &HistogramSnapshot)| {
        let mut seen = 0;
        let points: Vec<_> = distribution
            .buckets()
            .map(|bucket| {
                seen += bucket.count;
                (
                    per(seen as f64, distribution.count() as f64),
                    bucket.highest.min(distribution.max()),
                )
            })
            .collect();
        json!({ "name": class, "title": title, "count": distribution.count(), "points": points })
    };
    let second = |second: &Second| {
        let times = &second.response_time;
        let quantile = |quantile| (!times.is_empty()).then(|| times.quantile(quantile));
        json!({
            "at": second.at_seconds,
            "length": second.length_seconds,
            "intended": second.intended,
            "answered": second.answered,
            "faults": second.fault_count(),
            "p50": quantile(0.5),
            "p99": quantile(0.99),
        })
    };
    let heat = &record.heat;
    let columns: Vec<_> =
        heat.columns.iter().map(|column| (column.at_ms as f64 / 1e3, &column.counts)).collect();
    json!({
        "elapsed": record.elapsed_seconds,
        "open": record.load.discipline.is_open(),
        "heat": { "column": heat.column_ms as f64 / 1e3, "rows": heat.rows, "columns": columns },
        "seconds": record.seconds.iter().map(second).collect::<Vec<_>>(),
        "curves": curves(record).into_iter().map(curve).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::record::sample;

    #[test]
    fn the_policy_names_the_script_and_the_style_that_are_there() {
        let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
        assert_eq!((STYLE_HASH, SCRIPT_HASH), (&*hash(STYLE), &*hash(SCRIPT)));
    }

    #[test]
    fn what_was_lost_or_is_not_known_is_a_problem() {
        let mut record = sample::stalled();
        (record.lost, record.cut_off) = (12, 10);
        record.unknown = vec!["the color of the server".to_owned()];
        let server = crate::record::Usage { cores: 1.0, waiting: Some(59.0), ..Default::default() };
        record.server = Some(server);
        for shown in [html(&record), crate::report::text(&record)] {
            for part in [
                "12 of 12,000 requests that were sent had no whole answer",
                "the color of the server",
                "1.00 cores busy, 59.00 threads waiting for a core",
            ] {
                assert!(shown.contains(part), "{part} in {shown}");
            }
        }
    }

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let mut record = sample::stalled();
        let hostile = "</script><script>alert(1)</script><!--\"'&";
        record.load.urls = vec![hostile.to_owned(), hostile.to_owned()];
        record.load.method = hostile.to_owned();
        record.arguments = vec![hostile.to_owned()];
        record.environment.processor = hostile.to_owned();
        record.environment.warnings = vec![hostile.to_owned()];
        record.faults[0] = crate::record::Fault { kind: hostile.to_owned(), count: 1 };
        let target = crate::record::Target { url: hostile.to_owned(), ..Default::default() };
        record.targets = vec![target.clone(), target];
        let side = crate::ServerSide {
            server: hostile.to_owned(),
            notes: vec![hostile.to_owned()],
            ..Default::default()
        };
        record.server_side = Some(side);
        let page = html(&record);
        let count = |what: &str| page.matches(what).count();
        assert_eq!((count("<script"), count("</script"), count("<!--")), (2, 2, 0));
        assert!(count("&lt;script&gt;alert(1)") >= 8, "{page}");
    }
}
