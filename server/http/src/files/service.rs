//! From requests to answers.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::rc::Rc;

use corelane_eventloop::Files;
use corelane_parser::http1::{Field, Method};

use super::answer::{self, choose, names_html, plain, redirect};
use super::cache::{Cache, Entry};
use super::conditions::Conditions;
use super::listing;
use super::options::Options;
use super::path;
use super::resource::{Body, Found, Loaded, Resource, Variant, is_absence, locate, whole};
use crate::ready::Ready;
use crate::web::endpoint::{Endpoint, Glance};
use crate::web::{Params, Request, Response};

/// The endpoint of one lane.
pub(crate) fn endpoint(options: Options) -> Endpoint {
    let cache = RefCell::new(Cache::new(options.cache.clone()));
    let service = Rc::new(Service { options, cache });
    let known = service.clone();
    Endpoint::of_head(move |request: &Request<'_>| service.answer(request))
        .with_shortcut(move |glance| known.ready(glance))
}

/// An endpoint for directories that are named without a slash.
pub(crate) fn slashed() -> Endpoint {
    Endpoint::of_head(redirect)
}

struct Service {
    options: Options,
    cache: RefCell<Cache>,
}

/// One request, and what is needed to answer it.
struct Visit<'r, 'a> {
    request: &'r Request<'a>,
    files: &'r mut dyn Files,
    conditions: Conditions<'a>,
}

impl Service {
    /// The whole of a file that is remembered and fresh, for a request that has no condition and no
    /// range: most requests.
    fn ready(&self, glance: &Glance<'_, '_>) -> Option<Rc<Ready>> {
        if !matches!(glance.head.method(), Method::Get | Method::Head)
            || Conditions::are_among(glance.head.fields())
        {
            return None;
        }
        let path = raw(glance.params, glance.is_routed, glance.head.path())?;
        let mut cache = self.cache.borrow_mut();
        let resource = cache.fresh(path, glance.now)?;
        let named = |field: &Field<'_>| field.name.eq_ignore_ascii_case("Accept-Encoding");
        let accepted = glance.head.fields().filter(named).map(|field| field.value);
        resource.variants[choose(accepted, resource)].ready.clone()
    }

    fn answer(&self, request: &Request<'_>) -> Response {
        match request.method() {
            Method::Get | Method::Head => {}
            // A route does this by itself; a fallback has only us.
            Method::Options => return Response::new(204).with("Allow", ALLOW),
            method => {
                let detail = format!("{} is not among the methods of files", method.as_str());
                return Response::problem(405, detail).with("Allow", ALLOW);
            }
        }
        let Some(mut files) = request.files() else {
            return Response::problem(500, "there is no access to files here");
        };
        let conditions = Conditions::of(request.fields());
        let mut visit = Visit { request, files: &mut **files, conditions };
        let raw = raw(request.params(), request.route().is_some(), request.path());
        // What is remembered was decoded, and is what it is decoded to: it needs no second look.
        if let Some(raw) = raw
            && let Some(response) = self.remembered(&mut visit, raw)
        {
            return response;
        }
        match raw.and_then(|raw| path::decode(raw, self.options.shows_hidden)) {
            Some(path) => self.at(&mut visit, &path),
            None => self.absent(&mut visit),
        }
    }

    /// Answers from what is remembered and fresh.
    #[inline]
    fn remembered(&self, visit: &mut Visit<'_, '_>, path: &str) -> Option<Response> {
        let mut cache = self.cache.borrow_mut();
        let resource = cache.fresh(path, visit.request.now())?;
        let at = choose(visit.request.headers("Accept-Encoding"), resource);
        if matches!(resource.variants[at].body, Body::Closed) {
            return None;
        }
        Some(show(visit, &resource.variants[at]))
    }

    /// Answers for a decoded path.
    fn at(&self, visit: &mut Visit<'_, '_>, path: &str) -> Response {
        let mut reached = self.file(visit, path, &mut show);
        if let Err(error) = &reached
            && is_exhaustion(error)
            && self.cache.borrow_mut().close_files()
        {
            reached = self.file(visit, path, &mut show);
        }
        match reached {
            Ok(Reached::File(response)) => response,
            Ok(Reached::Unslashed) => redirect(visit.request),
            Ok(Reached::Directory) if self.options.listing > 0 => self.list(visit, path),
            Ok(Reached::Directory) => self.absent(visit),
            Err(error) => self.failed(visit, path, &error),
        }
    }

    /// Finds the file that a path leads to, loads the representation that is wanted, and answers with
    /// it.
    fn file(
        &self,
        visit: &mut Visit<'_, '_>,
        path: &str,
        answer: &mut dyn FnMut(&Visit<'_, '_>, &Variant) -> Response,
    ) -> io::Result<Reached> {
        let mut cache = self.cache.borrow_mut();
        let (now, wall) = (visit.request.now(), visit.request.wall());
        let mut known = cache.find(path, now);
        if !matches!(known, Some((_, true))) {
            let located = match locate(visit.files, &self.options, path) {
                Ok(Found::File(located)) => located,
                other => {
                    if let Some((place, _)) = known {
                        cache.remove(place);
                    }
                    return match other? {
                        Found::Directory => Ok(Reached::Directory),
                        _ => Ok(Reached::Unslashed),
                    };
                }
            };
            match known.and_then(|(place, _)| cache.at(place)) {
                Some(entry) if entry.resource.located == located => entry.checked = now,
                _ => {
                    let mut resource = Resource::of(located, &self.options, wall);
                    if resource.is_settling(wall) {
                        if let Some((place, _)) = known {
                            cache.remove(place);
                        }
                        let (response, _) = self.respond(visit, &mut resource, answer)?;
                        return Ok(Reached::File(response));
                    }
                    cache.put(Entry::new(path, resource, now));
                    known = cache.find(path, now);
                }
            }
        }
        // A cache that keeps nothing has no place.
        let Some((place, _)) = known else {
            return self.uncached(visit, path, answer);
        };
        let Some(entry) = cache.at(place) else { return self.uncached(visit, path, answer) };
        match self.respond(visit, &mut entry.resource, answer) {
            Ok((response, Loaded::Same)) => {
                cache.weigh(place);
                Ok(Reached::File(response))
            }
            Ok((response, Loaded::Changed)) => {
                cache.remove(place);
                Ok(Reached::File(response))
            }
            Err(error) => {
                cache.remove(place);
                Err(error)
            }
        }
    }

    fn uncached(
        &self,
        visit: &mut Visit<'_, '_>,
        path: &str,
        answer: &mut dyn FnMut(&Visit<'_, '_>, &Variant) -> Response,
    ) -> io::Result<Reached> {
        let wall = visit.request.wall();
        match locate(visit.files, &self.options, path)? {
            Found::File(located) => {
                let mut resource = Resource::of(located, &self.options, wall);
                Ok(Reached::File(self.respond(visit, &mut resource, answer)?.0))
            }
            Found::Unslashed => Ok(Reached::Unslashed),
            Found::Directory => Ok(Reached::Directory),
        }
    }

    /// Answers with the representation that is wanted.
    fn respond(
        &self,
        visit: &mut Visit<'_, '_>,
        resource: &mut Resource,
        answer: &mut dyn FnMut(&Visit<'_, '_>, &Variant) -> Response,
    ) -> io::Result<(Response, Loaded)> {
        let at = choose(visit.request.headers("Accept-Encoding"), resource);
        let loaded = resource.load(at, visit.files, &self.options, visit.request.wall())?;
        Ok((answer(visit, &resource.variants[at]), loaded))
    }

    /// Answers for what is not there.
    fn absent(&self, visit: &mut Visit<'_, '_>) -> Response {
        let Some(spa) = &self.options.spa else { return self.refuse(visit, 404) };
        let wants_page = names_html(visit.request);
        let reached =
            if wants_page { self.file(visit, spa, &mut show) } else { Ok(Reached::Directory) };
        let mut response = match reached {
            Ok(Reached::File(response)) => response,
            _ => self.refuse(visit, 404),
        };
        response.vary("Accept");
        response
    }

    fn failed(&self, visit: &mut Visit<'_, '_>, path: &str, error: &io::Error) -> Response {
        if is_absence(error) {
            return self.absent(visit);
        }
        match error.kind() {
            ErrorKind::PermissionDenied => {
                tracing::debug!(path, "a file may not be read, or leads out of its root");
                self.refuse(visit, 403)
            }
            // ELOOP: links that lead in a circle, or that the root's policy forbids.
            _ if error.raw_os_error() == Some(ELOOP) => self.absent(visit),
            _ if is_exhaustion(error) => {
                tracing::warn!(path, %error, "no file can be opened");
                self.refuse(visit, 503).with("Retry-After", "1")
            }
            _ => {
                tracing::error!(path, %error, "a file cannot be read");
                self.refuse(visit, 500)
            }
        }
    }

    /// An error, with its page if there is one.
    fn refuse(&self, visit: &mut Visit<'_, '_>, status: u16) -> Response {
        let page = self.options.error_pages.iter().find(|(known, _)| *known == status);
        if let Some((_, page)) = page {
            let shown = self.file(visit, page, &mut |_, variant| {
                let mut response = Response::new(status);
                for name in ["Content-Type", "Content-Encoding", "Vary"] {
                    if let Some(value) = variant.fields.get(name) {
                        response.add(name, value);
                    }
                }
                response.with_content(variant.content(whole(variant.len)))
            });
            if let Ok(Reached::File(response)) = shown {
                return response;
            }
        }
        plain(status)
    }

    fn list(&self, visit: &mut Visit<'_, '_>, path: &str) -> Response {
        let directory = Path::new(path.trim_end_matches('/'));
        let limit = self.options.listing;
        // One more, to know whether there are more.
        match visit.files.entries(self.options.root, directory, limit.saturating_add(1)) {
            Ok(mut entries) => {
                let truncated = entries.len() > limit;
                entries.truncate(limit);
                let shows_hidden = self.options.shows_hidden;
                let is_shown = |name: &str, depth: bool| {
                    shows_hidden || !path::is_hidden(name) || (depth && name == path::WELL_KNOWN)
                };
                // What no request can name is not listed.
                entries.retain(|entry| {
                    path::is_name(&entry.name) && is_shown(&entry.name, path.is_empty())
                });
                let query = visit.request.query().unwrap_or_default();
                let accept = visit.request.headers("Accept");
                let form = self.options.listing_form;
                listing::answer(path, entries, truncated, query, accept, form)
            }
            Err(error) => self.failed(visit, path, &error),
        }
    }
}

/// The path beneath the directory, still encoded.
#[inline]
fn raw<'a>(params: &Params<'a>, is_routed: bool, path: &'a str) -> Option<&'a str> {
    match params.raw("path") {
        Some(rest) => Some(rest),
        None if is_routed => Some(""),
        None => path.strip_prefix('/'),
    }
}

const ALLOW: &str = "GET, HEAD, OPTIONS";

// Numbers of Linux; where they are others, the answers are less specific.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ELOOP: i32 = 40;

/// Whether no file can be opened because too many are; it may be better soon.
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// What a path leads to, and the answer if that is a file.
enum Reached {
    File(Response),
    Unslashed,
    Directory,
}

/// Answers with a representation.
fn show(visit: &Visit<'_, '_>, variant: &Variant) -> Response {
    answer::show(visit.request, &visit.conditions, variant)
}
