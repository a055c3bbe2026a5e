//! Static files, as configured.

use corelane_eventloop::RootId;
use corelane_http::web::{Endpoint, Request, Response};

use super::build::BuildError;
use crate::config::StaticFiles;

pub(super) fn endpoint(
    _root: RootId,
    _settings: &StaticFiles,
    _place: &str,
) -> Result<Endpoint, BuildError> {
    Ok(Endpoint::of_head(|_: &Request<'_>| Response::new(501)))
}
