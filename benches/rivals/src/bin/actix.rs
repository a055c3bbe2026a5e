//! actix-web 4 with one worker: `actix --port N`.

use actix_web::{App, HttpResponse, HttpServer, web};
use corelane_rivals::{BODY, Failure, port};

fn main() -> Result<(), Failure> {
    let port = port()?;
    actix_web::rt::System::new().block_on(async move {
        HttpServer::new(|| App::new().default_service(web::to(reply)))
            .workers(1)
            .backlog(4096)
            // The default of 256 accepts per second would refuse short connections.
            .max_connection_rate(1_000_000)
            .max_connections(100_000)
            .bind(("127.0.0.1", port))?
            .run()
            .await
    })?;
    Ok(())
}

async fn reply() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body(BODY)
}
