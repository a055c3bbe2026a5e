//! The routes that requests are counted under.

use std::cell::RefCell;
use std::rc::Rc;

use corelane_metrics::registry::OTHER;
use corelane_metrics::{CounterId, HistogramId};

use super::HttpMetrics;

/// What requests are counted under that no route took, or whose handler names none.
const NO_ROUTE: &str = "none";

/// A route's number on one lane: what answers are counted under
/// ([`Reply::of_route`](crate::Reply::of_route)). The default is no route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteId(u16);

/// The routes of one lane, by name. Clones are the same.
///
/// Names come from the program or its configuration, never from a request: each takes memory for the
/// life of the process, also when a reload has taken its route away. The first 512 are told apart, and the
/// others counted together, as `other`. Routes of one name are one series, whatever their host.
///
/// The latencies of a route take 18.6 KiB per lane once it has one: 9.3 MiB per lane at most.
#[derive(Clone, Debug)]
pub struct RouteNames(Rc<RefCell<Table>>);

#[derive(Debug)]
struct Table {
    metrics: HttpMetrics,
    /// By number. The first is for requests without a route.
    routes: Vec<Option<Cells>>,
}

/// Where one route is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells {
    pub(super) requests: CounterId,
    pub(super) latency: HistogramId,
}

impl RouteNames {
    /// What no route should be called: requests without a route are counted as `none`, and those of routes
    /// beyond the 512th as `other`.
    pub const RESERVED: [&str; 2] = [NO_ROUTE, OTHER];

    pub(super) fn new(metrics: HttpMetrics) -> RouteNames {
        RouteNames(Rc::new(RefCell::new(Table { metrics, routes: vec![None] })))
    }

    /// The route of that name: the same for the same name. One of the [reserved](Self::RESERVED) names stands
    /// for what it says.
    pub fn route(&self, name: &str) -> RouteId {
        let mut table = self.0.borrow_mut();
        let cells = table.cells(name);
        let known = |other: &Option<Cells>| other.is_some_and(|c| c.requests == cells.requests);
        let number = table.routes.iter().position(known).unwrap_or_else(|| {
            table.routes.push(Some(cells));
            table.routes.len() - 1
        });
        // Families have fewer members than that.
        RouteId(number as u16)
    }

    /// Where a route is counted.
    #[inline]
    pub(super) fn cells(&self, route: RouteId) -> Cells {
        let known = self.0.borrow().routes.get(usize::from(route.0)).copied().flatten();
        known.unwrap_or_else(|| self.none())
    }

    /// Where requests without a route are counted. Known once there is one, so that servers whose
    /// handler names its routes have no such series.
    #[cold]
    fn none(&self) -> Cells {
        let mut table = self.0.borrow_mut();
        let cells = table.cells(NO_ROUTE);
        table.routes[0] = Some(cells);
        cells
    }
}

impl Table {
    fn cells(&self, name: &str) -> Cells {
        let metrics = &self.metrics;
        Cells { requests: metrics.routes.member(name), latency: metrics.route_latency.member(name) }
    }
}

impl RouteId {
    pub(super) fn to_bits(self) -> u16 {
        self.0
    }

    pub(super) fn from_bits(bits: u16) -> RouteId {
        RouteId(bits)
    }
}
