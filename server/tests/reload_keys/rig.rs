//! A lane that serves a configuration, and what can be seen of it from outside.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use corelane::config::Effective;
use corelane::logs::AccessLogSlot;
use corelane::site::Source;
use corelane_eventloop::{Driver, Nanos, OsFiles};

use crate::rows::See;
use crate::site_lane::SiteLane;

pub(crate) struct Rig {
    site: SiteLane,
    slot: AccessLogSlot,
    log: PathBuf,
    pub(crate) source: Arc<Source>,
}

impl Rig {
    pub(crate) fn new(started: &Effective, log: &Path) -> Rig {
        let source = Source::new(started.clone()).unwrap();
        let slot = AccessLogSlot::default();
        source.log_into(slot.clone());
        let site = SiteLane::new(&source, started, Box::new(OsFiles::new()));
        Rig { site, slot, log: log.to_owned(), source }
    }

    pub(crate) fn pass(&mut self, time: Nanos) {
        self.site.pass(time);
    }

    pub(crate) fn see(&mut self, see: &See) -> String {
        let (request, time) = match see {
            See::InForce => return format!("{:?}", self.source.blueprint().config),
            See::Answer(request, time) => (request, *time),
            See::Slow(request) | See::Log(request) => (request, Nanos::from_millis(100)),
        };
        let site = &mut self.site;
        let client = site.world.connect(&site.driver, 0);
        site.world.send(client, request.as_bytes());
        site.pass(time);
        let patience = Instant::now() + Duration::from_secs(20);
        while matches!(see, See::Slow(_)) && site.world.received_len(client) == 0 {
            assert!(Instant::now() < patience, "no answer");
            std::thread::sleep(Duration::from_millis(1));
            site.driver.turn(&mut site.lane, Some(Nanos::ZERO)).unwrap();
        }
        if matches!(see, See::Log(_)) {
            if let Some(log) = self.slot.get() {
                assert!(log.flush(Duration::from_secs(20)), "the log is not written");
            }
            return std::fs::read_to_string(&self.log).unwrap_or_default();
        }
        let mut seen = String::from_utf8_lossy(&site.world.received(client)).into_owned();
        if site.world.end(client).is_some() {
            seen.push_str("<closed>");
        }
        seen
    }
}
