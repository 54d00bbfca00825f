//! Where values live: places are taken and freed step by step, and laid out once all are known.
//!
//! A place is a number until then. Two places may share memory if no step needs both. Finding the smallest memory is hard
//! (dynamic storage allocation); two orders of placing are tried, and the better one is kept: that of the steps, and
//! largest first (Pisarchyk and Lee 2020, arXiv 2001.03288).

use crate::ALIGN;

/// Number of a place.
pub(super) type Place = usize;

/// How many pairs of a place and a step that needs it may be looked at to place the largest first.
const MAX_WORK: usize = 1 << 24;

/// What needs a place, and in which steps.
struct Need {
    /// Bytes asked for, and up to the next aligned place.
    size: usize,
    bytes: usize,
    from: usize,
    /// The last step; `usize::MAX` while it is in use.
    to: usize,
    /// Whether it may lie in a room.
    movable: bool,
}

/// The places of a program.
#[derive(Default)]
pub(super) struct Arena {
    needs: Vec<Need>,
    step: usize,
}

/// Memory that is free up to a step: that of a result which is written there for the first time.
pub(super) struct Room {
    pub bytes: usize,
    /// The first step that needs the memory for something else.
    pub until: usize,
    /// A place that may be at its start in that step, too: what lies there is read as the result is written.
    pub heir: Option<Place>,
}

/// Where places lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum At {
    /// At an offset in the arena.
    Arena(usize),
    /// In a room, at an offset.
    Room(usize, usize),
}

/// All places, laid out.
pub(super) struct Layout {
    /// By place.
    pub at: Vec<At>,
    /// Bytes of the arena.
    pub bytes: usize,
    /// By step, bytes of the arena in use.
    pub live: Vec<usize>,
}

impl Arena {
    /// A place of `bytes` bytes from this step on.
    pub fn take(&mut self, bytes: usize) -> Place {
        self.need(bytes, false)
    }

    /// As [`Arena::take`], for a value, which may lie in a room.
    pub fn take_value(&mut self, bytes: usize) -> Place {
        self.need(bytes, true)
    }

    fn need(&mut self, bytes: usize, movable: bool) -> Place {
        let (size, bytes) = (bytes, bytes.next_multiple_of(ALIGN).max(ALIGN));
        self.needs.push(Need { size, bytes, from: self.step, to: usize::MAX, movable });
        self.needs.len() - 1
    }

    /// Gives a place back after this step.
    pub fn free(&mut self, place: Place) {
        self.needs[place].to = self.step;
    }

    /// Ends the step.
    pub fn next_step(&mut self) {
        self.step += 1;
    }

    /// Lays the places out, those that can be in `rooms`.
    pub fn layout(mut self, rooms: &[Room]) -> Layout {
        let last = self.step.max(1) - 1;
        self.needs.iter_mut().for_each(|n| n.to = n.to.min(last));
        let in_rooms = self.in_rooms(rooms, last);
        let rest: Vec<Place> = (0..self.needs.len()).filter(|&p| in_rooms[p].is_none()).collect();
        let mut live = vec![0; self.step];
        for need in rest.iter().map(|&p| &self.needs[p]) {
            live[need.from..=need.to].iter_mut().for_each(|b| *b += need.bytes);
        }
        let least = live.iter().copied().max().unwrap_or(0);
        let mut best = self.in_order(&rest);
        if best.1 > least
            && let Some(other) = self.largest_first(&rest, last)
            && other.1 < best.1
        {
            best = other;
        }
        let mut at = in_rooms;
        rest.iter().zip(best.0).for_each(|(&p, offset)| at[p] = Some(At::Arena(offset)));
        Layout { at: at.into_iter().flatten().collect(), bytes: best.1, live }
    }

