//! Lanes on a rig, turned until something holds.

use corelane_eventloop::{
    Driver, End, Lane, LaneConfig, LaneStats, ListenOptions, Nanos, Post, Protocol,
};

use crate::rig::Rig;

/// Some lanes of one protocol, each with its driver.
pub(crate) struct Stage<R: Rig, P: Protocol> {
    pub(crate) rig: R,
    pub(crate) drivers: Vec<R::Driver>,
    pub(crate) lanes: Vec<Lane<P>>,
}

impl<R: Rig, P: Protocol> Stage<R, P> {
    /// One lane with the default limits.
    pub(crate) fn one(protocol: P) -> Stage<R, P> {
        Stage::configured(protocol, LaneConfig::default())
    }

    pub(crate) fn configured(protocol: P, config: LaneConfig) -> Stage<R, P> {
        let mut protocol = Some(protocol);
        Stage::several(1, 64, config, |_| protocol.take().unwrap())
    }

    pub(crate) fn several(
        count: usize,
        mail: usize,
        config: LaneConfig,
        mut protocol: impl FnMut(usize) -> P,
    ) -> Stage<R, P> {
        Stage::on(
            R::new(),
            count,
            ListenOptions::default(),
            |number, post| Lane::new(protocol(number), config.clone(), post),
            mail,
        )
    }

    pub(crate) fn on(
        mut rig: R,
        count: usize,
        options: ListenOptions,
        mut lane: impl FnMut(usize, Post<P::Mail>) -> Lane<P>,
        mail: usize,
    ) -> Stage<R, P> {
        let drivers = (0..count).map(|_| rig.driver(options)).collect();
        let posts = Post::mesh(count, mail).into_iter().enumerate();
        let lanes = posts.map(|(number, post)| lane(number, post)).collect();
        Stage { rig, drivers, lanes }
    }

    /// Gives the only lane files.
    pub(crate) fn with_files(mut self, files: &[(&str, Vec<u8>)]) -> Stage<R, P> {
        let files = self.rig.files(files);
        let lane = self.lanes.remove(0).with_files(files);
        self.lanes.insert(0, lane);
        self
    }

    /// One turn of every lane.
    pub(crate) fn turn(&mut self) {
        let alone = self.lanes.len() == 1;
        let wait = if alone { R::WAIT } else { Nanos::ZERO };
        for (driver, lane) in self.drivers.iter_mut().zip(&mut self.lanes) {
            driver.turn(lane, Some(wait)).unwrap();
        }
        self.rig.pass(alone);
    }

    /// Turns until `done`; fails if that takes more than 20 s of the rig's time.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let limit = self.rig.now() + Nanos::from_secs(20);
        let mut turns = 0;
        while !done(self) {
            turns += 1;
            assert!(self.rig.now() < limit && turns < 400_000, "never happened: {what}");
            self.turn();
        }
    }

    /// Turns for a while.
    pub(crate) fn during(&mut self, span: Nanos) {
        let end = self.rig.now() + span;
        while self.rig.now() < end {
            self.turn();
        }
    }

    /// A client of the first lane that sends this.
    pub(crate) fn client(&mut self, bytes: &[u8]) -> usize {
        let client = self.rig.connect(0);
        self.rig.send(client, bytes);
        client
    }

    /// Waits for the client's end: everything it received, and how it ended.
    #[track_caller]
    pub(crate) fn outcome(&mut self, client: usize) -> (String, End) {
        self.until("the connection ends", |stage| stage.rig.end(client).is_some());
        (self.text(client), self.rig.end(client).unwrap())
    }

    /// Waits until the client has received exactly this.
    #[track_caller]
    pub(crate) fn expect(&mut self, client: usize, text: &str) {
        self.until(&format!("client {client} receives {text:?}"), |stage| {
            stage.rig.received_len(client) >= text.len() || stage.rig.end(client).is_some()
        });
        assert_eq!(self.text(client), text);
    }

    pub(crate) fn text(&mut self, client: usize) -> String {
        String::from_utf8_lossy(&self.rig.received(client)).into_owned()
    }

    pub(crate) fn stats(&self) -> &LaneStats {
        self.lanes[0].stats()
    }

    pub(crate) fn protocol(&mut self) -> &mut P {
        self.lanes[0].protocol_mut()
    }
}
