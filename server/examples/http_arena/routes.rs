//! What the benchmark asks for.

use std::sync::Arc;

use corelane_http::HttpConfig;
use corelane_http::files::StaticFiles;
use corelane_http::middleware::{BodyLimit, Compress};
use corelane_http::negotiate::Encoding;
use corelane_http::web::{
    BodyReader, Endpoint, Input, InputError, OwnedRequest, Request, Response, Routes,
};
use corelane_parser::http1::Limits;
use serde::{Deserialize, Serialize};

/// Bodies of uploads are counted, not kept, so they may be large.
const UPLOAD_BYTES_MAX: u64 = 64 << 20;

/// The protocol has a limit of its own.
pub(crate) fn http() -> HttpConfig {
    let limits = Limits { body_bytes: UPLOAD_BYTES_MAX, ..Limits::default() };
    HttpConfig { limits, ..HttpConfig::default() }
}

/// An item of the data set.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Item {
    pub(crate) id: u64,
    name: String,
    category: String,
    pub(crate) price: i64,
    pub(crate) quantity: i64,
    active: bool,
    tags: Vec<String>,
    rating: Rating,
}

#[derive(Clone, Deserialize, Serialize)]
struct Rating {
    score: u32,
    count: u32,
}

/// 50 items, where no data set is given.
pub(crate) fn data_set() -> Vec<Item> {
    let pick = |words: &[&str], n: u64| words[n as usize % words.len()].to_owned();
    let item = |id: u64| Item {
        id,
        name: format!("{} {id}", pick(&["Lamp", "Kettle", "Chair", "Radio", "Clock"], id)),
        category: pick(&["home", "kitchen", "office"], id / 5),
        price: (id as i64 * 37) % 490 + 10,
        quantity: (id as i64 * 7) % 20 + 1,
        active: !id.is_multiple_of(4),
        tags: vec![pick(&["new", "sale", "used"], id), pick(&["small", "large"], id / 3)],
        rating: Rating { score: id as u32 * 13 % 50, count: id as u32 * 29 % 300 },
    };
    (1..=50).map(item).collect()
}

#[derive(Serialize)]
struct Priced<'a> {
    #[serde(flatten)]
    item: &'a Item,
    total: i64,
}

#[derive(Serialize)]
struct Listing<'a> {
    items: Vec<Priced<'a>>,
    count: usize,
}

#[derive(Deserialize)]
struct Factor {
    #[serde(default)]
    m: Option<i64>,
}

/// The sum of the query's values, and of the number in the body if there is one.
fn baseline(request: &Request<'_>) -> Result<String, InputError> {
    let number = |input, text: &str| {
        let parsed = text.trim().parse::<i64>();
        parsed.map_err(|error| InputError::new(400, input, text.to_owned(), error.to_string()))
    };
    let mut sum = 0_i64;
    for pair in request.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let value = pair.split_once('=').map_or("", |(_, value)| value);
        sum = sum.wrapping_add(number(Input::Query, value)?);
    }
    if !request.body().is_empty() {
        let body = String::from_utf8_lossy(request.body());
        sum = sum.wrapping_add(number(Input::Body, &body)?);
    }
    Ok(sum.to_string())
}

/// The first items with their totals, serialised for each request.
fn listing(request: &Request<'_>, items: &[Item]) -> Result<Response, InputError> {
    let count = request.param::<usize>("count")?.min(items.len());
    let Factor { m } = request.query_as()?;
    let factor = m.unwrap_or(1);
    let total = |item: &Item| item.price.wrapping_mul(item.quantity).wrapping_mul(factor);
    let items = items[..count].iter().map(|item| Priced { item, total: total(item) }).collect();
    Ok(Response::json(&Listing { items, count }))
}

/// How many bytes came.
async fn upload(_request: OwnedRequest, mut body: BodyReader) -> Response {
    let mut bytes = 0;
    loop {
        match body.read().await {
            Ok(Some(piece)) => bytes += piece.len(),
            Ok(None) => return Response::text(bytes.to_string()),
            Err(cut) => return Response::problem(400, cut),
        }
    }
}

/// All of it; files are those of root 0.
pub(crate) fn routes(items: Arc<Vec<Item>>) -> Routes {
    let compress = Compress::new().encodings(&[Encoding::Gzip, Encoding::Brotli]).min_bytes(0);
    let routes = Routes::new()
        .get("/baseline11", baseline)
        .post("/baseline11", baseline)
        .on("GET", "/pipeline", Endpoint::of_head(|_: &Request<'_>| "ok"))
        .get("/json/{count}", move |request: &Request<'_>| listing(request, &items))
        .with_last(compress)
        .on("POST", "/upload", Endpoint::uploading(upload))
        .with_last(BodyLimit::new(UPLOAD_BYTES_MAX));
    StaticFiles::new(0).mount(routes, "/static")
}
