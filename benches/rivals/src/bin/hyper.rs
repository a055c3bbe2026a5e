//! hyper 1.x on one tokio thread: `hyper --port N`.

use std::convert::Infallible;

use bytes::Bytes;
use corelane_rivals::{BODY, Failure, port};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

fn main() -> Result<(), Failure> {
    let port = port()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(port))
}

async fn serve(port: u16) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            // `pipeline_flush` gathers pipelined replies into one write: hyper's fastest setting.
            let _ = hyper::server::conn::http1::Builder::new()
                .pipeline_flush(true)
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service_fn(reply))
                .await;
        });
    }
}

async fn reply(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(BODY)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}
