//! hyper 1.x on one tokio thread: `hyper --port N [--app NAME]`.

use bytes::Bytes;
use corelane_rivals::{App, BODY, Failure, Message, Options};
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

fn main() -> Result<(), Failure> {
    let options = Options::read(&[App::Fixed, App::Json])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(options.port, options.app == App::Json))
}

async fn serve(port: u16, json: bool) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            // `pipeline_flush` gathers pipelined replies into one write: hyper's fastest setting.
            let _ = hyper::server::conn::http1::Builder::new()
                .pipeline_flush(true)
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service_fn(move |_request| reply(json)))
                .await;
        });
    }
}

async fn reply(json: bool) -> Result<Response<Full<Bytes>>, serde_json::Error> {
    let (body, media_type) = if json {
        (Bytes::from(serde_json::to_vec(&Message::HELLO)?), "application/json")
    } else {
        (Bytes::from_static(BODY), "text/plain")
    };
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}
