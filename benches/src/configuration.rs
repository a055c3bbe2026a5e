//! What servers are told to serve, in the language of each.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::scratch::Scratch;
use crate::server::{App, BODY, CONNECTION_COUNT_MAX, Setup};

/// Bodies above this nginx reads from a file.
const RETURN_BYTES_MAX: usize = 4096;
/// Files above this the floor sends from the file, others from memory.
const FLOOR_MEMORY_BYTES_MAX: usize = 16 * 1024;

/// The directory of [`App::Static`], which holds one file: [`Setup::body`] at [`Setup::path`].
pub(crate) fn site(setup: &Setup, scratch: &Scratch) -> anyhow::Result<PathBuf> {
    let directory = scratch.path().join("site");
    fs::create_dir_all(&directory).context("cannot create the directory to serve")?;
    let name = format!("site{}", setup.path);
    // Written once for all servers, so that it is as old for each.
    if fs::read(scratch.path().join(&name)).ok().as_deref() != Some(&*setup.body) {
        scratch.write(&name, &setup.body)?;
    }
    Ok(directory)
}

/// What a floor answers with: a text from memory, or a large file.
pub(crate) fn floor_reply(setup: &Setup, scratch: &Scratch) -> anyhow::Result<Vec<String>> {
    let (option, value) = match setup.app {
        App::Fixed => ("--body", BODY.to_owned()),
        App::Static if setup.body.len() > FLOOR_MEMORY_BYTES_MAX => {
            ("--file", format!("{}{}", site(setup, scratch)?.display(), setup.path))
        }
        _ => ("--body", String::from_utf8(setup.body.clone()).context("floors answer with text")?),
    };
    let media_type = if setup.app == App::Json { "application/json" } else { "text/plain" };
    Ok([option, &value, "--media-type", media_type].map(str::to_owned).to_vec())
}

/// The cheapest way nginx has to answer with a text: `return`. It would not read a body then; to
/// have one read, it is its own upstream.
pub(crate) fn nginx_configuration(
    setup: &Setup,
    port: u16,
    scratch: &Scratch,
) -> anyhow::Result<String> {
    let directory = scratch.path().display();
    let limits = match setup.as_shipped {
        true => "",
        false => "keepalive_requests 1000000000; keepalive_timeout 3600s;",
    };
    let answer = if setup.app == App::Static {
        nginx_static(&site(setup, scratch)?)
    } else if setup.body.len() <= RETURN_BYTES_MAX {
        let text = std::str::from_utf8(&setup.body).context("nginx returns text only")?;
        format!("location / {{ return 200 '{text}'; }}")
    } else {
        let file = scratch.write(&format!("body-{port}.txt"), &setup.body)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        format!("location = / {{ root {directory}; try_files /{name} =404; }}")
    };
    let media_type = if setup.app == App::Json { "application/json" } else { "text/plain" };
    let descriptors = match setup.descriptors {
        None => "worker_rlimit_nofile 65536;",
        Some(_) => "",
    };
    let reader = match setup.as_shipped {
        true => format!("location /body {{ proxy_pass http://127.0.0.1:{port}/; }}"),
        false => String::new(),
    };
    let log = match &setup.log {
        None => "access_log off;".to_owned(),
        Some(file) => format!("log_format status '$status'; access_log {} status;", file.display()),
    };
    Ok(format!(
        "daemon off;
worker_processes 1;
pid {directory}/nginx-{port}.pid;
error_log /dev/null crit;
{descriptors}
events {{ worker_connections {CONNECTION_COUNT_MAX}; }}
http {{
    {log}
    sendfile on;
    default_type {media_type};
    {limits}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        {answer}
        {reader}
    }}
}}
"
    ))
}

/// Files as nginx's documentation recommends to serve many: `sendfile`, head and file in the same
/// packets (`tcp_nopush`), descriptors and metadata kept open.
fn nginx_static(root: &Path) -> String {
    format!(
        "location / {{ root {}; tcp_nopush on; open_file_cache max=1000 inactive=1h; \
         open_file_cache_valid 60s; open_file_cache_min_uses 1; }}",
        root.display(),
    )
}

/// The cheapest way h2o has to answer with a text: a small file that it keeps open (its other way,
/// a handler in mruby, costs a third more). Files of a directory it keeps open, too.
pub(crate) fn h2o_configuration(
    setup: &Setup,
    port: u16,
    scratch: &Scratch,
) -> anyhow::Result<String> {
    let limits = if setup.as_shipped { "" } else { "http1-request-timeout: 3600" };
    let extension = if setup.app == App::Json { "json" } else { "txt" };
    let handler = if setup.app == App::Static {
        format!("file.dir: {}", site(setup, scratch)?.display())
    } else {
        let file = scratch.write(&format!("body-{port}.{extension}"), &setup.body)?;
        format!("file.file: {}", file.display())
    };
    Ok(format!(
        "num-threads: 1
max-connections: {CONNECTION_COUNT_MAX}
{limits}
listen: {{host: 127.0.0.1, port: {port}}}
error-log: /dev/null
hosts:
  default:
    paths:
      /:
        {handler}
"
    ))
}
