//! A JSON API: create, read, update and delete notes, with validation and pages.
//!
//! `cargo run --release --example api_server [address]`, then:
//!
//! ```sh
//! curl -i http://127.0.0.1:8080/notes -H 'Content-Type: application/json' -d '{"title": "milk"}'
//! curl -i http://127.0.0.1:8080/notes -H 'Content-Type: application/json' -d '{"title": "milk"}' # 409
//! curl -i http://127.0.0.1:8080/notes -H 'Content-Type: application/json' -d '{"title": ""}'     # 422
//! curl -i 'http://127.0.0.1:8080/notes?offset=0&limit=10'
//! curl -i -X PUT http://127.0.0.1:8080/notes/1 -H 'Content-Type: application/json' \
//!     -d '{"title": "milk", "text": "2 l", "done": true}'
//! curl -i http://127.0.0.1:8080/notes/1
//! curl -i -X DELETE http://127.0.0.1:8080/notes/1
//! curl -i http://127.0.0.1:8080/notes/1 # 404
//! ```
//!
//! SIGTERM or ctrl-c stops it.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use corelane_http::web::{Input, InputError, Request, Response, Routes};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Note {
    title: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    done: bool,
}

#[derive(Default)]
struct Store {
    notes: BTreeMap<u64, Note>,
    last: u64,
}

/// One store for the process: a client's requests may come to any lane, and must find what another
/// one stored. A lane waits for the lock no longer than a look into a map takes.
type Shared = Arc<Mutex<Store>>;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

type Answer = Result<Response, InputError>;

/// The note that a request brings, if it keeps to the rules.
fn note(request: &Request<'_>) -> Result<Note, InputError> {
    let note: Note = request.json()?;
    let invalid = |field, why| Err(InputError::invalid(Input::Body, field, why));
    if note.title.trim().is_empty() || note.title.len() > 100 {
        return invalid("title", "must have 1 to 100 bytes");
    }
    if note.text.len() > 10_000 {
        return invalid("text", "must have 10,000 bytes at most");
    }
    Ok(note)
}

fn shown(id: u64, note: &Note) -> serde_json::Value {
    json!({"id": id, "title": note.title, "text": note.text, "done": note.done})
}

fn list(request: &Request<'_>, store: &Store) -> Answer {
    let Page { offset, limit } = request.query_as()?;
    let limit = limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(InputError::invalid(Input::Query, "limit", "must be from 1 to 100"));
    }
    let page = store.notes.iter().skip(offset).take(limit).map(|(id, note)| shown(*id, note));
    let page: Vec<_> = page.collect();
    Ok(Response::json(&json!({"notes": page, "offset": offset, "total": store.notes.len()})))
}

fn create(request: &Request<'_>, store: &mut Store) -> Answer {
    let note = note(request)?;
    if store.notes.values().any(|other| other.title == note.title) {
        return Ok(Response::problem(409, "there is a note of this title already"));
    }
    if store.notes.len() >= 10_000 {
        return Ok(Response::problem(507, "there are 10,000 notes already"));
    }
    store.last += 1;
    let (id, answer) = (store.last, shown(store.last, &note));
    store.notes.insert(id, note);
    Ok(Response::json(&answer).with_status(201).with("Location", format!("/notes/{id}")))
}

fn read(request: &Request<'_>, store: &Store) -> Answer {
    let id = request.param("id")?;
    Ok(store.notes.get(&id).map_or_else(missing, |note| Response::json(&shown(id, note))))
}

fn update(request: &Request<'_>, store: &mut Store) -> Answer {
    let (id, note) = (request.param("id")?, note(request)?);
    if store.notes.iter().any(|(other, known)| *other != id && known.title == note.title) {
        return Ok(Response::problem(409, "there is another note of this title"));
    }
    let Some(known) = store.notes.get_mut(&id) else { return Ok(missing()) };
    *known = note;
    Ok(Response::json(&shown(id, known)))
}

fn delete(request: &Request<'_>, store: &mut Store) -> Answer {
    let removed = store.notes.remove(&request.param("id")?);
    Ok(removed.map_or_else(missing, |_| Response::new(204)))
}

fn missing() -> Response {
    Response::problem(404, "there is no such note")
}

fn routes(store: &Shared) -> Routes {
    let with = |f: fn(&Request<'_>, &mut Store) -> Answer| {
        let store = store.clone();
        move |request: &Request<'_>| {
            f(request, &mut store.lock().unwrap_or_else(PoisonError::into_inner))
        }
    };
    Routes::new()
        .get("/notes", with(|request, store| list(request, store)))
        .post("/notes", with(create))
        .get("/notes/{id}", with(|request, store| read(request, store)))
        .put("/notes/{id}", with(update))
        .delete("/notes/{id}", with(delete))
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let store = Shared::default();
    Ok(corelane::web::serve(&address, move || routes(&store).build())?)
}
