//! Sockets that leave for another lane, and that come from one.

use super::net::{Net, RESERVED};
use super::reactor::Reactor;
use crate::lane::Lane;
use crate::protocol::{Closed, Protocol};

impl<N: Net> Reactor<N> {
    /// Sends away connections that were active and are idle now, if some are to move.
    #[inline]
    pub(super) fn send_away<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        if lane.parts_with_some() {
            self.send_some_away(lane);
        }
    }

    #[cold]
    fn send_some_away<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        lane.services().overtime = true;
        for &ready in self.ready.iter().filter(|ready| ready.token < RESERVED) {
            if let Some(key) = self.named(ready) {
                lane.was_active(key);
            }
        }
        let mut most = lane.may_leave();
        for key in lane.take_active() {
            if most == 0 {
                return;
            }
            let slot = self.slots.get_mut(key.index());
            let Some(slot) = slot.filter(|slot| slot.generation == key.generation()) else {
                continue;
            };
            if slot.socket.is_none() || slot.readable || slot.read_closed || slot.hung_up {
                continue;
            }
            let Some((to, parcel)) = lane.pack(key) else { continue };
            let Some(mut socket) = slot.socket.take() else { continue };
            // If it fails, the socket was not registered; the other lane finds out what is wrong with it.
            let _ = self.net.deregister(&mut socket);
            lane.ship(to, parcel, Box::new(socket));
            most -= 1;
        }
    }

    /// Seats the sockets that came in this turn. What is there to be received is reported by the next
    /// poll, since they are registered anew.
    #[inline]
    pub(super) fn seat_arrivals<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        while let Some((key, socket)) = lane.services().moves.sockets.pop() {
            match socket.downcast::<N::Socket>() {
                Ok(socket) => {
                    self.seat(key, *socket);
                    self.register(lane, key);
                }
                // From a driver of another kind.
                Err(_) => lane.fail(key, Closed::Lost(std::io::ErrorKind::Unsupported)),
            }
        }
    }
}
