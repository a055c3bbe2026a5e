//! The part of the second look that is about sites.

use std::collections::BTreeMap;

use corelane_http::RouteNames;
use corelane_http::middleware::Users;
use corelane_parser::http1::encode::EncodeError;

use super::check::Found;
use super::finding::{index_path, key_path};
use super::keys::Config;
use super::middleware::{BasicAuth, Cors, Middleware, is_token};
use super::site::{FixedResponse, Host, Redirect, Route, StaticFiles, parameters};
use crate::apps::fixed::Fixed;

/// Routes and hosts.
pub(super) fn sites(config: &Config, found: &mut Found) {
    routes(&config.routes, "routes", config.static_dir.is_some(), found);
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    let mut default = None;
    for (index, host) in config.hosts.iter().enumerate() {
        let path = index_path("hosts", index);
        host_names(host, &path, &mut names, found);
        if host.default {
            if let Some(first) = default.replace(path.clone()) {
                let message = format!("`{first}` is the default host already");
                found.error(key_path(&path, "default"), message);
            } else if !config.routes.is_empty() || config.static_dir.is_some() {
                let message = "requests to unknown names go to the `routes` and `static_dir` at the \
                               top already: take those or this away";
                found.error(key_path(&path, "default"), message);
            }
        }
        if host.routes.is_empty() {
            found.warning(key_path(&path, "routes"), "no routes: every request gets 404");
        }
        routes(&host.routes, &key_path(&path, "routes"), false, found);
        middleware(&host.middleware, &key_path(&path, "middleware"), found);
    }
}

fn host_names<'c>(
    host: &'c Host,
    path: &str,
    names: &mut BTreeMap<&'c str, String>,
    found: &mut Found,
) {
    let list = key_path(path, "names");
    if host.names.is_empty() && !host.default {
        found.error(
            list.clone(),
            "no name: nothing would reach this host; give it a name, or \
                                  make it the default",
        );
    }
    for (index, name) in host.names.iter().enumerate() {
        let place = index_path(&list, index);
        if let Some(first) = names.insert(name.get(), place.clone()) {
            found.error(place, format!("`{}` is the name of `{first}` already", name.get()));
        }
    }
}

fn routes(routes: &[Route], path: &str, has_root: bool, found: &mut Found) {
    let mut patterns: BTreeMap<String, String> = BTreeMap::new();
    if has_root {
        patterns.insert("/ static".to_owned(), "static_dir".to_owned());
    }
    for (index, route) in routes.iter().enumerate() {
        let path = index_path(path, index);
        action(route, &path, found);
        // A static route takes what is below its path, too: one at `/` leaves a fixed `/` alone.
        let kind = if route.files.is_some() { " static" } else { "" };
        let pattern = format!("{}{kind}", without_names(route.path.get()));
        if let Some(first) = patterns.insert(pattern, path.clone()) {
            let message = format!("the same path as that of `{first}`");
            found.error(key_path(&path, "path"), message);
        }
        if let Some(name) = route.name.as_deref().filter(|name| RouteNames::RESERVED.contains(name))
        {
            let message =
                format!("`{name}` stands for requests of no route, or of many: choose another");
            found.error(key_path(&path, "name"), message);
        }
        middleware(&route.middleware, &key_path(&path, "middleware"), found);
    }
}

/// A pattern in which only the kinds of parameters are left.
fn without_names(pattern: &str) -> String {
    let mut plain = String::new();
    for (index, piece) in pattern.split('{').enumerate() {
        match piece.split_once('}') {
            Some((name, after)) if index > 0 => {
                plain.push_str(if name.starts_with('*') { "{*}" } else { "{}" });
                plain.push_str(after);
            }
            _ => plain.push_str(piece),
        }
    }
    // `/docs/` and `/docs` are one place.
    if plain.len() > 1 && plain.ends_with('/') {
        plain.pop();
    }
    plain
}

fn action(route: &Route, path: &str, found: &mut Found) {
    let actions = [
        route.files.as_ref().map(|_| "static"),
        route.fixed.as_ref().map(|_| "fixed"),
        route.redirect.as_ref().map(|_| "redirect"),
    ];
    let given: Vec<&str> = actions.into_iter().flatten().collect();
    if given.len() != 1 {
        let has = if given.is_empty() { "none".to_owned() } else { given.join(" and ") };
        let message = format!("expected exactly one of static, fixed and redirect; it has {has}");
        found.error(path, message);
    }
    if let Some(files) = &route.files {
        let path = key_path(path, "static");
        if route.path.get().contains('{') {
            let message = "a static route takes everything below its path: write `/docs`, not \
                           `/docs/{*path}`";
            found.error(path.clone(), message);
        }
        static_files(files, &path, found);
    }
    if let Some(response) = &route.fixed {
        fixed(response, &key_path(path, "fixed"), found);
    }
    if let Some(elsewhere) = &route.redirect {
        redirect(elsewhere, route.path.get(), &key_path(path, "redirect"), found);
    }
}