    /// Places that fit into rooms, largest first.
    fn in_rooms(&self, rooms: &[Room], last: usize) -> Vec<Option<At>> {
        let mut at = vec![None; self.needs.len()];
        let mut taken: Vec<Taken> = rooms.iter().map(|_| Taken::new(last)).collect();
        for (r, room) in rooms.iter().enumerate() {
            let Some((p, need)) = room.heir.map(|p| (p, &self.needs[p])) else { continue };
            if need.to == room.until && need.size == room.bytes {
                at[p] = Some(At::Room(r, 0));
                taken[r].take(need, 0);
            }
        }
        let until = rooms.iter().map(|r| r.until).max().unwrap_or(0);
        let movable = |p: &Place| self.needs[*p].movable && self.needs[*p].to < until && at[*p].is_none();
        let Some(order) = self.by_size((0..self.needs.len()).filter(movable).collect()) else { return at };
        for p in order {
            let need = &self.needs[p];
            at[p] = rooms.iter().zip(&mut taken).enumerate().find_map(|(r, (room, taken))| {
                let fits = need.to < room.until && need.size <= room.bytes;
                let offset = fits.then(|| taken.gap(need)).filter(|offset| offset + need.size <= room.bytes)?;
                taken.take(need, offset);
                Some(At::Room(r, offset))
            });
        }
        at
    }

    /// Offsets of these places, and the end of all, if each is placed in its turn among those in use then.
    fn in_order(&self, places: &[Place]) -> (Vec<usize>, usize) {
        // start, end and last step of those in use, by start
        let mut live: Vec<(usize, usize, usize)> = Vec::new();
        let (mut offsets, mut end, mut step) = (Vec::with_capacity(places.len()), 0, 0);
        for need in places.iter().map(|&p| &self.needs[p]) {
            if need.from > step {
                step = need.from;
                live.retain(|l| l.2 >= step);
            }
            let start = smallest_gap(live.iter().map(|l| (l.0, l.1)), need.bytes);
            let i = live.partition_point(|l| l.0 < start);
            live.insert(i, (start, start + need.bytes, need.to));
            end = end.max(start + need.bytes);
            offsets.push(start);
        }
        (offsets, end)
    }

    /// The same, largest first; nothing if that takes too long to find.
    fn largest_first(&self, places: &[Place], last: usize) -> Option<(Vec<usize>, usize)> {
        let mut offsets = vec![0; self.needs.len()];
        let (mut taken, mut end) = (Taken::new(last), 0);
        for p in self.by_size(places.to_vec())? {
            let need = &self.needs[p];
            offsets[p] = taken.gap(need);
            taken.take(need, offsets[p]);
            end = end.max(offsets[p] + need.bytes);
        }
        Some((places.iter().map(|&p| offsets[p]).collect(), end))
    }

    /// The places, largest first, if they are not too many to be compared.
    fn by_size(&self, mut places: Vec<Place>) -> Option<Vec<Place>> {
        let mut count = vec![0usize; self.step];
        let mut work = 0usize;
        for need in places.iter().map(|&p| &self.needs[p]) {
            work += need.to - need.from + 1;
            if work > MAX_WORK {
                return None;
            }
            count[need.from..=need.to].iter_mut().for_each(|n| *n += 1);
        }
        let pairs = count.iter().fold(0usize, |sum, n| sum.saturating_add(n * n));
        places.sort_by_key(|&p| (std::cmp::Reverse(self.needs[p].bytes), self.needs[p].from));
        (pairs <= MAX_WORK).then_some(places)
    }
}

/// The memory that is in use at each step.
struct Taken(Vec<Vec<(usize, usize)>>);

impl Taken {
    fn new(last: usize) -> Taken {
        Taken(vec![Vec::new(); last + 1])
    }

    /// The smallest gap for `need` over its steps.
    fn gap(&self, need: &Need) -> usize {
        let mut taken: Vec<(usize, usize)> = self.0[need.from..=need.to].iter().flatten().copied().collect();
        taken.sort_unstable();
        smallest_gap(taken.into_iter(), need.bytes)
    }

    fn take(&mut self, need: &Need, offset: usize) {
        let range = (offset, offset + need.bytes);
        self.0[need.from..=need.to].iter_mut().for_each(|step| step.push(range));
    }
}