fn static_files(files: &StaticFiles, path: &str, found: &mut Found) {
    let before = found.errors.len();
    let dir = files.dir.get();
    found.folder(&key_path(path, "dir"), dir);
    let exists = found.errors.len() == before;
    if let Some(fallback) = files.fallback.as_ref().filter(|_| exists) {
        found.file(&key_path(path, "fallback"), &dir.join(fallback.get()));
    }
    let errors = key_path(path, "errors");
    for (status, file) in &files.errors {
        let path = key_path(&errors, status);
        match status.parse::<u16>() {
            Ok(403 | 404 | 500 | 503) if exists => found.file(&path, &dir.join(file.get())),
            Ok(403 | 404 | 500 | 503) => {}
            _ => found
                .error(path, "expected a status that files are refused with: 403, 404, 500, 503"),
        }
    }
    let rules = key_path(path, "cache_control");
    for (index, rule) in files.cache_control.iter().enumerate() {
        let path = key_path(&index_path(&rules, index), "value");
        field("Cache-Control", &rule.value, &path, found);
    }
    if let Some(charset) = files.charset.as_ref().filter(|charset| !is_token(charset)) {
        found.error(key_path(path, "charset"), format!("`{charset}` is no name of a charset"));
    }
}

fn fixed(response: &FixedResponse, path: &str, found: &mut Found) {
    fields(&response.headers, &key_path(path, "headers"), found);
    if response.body.is_some() && response.body_file.is_some() {
        found.error(key_path(path, "body_file"), "there is a `body` already: take one away");
    }
    if let Some(file) = &response.body_file {
        found.file(&key_path(path, "body_file"), file.get());
    }
    let status = response.status.get();
    let has_body =
        response.body.as_ref().is_some_and(|body| !body.is_empty()) || response.body_file.is_some();
    if has_body && matches!(status, 204 | 205 | 304) {
        let message = format!("{status} forbids a body: take it away, or choose another status");
        found.error(key_path(path, "status"), message);
    }
}

fn redirect(redirect: &Redirect, from: &str, path: &str, found: &mut Found) {
    let to = redirect.to.get();
    let path = key_path(path, "to");
    if to == from {
        found.error(path, "leads back to this route, without end");
        return;
    }
    if host(to).contains('{') {
        let message = "a request could choose the host: parameters belong behind a `/`, as in \
                       `https://example.org/{rest}`";
        found.error(path, message);
        return;
    }
    let known = parameters(from).unwrap_or_default();
    for piece in to.split('{').skip(1) {
        match piece.split_once('}') {
            Some((name, _)) if known.contains(&name) => {}
            Some((name, _)) => {
                let message = format!("the path {from} has no parameter `{name}`");
                found.error(path.clone(), message);
            }
            None => found.error(path.clone(), "a `{` without its `}`"),
        }
    }
}

/// What a URL has before its path: scheme and host. Nothing of a path.
///
/// As browsers read it, to whom `\` is `/`, and any number of them stands before the host
/// (<https://url.spec.whatwg.org/#special-authority-ignore-slashes-state>).
fn host(url: &str) -> &str {
    let scheme = url.find(['/', '\\']).unwrap_or(url.len());
    let slashes = url[scheme..].bytes().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
    let start = match &url[..scheme] {
        "http:" | "https:" => scheme + slashes,
        "" if slashes > 1 => slashes,
        _ => return "",
    };
    let end = url[start..].find(['/', '\\', '?', '#']);
    &url[..end.map_or(url.len(), |end| start + end)]
}

fn fields(fields: &BTreeMap<String, String>, path: &str, found: &mut Found) {
    for (name, value) in fields {
        field(name, value, &key_path(path, name), found);
    }
}

/// A field of a response, as the encoder would take it.
fn field(name: &str, value: &str, path: &str, found: &mut Found) {
    if let Err(error) = Fixed::new(200, &[(name, value)], Vec::new()) {
        let message = match error {
            EncodeError::FieldReserved => "the server sets this field itself".to_owned(),
            error => error.to_string(),
        };
        found.error(path, message);
    }
}

/// Whether the server sets the field itself.
fn is_reserved(name: &str) -> bool {
    matches!(Fixed::new(200, &[(name, "")], Vec::new()), Err(EncodeError::FieldReserved))
}

fn tokens(words: &[String], what: &str, path: &str, found: &mut Found) {
    for (index, word) in words.iter().enumerate() {
        if !is_token(word) && word != "*" {
            found.error(index_path(path, index), format!("`{word}` is no name of a {what}"));
        }
    }
}

/// The middleware of a server, host or route.
pub(super) fn middleware(middleware: &Middleware, path: &str, found: &mut Found) {
    let below = |key: &str| key_path(path, key);
    if let Some(settings) = middleware.cors.on() {
        cors(settings, &below("cors"), found);
    }
    if let Some(auth) = middleware.basic_auth.on() {
        basic_auth(auth, &below("basic_auth"), found);
    }
    if let Some(compression) = middleware.compression.on() {
        let path = below("compression");
        if compression.encodings.is_empty() {
            let message = "none: leave the key out for all, or set compression to false";
            found.error(key_path(&path, "encodings"), message);
        }
        for (index, name) in compression.types.iter().enumerate() {
            if !name.split_once('/').is_some_and(|(a, b)| is_token(a) && is_token(b)) {
                let message = format!("`{name}` is no media type such as text/html or text/*");
                found.error(index_path(&key_path(&path, "types"), index), message);
            }
        }
    }
    if let Some(security) = middleware.security_headers.on() {
        let path = below("security_headers");
        let optional = [
            ("referrer_policy", "Referrer-Policy", &security.referrer_policy),
            (
                "content_security_policy",
                "Content-Security-Policy",
                &security.content_security_policy,
            ),
        ];
        for (key, name, value) in optional {
            if let Some(value) = value {
                field(name, value, &key_path(&path, key), found);
            }
        }
    }
    if let Some(rules) = middleware.headers.on() {
        let path = below("headers");
        fields(&rules.add, &key_path(&path, "add"), found);
        let path = key_path(&path, "remove");
        tokens(&rules.remove, "header field", &path, found);
        for (index, name) in rules.remove.iter().enumerate() {
            if is_reserved(name) {
                let message = format!("the server sets `{name}` itself, and it stays");
                found.error(index_path(&path, index), message);
            }
        }
    }
}

fn cors(cors: &Cors, path: &str, found: &mut Found) {
    let any = cors.origins.iter().any(|origin| origin.get() == "*");
    let origins = key_path(path, "origins");
    if cors.origins.is_empty() {
        found.error(origins, "no origin: name some, \"*\" for all, or set cors to false");
    } else if any && cors.origins.len() > 1 {
        found.error(origins, "\"*\" stands alone: it covers all others");
    }
    if any && cors.credentials {
        let message = "not with the origin \"*\", which browsers refuse: name the origins";
        found.error(key_path(path, "credentials"), message);
    }
    for (key, what, words) in [
        ("methods", "method", &cors.methods),
        ("headers", "header field", &cors.headers),
        ("expose", "header field", &cors.expose),
    ] {
        tokens(words, what, &key_path(path, key), found);
    }
}

fn basic_auth(auth: &BasicAuth, path: &str, found: &mut Found) {
    if auth.users.is_empty() && auth.htpasswd.is_none() {
        found.error(path, "nobody could pass: give `users` or `htpasswd`");
    }
    for user in auth.users.keys().filter(|user| user.contains(':') || user.is_empty()) {
        let message = "the name of a user is not empty and holds no colon (RFC 7617 §2)";
        found.error(key_path(&key_path(path, "users"), user), message);
    }
    if let Some(file) = &auth.htpasswd {
        let path = key_path(path, "htpasswd");
        let file = file.get();
        match std::fs::read_to_string(file) {
            Ok(text) => match text.parse::<Users>() {
                Ok(users) if users.is_empty() => found.error(path, "there is nobody in it"),
                Ok(_) => {}
                Err(error) => found.error(path, format!("{}: {}", file.display(), error.reason)),
            },
            Err(error) => found.error(path, format!("{}: {error}", file.display())),
        }
    }
    if auth.realm.contains(['"', '\\']) || auth.realm.contains(char::is_control) {
        found.error(key_path(path, "realm"), "without quotes, backslashes and control characters");
    }
}