/// The start of the smallest gap of `bytes` bytes between ranges in the order of their starts, or behind them.
fn smallest_gap(ranges: impl Iterator<Item = (usize, usize)>, bytes: usize) -> usize {
    let (mut at, mut best) = (0, None::<(usize, usize)>);
    for (start, end) in ranges {
        if start >= at + bytes && best.is_none_or(|(gap, _)| start - at < gap) {
            best = Some((start - at, at));
        }
        at = at.max(end);
    }
    best.map_or(at, |(_, start)| start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No two places that a step needs both share memory, and none leaves its room.
    fn check(needs: &[(usize, usize, usize)], l: &Layout, rooms: &[Room]) {
        for (i, (&(bytes, from, to), at)) in needs.iter().zip(&l.at).enumerate() {
            match *at {
                At::Arena(offset) => assert!(offset + bytes <= l.bytes && offset % ALIGN == 0),
                At::Room(r, 0) if rooms[r].heir == Some(i) => assert!(bytes == rooms[r].bytes && to == rooms[r].until),
                At::Room(r, offset) => assert!(offset + bytes <= rooms[r].bytes && to < rooms[r].until),
            }
            for (&(other_bytes, other_from, other_to), other) in needs.iter().zip(&l.at).take(i) {
                let together = from <= other_to && other_from <= to;
                let (x, y) = match (*at, *other) {
                    (At::Arena(x), At::Arena(y)) => (x, y),
                    (At::Room(r, x), At::Room(s, y)) if r == s => (x, y),
                    _ => continue,
                };
                assert!(!together || x + bytes <= y || y + other_bytes <= x, "{needs:?} {:?}", l.at);
            }
        }
    }

    /// Lays out `(bytes, first step, last step)`, in the order of the first steps.
    fn layout(needs: &[(usize, usize, usize)], steps: usize, rooms: &[Room]) -> Layout {
        let mut a = Arena::default();
        for step in 0..steps {
            let first = needs.partition_point(|n| n.1 < step);
            for n in needs[first..].iter().take_while(|n| n.1 == step) {
                a.take_value(n.0);
            }
            (0..a.needs.len()).filter(|&p| needs[p].2 == step).for_each(|p| a.free(p));
            a.next_step();
        }
        let l = a.layout(rooms);
        check(needs, &l, rooms);
        l
    }

    #[test]
    fn places_are_reused() {
        let l = layout(&[(100, 0, 0), (64, 0, 2), (64, 1, 2), (64, 1, 2), (1, 2, 2)], 3, &[]);
        assert_eq!((l.bytes, l.live), (256, vec![192, 192, 256]));
    }

    #[test]
    fn a_large_place_is_not_cut_off_by_small_ones() {
        // in the order of the steps the second goes behind the first, and the third finds no gap
        let l = layout(&[(256, 0, 1), (128, 1, 3), (512, 2, 3)], 4, &[]);
        assert_eq!((l.bytes, *l.live.iter().max().unwrap_or(&0)), (640, 640));
    }

    #[test]
    fn results_lend_their_memory_until_they_are_written() {
        let room = |bytes, until| Room { bytes, until, heir: None };
        let rooms = [room(256, 2), room(128, 9)];
        let l = layout(&[(256, 0, 1), (128, 1, 3), (128, 2, 3), (512, 2, 3)], 4, &rooms);
        assert_eq!(l.at[..2], [At::Room(0, 0), At::Room(1, 0)]);
        assert_eq!((l.bytes, l.live), (640, vec![0, 0, 640, 640]));
    }

    #[test]
    fn what_a_result_is_computed_from_may_stay_in_its_memory() {
        let rooms = [Room { bytes: 256, until: 1, heir: Some(1) }];
        let l = layout(&[(128, 0, 0), (256, 1, 1), (256, 1, 1)], 2, &rooms);
        assert_eq!((&l.at[..], l.bytes), (&[At::Room(0, 0), At::Room(0, 0), At::Arena(0)][..], 256));
    }

    #[test]
    fn places_never_overlap() {
        let mut seed = 1u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 33) % n) as usize
        };
        for _ in 0..300 {
            let (count, steps) = (1 + next(30), 1 + next(20));
            let need = |_| {
                let (from, to) = (next(steps as u64), next(steps as u64));
                (1 + next(1000), from.min(to), from.max(to))
            };
            let mut needs: Vec<_> = (0..count).map(need).collect();
            needs.sort_by_key(|n| n.1);
            let rooms: Vec<Room> =
                (0..next(4)).map(|_| Room { bytes: next(3000), until: next(steps as u64), heir: None }).collect();
            layout(&needs, steps, &rooms);
        }
    }
}
